"""Files that are no scan, and what is read of those that are one."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from disguises import DISGUISES, write
from refusals import refused

from pvs_bidsapp.anatomy import volume
from pvs_bidsapp.anatomy.volume import open_image, open_volume
from pvs_bidsapp.messages import datasets, scans


@pytest.fixture
def image(rng):
    return nib.Nifti1Image(rng.integers(0, 900, (20, 22, 24)).astype(np.int16), np.diag([2.0, 3, 4, 1]))


@pytest.mark.parametrize('extension', ['.nii', '.nii.gz', '.mgz', '.mgh'])
def test_types_of_files(tmp_path, image, extension):
    path = tmp_path / f'a{extension}'
    kind = nib.MGHImage if 'mg' in extension else nib.Nifti1Image
    nib.save(kind(np.asarray(image.dataobj), image.affine), path)
    opened = open_volume(path)
    np.testing.assert_array_equal(opened.data, np.asarray(image.dataobj))
    np.testing.assert_allclose(opened.affine, image.affine)


@pytest.mark.parametrize('name', ['a.png', 'a.dcm', 'a.nii.bz2', 'a'])
def test_other_types_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b'x')
    with refused(scans.UNKNOWN_TYPE, naming=name):
        open_volume(tmp_path / name)


def test_what_is_not_there_is_refused(tmp_path):
    (tmp_path / 'annexed.nii.gz').symlink_to('.git/annex/objects/x/x.nii.gz')
    (tmp_path / 'unlocked.nii.gz').write_text('/annex/objects/MD5E-s9--0f.nii.gz\n')
    (tmp_path / 'link.nii.gz').symlink_to('elsewhere/x.nii.gz')
    for refusal, name in (
        (datasets.NOT_FETCHED, 'annexed.nii.gz'),
        (datasets.NOT_FETCHED, 'unlocked.nii.gz'),
        (datasets.DANGLING, 'link.nii.gz'),
        (datasets.VANISHED, 'absent.nii'),
    ):
        with refused(refusal, naming=str(tmp_path / name)):
            open_volume(tmp_path / name)


def test_colours_are_refused(tmp_path):
    data = np.zeros((9, 9, 9), [('R', 'u1'), ('G', 'u1'), ('B', 'u1')])
    with refused(scans.COLOUR, naming='rgb.nii'):
        open_volume(write(nib.Nifti1Image(data, np.eye(4)), tmp_path / 'rgb.nii'))


def test_complex_numbers_are_refused(tmp_path):
    data = np.full((9, 9, 9), 1 + 2j, np.complex64)
    with refused(scans.COMPLEX, naming='complex.nii'):
        open_volume(write(nib.Nifti1Image(data, np.eye(4)), tmp_path / 'complex.nii'))


def test_several_volumes_are_refused_and_axes_of_length_one_dropped(tmp_path, image):
    data = np.asarray(image.dataobj)
    with refused(scans.NOT_3D, naming='4d.nii'):
        open_volume(write(nib.Nifti1Image(np.stack([data] * 2, -1), image.affine), tmp_path / '4d.nii'))
    with refused(scans.NOT_3D, naming='2d.nii'):
        open_volume(write(nib.Nifti1Image(data[..., 0], image.affine), tmp_path / '2d.nii'))
    five = nib.Nifti1Image(data[..., None, None], image.affine)
    assert open_volume(write(five, tmp_path / '5d.nii')).data.shape == image.shape


def header(shape, *, size=348, dtype=np.uint8, offset=352):
    made = nib.Nifti1Header() if size == 348 else nib.Nifti2Header()
    made.set_data_dtype(dtype)
    made['dim'][: len(shape) + 1] = (len(shape), *shape)
    made['vox_offset'], made['magic'] = offset, b'n+1' if size == 348 else made['magic']
    made['sform_code'] = 1
    for k, name in enumerate(('srow_x', 'srow_y', 'srow_z')):
        made[name] = np.eye(4)[k]
    return made.binaryblock + bytes(4)


def test_more_voxels_than_fit_are_refused(tmp_path):
    path = tmp_path / 'huge.nii.gz'
    path.write_bytes(gzip.compress(header((2000, 2000, 2000)) + bytes(10**7)))
    with refused(scans.HUGE, naming='huge.nii.gz'):
        open_volume(path)


@pytest.mark.parametrize('name', ['less.nii', 'less.nii.gz'])
def test_a_header_that_promises_more_than_the_file_holds_takes_no_memory(tmp_path, name, monkeypatch):
    content = header((500, 500, 500), dtype=np.float64)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith('gz') else content)
    monkeypatch.setattr(np, 'asanyarray', lambda *_, **__: pytest.fail('the values were read'))
    with refused(scans.DAMAGED, naming=name):
        open_volume(tmp_path / name)


def bomb(extension_size, offset):
    content = bytearray(header((4, 4, 4), offset=offset))
    content[348] = 1
    return bytes(content) + struct.pack('<ii', extension_size, 4)


@pytest.mark.parametrize(
    ('extension_size', 'offset'),
    [(2**31 - 16, 352 + 64), (-16, 352 + 64), (8, 352 + 64), (64, 2.0**40), (64, 16), (64, np.nan)],
)
def test_extensions_that_would_fill_the_memory_are_refused(tmp_path, extension_size, offset):
    path = tmp_path / 'bomb.nii.gz'
    path.write_bytes(gzip.compress(bomb(extension_size, offset) + bytes(10**6)))
    with refused(scans.DAMAGED, naming='bomb.nii.gz'):
        open_volume(path)


def test_a_true_extension_is_no_harm(tmp_path, image):
    image.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'x' * 1000))
    assert open_volume(write(image, tmp_path / 'a.nii.gz')).data.shape == image.shape


@pytest.mark.parametrize('name', DISGUISES)
def test_the_way_back_to_the_file(tmp_path, image, name):
    path = write(DISGUISES[name](image), tmp_path / 'a.nii')
    opened = open_volume(path)
    stored = np.asarray(nib.load(path).dataobj).reshape(opened.source.shape)
    np.testing.assert_array_equal(opened.source.from_canonical(opened.data), stored)
    np.testing.assert_array_equal(opened.source.to_canonical(stored), opened.data)
    np.testing.assert_allclose(opened.source.affine, nib.load(path).affine)


def test_rounding_of_an_affine_moves_no_voxel():
    turn, _ = np.linalg.qr(np.array([[1, 0.1234567, 0.3], [-0.1, 1, 0.2], [-0.3, -0.2, 1.0]]))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * (0.859375, 0.9, 1.15), (-90.12345, 3, -1e-9)
    rounded = volume.rounded(affine, (256, 256, 256))
    corner = np.array([256, 256, 256, 1])
    assert np.abs((rounded - affine) @ corner).max() < 0.006
    size = abs(np.linalg.det(rounded[:3, :3]))
    assert size == pytest.approx(0.859375 * 0.9 * 1.15, rel=1e-9)
    other = affine.astype(np.float32).astype(float)
    np.testing.assert_array_equal(volume.rounded(other, (256, 256, 256)), rounded)
    assert not np.signbit(rounded[2, 3])


def test_the_centre_of_a_sheared_image_stays_where_it_is():
    affine = np.eye(4)
    affine[0, 1] = np.tan(np.deg2rad(0.6))
    rounded, centre = volume.rounded(affine, (180, 216, 180)), np.array([89.5, 107.5, 89.5, 1])
    np.testing.assert_allclose(rounded @ centre, affine @ centre, atol=0.002)
    corner = np.array([0, 0, 0, 1])
    assert np.abs((rounded - affine) @ corner).max() < 1


def test_a_folder_is_no_image(tmp_path):
    (tmp_path / 'a.nii.gz').mkdir()
    with refused(datasets.NOT_A_FILE, naming='a.nii.gz'):
        open_image(tmp_path / 'a.nii.gz')


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('value', [1e200, -1e300, np.inf])
def test_an_affine_that_overflows_is_refused_without_a_warning(tmp_path, value):
    image = nib.Nifti2Image(np.ones((3, 3, 3), np.float32), np.eye(4))
    image.set_qform(None, 0)
    data = bytearray(image.to_bytes())
    place = image.header.structarr.dtype.fields['srow_x'][1]
    data[place : place + 8] = struct.pack('<d', value)
    (tmp_path / 'scan.nii').write_bytes(data)
    with refused(scans.INVALID_AFFINE, naming='scan.nii'):
        open_volume(tmp_path / 'scan.nii')
