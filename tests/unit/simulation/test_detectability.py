"""The detectability of PVS in a scan."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pvs_bidsapp.simulation.detectability import detectability


def test_energy_over_noise_of_each_space():
    change, index = np.zeros((2, 20, 20, 20), np.float32)
    index = index.astype(np.int32)
    change[5, 5, 5:9], index[5, 5, 5:9] = -0.3, 1
    change[15, 15, 15], index[15, 15, 15] = -0.5, 3
    found = detectability(change, index, 3, 0.1)
    assert found == pytest.approx([np.sqrt(4) * 0.3 / 0.1, 0, 5])


def test_it_is_what_a_matched_filter_has():
    rng = np.random.default_rng(1)
    index = np.zeros((16, 16, 16), np.int32)
    index[7:9, 8, 5:11] = 1
    change = ndimage.gaussian_filter(-0.4 * (index > 0).astype(float), 0.5)
    expected = detectability(change, index, 1, 0.2)[0]
    noise = rng.normal(0, 0.2, (4000, *change.shape))
    response = np.tensordot(noise, change, axes=3)
    assert (change**2).sum() / response.std() == pytest.approx(expected, rel=0.05)


def test_a_neighbour_does_not_count():
    change, index = np.full((8, 8, 8), -1.0), np.zeros((8, 8, 8), np.int32)
    index[:4], index[4:] = 1, 2
    assert detectability(change, index, 2, 1.0) == pytest.approx([np.sqrt(256)] * 2)
