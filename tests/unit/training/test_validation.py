from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.training.validation import THRESHOLDS, Interrupted, Validator


class Identity(nn.Module):
    """The logits are the image."""

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return volume[:, :1]


def validator(images, **changes) -> Validator:
    options = {'patch_size': None, 'stride': None} | changes
    return Validator(images, TissueNormalization(), torch.device('cpu'), **options)


@pytest.mark.parametrize('box', [(1, 1, 1), (40, 33, 51)])
def test_the_probability_is_on_the_grid_of_the_image_and_0_outside_the_brain(images, box):
    brain = images[0].brain.copy()
    brain[:5] = False
    image = replace(images[0], brain=brain)
    probability = validator([image], box=box).probability(Identity(), image)
    expected = 1 / (1 + np.exp(-image.image[0].astype(np.float32)))
    np.testing.assert_allclose(probability, np.where(brain, expected, 0), atol=1e-6)


def test_the_threshold_is_that_with_the_right_volume_among_the_best(images):
    class Known(nn.Module):
        def forward(self, volume: torch.Tensor) -> torch.Tensor:
            label = torch.from_numpy(images[0].label > 0)[None, None]
            return torch.where(label, 1.0, -1.0)  # probabilities 0.73 and 0.27

    score = validator(images[:1])
    scores = score.scores(Known())
    assert scores.shape == (2, len(THRESHOLDS))
    assert score(Known()) == 1.0
    assert score.best_threshold(Known()) == (0.3, 1.0, 1)


def test_scans_without_spaces_have_no_dice(images):
    empty = replace(images[0], label=np.zeros_like(images[0].label))
    mixed, alone = validator([empty, *images]), validator(images)
    np.testing.assert_array_equal(mixed.scores(Identity()), alone.scores(Identity()))
    assert mixed.best_threshold(Identity()) == alone.best_threshold(Identity())
    assert mixed.best_threshold(Identity())[2] == 2
    nothing = validator([empty, empty])
    assert np.isnan(nothing(Identity()))  # 1 if nothing is found, 0 otherwise, would say nothing
    threshold, dice, number = nothing.best_threshold(Identity())
    assert (threshold, np.isnan(dice), number) == (0.5, True, 0)
    assert nothing.scored == []


class EndAfter:
    """Wants to end when it is asked for the nth time."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def test_a_validation_ends_between_scans(images):
    four = [*images, *images]
    whole = validator(four).scores(Identity())
    assert validator(four, wants_to_end=EndAfter(4)).scores(Identity()).tolist() == whole.tolist()
    for asked in (1, 3):
        with pytest.raises(Interrupted):
            validator(four, wants_to_end=EndAfter(asked))(Identity())


def test_a_validation_ends_between_the_patches_of_a_scan(images):
    patches = {'patch_size': 16, 'stride': 16}
    whole = validator(images[:1], **patches).scores(Identity())
    asked = EndAfter(1000)
    assert validator(images[:1], **patches, wants_to_end=asked).scores(Identity()).tolist() == whole.tolist()
    number = 1000 - asked.left  # of patches, but the first
    assert number > 1
    with pytest.raises(Interrupted):
        validator(images[:1], **patches, wants_to_end=EndAfter(number)).scores(Identity())
    late = validator(images[:1], **patches, wants_to_end=lambda: True)
    assert late.best_threshold(Identity())[2] == 1  # which needs a scan


def test_a_threshold_is_chosen_on_one_scan_at_least(images, caplog):
    late = validator([*images, *images], wants_to_end=lambda: True)
    assert late.best_threshold(Identity()) == validator(images[:1]).best_threshold(Identity())
    assert 'chosen on 1 of 4 validation scans' in caplog.text
