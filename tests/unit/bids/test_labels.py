"""Which mask belongs to which scan, whatever derivatives add to its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from refusals import refused

from pvs_bidsapp.bids.labels import find_masks, in_own_space, only_one, scan_key
from pvs_bidsapp.messages import masks


def touch(root: Path, *paths: str) -> list[Path]:
    """Make empty files; they are found by their names alone."""
    made = [root / path for path in paths]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return made


@pytest.mark.parametrize(
    'name',
    [
        'sub-01_ses-a_run-2_label-PVS_mask.nii.gz',
        'sub-01_ses-a_run-2_label-PVS_mask.nii',
        'sub-01_ses-a_run-2_label-PVS_mask.mgz',
        'sub-01_ses-a_run-2_desc-rater1_label-PVS_mask.nii.gz',
        'sub-01_ses-a_run-2_label-PVS_desc-rater1_mask.nii.gz',
        'sub-01_ses-a_run-2_space-T1w_res-1_den-1_label-PVS_mask.nii.gz',
        'sub-01_run-2_ses-a_label-pvs_mask.nii.gz',
    ],
)
def test_a_mask_belongs_to_the_scan_of_its_entities(tmp_path, name):
    (path,) = touch(tmp_path, f'sub-01/ses-a/anat/{name}')
    found, findings = find_masks(tmp_path)
    (mask,) = found[scan_key('sub-01_ses-a_run-2_T1w.nii.gz')]
    assert (mask.path, mask.scan, mask.space, findings) == (path, 'sub-01_ses-a_run-2', '', [])


@pytest.mark.parametrize(
    'name',
    [
        'sub-01_desc-brain_mask.nii.gz', 'sub-01_label-PVS_probseg.nii.gz', 'sub-01_label-WMH_mask.nii.gz',
        'sub-01_label-PVS_mask.json', 'sub-01_label-PVS_mask.nii.gz.bak', '._sub-01_label-PVS_mask.nii.gz',
        '.trash/sub-01_label-PVS_mask.nii.gz',
    ],
)  # fmt: skip
def test_other_files_are_no_masks(tmp_path, name):
    touch(tmp_path, f'sub-01/anat/{name}')
    assert find_masks(tmp_path) == ({}, [])


def test_a_mask_without_a_bids_name_is_left_out_by_name(tmp_path):
    good, bad = touch(tmp_path, 'sub-01_label-PVS_mask.nii.gz', 'sub-01_acq-mp-rage_label-PVS_mask.nii.gz')
    found, findings = find_masks(tmp_path)
    assert [mask.path for part in found.values() for mask in part] == [good]
    assert [(f.code, f.file) for f in findings] == [('mask-bad-name', str(bad))]


@pytest.mark.parametrize('folder', ['sub-02/anat', 'sub-01_old/anat', 'sub-01/ses-b/anat', 'ses-b'])
def test_a_mask_in_the_folder_of_somebody_else_is_refused(tmp_path, folder):
    touch(tmp_path, f'{folder}/sub-01_ses-a_label-PVS_mask.nii.gz')
    with refused(masks.MISPLACED, naming='sub-01_ses-a'):
        find_masks(tmp_path)


@pytest.mark.parametrize('folder', ['sub-01/ses-a/anat', 'sub-01_ses-a', 'ses-a', 'rater1/sub-01', '.'])
def test_folders_may_name_the_scan_in_any_layout(tmp_path, folder):
    touch(tmp_path, f'{folder}/sub-01_ses-a_label-PVS_mask.nii.gz')
    assert len(find_masks(tmp_path)[0]) == 1


def test_folders_above_the_dataset_do_not_matter(tmp_path):
    root = tmp_path / 'sub-99' / 'ses-pre'
    touch(root, 'rater1/sub-01_ses-a_label-PVS_mask.nii.gz')
    assert len(find_masks(root)[0]) == 1


@pytest.mark.parametrize(
    'other',
    [
        'sub-01/anat/sub-01_label-PVS_mask.nii', 'sub-01/anat/sub-01_desc-rater2_label-PVS_mask.nii.gz',
        'rater2/sub-01_label-PVS_mask.nii.gz', 'sub-01/anat/sub-01_res-2_label-PVS_mask.nii.gz',
    ],
)  # fmt: skip
def test_two_masks_of_a_scan_are_refused_by_name(tmp_path, other):
    paths = touch(tmp_path, 'sub-01/anat/sub-01_label-PVS_mask.nii.gz', other)
    (candidates,) = find_masks(tmp_path)[0].values()
    for path in paths:
        with refused(masks.SECOND, naming=str(path)):
            only_one(in_own_space(candidates))


def test_masks_in_the_space_of_the_scan_come_first(tmp_path):
    own, template = touch(
        tmp_path, 'sub-01_label-PVS_mask.nii.gz', 'sub-01_space-MNI152NLin6Asym_label-PVS_mask.nii.gz'
    )
    (candidates,) = find_masks(tmp_path)[0].values()
    assert only_one(in_own_space(candidates)).path == own
    (other,) = in_own_space([mask for mask in candidates if mask.path == template])
    assert other.is_on_template
    assert other.space_in_words == 'the space MNI152NLin6Asym'


def test_maps_beside_a_mask(tmp_path):
    names = ('sub-01_label-PVS_desc-a_{}', 'sub-01_space-MNI305_label-PVS_{}')
    for name in names:
        mask, probability, regions = touch(
            tmp_path, name.format('mask.nii.gz'), name.format('probseg.nii'),
            name.format('dseg.nii.gz').replace('label-PVS', 'seg-regions'),
        )  # fmt: skip
        (found,) = (m for part in find_masks(tmp_path)[0].values() for m in part if m.path == mask)
        assert found.beside(suffix='probseg') == probability
        assert found.beside(suffix='dseg', seg='regions') == regions
        assert found.beside(suffix='dseg', seg='tissue') is None
