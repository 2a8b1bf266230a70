import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from pvs_bidsapp.anatomy import bias, brain, morphology, regions, template, tissues
from pvs_bidsapp.anatomy.registration import Transform, deterministic
from pvs_bidsapp.anatomy.resampling import isotropic_grid


def ball(shape, centre, radius):
    grid = np.indices(shape) - np.array(centre)[:, None, None, None]
    return (grid**2).sum(0) <= radius**2


def test_template_images_share_a_grid():
    atlas = template.load()
    for image in (atlas.t1w, atlas.t2w, atlas.cerebra, atlas.wm, atlas.gm):
        assert image.shape == atlas.brain_mask.shape
    assert atlas.wm[atlas.brain_mask].mean() > 0.2
    left = np.isin(atlas.cerebra, template.FREESURFER_CODES[12])
    x = (np.argwhere(left) @ atlas.affine[:3, :3].T + atlas.affine[:3, 3])[:, 0]
    assert (x < 0).mean() > 0.99


def test_lobes_and_structures_use_codes_that_exist():
    atlas = template.load()
    used = {c for codes in template.LOBES.values() for r in codes for c in (r, r + 51)}
    used |= {c for codes in template.FREESURFER_CODES.values() for c in codes}
    assert used == set(range(1, 103))
    assert set(np.unique(atlas.cerebra)) - {0} <= used


def test_bias_field_is_found(rng):
    shape, affine = (60, 70, 60), np.diag([2.0, 2, 2, 1])
    mask = ball(shape, (30, 35, 30), 26)
    image = np.where(ball(shape, (30, 35, 30), 15), 100.0, 60.0) * mask
    field = np.exp(0.4 * (np.arange(60) - 30) / 30)[:, None, None]
    noisy = (image * field + rng.normal(0, 1, shape) * mask).astype(np.float32)
    corrected = bias.correct(noisy, affine, mask)
    core = ball(shape, (30, 35, 30), 13)
    assert corrected[core].std() / corrected[core].mean() < 0.4 * noisy[core].std() / noisy[core].mean()


def phantom(rng, slope):
    """White matter in grey matter in CSF at 2 mm under a field that N4 found nothing of: image, masks, affine."""
    shape, affine = (60, 70, 60), np.diag([2.0, 2, 2, 1])
    mask, grey, white = (ball(shape, (30, 35, 30), radius) for radius in (27, 25, 20))
    field = np.exp(slope * (np.arange(60) - 30) / 20)[:, None, None]
    image = (np.select([white, grey], [100.0, 78.0], 35.0) * field + rng.normal(0, 1, shape)) * mask
    return image.astype(np.float32), white, grey, mask, affine


def no_field(shape, affine):
    grid = isotropic_grid(affine, shape, bias.COARSE)
    return bias.BiasField(np.zeros(grid.shape, np.float32), grid)


def unevenness(image, field, affine, white):
    flat = (image / field.on(image.shape, affine))[white]
    return flat.std() / flat.mean()


def test_white_matter_evens_out_what_is_left_of_the_field(rng):
    image, white, _, _, affine = phantom(rng, 0.15)
    field = bias.correct_with_white_matter(no_field(image.shape, affine), image, affine, white)
    again = bias.correct_with_white_matter(field, image, affine, white)
    before, once, twice = (
        unevenness(image, f, affine, white) for f in (no_field(image.shape, affine), field, again)
    )
    assert once < 0.5 * before
    assert twice < once
    # nothing is known where no white matter is within reach
    assert np.abs(field.logarithm[0, 0, 0]) < 1e-3
    nothing = bias.correct_with_white_matter(field, image, affine, np.zeros_like(white))
    np.testing.assert_array_equal(nothing.logarithm, field.logarithm)


def test_classes_that_the_field_confuses_are_put_right(rng):
    image, white, grey, mask, affine = phantom(rng, 0.25)
    soft = [ndimage.gaussian_filter(tissue.astype(np.float32), 2) for tissue in (white, grey)]
    priors = [1 - soft[1], soft[1] - soft[0], soft[0]]
    plain = no_field(image.shape, affine)
    even = brain.even_field(plain, image, affine, mask, priors)
    before, after = (
        tissues.classify(image / f.on(image.shape, affine), affine, mask, priors) == tissues.WM
        for f in (plain, even)
    )
    assert before[white].mean() < 0.9
    assert before[grey & ~white].mean() > 0.2
    assert after[white].mean() > 0.98
    assert after[grey & ~white].mean() < 0.05


