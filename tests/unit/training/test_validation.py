from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.training.validation import THRESHOLDS, Validator


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
    threshold, dice = score.best_threshold(Known())
    assert (threshold, dice) == (0.3, 1.0)
