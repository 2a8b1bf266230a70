from __future__ import annotations

import math

import pytest
import torch
from refusals import refused

from pvs_bidsapp.messages import training
from pvs_bidsapp.training.losses import consistency, make_loss


def test_dice_of_a_hand_made_case():
    label = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 4, 1, 1)
    confident = torch.tensor([50.0, -50.0, 50.0, -50.0]).reshape(label.shape)
    assert float(make_loss('dice')(confident, label)) == pytest.approx(1 - 2 * 1 / (2 + 2), abs=1e-4)


def test_dice_with_cross_entropy_weighs_positives():
    label = torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1, 1)
    logits = torch.zeros_like(label)
    entropy = (8 * math.log(2) + math.log(2)) / 2
    expected = (1 - 2 * 0.5 / (1 + 1)) + 8 * entropy
    assert float(make_loss('dice-ce')(logits, label)) == pytest.approx(expected, rel=1e-3)


def test_focal_loss_by_formula():
    label = torch.zeros(1, 1, 200, 1, 1)
    label[0, 0, :150] = 1.0
    logits = torch.full_like(label, math.log(3))  # probability 0.75
    positive = 0.75 * 0.25**2 * -math.log(0.75)  # alpha (1 - p)^gamma -log p
    negative = 0.25 * 0.75**2 * -math.log(0.25)
    expected = (150 * positive + 50 * negative) / 150
    assert float(make_loss('focal')(logits, label)) == pytest.approx(expected, rel=1e-4)
    with refused(training.NO_LOSS, naming='other'):
        make_loss('other')


def test_cross_entropy_is_least_at_the_true_probability():
    label = torch.zeros(1, 1, 1000, 1, 1)
    label[0, 0, :300] = 1.0
    losses = [
        float(make_loss('ce')(torch.full_like(label, math.log(p / (1 - p))), label)) for p in (0.2, 0.3, 0.4)
    ]
    entropy = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    assert losses[1] == pytest.approx(1000 * entropy / 300, rel=1e-4)
    assert losses[1] < min(losses[0], losses[2])
    few = label[:, :, 290:340]  # ten positive voxels count as a hundred
    assert float(make_loss('ce')(torch.zeros_like(few), few)) == pytest.approx(
        50 * math.log(2) / 100, rel=1e-4
    )


def test_consistency_counts_where_the_clean_image_is_sure():
    clean = torch.tensor([0.9, 0.5, 0.7, 0.1]).reshape(1, 1, 4, 1, 1).requires_grad_()
    noisy = torch.tensor([math.log(4), 7.0, -7.0, 0.0]).reshape(clean.shape).requires_grad_()
    loss = consistency(noisy, clean, 0.8)
    assert float(loss.detach()) == pytest.approx((-math.log(0.8) - math.log(0.5)) / 2, rel=1e-5)
    loss.backward()
    assert clean.grad is None
    assert noisy.grad[0, 0, 1:3].abs().sum() == 0
    assert float(consistency(noisy.detach(), torch.full_like(clean, 0.5), 0.8)) == 0.0
