"""The noise of images whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pvs_bidsapp.anatomy.noise import noise_level

SHAPE = (40, 40, 40)
ALL = np.ones(SHAPE, bool)


@pytest.fixture
def noise():
    return np.random.default_rng(1).normal(0, 20, SHAPE)


@pytest.mark.parametrize('options', [{}, {'apart': 1}, {'apart': 1, 'axes': (0,)}])
def test_white_noise_on_a_slope_and_beside_an_edge(noise, options):
    image = noise + np.linspace(0, 500, 40)[:, None, None]
    image[20:] += 1000
    assert noise_level(image, ALL, **options) == pytest.approx(20, rel=0.05)
    mask = ALL.copy()
    mask[20:] = False
    image[20:] = np.random.default_rng(2).normal(0, 900, (20, 40, 40))
    assert noise_level(image, mask, **options) == pytest.approx(20, rel=0.05)


def test_filtered_noise_is_alike_in_neighbours(noise):
    filtered = ndimage.gaussian_filter(noise, 0.6)
    near, far = (noise_level(filtered, ALL, apart=n) / filtered.std() for n in (1, 2))
    assert near < 0.8
    assert far == pytest.approx(1, rel=0.1)


def test_too_few_voxels(noise):
    assert np.isnan(noise_level(noise, ~ALL))
    assert np.isnan(noise_level(noise[:1, :1, :1], ALL[:1, :1, :1]))
    assert noise_level(np.zeros(SHAPE), ALL) > 0
