"""Reading label maps, and changing them."""

import nibabel as nib
import numpy as np
import pytest
from refusals import refused

from pvs_bidsapp.errors import ImageError
from pvs_bidsapp.messages import masks, options, scans
from pvs_bidsapp.simulation import label_maps


def test_labelled_pvs_become_the_tissue_around_them(tmp_path):
    labels = np.zeros((30, 30, 30), np.int16)
    labels[2:28, 2:28, 2:28] = 2
    labels[2:14, 2:28, 2:28] = 41
    labels[16:26, 5:25, 5:25] = label_maps.PUTAMEN[0]
    plain = labels.copy()
    labels[19:23, 14:17, 8:14] = 30
    paths = [tmp_path / 'with.nii.gz', tmp_path / 'without.nii.gz']
    for path, array in zip(paths, (labels, plain), strict=True):
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    found, wanted = (label_maps.load_label_map(p).labels for p in paths)
    np.testing.assert_array_equal(found, wanted)
    assert (found == label_maps.PUTAMEN[0]).any()


def test_a_head_is_put_around_a_bare_brain(brain):
    bare = label_maps.Anatomy(
        np.where(brain.labels < label_maps.FIRST_HEAD_CODE, brain.labels, 0), brain.affine, 'bare'
    )
    whole = label_maps.with_head(bare)
    assert {24, 511, 515, 516} <= set(np.unique(whole.labels))
    assert (whole.labels == 41).sum() == (bare.labels == 41).sum()


def test_mirror_swaps_the_sides(template_head):
    other = label_maps.mirror(template_head)
    np.testing.assert_array_equal(other.select(11)[::-1], template_head.select(50))
    np.testing.assert_array_equal(label_maps.mirror(other).labels, template_head.labels)


def test_brain_mask_holds_all_brain_labels_except_csf(template_head):
    brain = (
        (template_head.labels > 0)
        & (template_head.labels < label_maps.FIRST_HEAD_CODE)
        & (template_head.labels != 24)
    )
    mask = label_maps.brain_mask(template_head)
    assert mask[brain].all()
    assert mask.sum() < 1.25 * brain.sum()


def two_halves(left=2, right=41, dtype=np.int32):
    """A brain of two halves of white matter."""
    labels = np.zeros((12, 10, 8), dtype)
    labels[2:6, 2:8, 2:6], labels[6:10, 2:8, 2:6] = left, right
    return labels


def saved(path, labels, affine=None):
    image = nib.MGHImage if path.name.endswith(('.mgz', '.mgh')) else nib.Nifti1Image
    nib.save(image(labels, np.eye(4) if affine is None else affine), path)
    return path


@pytest.mark.parametrize('name', ['a.nii', 'a.nii.gz', 'a.mgz', 'a.mgh'])
@pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.int32, np.float32])
def test_a_map_is_read_from_every_type_of_file(tmp_path, name, dtype):
    codes = set(np.unique(label_maps.load_label_map(saved(tmp_path / name, two_halves(dtype=dtype))).labels))
    assert {2, 41} <= codes


@pytest.mark.parametrize('last', [(2, 41), (3050, 4001), (5001, 5002), (13110, 14150)])
@pytest.mark.parametrize('cortex', [(3, 42), (1035, 2001), (11100, 12175)])
def test_parcels_are_read_as_their_tissue(tmp_path, cortex, last):
    labels = two_halves(*last)
    labels[2:6, 2, 2:6], labels[6:10, 2, 2:6] = cortex
    found = label_maps.load_label_map(saved(tmp_path / 'wmparc.nii.gz', labels)).labels
    assert [(found == code).sum() for code in (2, 41, 3, 42)] == [80, 80, 16, 16]


def test_maps_that_cannot_be_used(tmp_path):
    path = tmp_path / 'a.nii.gz'
    with refused(options.LABEL_MAP_NO_WHITE_MATTER, naming='a.nii.gz'):
        label_maps.load_label_map(saved(path, two_halves(right=3)))
    for code in (1000 * 50, 15000, 5003):  # would be skin, or another code, if it were cut to 16 bits
        with refused(options.LABEL_MAP_CODES, naming='a.nii.gz'):
            label_maps.load_label_map(
                saved(path, np.where(two_halves() == 2, code, two_halves()).astype(np.int32))
            )
    for size in (0.1, 5.0):
        with refused(options.LABEL_MAP_VOXELS, naming='a.nii.gz'):
            label_maps.load_label_map(saved(path, two_halves(), np.diag([size, 1, 1, 1])))
    for change in (0.5, -3):
        with refused(masks.NOT_LABELS, naming='a.nii.gz'):
            label_maps.load_label_map(saved(path, two_halves(dtype=np.float32) + change))
    is_scan = np.arange(12 * 10 * 8, dtype=np.int16).reshape(12, 10, 8)  # 2 and 41 are among its values
    with refused(options.LABEL_MAP_IS_SCAN, naming='a.nii.gz'):
        label_maps.load_label_map(saved(path, is_scan))
    with refused(scans.NOT_3D, naming='a.nii.gz'):
        label_maps.load_label_map(saved(path, np.stack([two_halves()] * 2, axis=-1)))


@pytest.mark.parametrize('content', [b'', b'no image', b'\x1f\x8b' + bytes(50)])
def test_damaged_maps(tmp_path, content):
    (tmp_path / 'a.nii.gz').write_bytes(content)
    with pytest.raises(ImageError, match=r'a\.nii\.gz'):
        label_maps.load_label_map(tmp_path / 'a.nii.gz')
