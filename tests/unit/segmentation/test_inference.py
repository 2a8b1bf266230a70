from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pvs_bidsapp.segmentation.inference import infer
from pvs_bidsapp.segmentation.networks import build


class Copy(nn.Module):
    """Logits are the first channel."""

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return volume[:, :1]


def test_patches_with_overlap_give_what_the_whole_gives(rng):
    volume = make_volume(rng)
    whole = infer(Copy(), volume, 'cpu')
    parts = infer(Copy(), volume, 'cpu', patch_size=16, stride=8)
    inside = volume[0, :, :, 24:] != -2
    assert abs(whole - parts)[:, :, 24:][inside].max() < 1e-5


@pytest.mark.parametrize('patch_size', [None, 16])
def test_with_the_mirror_image_left_and_right_are_alike(rng, patch_size):
    torch.manual_seed(0)
    network = build({'name': 'joliot2021', 'blocks': 2, 'filters': 2}).eval()
    volume = rng.normal(0, 1, (1, 32, 20, 20)).astype('float32')
    there, back = (
        infer(network, v.copy(), 'cpu', patch_size=patch_size, mirror=True) for v in (volume, volume[:, ::-1])
    )
    np.testing.assert_allclose(back[::-1], there, atol=1e-6)
    plain, mirrored = (
        infer(network, v.copy(), 'cpu', patch_size=patch_size) for v in (volume, volume[:, ::-1])
    )
    assert np.abs(mirrored[::-1] - plain).max() > 1e-3
    np.testing.assert_allclose((plain + mirrored[::-1]) / 2, there, atol=1e-6)


def make_volume(rng):
    volume = rng.normal(0, 1, (2, 40, 36, 44)).astype('float32')
    volume[:, :, :, :16] = -2  # outside the brain
    return volume


def test_patches_outside_the_brain_are_skipped(rng):
    class Refuse(nn.Module):
        def forward(self, volume: torch.Tensor) -> torch.Tensor:
            assert (volume.flatten(1).std(1) > 0).all()
            return volume[:, :1]

    probability = infer(Refuse(), make_volume(rng), 'cpu', patch_size=16, stride=16)
    assert (probability[:, :, :16] == 0).all()
