import json
import tarfile
from pathlib import Path

import pytest

from pvs_bidsapp.bids.query import Query, choose_t2w, files_below, find_scans, read_filters
from pvs_bidsapp.errors import InputError

FILES = [
    'sub-01/ses-1/anat/sub-01_ses-1_acq-a_run-1_T1w.nii.gz',
    'sub-01/ses-1/anat/sub-01_ses-1_acq-a_run-2_T1w.nii.gz',
    'sub-01/ses-1/anat/sub-01_ses-1_run-2_T2w.nii.gz',
    'sub-01/ses-1/anat/sub-01_ses-1_run-1_T2w.nii.gz',
    'sub-01/ses-2/anat/sub-01_ses-2_acq-b_T1w.nii',
    'sub-011/anat/sub-011_T1w.nii.gz',
    'sub-02/anat/sub-02_T2w.nii.gz',
    'sub-03/anat/sub-03_part-mag_T1w.nii.gz',
    'sub-03/anat/sub-03_part-phase_T1w.nii.gz',
    'sub-03/fmap/sub-03_acq-forT1w_magnitude1.nii.gz',
    'derivatives/x/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz',
]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(scans):
    return [s.t1w.name for s in scans]


def test_every_t1w_of_every_session_and_run(dataset):
    assert names(find_scans(dataset, Query())) == [
        'sub-01_ses-1_acq-a_run-1_T1w.nii.gz',
        'sub-01_ses-1_acq-a_run-2_T1w.nii.gz',
        'sub-01_ses-2_acq-b_T1w.nii',
        'sub-011_T1w.nii.gz',
        'sub-03_part-mag_T1w.nii.gz',
    ]


def test_files_are_found_once_below_subjects_that_are_links(tmp_path):
    for where in (
        'elsewhere/sub-01/anat/sub-01_mask.nii.gz',
        'here/sub-02/sub-02_mask.nii.gz',
        'here/sub-02_T1w.nii.gz',
    ):
        (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / where).touch()
    here = tmp_path / 'here'
    (here / 'sub-01').symlink_to(tmp_path / 'elsewhere' / 'sub-01')
    (here / 'sourcedata').symlink_to(tmp_path)  # leads back: nothing may be found twice
    assert files_below(here, 'sub-*_mask.nii*') == [
        here / 'sub-01' / 'anat' / 'sub-01_mask.nii.gz',
        here / 'sub-02' / 'sub-02_mask.nii.gz',
    ]


def test_only_the_subjects_asked_for(dataset):
    assert {n.split('_')[0] for n in names(find_scans(dataset, Query(subjects=('01',))))} == {'sub-01'}
    assert names(find_scans(dataset, Query(subjects=('01',), sessions=('2',)))) == [
        'sub-01_ses-2_acq-b_T1w.nii'
    ]


def test_t2w_comes_from_the_same_session_and_run(dataset):
    pairs = {s.t1w.name: s.t2w and s.t2w.name for s in find_scans(dataset, Query(subjects=('01',)))}
    assert pairs == {
        'sub-01_ses-1_acq-a_run-1_T1w.nii.gz': 'sub-01_ses-1_run-1_T2w.nii.gz',
        'sub-01_ses-1_acq-a_run-2_T1w.nii.gz': 'sub-01_ses-1_run-2_T2w.nii.gz',
        'sub-01_ses-2_acq-b_T1w.nii': None,
    }


def test_the_fewest_other_entities_decide_where_as_many_are_shared():
    t1w = Path('sub-1_T1w.nii')
    candidates = [Path('sub-1_acq-z_run-1_T2w.nii'), Path('sub-1_acq-b_T2w.nii'), Path('sub-1_acq-a_T2w.nii')]
    assert choose_t2w(t1w, candidates).name == 'sub-1_acq-a_T2w.nii'


def test_filters(dataset, tmp_path):
    path = tmp_path / 'filter.json'
    path.write_text(json.dumps({'t1w': {'acquisition': 'a', 'run': 2}, 't2w': {'run': 1}}))
    (scan,) = find_scans(dataset, Query(filters=read_filters(path)))
    assert scan.t1w.name == 'sub-01_ses-1_acq-a_run-2_T1w.nii.gz'
    assert scan.t2w.name == 'sub-01_ses-1_run-1_T2w.nii.gz'
    path.write_text(json.dumps({'t1w': {'acquisition': None, 'part': None}}))
    assert names(find_scans(dataset, Query(filters=read_filters(path)))) == ['sub-011_T1w.nii.gz']


def test_errors_say_what_is_there(dataset, tmp_path):
    with pytest.raises(InputError, match=r'no subject 99 .* there are: 01, 011, 02, 03'):
        find_scans(dataset, Query(subjects=('99',)))
    with pytest.raises(InputError, match='no T1w found for 02'):
        find_scans(dataset, Query(subjects=('02',)))
    with pytest.raises(InputError, match='no sub-'):
        find_scans(dataset / 'sub-01', Query())
    bad = tmp_path / 'bad.json'
    bad.write_text('{')
    with pytest.raises(InputError, match=r'bad\.json'):
        read_filters(bad)


@pytest.mark.parametrize(
    ('layout', 'number', 'with_t2w'),
    [
        ('7t_trt', 22, 0), ('ds000248', 1, 0), ('ds001', 16, 0), ('ds004332', 32, 32), ('ds006', 28, 0),
        ('ds114', 20, 0), ('eyetracking_fmri', 1, 1), ('hcp_example_bids', 1, 1),
    ],
)  # fmt: skip
def test_real_layouts(shared_data, tmp_path, layout, number, with_t2w):
    with tarfile.open(shared_data / 'bids-layouts.tar.gz') as archive:
        members = [m for m in archive.getmembers() if m.name.split('/')[0] == layout]
        archive.extractall(tmp_path, members, filter='data')
    root = tmp_path / layout
    scans = find_scans(root, Query())
    expected = sorted(p for p in root.glob('sub-*/**/anat/*_T1w.nii*'))
    assert [s.t1w for s in scans] == expected
    assert len(scans) == number
    assert sum(s.t2w is not None for s in scans) == with_t2w
    for scan in scans:
        if scan.t2w:
            other = dict(p.split('-', 1) for p in scan.t2w.name.split('_')[:-1])
            assert all(other.get(k) == scan.entities.get(k) for k in ('sub', 'ses'))


def test_ready_made_masks_and_segmentations_are_those_of_the_scan(dataset, tmp_path_factory):
    ready = tmp_path_factory.mktemp('ready')
    for name in ('desc-brain_mask', 'dseg', 'desc-aseg_dseg'):
        path = ready / 'sub-011' / 'anat' / f'sub-011_{name}.nii.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    own, other = find_scans(dataset, Query(subjects=('011', '03'), derivatives=(ready,)))
    assert own.brain_mask.name == 'sub-011_desc-brain_mask.nii.gz'
    assert own.segmentation.name == 'sub-011_desc-aseg_dseg.nii.gz'
    assert other.brain_mask is other.segmentation is None
