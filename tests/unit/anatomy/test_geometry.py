"""Headers as people have them: what is refused, what is told, and which affine is taken."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import voxel_sizes
from refusals import refused

from pvs_bidsapp.anatomy.volume import open_image, open_volume
from pvs_bidsapp.messages import scans

SHAPE = (30, 34, 28)
PLAIN = np.array([[2.0, 0, 0, -30], [0, 2, 0, -34], [0, 0, 2, -28], [0, 0, 0, 1]])


@pytest.fixture
def saved(tmp_path, rng):
    """Save an image with these forms; returns its path."""

    def save(sform=PLAIN, qform=PLAIN, sform_code=1, qform_code=1, unit='mm', pixdim=None):
        image = nib.Nifti1Image(rng.random(SHAPE).astype(np.float32), PLAIN)
        image.header.set_xyzt_units(unit)
        image.header.set_qform(qform, qform_code)
        image.header['sform_code'] = sform_code
        for k, name in enumerate(('srow_x', 'srow_y', 'srow_z')):
            image.header[name] = sform[k]
        if pixdim is not None:
            image.header['pixdim'][1:4] = pixdim
        path = tmp_path / 'scan.nii'
        with path.open('wb') as stream:  # as it is: nib.save would mend the header
            image.header['vox_offset'], image.header['magic'] = 352, b'n+1'
            stream.write(image.header.binaryblock + bytes(4))
            stream.write(np.asarray(image.dataobj).tobytes(order='F'))
        return path

    return save


def codes(path):
    return [f.code for f in open_image(path).findings]


def scaled(factor):
    return PLAIN @ np.diag([*np.broadcast_to(factor, 3), 1])


def test_a_plain_header_has_no_findings(saved):
    assert codes(saved()) == []


@pytest.mark.parametrize('sform', [scaled(1.1), scaled(0.9), scaled([1, 1, 1.02]), scaled([0.5, 1, 1])])
def test_voxel_sizes_that_contradict_each_other_are_refused(saved, sform):
    with refused(scans.VOXEL_SIZES_CONTRADICT, naming='scan.nii'):
        open_volume(saved(sform=sform))


@pytest.mark.parametrize('qform_code', [0, 1])
def test_voxel_sizes_in_pixdim_alone_that_contradict_the_sform_are_refused(saved, qform_code):
    with refused(scans.VOXEL_SIZES_CONTRADICT):
        open_volume(saved(qform_code=qform_code, pixdim=(2.2, 2.2, 2.2)))


def test_a_small_difference_is_told_and_the_sform_taken(saved):
    path = saved(sform=scaled(1.004))
    assert codes(path) == [scans.VOXEL_SIZES_DIFFER.code]
    assert voxel_sizes(open_volume(path).source.affine) == pytest.approx(2.008)


@pytest.mark.parametrize('flip', [(-1, 1, 1), (-1, -1, 1), (1, -1, 1)])
def test_forms_that_swap_left_and_right_are_refused(saved, flip):
    """The third flips front and back alone: of one of the two forms the image is a mirror image."""
    with refused(scans.LEFT_RIGHT_CONTRADICTS, naming='scan.nii'):
        open_volume(saved(qform=np.diag([*flip, 1]) @ PLAIN))


def turned(degrees, axis=0):
    a = np.radians(degrees)
    turn = np.eye(4)
    i, j = (k for k in range(3) if k != axis)
    turn[i, i] = turn[j, j] = np.cos(a)
    turn[i, j], turn[j, i] = -np.sin(a), np.sin(a)
    return turn @ PLAIN


def test_forms_of_two_spaces_are_told(saved):
    path = saved(sform=turned(12), sform_code=4)
    assert codes(path) == [scans.FORMS_DIFFER.code]
    np.testing.assert_allclose(open_volume(path).source.affine, turned(12), atol=1e-5)


def test_no_orientation_is_told(saved):
    path = saved(sform_code=0, qform_code=0)
    assert codes(path) == [scans.NO_ORIENTATION.code]
    volume = open_volume(path)
    assert not volume.source.has_orientation
    assert voxel_sizes(volume.affine) == pytest.approx(2)


def sheared(angle):
    affine = PLAIN.copy()
    affine[0, 1] = 2 * np.tan(np.radians(angle))
    affine[:3, 1] *= 2 / np.linalg.norm(affine[:3, 1])
    return affine


@pytest.mark.parametrize('angle', [3, 10, -20])
def test_shear_is_refused(saved, angle):
    with refused(scans.SHEARED, naming='scan.nii'):
        open_volume(saved(sform=sheared(angle), qform_code=0))


def test_shear_of_a_hair_is_not(saved):
    assert codes(saved(sform=sheared(0.02), qform_code=0)) == []


@pytest.mark.parametrize(
    'sform',
    [
        np.zeros((4, 4)),
        np.nan * PLAIN,
        np.diag([2.0, 2, 0, 1]),
        np.ones((4, 4)),
        1e30 * PLAIN,
    ],
)
def test_an_affine_that_is_none_is_refused_unless_there_is_a_qform(saved, sform):
    with refused(scans.INVALID_AFFINE, naming='scan.nii'):
        open_volume(saved(sform=sform, qform_code=0))
    path = saved(sform=sform)
    assert codes(path) == [scans.SFORM_INVALID.code]
    np.testing.assert_allclose(open_volume(path).source.affine, PLAIN, atol=1e-5)


def test_lengths_in_micrometres_are_converted(saved):
    big = np.diag([1000, 1000, 1000, 1]) @ PLAIN
    path = saved(sform=big, qform=big, unit='micron')
    assert codes(path) == [scans.UNITS_CONVERTED.code]
    np.testing.assert_allclose(open_volume(path).source.affine, PLAIN, rtol=1e-6)


def test_a_head_of_metres_is_one_of_millimetres(saved):
    path = saved(unit='meter')
    assert codes(path) == [scans.UNITS_IGNORED.code]
    np.testing.assert_allclose(open_volume(path).source.affine, PLAIN)


def test_a_left_handed_oblique_image_in_any_order_has_no_findings(saved):
    flipped = turned(30) @ np.diag([-1.0, 1, 1, 1])
    assert codes(saved(sform=flipped, qform=flipped)) == []
