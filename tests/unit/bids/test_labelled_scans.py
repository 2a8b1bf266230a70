"""Which scans are found, and which label belongs to which scan."""

from __future__ import annotations

from labelled_data import make_data_set, make_person
from refusals import refused

from pvs_bidsapp.bids.labelled_scans import find_all_labelled_scans, find_labelled_scans
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.messages import masks


def test_all_scans_are_found_with_what_belongs_to_them(tmp_path):
    scans = find_labelled_scans(make_data_set(tmp_path), labels_dir(tmp_path), ('T1w', 'T2w'))
    assert [s.name for s in scans] == [
        'sub-01', 'sub-02', 'sub-03', 'sub-04', 'sub-05_ses-a', 'sub-05_ses-b', 'sub-06',
    ]  # fmt: skip
    assert [s.label is None for s in scans] == [False] * 6 + [True]
    assert [s.person for s in scans[-3:]] == ['sub-05', 'sub-05', 'sub-06']
    for scan in scans:
        names = [p.name for p in (scan.anat, scan.t2w, scan.brain, scan.tissues)]
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
    with refused(masks.NO_LABELLED_SCAN, naming='T1w, T2w'):
        find_labelled_scans(tmp_path, labels_dir(tmp_path), ('T1w', 'T2w'))


def test_other_entities_of_a_label_and_orphans(tmp_path):
    make_person(tmp_path / 'd', 'sub-01_acq-fine_run-1', 1)
    folder = tmp_path / 'd/derivatives/labels/sub-01/anat'
    own = folder / 'sub-01_acq-fine_run-1_label-PVS_mask.nii.gz'
    own.rename(folder / 'sub-01_acq-fine_run-1_label-PVS_dseg.nii.gz')
    with refused(masks.NONE_FOUND, naming='derivatives/labels'):
        find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')
    own = folder / 'sub-01_acq-fine_run-1_space-T1w_label-PVS_desc-expert_mask.nii.gz'
    next(folder.glob('*PVS_dseg*')).rename(own)
    assert find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')[0].label == own
    (folder / 'sub-01_acq-fine_run-1_label-PVS_mask.nii.gz').write_bytes(own.read_bytes())
    with refused(masks.SECOND, naming=own.name):
        find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')
    own.unlink()
    (folder / 'sub-01_acq-fine_run-1_label-PVS_mask.nii.gz').rename(
        folder / 'sub-01_acq-other_label-PVS_mask.nii.gz'
    )
    with refused(masks.NO_SCAN, naming='acq-other'):
        find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')


def test_a_label_on_a_template_is_refused_unless_there_is_one_on_the_scan(tmp_path, caplog):
    make_person(tmp_path, 'sub-01', 1)
    own = labels_dir(tmp_path) / 'sub-01/anat/sub-01_label-PVS_mask.nii.gz'
    template = own.with_name('sub-01_space-MNI152NLin2009cSym_label-PVS_mask.nii.gz')
    template.write_bytes(own.read_bytes())
    assert find_labelled_scans(tmp_path, labels_dir(tmp_path))[0].label == own
    own.unlink()
    with refused(masks.TEMPLATE_SPACE, naming=template.name):
        find_labelled_scans(tmp_path, labels_dir(tmp_path))
    odd = template.rename(template.with_name('sub-01_space-tracing_label-PVS_mask.nii.gz'))
    assert find_labelled_scans(tmp_path, labels_dir(tmp_path))[0].label == odd
    assert "it is taken to be in the scan's own space" in caplog.text


def test_ready_made_files_need_not_be_compressed(tmp_path):
    make_person(tmp_path, 'sub-01', 1)
    folder = labels_dir(tmp_path) / 'sub-01/anat'
    for name in ('desc-brain_mask', 'seg-tissue_dseg'):
        (folder / f'sub-01_{name}.nii.gz').rename(folder / f'sub-01_{name}.nii')
    (scan,) = find_labelled_scans(tmp_path, labels_dir(tmp_path))
    assert (scan.brain, scan.tissues) == (
        folder / 'sub-01_desc-brain_mask.nii',
        folder / 'sub-01_seg-tissue_dseg.nii',
    )


def test_persons_of_two_data_sets_are_not_mixed_up(tmp_path):
    data_sets = []
    for name in ('here', 'there'):
        make_person(tmp_path / name, 'sub-01', 1)
        data_sets.append((tmp_path / name, labels_dir(tmp_path / name)))
    scans = find_all_labelled_scans(data_sets, ('T1w',))
    assert [s.person for s in scans] == ['here/sub-01', 'there/sub-01']
    assert [s.labels_dir for s in scans] == [folder for _, folder in data_sets]
    with refused(masks.SAME_NAME, naming='here'):
        find_all_labelled_scans([data_sets[0], data_sets[0]], ('T1w',))
