from __future__ import annotations

import math

import pytest
import torch
from refusals import refused

from pvs_bidsapp.messages import training
from pvs_bidsapp.training.losses import consistency, leave_out, make_loss


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


@pytest.mark.parametrize('name', ['dice', 'dice-ce', 'focal', 'ce'])
def test_voxels_that_are_left_out_change_no_loss(name):
    random = torch.Generator().manual_seed(1)
    label = (torch.rand(2, 1, 8, 8, 8, generator=random) < 0.3).float()
    counted = torch.ones_like(label, dtype=torch.bool)
    counted[..., 5:] = False
    known = torch.randn(label.shape, generator=random)
    losses = []
    for elsewhere, label_elsewhere in ((-9.0, 1.0), (0.0, 0.0), (9.0, 0.0)):
        logits = torch.where(counted, known, elsewhere).requires_grad_()
        loss = make_loss(name)(*leave_out(logits, torch.where(counted, label, label_elsewhere), counted))
        loss.backward()
        assert torch.equal(logits.grad != 0, counted & (logits.grad != 0))
        assert logits.grad[..., :5].abs().sum() > 0
        losses.append(loss.item())
    assert losses[0] == losses[1] == losses[2]
    if name != 'dice-ce':  # a mean over all voxels
        alone = make_loss(name)(known[..., :5], label[..., :5])
        assert losses[0] == pytest.approx(float(alone), rel=1e-5)
    both = leave_out(known, label, None)
    assert both[0] is known
    assert both[1] is label


def test_consistency_counts_where_the_clean_image_is_sure():
    clean = torch.tensor([0.9, 0.5, 0.7, 0.1]).reshape(1, 1, 4, 1, 1).requires_grad_()
    noisy = torch.tensor([math.log(4), 7.0, -7.0, 0.0]).reshape(clean.shape).requires_grad_()
    loss = consistency(noisy, clean, 0.8)
    assert float(loss.detach()) == pytest.approx((-math.log(0.8) - math.log(0.5)) / 2, rel=1e-5)
    loss.backward()
    assert clean.grad is None
    assert noisy.grad[0, 0, 1:3].abs().sum() == 0
    assert float(consistency(noisy.detach(), torch.full_like(clean, 0.5), 0.8)) == 0.0
