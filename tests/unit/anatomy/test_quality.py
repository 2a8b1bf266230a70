import numpy as np
import pytest
from scipy import fft, ndimage

from pvs_bidsapp.anatomy import quality, template, tissues
from pvs_bidsapp.anatomy.registration import Transform

SPACING = np.ones(3)


@pytest.fixture(scope='module')
def head():
    """Image, brain and tissue classes of the template, with some noise."""
    atlas = template.load()
    classes = np.where(atlas.wm > 0.5, 3, np.where(atlas.gm > 0.4, 2, 1)) * atlas.brain_mask
    level = np.array([0, 200, 600, 1000], np.float32)[classes]
    image = ndimage.gaussian_filter(level, 0.5) + np.random.default_rng(1).normal(0, 25, level.shape)
    return image.astype(np.float32), atlas.brain_mask, classes.astype(np.uint8)


def test_a_good_scan_is_within_all_ranges(head):
    values = quality.assess(*head, SPACING)
    assert quality.unexpected(values) == []
    assert values['voxel_mm3'] == 1
    assert values['brain_ml'] == pytest.approx(head[1].sum() / 1000)
    assert values['noise'] == pytest.approx(25 / 400, rel=0.25)
    assert values['noise_to_csf'] == pytest.approx(25 / 800, rel=0.25)


def test_formulas_of_mriqc(head):
    image, _, classes = head
    values = quality.assess(*head, SPACING)
    white, grey = image[classes == tissues.WM], image[classes == tissues.GM]
    assert values['cjv'] == pytest.approx((white.std() + grey.std()) / (white.mean() - grey.mean()), rel=1e-3)
    assert values['snr'] == pytest.approx(white.mean() / white.std(), rel=1e-3)
    assert values['cnr'] == pytest.approx(
        (white.mean() - grey.mean()) / np.sqrt(white.var() + grey.var()), rel=1e-3
    )


def test_motion_is_out_of_range(head):
    image, brain, classes = head
    lines = fft.fft(image, axis=1)
    other = fft.fft(np.roll(ndimage.rotate(image, 8, (0, 1), reshape=False, order=1), 8, 1), axis=1)
    order = np.argsort(fft.fftfreq(image.shape[1]))
    for part in np.array_split(order, 8)[1::2]:
        lines[:, part] = other[:, part]
    moved = np.abs(fft.ifft(lines, axis=1)).astype(np.float32)
    assert {'cjv', 'ringing_index'} <= set(quality.unexpected(quality.assess(moved, brain, classes, SPACING)))


def test_a_mask_with_bright_skull_is_out_of_range(head):
    image, brain, classes = head
    image = np.where(ndimage.binary_dilation(brain, iterations=3) & ~brain, 2000, image)
    larger = ndimage.binary_dilation(brain, iterations=3)
    assert 'bright_border' in quality.unexpected(quality.assess(image, larger, classes, SPACING))


def test_a_t2w_has_no_measures_whose_ranges_are_those_of_t1w_scans(head):
    image, brain, classes = head
    values = quality.assess(-image, brain, classes, SPACING, 'T2w')
    assert not {'snr', 'cnr', 'cjv', 'bright_border'} & set(values)
    assert values['noise'] == pytest.approx(quality.assess(image, brain, classes, SPACING)['noise'])


def test_half_a_mask_is_out_of_range():
    atlas = template.load()
    identity = Transform((), ())

    def unexpected(mask):
        values = quality.masks_against_template(mask, atlas.affine, identity)
        return sorted(quality.unexpected(values))

    assert unexpected(atlas.brain_mask) == []
    left, top = atlas.brain_mask.copy(), atlas.brain_mask.copy()
    left[97:] = False
    top[:, :, :90] = False
    assert unexpected(left) == ['hemisphere_ratio', 'template_coverage']
    assert unexpected(top) == ['template_coverage']


def test_a_scan_without_white_matter_has_no_contrast(head):
    image, brain, classes = head
    values = quality.assess(image, brain, np.minimum(classes, 2), SPACING)
    assert set(values) == {'voxel_mm', 'voxel_mm3', 'brain_ml'}


def test_ranges_in_words():
    assert 'of a T2w alone, with its T2w' in quality.METRICS['template_fit'].description
    assert quality.METRICS['brain_ml'].range == '850 to 2100'
    assert quality.METRICS['cjv'].range == 'at most 0.75'
    assert quality.METRICS['snr'].range == 'at least 7'
    assert all(m.is_expected(float('nan')) for m in quality.METRICS.values())
