"""Values as people have them, on one scale."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phantoms import ball
from refusals import refused

from pvs_bidsapp.anatomy.intensities import common_step, normalise
from pvs_bidsapp.messages import scans

PATH = Path('sub-01_T1w.nii')


def codes(intensities):
    return [f.code for f in intensities.findings]


@pytest.fixture
def head(rng):
    """Whole numbers from 0: a ball in air."""
    inside = ball((40, 40, 40), (20, 20, 20), 14)
    values = np.where(inside, 300 + rng.normal(0, 60, inside.shape), rng.rayleigh(5, inside.shape))
    values[0, 0, 0] = 0
    return np.rint(values).clip(0).astype(np.int16)


def test_whole_numbers_stay_as_they_are(head):
    found = normalise(head, PATH)
    np.testing.assert_array_equal(found.image, head)
    assert found.unit == 1
    assert codes(found) == []


@given(seed=st.integers(0, 2**32), factor=st.floats(1e-4, 1e4), shift=st.floats(-150, 1e3))
def test_scale_and_shift_do_not_matter(seed, factor, shift):
    values = np.random.default_rng(seed).integers(0, 200, (6, 7, 8)).astype(np.int16)
    values[0, 0, :] = (0, 1, 2, 3, 4, 5, 200, 200)
    whole = normalise(values, PATH)
    other = normalise(np.float32((values + shift) * factor), PATH)
    if scans.NEGATIVE_CLIPPED.code in codes(other):
        return  # a few values just below 0 are what interpolation leaves
    np.testing.assert_array_equal(whole.image, other.image)


def test_z_scores_are_told_and_give_the_same_image(head):
    scores = (head - head[head > 100].mean()) / head[head > 100].std()
    found = normalise(scores, PATH)
    np.testing.assert_array_equal(found.image, head)
    assert codes(found) == [scans.NEGATIVE_SHIFTED.code]


def test_z_scores_within_a_mask_keep_a_dark_background(head):
    """The background of 0 lies in the midst of the values of the brain."""
    inside = ball(head.shape, (20, 20, 20), 14)
    scores = np.where(inside, (head - 300.0) / 60, 0)
    found = normalise(scores, PATH)
    assert not found.image[~inside].any()
    core = ball(head.shape, (20, 20, 20), 12)
    order = np.argsort(head[core], kind='stable')
    assert (np.diff(found.image[core][order]) >= 0).all()  # no dark dots where the score is 0 exactly
    assert found.image[inside].mean() > 100


def test_what_interpolation_leaves_below_0_is_cut(head):
    rippled = head - np.where(head < 8, 9.3, 0)
    found = normalise(rippled, PATH)
    assert codes(found) == [scans.NEGATIVE_CLIPPED.code]
    assert found.image.min() == 0
    np.testing.assert_allclose(found.image[head > 100] * found.unit, head[head > 100], atol=0.2)


@pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_the_type_does_not_matter(head, dtype):
    values = (head // 2).clip(0, 255)
    np.testing.assert_array_equal(normalise(values.astype(dtype), PATH).image, values)


def test_the_whole_range_of_16_bits_does_not_overflow(rng):
    values = rng.integers(-32768, 32767, (20, 20, 20)).astype(np.int16)
    values[0, 0, :2] = (-32768, 32767)
    np.testing.assert_array_equal(normalise(values, PATH).image, values.astype(np.float32) + 32768)


def test_values_without_a_step_keep_their_digits(rng):
    values = rng.random((30, 30, 30))
    found = normalise(values * 1e-6, PATH)
    assert 2048 <= found.image.max() <= 8192
    np.testing.assert_allclose(
        found.image * found.unit, values * 1e-6 - values.min() * 1e-6, rtol=1e-5, atol=1e-12
    )


def test_damaged_voxels_are_cut_and_told(head):
    values = head.astype(np.float64)
    values[3, 3, 3], values[4, 4, 4] = 1e9, -1e9
    found = normalise(values, PATH)
    assert codes(found) == [scans.OUTLIERS.code]
    assert found.image.max() == head.max()


def test_nan_in_the_brain_are_filled_from_their_neighbours(head):
    values = head.astype(np.float64)
    values[20, 20, 20] = np.nan
    values[24:26, 20, 20] = np.inf
    found = normalise(values, PATH)
    assert codes(found) == [scans.NAN_FILLED.code]
    assert '3 of its voxels' in str(found.findings[0])
    np.testing.assert_allclose(found.image[20, 20, 20], head[19:22, 19:22, 19:22].mean(), rtol=0.1)
    assert (found.image[24:26, 20, 20] > 200).all()


def test_a_background_of_nan_is_dark(head):
    values = np.where(ball(head.shape, (20, 20, 20), 14), head, np.nan)
    found = normalise(values, PATH)
    assert codes(found) == [scans.NAN_BACKGROUND.code]
    assert not found.image[np.isnan(values)].any()


@pytest.mark.parametrize('which', ['slabs', 'holes', 'all'])
def test_many_nan_are_refused(head, rng, which):
    values = head.astype(np.float64)
    if which == 'slabs':
        values[::2] = np.nan
    elif which == 'holes':
        values[12:28, 12:28, 12:28][rng.random((16, 16, 16)) < 0.1] = np.nan
    else:
        values[:] = np.nan
    with refused(scans.MANY_NAN, naming=PATH.name):
        normalise(values, PATH)


def test_empty_and_constant_are_refused(head):
    with refused(scans.EMPTY, naming=PATH.name):
        normalise(np.zeros_like(head), PATH)
    with refused(scans.CONSTANT, naming=PATH.name):
        normalise(np.full_like(head, 5), PATH)


@pytest.mark.parametrize('factor', [1e31, 1e305, -1e305])
def test_values_that_no_scanner_measures_are_refused(head, factor):
    with refused(scans.MANY_NAN, naming=PATH.name):
        normalise((head + 1) * factor, PATH)


@pytest.mark.parametrize('factor', [1e-33, 1e-310])
def test_a_range_that_no_scanner_measures_is_none(head, factor):
    with refused(scans.CONSTANT, naming=PATH.name):
        normalise(head * factor, PATH)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('factor', [1e-300, 1e-33])
@pytest.mark.parametrize('high', [9e29, 9e31, np.inf])
def test_one_value_far_beyond_the_others_overflows_nothing(head, factor, high):
    values = head * factor
    values[3, 3, 3] = high
    values[:, 0] = min(high, 8e29)
    found = normalise(values, PATH)
    assert np.isfinite(found.image).all()
    assert found.image.max() > 0


@pytest.mark.parametrize('low', [0, 2**53, 2**64 - 2**22])
def test_64_bit_integers_do_not_overflow(head, low):
    found = normalise((head.astype(np.uint64) * np.uint64(4096)) + np.uint64(low), PATH)
    assert np.array_equal(found.image, normalise(head, PATH).image)


@pytest.mark.parametrize('step', [1.0, 0.25, 37.0, 1e-5])
def test_a_common_step_is_found_in_rounded_values(rng, step):
    levels = np.unique(rng.integers(0, 3000, 2000)) * step
    noisy = levels + rng.uniform(-0.02, 0.02, len(levels)) * step
    assert common_step(levels) == pytest.approx(step, rel=1e-9)
    assert common_step(noisy) == pytest.approx(step, rel=1e-4)


def test_noise_has_no_common_step(rng):
    assert common_step(np.sort(rng.random(2000))) is None
