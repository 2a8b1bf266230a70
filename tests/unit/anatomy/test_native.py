import nibabel as nib
import numpy as np
import pytest
from phantoms import ball

from pvs_bidsapp.anatomy import bias, native
from pvs_bidsapp.anatomy.conform import load_scan, working_image
from pvs_bidsapp.anatomy.resampling import Grid, isotropic_grid

#: A scan whose axes are not those of the working grid: 1.5 mm, leftward, then upward, then forward.
AFFINE = np.array([[-1.5, 0, 0, 45], [0, 0, 1.5, -45], [0, 1.5, 0, -45], [0, 0, 0, 1]])


@pytest.fixture
def scan(rng, tmp_path):
    shape = (60, 60, 60)
    image = np.where(ball(shape, (30, 30, 30), 24), 100.0, 10.0) + rng.normal(0, 1, shape)
    nib.save(nib.Nifti1Image(image.astype(np.float32), AFFINE), tmp_path / 'scan.nii')
    return load_scan(tmp_path / 'scan.nii')


@pytest.fixture
def anatomy(scan):
    """Brain mask, tissue classes and affine on the working grid of the scan."""
    image, grid = working_image(scan)
    brain = image > 50
    centre = np.array(brain.shape) // 2
    tissues = np.where(ball(brain.shape, centre, 20), 3, brain * 2).astype(np.uint8)
    return brain, tissues, grid.affine


def test_anatomy_returns_to_the_voxels_that_it_was_found_in(scan, anatomy):
    brain, tissues, affine = anatomy
    found = native.to_native(scan, brain, tissues, affine, bias_field=None)
    bright = scan.image > 50
    assert (found.brain == bright).mean() > 0.995
    assert found.tissues.dtype == np.uint8
    assert set(np.unique(found.tissues)) == {0, 2, 3}
    assert found.grid == scan.grid
    stored = scan.source.from_canonical(found.image)
    assert stored.shape == scan.source.shape
    np.testing.assert_array_equal(scan.source.affine, AFFINE)


def test_the_scan_is_divided_by_the_field_it_is_given_or_by_its_own(scan, anatomy):
    brain, tissues, affine = anatomy
    data = scan.image
    grid = isotropic_grid(affine, brain.shape, bias.FIELD_SPACING)
    doubled = bias.BiasField(np.full(grid.shape, np.log(2), np.float32), grid)
    found = native.to_native(scan, brain, tissues, affine, bias_field=doubled)
    np.testing.assert_allclose(found.image, data / 2, rtol=1e-5)
    found = native.to_native(scan, brain, tissues, affine, bias_field=None)
    np.testing.assert_array_equal(found.image, bias.correct(data, scan.grid.affine, found.brain))


@pytest.mark.parametrize('dtype', [np.uint8, np.int16])
def test_labels_keep_their_values(dtype):
    labels = np.array([0, 3, 250 if dtype == np.uint8 else 3001], dtype)[:, None, None] * np.ones(
        (1, 4, 4), dtype
    )
    fine = Grid((6, 4, 4), np.diag([0.5, 1, 1, 1]))
    found = native.labels_to_native(labels, np.eye(4), fine, dtype)
    assert found.dtype == dtype
    assert set(np.unique(found)) == set(np.unique(labels))
    same = native.labels_to_native(labels, np.eye(4), Grid(labels.shape, np.eye(4)), dtype)
    np.testing.assert_array_equal(same, labels)


def test_a_brain_mask_is_cut_at_one_half():
    mask = np.zeros((5, 3, 3), bool)
    mask[:2] = True
    shifted = np.eye(4)
    for shift, last in ((0.4, 1), (0.6, 0)):
        shifted[0, 3] = shift
        found = native.brain_to_native(mask, np.eye(4), Grid(mask.shape, shifted))
        assert np.flatnonzero(found[:, 1, 1]).max() == last
