import numpy as np
import pytest
from phantoms import ball, coarse_template, no_field, uneven_brain
from refusals import refused
from scipy import ndimage

from pvs_bidsapp.anatomy import brain, template, tissues
from pvs_bidsapp.anatomy.registration import Transform
from pvs_bidsapp.anatomy.resampling import Grid, isotropic_grid, resample
from pvs_bidsapp.messages import scans


def test_bias_field_and_classes_correct_each_other(rng):
    image, white, grey, mask, affine = uneven_brain(rng, 0.25)
    soft = [ndimage.gaussian_filter(tissue.astype(np.float32), 2) for tissue in (white, grey)]
    priors = [1 - soft[1], soft[1] - soft[0], soft[0]]
    plain = no_field(image.shape, affine)
    refined, mixture = brain.refine_bias_field(plain, image, affine, mask, priors)
    before, after = (
        tissues.classify(image / f.sample(image.shape, affine), mask, priors)[0] == tissues.WM
        for f in (plain, refined)
    )
    np.testing.assert_array_less(mixture.means[:-1], mixture.means[1:])
    assert before[white].mean() < 0.95
    assert before[grey & ~white].mean() > 0.15
    assert after[white].mean() > 0.98
    assert after[grey & ~white].mean() < 0.05


def test_skull_stripped_scans_are_told_from_whole_heads(rng):
    shape = (160, 190, 160)
    inside = ball(shape, (80, 95, 80), 65)
    stripped = np.where(inside, 80 + rng.normal(0, 5, shape), 0)
    head = np.where(ball(shape, (80, 95, 80), 79), 80, 0) + np.abs(rng.normal(0, 2, shape))
    assert brain.is_stripped(stripped.astype(np.float32))
    assert not brain.is_stripped(head.astype(np.float32))


def test_the_foreground_is_the_head_with_its_dark_parts(rng):
    shape = (80, 80, 80)
    head, dark = ball(shape, (40, 40, 40), 30), ball(shape, (40, 40, 40), 8)
    image = np.where(head & ~dark, 80.0, 0.0) + np.abs(rng.normal(0, 2, shape))
    found = brain.foreground(image.astype(np.float32))
    assert found[head].all()
    assert (found & ~ball(shape, (40, 40, 40), 33)).sum() == 0


def test_the_neck_is_cut_off():
    image = np.zeros((100, 100, 256), np.float32)
    image[30:70, 30:70, :240] = 100
    slices = brain.head_slices(image)
    assert slices.stop >= 240
    assert 240 - slices.start == pytest.approx(brain.HEAD_HEIGHT, abs=4)
    coarse = brain.head_slices(image[::2, ::2, ::2], 2.0)
    assert (2 * coarse.start, 2 * coarse.stop) == pytest.approx((slices.start, slices.stop), abs=4)


def test_refinement_removes_what_thin_bridges_connect():
    shape = (90, 90, 90)
    classes = np.where(ball(shape, (40, 45, 45), 25), tissues.WM, 0)
    classes[64:80, 45, 45] = tissues.GM  # a vein
    classes |= np.where(ball(shape, (82, 45, 45), 5), tissues.GM, 0)  # an eye
    mask = brain.refine_mask(classes, np.ones(shape, bool), np.zeros(shape, bool))
    assert mask[40, 45, 45]
    assert not mask[75:].any()


def test_a_ventricle_that_is_open_to_the_outside_is_brain():
    shape = (90, 90, 90)
    head, ventricle = ball(shape, (45, 45, 45), 35), ball(shape, (45, 45, 45), 14)
    channel = np.zeros(shape, bool)
    channel[41:50, 41:50, :45] = True  # 9 mm wide: a closing by 3 mm leaves it open
    classes = np.where(head & ~ventricle & ~channel, tissues.WM, np.where(head, tissues.CSF, 0))
    expected = ball(shape, (45, 45, 43), 11)  # smaller than the scan's, and beside it
    everywhere = np.ones(shape, bool)
    assert not brain.refine_mask(classes, everywhere, np.zeros(shape, bool))[ventricle].all()
    expected |= channel & (np.arange(90) > 25)
    mask = brain.refine_mask(classes, everywhere, expected)
    assert mask[ventricle].all()
    assert not mask[45, 45, 10:20].any()