def test_skull_stripped_scans_are_told_from_whole_heads(rng):
    shape = (160, 190, 160)
    inside = ball(shape, (80, 95, 80), 65)
    stripped = np.where(inside, 80 + rng.normal(0, 5, shape), 0)
    head = np.where(ball(shape, (80, 95, 80), 79), 80, 0) + np.abs(rng.normal(0, 2, shape))
    assert brain.is_stripped(stripped.astype(np.float32))
    assert not brain.is_stripped(head.astype(np.float32))


def test_the_foreground_is_the_head_with_what_is_dark_in_it(rng):
    shape = (80, 80, 80)
    head, dark = ball(shape, (40, 40, 40), 30), ball(shape, (40, 40, 40), 8)
    image = np.where(head & ~dark, 80.0, 0.0) + np.abs(rng.normal(0, 2, shape))
    found = brain.foreground(image.astype(np.float32))
    assert found[head].all()
    assert (found & ~ball(shape, (40, 40, 40), 33)).sum() == 0


def test_the_neck_is_cut_off():
    image = np.zeros((100, 100, 256), np.float32)
    image[30:70, 30:70, :240] = 100
    keep = brain.without_neck(image)
    assert keep.stop >= 240
    assert 240 - keep.start == pytest.approx(brain.HEAD_HEIGHT, abs=4)


def test_refinement_drops_what_hangs_on_by_a_thread():
    shape = (90, 90, 90)
    classes = np.where(ball(shape, (40, 45, 45), 25), tissues.WM, 0)
    classes[64:80, 45, 45] = tissues.GM  # a vein
    classes |= np.where(ball(shape, (82, 45, 45), 5), tissues.GM, 0)  # an eye
    mask = brain.refine(classes, np.ones(shape, bool))
    assert mask[40, 45, 45]
    assert not mask[75:].any()


def test_a_narrow_sulcus_is_closed_and_a_wide_one_is_not():
    mask = np.ones((40, 40, 40), bool)
    mask[10:12, :, 20:] = False
    mask[24:34, :, 20:] = False
    closed = morphology.close(mask, 3.0)
    assert closed[10:12, 20, 30].all()
    assert not closed[28:30, 20, 30].any()


def test_tissues_of_a_phantom(rng, tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    deterministic(1)
    shape = (70, 70, 70)
    white, grey, all_ = (ball(shape, (35, 35, 35), r) for r in (18, 25, 31))
    truth = np.where(white, 3, np.where(grey, 2, np.where(all_, 1, 0)))
    image = np.array([0, 20, 60, 100])[truth] + rng.normal(0, 5, shape) * all_
    priors = [0.2 + 0.6 * (truth == k) for k in (1, 2, 3)]
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler('xyz', (11, 7, 3), degrees=True).as_matrix()
    turn[:3, 3] = (92.80854123456, 76.7, -85.8)
    found = tissues.classify(image.astype(np.float32), turn, all_, priors)
    assert (found == truth)[all_].mean() > 0.97
    again = tissues.classify(image.astype(np.float32), np.eye(4), all_, priors)
    np.testing.assert_array_equal(found, again)
    assert not list(tmp_path.iterdir())  # Atropos' own temporary files are gone


def test_white_matter_keeps_its_dark_spots():
    classes = np.full((60, 60, 60), tissues.WM, np.uint8)
    classes[30, 30, 30:34] = tissues.CSF
    classes[:, :, :10] = tissues.CSF
    white = regions.white_matter(classes, np.full(classes.shape, 0.8), np.zeros(classes.shape, np.uint8))
    assert white[30, 30, 30:34].all()
    assert not white[:, :, :5].any()


def test_regions_of_the_template_itself(tmp_path):
    deterministic(1)
    atlas = template.load()
    classes = np.where(atlas.wm > 0.5, 3, np.where(atlas.gm > 0.4, 2, 1)) * atlas.brain_mask
    ventricles = np.isin(atlas.cerebra, [41, 92])
    classes[ventricles] = 1
    found = regions.find_regions(atlas.brain_mask, classes.astype(np.uint8), atlas.affine, Transform((), ()))
    assert set(np.unique(found)) - {0} == {r.index for r in regions.REGIONS}
    assert not found[ventricles].any()
    putamen = np.isin(atlas.cerebra, template.FREESURFER_CODES[12])
    assert (found[putamen] == 21).mean() > 0.9
    x = (np.argwhere(found == 1) @ atlas.affine[:3, :3].T + atlas.affine[:3, 3])[:, 0]
    assert (x < 1).all()


def test_tissues_of_ready_made_segmentations():
    assert tissues.from_segmentation(np.array([0, 1, 2, 3])).tolist() == [0, 2, 3, 1]  # fMRIPrep
    codes = np.array([0, 2, 3, 4, 11, 16, 24, 41, 1012, 3001, 251])
    assert tissues.from_segmentation(codes).tolist() == [0, 3, 2, 1, 2, 3, 1, 3, 2, 3, 3]
