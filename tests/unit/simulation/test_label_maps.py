"""Reading label maps, and changing them."""

import nibabel as nib
import numpy as np

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
