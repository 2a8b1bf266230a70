from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pvs_bidsapp.segmentation.engine import TorchEngine
from pvs_bidsapp.segmentation.inference import infer
from pvs_bidsapp.segmentation.networks import build


class Copy(nn.Module):
    """Logits are the first channel."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = 0

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        self.patches += len(volume)
        return volume[:, :1]


def engine(network):
    return TorchEngine(network, 'cpu')


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


@pytest.mark.parametrize('stride', [None, 5, 8, 16])
@pytest.mark.parametrize('shape', [(40, 36, 44), (16, 17, 15), (9, 40, 16)])
def test_patches_give_what_the_whole_gives(rng, shape, stride):
    volume = rng.normal(0, 1, (2, *shape)).astype('float32')
    whole = infer(engine(Copy()), volume)
    np.testing.assert_allclose(whole, sigmoid(volume[0]), atol=1e-6)
    np.testing.assert_allclose(infer(engine(Copy()), volume, patch_size=16, stride=stride), whole, atol=1e-5)


@pytest.mark.parametrize('patch_size', [None, 16])
def test_with_the_mirror_image_left_and_right_are_alike(rng, patch_size):
    torch.manual_seed(0)
    network = engine(build({'name': 'joliot2021', 'blocks': 2, 'filters': 2}).eval())
    volume = rng.normal(0, 1, (1, 32, 20, 20)).astype('float32')
    there, back = (
        infer(network, v.copy(), patch_size=patch_size, mirror=True) for v in (volume, volume[:, ::-1])
    )
    np.testing.assert_allclose(back[::-1], there, atol=1e-6)
    plain, mirrored = (infer(network, v.copy(), patch_size=patch_size) for v in (volume, volume[:, ::-1]))
    assert np.abs(mirrored[::-1] - plain).max() > 1e-3
    np.testing.assert_allclose((plain + mirrored[::-1]) / 2, there, atol=1e-6)


@pytest.mark.parametrize('margin', [0, 3])
def test_only_patches_with_wanted_voxels_are_computed(rng, margin):
    volume = rng.normal(0, 1, (1, 64, 48, 48)).astype('float32')
    wanted = np.zeros(volume.shape[1:], bool)
    wanted[4:8, 20:40, 8] = wanted[50:60, 30:36, 16:20] = True
    network = Copy()
    probability = infer(engine(network), volume, patch_size=16, stride=12, wanted=wanted, margin=margin)
    np.testing.assert_allclose(probability[wanted], sigmoid(volume[0][wanted]), atol=1e-5)
    assert (probability[28:34] == 0).all()
    assert network.patches <= 12  # of 60 and more


def test_where_nothing_is_wanted_nothing_is_computed(rng):
    network = Copy()
    wanted = np.zeros((20, 20, 20), bool)
    probability = infer(engine(network), np.ones((1, 20, 20, 20), np.float32), patch_size=16, wanted=wanted)
    assert (probability == 0).all()
    assert network.patches == 0
