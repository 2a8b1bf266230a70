"""Whatever form a mask is kept in, the same voxels are marked, or it is refused by name."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from refusals import refused
from tracings import AFFINE, FORMS, plain, tubes, with_nan_background, without_orientation, write

from pvs_bidsapp.anatomy.mask_image import (
    MaskImage,
    Partner,
    is_same_grid,
    map_on_grid,
    mask_on_grid,
    read_label_map,
    read_mask,
    read_probabilities,
    volume_of,
)
from pvs_bidsapp.anatomy.resampling import Grid
from pvs_bidsapp.messages import datasets, masks, scans

MASK = tubes()


def codes(findings) -> list[str]:
    return [finding.code for finding in findings]


def save(values: np.ndarray, path, affine=AFFINE, dtype=np.float32):
    return write(nib.Nifti1Image(np.asarray(values, dtype), affine), path)


# ---- which voxels are marked


@pytest.mark.parametrize('extension', ['.nii', '.nii.gz'])
@pytest.mark.parametrize('form', FORMS)
def test_all_forms_of_a_mask_mark_the_same_voxels(tmp_path, form, extension):
    found = read_mask(write(FORMS[form](MASK), tmp_path / f'mask{extension}'))
    np.testing.assert_array_equal(found.mask, MASK)
    assert found.mask.dtype == bool
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-3)
    assert codes(found.findings) == (['mask-soft'] if form == 'soft' else [])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mask=arrays.arrays(bool, st.tuples(*[st.integers(2, 7)] * 3)).filter(lambda m: m.mean() <= 0.9),
    form=st.sampled_from(sorted(FORMS)),
)
def test_any_mask_in_any_form_is_read_as_it_is(tmp_path, mask, form):
    if form == 'soft' and not mask.any():
        return  # nothing above 0.5 in a soft mask is refused, see below
    path = write(FORMS[form](mask), tmp_path / 'mask.nii')
    np.testing.assert_array_equal(read_mask(path).mask, mask)


def test_a_mask_without_orientation_is_read_in_the_order_of_its_file(tmp_path):
    found = read_mask(write(without_orientation(MASK), tmp_path / 'mask.nii'))
    assert not found.source.has_orientation
    np.testing.assert_array_equal(found.source.from_canonical(found.mask), MASK)
    assert found.findings == ()  # what is done about it depends on its partner


def test_nothing_may_be_marked(tmp_path):
    assert not read_mask(save(np.zeros((5, 6, 7)), tmp_path / 'zero.nii')).mask.any()
    noise = np.random.default_rng(0).uniform(-1e-9, 1e-9, (5, 6, 7))
    assert not read_mask(save(noise, tmp_path / 'noise.nii')).mask.any()


def test_few_nan_and_a_background_of_nan_count_as_background(tmp_path):
    values = np.where(MASK, 1.0, 0)
    values[0, 0, :5] = [np.nan, np.inf, -np.inf, np.nan, np.nan]
    found = read_mask(save(values, tmp_path / 'few.nii'))
    np.testing.assert_array_equal(found.mask, MASK)
    assert codes(found.findings) == ['mask-nan']
    assert '5 of its voxels' in str(found.findings[0])
    found = read_mask(write(with_nan_background(MASK), tmp_path / 'background.nii'))
    np.testing.assert_array_equal(found.mask, MASK)
    assert codes(found.findings) == ['mask-nan']


def test_many_nan_are_refused(tmp_path):
    values = np.where(MASK, 1.0, 0)
    values[5:20, 5:20, 5:20] = np.nan
    with refused(masks.MANY_NAN, naming='half.nii'):
        read_mask(save(values, tmp_path / 'half.nii'))
    with refused(masks.MANY_NAN, naming='all.nii'):  # NaN where the mask should be
        read_mask(save(np.where(MASK, np.nan, 0), tmp_path / 'all.nii'))


@pytest.mark.parametrize('number', [1, 2, 2000])
def test_several_labels_are_refused_and_listed(tmp_path, number):
    right = np.indices(MASK.shape)[0] > 20
    values = np.where(MASK, np.where(right, number + 1, number), 0)
    with refused(masks.LABELS, naming=f'one mask: {number}, {number + 1};'):
        read_mask(save(values, tmp_path / 'two.nii', dtype=np.int16))


def test_scaled_soft_masks_and_numbered_clusters_are_refused(tmp_path):
    levels = np.linspace(0, 255, MASK.size).reshape(MASK.shape).round()
    with refused(masks.LEVELS, naming='up to 255'):
        read_mask(save(levels, tmp_path / 'levels.nii', dtype=np.uint8))
    with refused(masks.LEVELS, naming='percent.nii'):
        read_mask(save(levels / 2.55, tmp_path / 'percent.nii'))
    with refused(masks.LEVELS, naming='logits.nii'):
        read_mask(save(np.where(MASK, 1.3, 0.2), tmp_path / 'logits.nii'))


def test_a_soft_mask_of_which_nothing_would_be_left_is_refused(tmp_path):
    with refused(masks.BELOW_HALF, naming='0.4'):
        read_mask(save(np.where(MASK, 0.4, 0.1), tmp_path / 'low.nii'))


@pytest.mark.parametrize('values', [-1.0 * MASK, MASK - 1.0, np.where(MASK, 1, -0.2)])
def test_negative_values_are_refused(tmp_path, values):
    with refused(masks.NEGATIVE, naming='negative.nii'):
        read_mask(save(values, tmp_path / 'negative.nii'))


@pytest.mark.parametrize('values', [np.ones(MASK.shape), 255 * np.ones(MASK.shape), ~MASK, 0.6 + 0.4 * MASK])
def test_a_mask_without_background_is_refused(tmp_path, values):
    with refused(masks.NO_BACKGROUND, naming='ones.nii'):
        read_mask(save(values, tmp_path / 'ones.nii'))


def test_files_that_are_no_mask_are_refused_in_one_line(tmp_path):
    for refusal, values, name in (
        (scans.NOT_3D, np.zeros((5, 5, 5, 2)), 'four.nii'),
        (scans.COMPLEX, np.zeros((5, 5, 5)), 'complex.nii'),
    ):
        with refused(refusal, naming=name):
            read_mask(save(values, tmp_path / name, dtype=np.complex64 if 'complex' in name else np.uint8))
    whole = write(plain(MASK), tmp_path / 'whole.nii.gz').read_bytes()
    (tmp_path / 'cut.nii.gz').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'text.nii').write_text('no image')
    for name in ('cut.nii.gz', 'text.nii'):
        with refused(scans.DAMAGED, naming=name):
            read_mask(tmp_path / name)
    with refused(datasets.VANISHED, naming='none.nii'):
        read_mask(tmp_path / 'none.nii')


# ---- maps of labels and probabilities


def test_label_maps_hold_whole_numbers(tmp_path):
    labels = np.arange(60).reshape(3, 4, 5)
    found = read_label_map(save(labels + 2e-4, tmp_path / 'labels.nii'))
    np.testing.assert_array_equal(found.data, labels)
    assert found.data.dtype == np.int32
    for values in (labels + 0.5, labels - 3):
        with refused(masks.NOT_LABELS, naming='others.nii'):
            read_label_map(save(values, tmp_path / 'others.nii'))


def test_probabilities_are_between_0_and_1(tmp_path):
    values = np.linspace(0, 1.0005, 60).reshape(3, 4, 5)
    found = read_probabilities(save(values, tmp_path / 'p.nii'))
    assert (found.data.dtype, found.data.max()) == (np.float32, 1)
    np.testing.assert_allclose(found.data, values.clip(0, 1), atol=1e-6)
    for factor in (100, -1):
        with refused(masks.NOT_PROBABILITIES, naming='percent.nii'):
            read_probabilities(save(factor * values, tmp_path / 'percent.nii'))


# ---- where a mask lies


def on(path, other) -> tuple[np.ndarray, list[str]]:
    """A mask on the grid of another image, and the codes of what is said about it."""
    found, findings = mask_on_grid(read_mask(path), Partner.of(other))
    return found, codes(findings)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('other', ['plain', 'PSR', 'LAS', 'qform only'])
def test_order_of_voxels_and_kind_of_affine_make_no_difference(tmp_path, form, other):
    scan = write(FORMS[other](MASK), tmp_path / 'scan.nii')
    found, said = on(write(FORMS[form](MASK), tmp_path / 'mask.nii'), scan)
    np.testing.assert_array_equal(found, MASK)
    assert said == []


def test_a_mask_on_a_shifted_grid_is_resampled_with_a_word(tmp_path):
    scan = write(plain(MASK), tmp_path / 'scan.nii')
    shifted = AFFINE.copy()
    shifted[:3, 3] -= AFFINE[:3, :3] @ (3, 0, 2)
    path = save(np.pad(MASK, [(3, 1), (0, 0), (2, 0)]), tmp_path / 'mask.nii', shifted)
    found, said = on(path, scan)
    np.testing.assert_array_equal(found, MASK)
    assert said == ['mask-resampled']


def test_a_mask_of_half_the_voxel_size_keeps_its_volume(tmp_path):
    scan = write(plain(MASK), tmp_path / 'scan.nii')
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    fine[:3, 3] = AFFINE[:3, 3] - AFFINE[:3, :3] @ (0.25, 0.25, 0.25)
    path = save(MASK.repeat(2, 0).repeat(2, 1).repeat(2, 2), tmp_path / 'mask.nii', fine)
    found, said = on(path, scan)
    assert 2 * (found & MASK).sum() / (found.sum() + MASK.sum()) > 0.8
    assert said == ['mask-resampled']


def test_a_mask_that_lies_elsewhere_is_refused(tmp_path):
    scan = write(plain(MASK), tmp_path / 'scan.nii')
    away = AFFINE.copy()
    away[0, 3] += 500
    with refused(masks.ELSEWHERE, naming='scan.nii'):
        on(save(MASK, tmp_path / 'mask.nii', away), scan)
    found, _ = on(save(np.zeros(MASK.shape), tmp_path / 'mask.nii', away), scan)
    assert not found.any()  # an empty mask loses nothing


@pytest.mark.parametrize('order', ['plain', 'PSR', 'LAS'])
def test_without_orientation_a_mask_is_laid_on_its_partner_voxel_by_voxel(tmp_path, order):
    """As a tool works that forgets the header: its array is that of the file of the partner."""
    scan_image = FORMS[order](MASK)
    scan = write(scan_image, tmp_path / 'scan.nii')
    bare = without_orientation(np.asarray(scan_image.dataobj), scan_image.header.get_zooms())
    mask = write(bare, tmp_path / 'mask.nii')
    found, said = on(mask, scan)
    np.testing.assert_array_equal(found, MASK)
    assert said == ['mask-placed']
    # the other way round, the grid is that of the image without orientation
    reverse, findings = mask_on_grid(read_mask(scan), Partner.of(mask))
    np.testing.assert_array_equal(reverse, read_mask(mask).mask)
    assert codes(findings) == ['mask-placed']
    assert 'scan.nii' in str(findings[0])
    assert 'mask.nii' in str(findings[0])


def test_two_images_without_orientation_are_compared_voxel_by_voxel(tmp_path):
    first = write(without_orientation(MASK), tmp_path / 'scan.nii')
    found, said = on(write(without_orientation(MASK), tmp_path / 'mask.nii'), first)
    np.testing.assert_array_equal(found, read_mask(first).mask)
    assert said == ['mask-placed']


def test_without_orientation_another_shape_or_voxel_size_is_refused(tmp_path):
    scan = write(plain(MASK), tmp_path / 'scan.nii')
    bare = without_orientation(MASK[:-1])
    with refused(masks.NO_PLACE, naming='scan.nii'):
        on(write(bare, tmp_path / 'mask.nii'), scan)
    bare = without_orientation(MASK, (1, 1, 1))
    with refused(masks.NO_PLACE, naming='mask.nii'):
        on(write(bare, tmp_path / 'mask.nii'), scan)


def test_maps_come_to_a_grid_as_masks_do(tmp_path):
    scan = Partner.of(write(FORMS['PSR'](MASK), tmp_path / 'scan.nii'))
    path = save(np.where(MASK, 21, 3), tmp_path / 'labels.nii')
    np.testing.assert_array_equal(
        map_on_grid(path, read_label_map(path), scan, order=0), np.where(MASK, 21, 3)
    )
    path = save(0.7 * MASK, tmp_path / 'p.nii')
    np.testing.assert_allclose(
        map_on_grid(path, read_probabilities(path), scan, order=1), 0.7 * MASK, atol=1e-6
    )


def test_volumes_and_grids():
    grid = Grid(MASK.shape, AFFINE)
    assert volume_of(MASK, grid) == pytest.approx(MASK.sum() * 0.9 * 1.0 * 1.2)
    moved = AFFINE.copy()
    moved[1, 3] += 0.01
    assert is_same_grid(grid, Grid(MASK.shape, moved))
    moved[1, 3] += 0.1
    assert not is_same_grid(grid, Grid(MASK.shape, moved))
    assert not is_same_grid(grid, Grid((40, 44, 37), AFFINE))
    image = MaskImage(path='m', mask=MASK, grid=grid, source=None)
    assert image.affine is AFFINE
