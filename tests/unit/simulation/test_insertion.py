import numpy as np
import pytest

from pvs_bidsapp.simulation import insertion, vessels


def insert_tube(image, region, contrast):
    """One straight tube in a scan with white matter at 100 and CSF at 20."""
    line = np.stack([np.full(21, 16.0), np.full(21, 16.0), 10 + 0.5 * np.arange(21)], 1)
    return insertion.insert(
        image,
        np.diag([0.8, 0.8, 0.8, 1]),
        [vessels.Vessel(line, np.full(21, 1.6), region)],
        tissue=np.ones(image.shape, bool),
        levels=(100.0, 20.0),
        field=np.ones_like(image),
        contrasts=np.array([contrast]),
    )


def test_insertion_changes_nothing_outside_the_pvs():
    rng = np.random.default_rng(3)
    image = (100 + 3 * rng.standard_normal((40, 40, 40))).astype(np.float32)
    result, rendering = insert_tube(image, 'white-matter', 0.8)
    untouched = rendering.occupancy == 0
    np.testing.assert_array_equal(result[untouched], image[untouched])
    full = rendering.occupancy > 0.99
    assert result[full].mean() == pytest.approx(36, abs=3)
    assert result[full].std() == pytest.approx(3, abs=1)  # the scan's own noise is still there


def test_pvs_in_grey_matter_are_darker_than_it():
    result, rendering = insert_tube(np.full((40, 40, 40), 60, np.float32), 'basal-ganglia', 0.5)
    half_way = 40  # from 60 to 20
    assert result[rendering.occupancy > 0.99].mean() == pytest.approx(half_way, abs=0.5)


def test_vessels_keep_their_place_on_another_grid():
    affine = np.array([[0, -0.5, 0, 30], [0.7, 0, 0, -10], [0, 0, 1.1, 5], [0, 0, 0, 1.0]])
    source = np.diag([1, 1, 1, 1.0])
    source[:3, 3] = (1, 2, 3)
    tube = vessels.Vessel(np.array([[5.0, 6, 7], [5, 6, 8]]), np.ones(2), 'a')
    moved = insertion.vessels_to_grid([tube], source, affine)[0]
    voxels = moved.points / np.array([0.7, 0.5, 1.1])
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_allclose(world, tube.points + np.array([1, 2, 3]))
