"""Which scans are found, and which label belongs to which scan."""

from __future__ import annotations

import pytest
from labelled_data import make_data_set, make_person

from pvs_bidsapp.bids.labelled_scans import find_all_labelled_scans, find_labelled_scans
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.errors import InputError


def test_all_scans_are_found_with_what_belongs_to_them(tmp_path):
    scans = find_labelled_scans(make_data_set(tmp_path), labels_dir(tmp_path), ('T1w', 'T2w'))
    assert [s.name for s in scans] == [
        'sub-01', 'sub-02', 'sub-03', 'sub-04', 'sub-05_ses-a', 'sub-05_ses-b', 'sub-06',
    ]  # fmt: skip
    assert [s.label is None for s in scans] == [False] * 6 + [True]
    assert [s.person for s in scans[-3:]] == ['sub-05', 'sub-05', 'sub-06']
    for scan in scans:
        names = [p.name for p in (scan.t1w, scan.t2w, scan.brain, scan.tissues)]
        assert all(name.startswith(scan.name) for name in names)
        assert scan.labels_dir == labels_dir(tmp_path)


def test_a_scan_without_t2w_is_left_out_if_the_recipe_needs_one(tmp_path, caplog):
    for k in (1, 2):
        make_person(tmp_path, f'sub-0{k}', k)
    (tmp_path / 'sub-02/anat/sub-02_T2w.nii.gz').unlink()
    assert len(find_labelled_scans(tmp_path, labels_dir(tmp_path))) == 2
    assert [s.name for s in find_labelled_scans(tmp_path, labels_dir(tmp_path), ('T1w', 'T2w'))] == ['sub-01']
    assert 'needs a T2w' in caplog.text
    (tmp_path / 'sub-01/anat/sub-01_T2w.nii.gz').unlink()
    with pytest.raises(InputError, match='no labelled scan has all of T1w, T2w'):
        find_labelled_scans(tmp_path, labels_dir(tmp_path), ('T1w', 'T2w'))


def test_other_entities_of_a_label_and_orphans(tmp_path):
    make_person(tmp_path / 'd', 'sub-01_acq-fine_run-1', 1)
    folder = tmp_path / 'd/derivatives/labels/sub-01/anat'
    own = folder / 'sub-01_acq-fine_run-1_label-PVS_mask.nii.gz'
    own.rename(folder / 'sub-01_acq-fine_run-1_space-T1w_label-PVS_desc-expert_mask.nii.gz')
    with pytest.raises(InputError, match='no sub-'):
        find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')
    own = folder / 'sub-01_acq-fine_run-1_desc-expert_label-PVS_mask.nii.gz'
    next(folder.glob('*desc-expert_mask*')).rename(own)
    assert find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')[0].label == own
    (folder / 'sub-01_acq-fine_run-1_label-PVS_mask.nii.gz').write_bytes(own.read_bytes())
    with pytest.raises(InputError, match='a second label of a scan'):
        find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')
    own.unlink()
    (folder / 'sub-01_acq-fine_run-1_label-PVS_mask.nii.gz').rename(
        folder / 'sub-01_acq-other_label-PVS_mask.nii.gz'
    )
    with pytest.raises(InputError, match='no T1w with the same entities'):
        find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')


def test_persons_of_two_data_sets_are_not_mixed_up(tmp_path):
    data_sets = []
    for name in ('here', 'there'):
        make_person(tmp_path / name, 'sub-01', 1)
        data_sets.append((tmp_path / name, labels_dir(tmp_path / name)))
    scans = find_all_labelled_scans(data_sets, ('T1w',))
    assert [s.person for s in scans] == ['here/sub-01', 'there/sub-01']
    assert [s.labels_dir for s in scans] == [folder for _, folder in data_sets]
    with pytest.raises(InputError, match='rename the folder'):
        find_all_labelled_scans([data_sets[0], data_sets[0]], ('T1w',))