IDENTITY = Transform((), ())


def test_no_head_and_no_brain_are_refused():
    with refused(scans.NO_HEAD):
        brain.head_slices(np.zeros((80, 80, 80), np.float32))
    with refused(scans.NO_BRAIN):
        brain.check_volume(ball((80, 80, 80), (40, 40, 40), 30))
    brain.check_volume(ball((90, 90, 90), (45, 45, 45), 40))


def test_the_template_fits_itself_and_no_other_contrast():
    atlas = coarse_template()
    t1w, t2w, grid = atlas.t1w, atlas.t2w, Grid(atlas.t1w.shape, atlas.affine)
    noise = np.random.default_rng(0).random(t1w.shape, np.float32)
    assert brain.template_fit(t1w, grid, IDENTITY) > 0.999
    assert brain.template_fit(3 * t1w + 0.1 * noise, grid, IDENTITY) > 0.99
    assert abs(brain.template_fit(noise, grid, IDENTITY)) < 0.05
    assert brain.template_fit(t2w, grid, IDENTITY) < 0
    assert brain.template_fit(t2w, grid, IDENTITY, 'T2w') > 0.999
    assert brain.template_fit(t1w, grid, IDENTITY, 'T2w') < 0
    assert brain.template_fit(t1w[:, ::-1], grid, IDENTITY) < brain.MIN_FIT['T1w']
    assert brain.template_fit(np.ones_like(noise), grid, IDENTITY) == 0


def test_a_head_upside_down_is_refused_before_the_template_is_bent_onto_it(tmp_path):
    atlas = template.load()
    scale = 0.75  # a small head takes less time
    grid = isotropic_grid(atlas.affine, atlas.t1w.shape, brain.COARSE_SPACING / scale)
    image = resample(atlas.t1w, atlas.affine, grid, order=1)[:, :, ::-1]
    grid = Grid(grid.shape, np.diag([scale, scale, scale, 1]) @ grid.affine)
    with refused(scans.NO_FIT):
        brain.register_template(np.ascontiguousarray(image), grid, tmp_path, stripped=False)
    assert not list(tmp_path.glob('*warp.nii'))


def test_what_lies_outside_of_the_field_of_view_is_measured():
    """The lower half, then all but a margin."""
    atlas = template.load()
    heights = np.flatnonzero(atlas.brain_mask.any((0, 1)))
    volume = atlas.brain_mask.sum((0, 1)).cumsum() / atlas.brain_mask.sum()
    half = int(np.searchsorted(volume, 0.5)) + 1
    assert brain.fraction_outside(Grid((193, 229, half), atlas.affine), IDENTITY) == pytest.approx(
        0.5, abs=0.03
    )
    assert brain.fraction_outside(Grid((193, 229, heights[-1] + 2), atlas.affine), IDENTITY) == 0


@pytest.mark.parametrize(
    ('fit', 'outside', 'caution'),
    [(0.8, 0.0, None), (0.6, 0.0, scans.POOR_FIT), (0.8, 0.2, scans.BRAIN_CUT)],
)
def test_a_poor_fit_and_a_cut_brain_are_told(fit, outside, caution):
    found = brain.check_fit(fit, outside)
    assert [f.code for f in found] == ([] if caution is None else [caution.code])


def test_a_scan_that_the_template_does_not_fit_is_refused():
    with refused(scans.NO_FIT, naming='0.36'):
        brain.check_fit(0.36, 0.0)
    assert brain.check_fit(0.36, 0.0, 'T2w')  # told, as a T2w with thick slices fits less
    with refused(scans.NO_FIT, naming='0.22'):
        brain.check_fit(0.2, 0.0, 'T2w')
    with refused(scans.NO_FIT):
        brain.check_fit(float('nan'), 0.0)
    with refused(scans.HALF_BRAIN, naming='60 %'):
        brain.check_fit(0.8, 0.6)
