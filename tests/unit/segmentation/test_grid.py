from __future__ import annotations

import numpy as np
import pytest

from pvs_bidsapp.anatomy.resampling import Grid, resample
from pvs_bidsapp.segmentation.grid import BOX, network_grid


def test_a_scan_at_1_mm_reaches_the_grid_and_returns_untouched(rng):
    affine = np.array([[0, 0, -1, 90], [-1, 0, 0, 100], [0, 1, 0, -80], [0, 0, 0, 1.0]])
    image = rng.random((190, 180, 170)).astype(np.float32)
    brain = np.zeros(image.shape, bool)
    brain[30:160, 20:150, 20:150] = True
    grid = network_grid(brain, affine)
    assert grid.shape == BOX
    moved = resample(image, affine, grid, order=3)
    back = resample(moved, grid.affine, Grid(image.shape, affine), order=1)
    np.testing.assert_array_equal(back[brain], image[brain])


@pytest.mark.parametrize(
    ('voxels', 'expected'),
    [
        ((0.7, 0.7, 0.7), (0.7, 0.7, 0.7)),
        ((0.4, 1.0, 2.5), (0.6, 1.0, 1.2)),
        ((1.2, 1.1, 0.6), (1.2, 1.1, 0.6)),
    ],
)
def test_within_a_range_each_axis_keeps_its_own_voxels(rng, voxels, expected):
    image, brain = rng.normal(size=(20, 24, 22)).astype(np.float32), np.zeros((20, 24, 22), bool)
    brain[5:15, 6:18, 4:16] = True
    affine = np.diag([*voxels, 1.0])
    grid = network_grid(brain, affine, spacing=(0.6, 1.2), box=(8, 8, 8))
    np.testing.assert_allclose(np.diag(grid.affine)[:3], expected, rtol=1e-6)
    if voxels == expected:
        there = resample(image, affine, grid, order=3)
        back = resample(there, grid.affine, Grid(image.shape, affine), order=1)
        np.testing.assert_array_equal(back[brain], image[brain])


def test_the_box_grows_about_a_large_brain():
    brain = np.ones((220, 230, 200), bool)
    assert all(n >= m for n, m in zip(network_grid(brain, np.eye(4)).shape, brain.shape, strict=True))
