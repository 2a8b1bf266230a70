import gzip

import nibabel as nib
import numpy as np
import pytest
from disguises import DISGUISES, all_at_once, write
from refusals import refused

from pvs_bidsapp.anatomy.conform import audit_scan, load_scan, working_image
from pvs_bidsapp.messages import datasets, scans


def save(path, data, zoom=4.0):
    nib.save(nib.Nifti1Image(np.asarray(data, np.float32), np.diag([zoom] * 3 + [1])), path)
    return path


@pytest.fixture
def noise(rng):
    return rng.random((40, 40, 40)) + 1


def test_a_good_scan_is_read(tmp_path, noise):
    scan = load_scan(save(tmp_path / 'a.nii.gz', noise[..., None]))
    assert scan.image.shape == (40, 40, 40)
    image, grid = working_image(scan)
    assert image.shape == grid.shape == (160, 160, 160)


@pytest.mark.parametrize(
    ('data', 'refusal'),
    [
        (np.ones((40, 40, 40, 3)), scans.NOT_3D),
        (np.zeros((40, 40, 40)), scans.EMPTY),
        (np.full((40, 40, 40), 7), scans.CONSTANT),
        (np.full((40, 40, 40), np.nan), scans.MANY_NAN),
        (np.arange(8).reshape(2, 2, 2), scans.FIELD_OF_VIEW),
    ],
)
def test_bad_images_are_named_with_what_to_do(tmp_path, data, refusal):
    path = save(tmp_path / 'bad.nii.gz', data)
    with refused(refusal, naming=str(path)):
        load_scan(path)


@pytest.mark.parametrize('kept', [0, 200, 30_000])
def test_a_truncated_file(tmp_path, noise, kept):
    path = save(tmp_path / 'cut.nii.gz', noise)
    path.write_bytes(path.read_bytes()[:kept])
    with refused(scans.DAMAGED if kept else datasets.EMPTY_FILE, naming='cut.nii.gz'):
        load_scan(path)


def test_a_file_that_is_no_image(tmp_path):
    path = tmp_path / 'text.nii.gz'
    path.write_bytes(gzip.compress(b'not an image'))
    with refused(scans.DAMAGED, naming='text.nii.gz'):
        load_scan(path)


@pytest.fixture
def head(rng):
    """Whole numbers of an oblique head in air, of 2.2 mm voxels."""
    place = np.indices((80, 90, 70)) - np.array([40, 45, 35]).reshape(3, 1, 1, 1)
    inside = (place**2).sum(0) < 30**2
    data = np.where(
        inside, 400 + 3 * place[0] + rng.normal(0, 30, inside.shape), rng.rayleigh(8, inside.shape)
    )
    data[0, 0, 0] = 0
    angle = np.radians(7)
    affine = np.diag([1.8, 1.7, 2.2, 1])
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (-71.3, -80.9, -50.2)
    return nib.Nifti1Image(np.rint(data).clip(0).astype(np.int16), affine)


@pytest.mark.parametrize('name', [*DISGUISES, 'all-at-once'])
def test_a_scan_is_the_same_bits_in_every_disguise(tmp_path, head, name):
    """So that all that is computed from it is the same, too."""
    plain = load_scan(write(head, tmp_path / 'plain.nii.gz'))
    disguise = all_at_once if name == 'all-at-once' else DISGUISES[name]
    other = load_scan(write(disguise(head), tmp_path / 'other.nii.gz'))
    np.testing.assert_array_equal(other.image, plain.image)
    np.testing.assert_array_equal(other.grid.affine, plain.grid.affine)
    one, two = (working_image(s) for s in (plain, other))
    np.testing.assert_array_equal(one[0], two[0])


def test_results_return_to_the_order_of_the_file(tmp_path, head):
    path = write(DISGUISES['psr'](head), tmp_path / 'psr.nii.gz')
    scan, stored = load_scan(path), nib.load(path)
    back = scan.source.from_canonical(scan.image) * scan.unit
    np.testing.assert_array_equal(back, np.asarray(stored.dataobj))
    np.testing.assert_array_equal(scan.source.affine, stored.affine)


@pytest.mark.parametrize(
    ('zooms', 'shape', 'caution'),
    [((1.5, 1.5, 4), (120, 120, 40), scans.THICK), ((1, 1, 1), (150, 150, 80), scans.NARROW)],
)
def test_what_a_header_tells_before_the_work(tmp_path, rng, zooms, shape, caution):
    image = nib.Nifti1Image(rng.random(shape).astype(np.float32), np.diag([*zooms, 1]))
    (found,) = audit_scan(write(image, tmp_path / 'a.nii.gz'))
    assert found.code == caution.code
    assert not found.is_refused


def test_the_refusals_of_values_and_of_the_field_of_view(tmp_path):
    """Each by itself."""
    shape = (40, 40, 40)
    with refused(scans.EMPTY, naming='a.nii'):
        load_scan(save(tmp_path / 'a.nii', np.zeros(shape)))
    with refused(scans.CONSTANT, naming='a.nii'):
        load_scan(save(tmp_path / 'a.nii', np.ones(shape)))
    with refused(scans.FIELD_OF_VIEW, naming='7 mm'):
        load_scan(save(tmp_path / 'a.nii', np.arange(64000).reshape(shape), zoom=7.0))
    with refused(scans.FIELD_OF_VIEW, naming='40 x 40 x 40 mm'):
        load_scan(save(tmp_path / 'a.nii', np.arange(64000).reshape(shape), zoom=1.0))


def test_a_refusal_by_the_header_is_found_without_the_values(tmp_path):
    small = nib.Nifti1Image(np.ones((20, 20, 20), np.float32), np.eye(4))
    (found,) = audit_scan(write(small, tmp_path / 'a.nii.gz'))
    assert found.is_refused
    (found,) = audit_scan(tmp_path / 'absent.nii.gz')
    assert found.code == datasets.VANISHED.code
