import numpy as np
import pytest

from pvs_bidsapp.anatomy.resampling import Grid, are_inside, box_on, crop, isotropic_grid, resample


def test_a_grid_is_cropped_and_boxes_are_found_on_other_grids():
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-10, 5, 2)
    grid = Grid((20, 30, 40), affine)
    box = (slice(3, 9), slice(None), slice(10, 40))
    part = crop(grid, box)
    assert part.shape == (6, 30, 30)
    np.testing.assert_allclose(part.affine[:3, 3], (-7, 5, 12))
    coarse = isotropic_grid(affine, grid.shape, 2.0)
    found = box_on(grid, (slice(1, 3), slice(0, 15), slice(19, 20)), coarse)
    assert found == (slice(2, 6), slice(0, 30), slice(38, 40))  # two voxels for each


def test_a_voxel_reaches_half_a_voxel_beyond_its_centre():
    places = np.array([[-0.4, 0, 0], [-0.6, 0, 0], [3.4, 4, 5], [3.6, 4, 5], [3, 4.6, 5]])
    assert are_inside(places, (4, 5, 6)).tolist() == [True, False, True, False, False]


def test_resampling_keeps_positions_on_oblique_grids():
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.7, 0.7, 1.3])
    affine[:3, 3] = (-20, 5, 7)
    grid = isotropic_grid(affine, (60, 60, 40), 1.0)
    world = np.stack(np.meshgrid(*[np.arange(n) for n in (60, 60, 40)], indexing='ij'), -1) @ affine[:3, :3].T
    image = (world + affine[:3, 3])[..., 0].astype(np.float32)
    moved = resample(image, affine, grid, order=1)
    expected = (np.array([15, 20, 25, 1]) @ grid.affine.T)[0]
    assert moved[15, 20, 25] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize('n', [20, 21])
def test_a_coarser_grid_shows_no_pattern_finer_than_its_voxels(n):
    """Of an odd number of voxels, every second centre coincides with one of the coarser grid."""
    image = np.broadcast_to((np.arange(n) % 2)[:, None, None], (n, 9, 9)).astype(np.float32)
    grid = isotropic_grid(np.eye(4), image.shape, 2.0)
    for order in (1, 3):
        coarse = resample(image, np.eye(4), grid, order=order)
        np.testing.assert_allclose(coarse[2:-2, 2:-2, 2:-2], 0.5, atol=0.06)
