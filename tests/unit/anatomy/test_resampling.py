import numpy as np

from pvs_bidsapp.anatomy.resampling import Grid, are_inside, box_on, crop, isotropic_grid


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
