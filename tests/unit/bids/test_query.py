"""Which scans are found, which are refused, and which T2w goes with which T1w."""

from __future__ import annotations

import json
import os
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import names, put
from refusals import refused

from pvs_bidsapp.bids.filters import read_filters
from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.bids.query import (
    Query,
    Scan,
    check_present,
    choose_t2w,
    files_below,
    find_scans,
    find_usable_scans,
)
from pvs_bidsapp.errors import InputError
from pvs_bidsapp.messages import datasets
from pvs_bidsapp.messages.message import error_of

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
GOOD = 'sub-09/anat/sub-09_T1w.nii.gz'


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return put(tmp_path / 'bids', *FILES)


def find(root: Path, **query):
    return find_scans(root, Query(**query))


def raise_refused(root: Path, **query):
    """Raise what is said of the only scan that is refused; the good one beside it has to be found."""
    selection = find(root, **query)
    assert names(selection.scans) == [Path(GOOD).name]
    (one,) = selection.refused
    raise error_of(one.finding)


def test_every_t1w_of_every_session_and_run(dataset):
    selection = find(dataset)
    assert names(selection.scans) == [
        'sub-01_ses-1_acq-a_run-1_T1w.nii.gz',
        'sub-01_ses-1_acq-a_run-2_T1w.nii.gz',
        'sub-01_ses-2_acq-b_T1w.nii',
        'sub-011_T1w.nii.gz',
        'sub-03_part-mag_T1w.nii.gz',
    ]
    assert selection.refused == ()
    assert selection.subjects == ('01', '011', '02', '03')


def test_files_are_found_once_below_subjects_that_are_links(tmp_path):
    for where in (
        'elsewhere/sub-01/anat/sub-01_mask.nii.gz',
        'here/sub-02/sub-02_mask.nii.gz',
        'here/sub-02_T1w.nii.gz',
    ):
        put(tmp_path, where)
    here = tmp_path / 'here'
    (here / 'sub-01').symlink_to(tmp_path / 'elsewhere' / 'sub-01')
    (here / 'sourcedata').symlink_to(tmp_path)  # leads back: nothing may be found twice
    assert files_below(here, 'sub-*_mask.nii*') == [
        here / 'sub-01' / 'anat' / 'sub-01_mask.nii.gz',
        here / 'sub-02' / 'sub-02_mask.nii.gz',
    ]


def test_files_are_found_below_linked_folders_of_a_subject_but_not_in_circles(tmp_path):
    put(tmp_path, 'elsewhere/ses-1/anat/sub-01_ses-1_mask.nii.gz', 'elsewhere/anat/sub-02_mask.nii.gz')
    put(tmp_path, 'other/sub-03_mask.nii.gz')
    here = tmp_path / 'here'
    for link, target in {
        'pipeline/sub-01/ses-1': 'elsewhere/ses-1',
        'sub-02/anat': 'elsewhere/anat',
        'sub-02/again': 'here/sub-02',
        'sub-02/back': 'here',
        'other': 'other',  # not of a subject
    }.items():
        (here / link).parent.mkdir(parents=True, exist_ok=True)
        (here / link).symlink_to(tmp_path / target)
    assert files_below(here, 'sub-*_mask.nii*') == [
        here / 'pipeline' / 'sub-01' / 'ses-1' / 'anat' / 'sub-01_ses-1_mask.nii.gz',
        here / 'sub-02' / 'anat' / 'sub-02_mask.nii.gz',
    ]


def test_subjects_and_the_dataset_itself_may_be_links(tmp_path):
    put(tmp_path / 'elsewhere', GOOD)
    (tmp_path / 'real').mkdir()
    (tmp_path / 'real' / 'sub-09').symlink_to(tmp_path / 'elsewhere' / 'sub-09')
    (tmp_path / 'bids').symlink_to(tmp_path / 'real')
    assert names(find(tmp_path / 'bids').scans) == [Path(GOOD).name]


@pytest.mark.parametrize(
    'above',
    ['sub-99', 'ses-pre', 'anat', 'func', 'task-x', 'run-1_x', 'sub-01/ses-1/anat', 'acq-a', 'part-phase',
     '.hidden', 'derivatives', 'sub-01_T1w.nii.gz'],
)  # fmt: skip
@pytest.mark.parametrize('name', ['bids', 'sub-99', 'ses-2', 'anat'])
def test_folders_above_the_dataset_do_not_count(tmp_path, above, name):
    root = put(tmp_path / above / name, *FILES)
    selection = find(root)
    assert names(selection.scans) == names(find(put(tmp_path / 'plain', *FILES)).scans)
    assert sum(scan.t2w is not None for scan in selection.scans) == 2
    assert names(find(root, subjects=('01',), sessions=('2',)).scans) == ['sub-01_ses-2_acq-b_T1w.nii']


def test_only_the_subjects_asked_for(dataset):
    assert {n.split('_')[0] for n in names(find(dataset, subjects=('01',)).scans)} == {'sub-01'}
    assert names(find(dataset, subjects=('01',), sessions=('2',)).scans) == ['sub-01_ses-2_acq-b_T1w.nii']


def test_a_dataset_is_read_as_it_is_now(dataset):
    """No index of an earlier state hides or invents scans."""
    find(dataset, subjects=('011',))
    put(dataset, GOOD)
    (dataset / FILES[5]).unlink()
    found = names(find(dataset).scans)
    assert Path(GOOD).name in found
    assert Path(FILES[5]).name not in found


def test_t2w_comes_from_the_same_session_and_run(dataset):
    pairs = {s.anat.name: s.t2w and s.t2w.name for s in find(dataset, subjects=('01',)).scans}
    assert pairs == {
        'sub-01_ses-1_acq-a_run-1_T1w.nii.gz': 'sub-01_ses-1_run-1_T2w.nii.gz',
        'sub-01_ses-1_acq-a_run-2_T1w.nii.gz': 'sub-01_ses-1_run-2_T2w.nii.gz',
        'sub-01_ses-2_acq-b_T1w.nii': None,
    }


def test_the_fewest_other_entities_decide_where_as_many_are_shared():
    t1w = Path('sub-1_T1w.nii')
    candidates = [Path('sub-1_acq-z_run-1_T2w.nii'), Path('sub-1_acq-b_T2w.nii'), Path('sub-1_acq-a_T2w.nii')]
    assert choose_t2w(t1w, candidates).name == 'sub-1_acq-a_T2w.nii'


def test_runs_are_the_same_with_and_without_leading_zeros():
    candidates = [Path('sub-1_run-01_T2w.nii'), Path('sub-1_run-02_T2w.nii')]
    assert choose_t2w(Path('sub-1_run-2_T1w.nii'), candidates).name == 'sub-1_run-02_T2w.nii'


def test_filters(dataset, tmp_path):
    path = tmp_path / 'filter.json'
    path.write_text(json.dumps({'t1w': {'acquisition': 'a', 'run': 2}, 't2w': {'run': 1}}))
    (scan,) = find(dataset, filters=read_filters(path)).scans
    assert scan.anat.name == 'sub-01_ses-1_acq-a_run-2_T1w.nii.gz'
    assert scan.t2w.name == 'sub-01_ses-1_run-1_T2w.nii.gz'
    path.write_text(json.dumps({'t1w': {'acquisition': None, 'part': None}}))
    assert names(find(dataset, filters=read_filters(path)).scans) == ['sub-011_T1w.nii.gz']


# ---- labels that nobody has


@pytest.mark.parametrize('label', ['99', '../01', '*', '', ' ', '０1', 'sub-', '01/anat', '0' * 5000])
def test_an_unknown_subject_is_told_before_anything_else(dataset, label):
    with refused(datasets.NO_SUBJECT, naming='there are: 01, 011, 02, 03'):
        find(dataset, subjects=('01', label))


def test_of_ten_thousand_subjects_the_nearest_are_named_at_once(tmp_path):
    for number in range(10_000):
        (tmp_path / f'sub-{number:05d}').mkdir()
    started = time.process_time()
    with refused(datasets.NO_SUBJECT, naming='0123 (nearest: '):
        find(tmp_path, subjects=('00001', '0123', *(f'x{n}' for n in range(1000))))
    assert time.process_time() - started < 10


@pytest.mark.parametrize('sessions', [('zz',), ('1', 'zz'), ('',), ('*',)])
def test_an_unknown_session_is_told_also_among_good_ones(dataset, sessions):
    with refused(datasets.NO_SESSION, naming='there are: 1, 2'):
        find(dataset, sessions=sessions)


def test_a_session_that_none_of_these_subjects_has(dataset):
    with refused(datasets.NO_SESSION, naming='for 011: no scan found there; there are: no sessions at all'):
        find(dataset, subjects=('011',), sessions=('1',))


def test_t2w_scans_alone_are_found_without_their_t1w(tmp_path):
    anat = (
        put(tmp_path, *(f'sub-1/anat/sub-1_{suffix}.nii.gz' for suffix in ('T1w', 'T2w'))) / 'sub-1' / 'anat'
    )
    (scan,) = find(tmp_path, suffix='T2w').scans
    assert (scan.anat.name, scan.suffix, scan.t2w) == ('sub-1_T2w.nii.gz', 'T2w', None)
    assert list(scan.inputs) == ['t2w']
    (anat / 'sub-1_T1w.nii.gz').unlink()
    with refused(datasets.ONLY_T2W, naming=str(tmp_path)):
        find(tmp_path)
    (anat / 'sub-1_T2w.nii.gz').rename(anat / 'sub-1_T1w.nii.gz')
    with refused(datasets.NO_SCAN, naming='no T2w found'):
        find(tmp_path, suffix='T2w')


def test_errors_say_what_is_there(dataset):
    with pytest.raises(InputError, match=r'no subject 99 .* there are: 01, 011, 02, 03'):
        find(dataset, subjects=('99',))
    with refused(datasets.ONLY_T2W, naming='no T1w found for 02'):
        find(dataset, subjects=('02',))
    with refused(datasets.NO_SUBJECT_FOLDERS, naming=str(dataset / 'sub-01')):
        find(dataset / 'sub-01')


# ---- one scan, one identity


LONG = f'sub-01/anat/sub-01_acq-{"a" * 200}_T1w.nii.gz'


@pytest.mark.parametrize(
    ('expectation', 'name'),
    [
        (refused(datasets.NAME_LACKS_SESSION, naming='ses-1/'), 'sub-01/ses-1/anat/sub-01_T1w.nii.gz'),
        (refused(datasets.NO_SESSION_FOLDER, naming='sub-01/anat/'), 'sub-01/anat/sub-01_ses-1_T1w.nii.gz'),
        (refused(datasets.OTHER_FOLDER, naming='sub-01/anat/sub-02'), 'sub-01/anat/sub-02_T1w.nii.gz'),
        (refused(datasets.OTHER_FOLDER, naming='ses-2_T1w'), 'sub-01/ses-1/anat/sub-01_ses-2_T1w.nii.gz'),
        (refused(datasets.OTHER_FOLDER, naming='sub-01_ses-1'), 'sub-01/ses-1/anat/sub-02_T1w.nii.gz'),
        (refused(datasets.LONG_NAME, naming=LONG), LONG),
    ],
)
def test_a_name_that_disagrees_with_its_folder_is_refused(tmp_path, expectation, name):
    put(tmp_path, GOOD, name)
    with expectation:
        raise_refused(tmp_path)


def test_two_sessions_of_one_name_are_both_refused_and_told_how_to_rename(tmp_path):
    put(tmp_path, GOOD, *(f'sub-01/ses-{s}/anat/sub-01_T1w.nii.gz' for s in '12'))
    selection = find(tmp_path)
    assert [r.path for r in selection.refused] == [f'sub-01/ses-{s}/anat/sub-01_T1w.nii.gz' for s in '12']
    assert all(
        f'rename it to sub-01_ses-{s}_T1w.nii.gz' in r.reason
        for s, r in zip('12', selection.refused, strict=True)
    )
    stems = [Naming(Path(), r.entities).stem for r in selection.refused]
    assert stems == ['sub-01_ses-1', 'sub-01_ses-2']


@pytest.mark.parametrize(
    'clash',
    [
        ('sub-01_T1w.nii', 'sub-01_T1w.nii.gz'),
        ('sub-01_acq-a_run-1_T1w.nii.gz', 'sub-01_run-1_acq-a_T1w.nii.gz'),
        ('sub-01_acq-a_T1w.nii.gz', 'sub-01_acq-A_T1w.nii.gz'),
        ('sub-01_T1w.nii.gz', 'sub-01_desc-preproc_T1w.nii.gz'),
        ('sub-01_label-a_T1w.nii.gz', 'sub-01_label-b_T1w.nii.gz'),
    ],
)
def test_two_inputs_of_the_same_outputs_are_both_refused(tmp_path, clash):
    put(tmp_path, GOOD, *(f'sub-01/anat/{name}' for name in clash))
    selection = find(tmp_path)
    assert names(selection.scans) == [Path(GOOD).name]
    assert {r.name for r in selection.refused} == set(clash)
    for one in selection.refused:
        (other,) = set(clash) - {one.name}
        with refused(datasets.SAME_OUTPUTS, naming=other):
            raise error_of(one.finding)


def test_subjects_whose_labels_differ_in_case_only_are_told_apart_by_no_macos(tmp_path):
    put(tmp_path, 'sub-ab/anat/sub-ab_T1w.nii.gz', 'sub-AB/anat/sub-AB_T1w.nii.gz')
    assert len(find(tmp_path).refused) == 2


def test_a_filter_may_choose_one_of_two_types(tmp_path):
    put(tmp_path, 'sub-01/anat/sub-01_T1w.nii', 'sub-01/anat/sub-01_T1w.nii.gz')
    (scan,) = find(tmp_path, filters={'t1w': {'extension': ('.nii',)}}).scans
    assert scan.anat.name == 'sub-01_T1w.nii'


@pytest.mark.parametrize(
    'name',
    ['sub-03__T1w', 'sub-03_acq-mp-rage_T1w', 'sub-03_acq-_T1w', 'sub-03_acq-é_T1w', 'sub-03_acq-１_T1w',
     'sub-03_acq-a_acq-b_T1w', 'acq-a_sub-03_T1w', 'sub-03_T1w_defaced', 'sub-03_T1w.old', 'sub-03_t1w',
     'sub-03_acq-t2-tse_T2w', 'sub-03_acq-a b_T1w', 'sub-03_T1w\n'],
)  # fmt: skip
def test_a_malformed_name_is_warned_of_by_path_and_skipped(tmp_path, caplog, name):
    put(tmp_path, GOOD, f'sub-03/anat/{name}.nii.gz')
    selection = find(tmp_path)
    assert names(selection.scans) == [Path(GOOD).name]
    assert selection.refused == ()
    shown = ' '.join(f'sub-03/anat/{name}.nii.gz'.split())
    assert any(shown in line and 'skipped' in line for line in caplog.messages)


def test_other_types_and_places_are_warned_of(tmp_path, caplog):
    put(
        tmp_path, GOOD, 'sub-03/anat/sub-03_T1w.mgz', 'sub-03/sub-03_T1w.nii.gz', 'sub-03/ses-1/T1w.nii',
        'sub-03/anat/sub-03_acq-T1w_MP2RAGE.nii.gz', 'sub-03/anat/sub-03_T1w.json',
    )  # fmt: skip
    find(tmp_path)
    warned = [m.split(':')[0] for m in caplog.messages if 'skipped' in m]
    assert sorted(warned) == [
        'sub-03/anat/sub-03_T1w.mgz',
        'sub-03/ses-1/T1w.nii',
        'sub-03/sub-03_T1w.nii.gz',
    ]


@pytest.mark.parametrize('folder', ['sub-01_old', 'sub-01.bak', 'sub-', 'sub-é', 'sub-01 (copy)', 'sub-a-b'])
def test_folders_that_are_no_subjects_are_warned_of_and_skipped(tmp_path, caplog, folder):
    put(tmp_path, 'sub-01/anat/sub-01_T1w.nii.gz', f'{folder}/anat/sub-01_T1w.nii.gz')
    assert len(find(tmp_path).scans) == 1
    assert any(folder in line for line in caplog.messages)


def test_folders_that_are_no_sessions_are_warned_of_and_skipped(tmp_path, caplog):
    put(tmp_path, GOOD, 'sub-09/ses-1_old/anat/sub-09_ses-1_T1w.nii.gz')
    assert len(find(tmp_path).scans) == 1
    assert 'sub-09/ses-1_old' in caplog.text


def test_hidden_files_are_counted_and_skipped(tmp_path, caplog):
    put(tmp_path, GOOD, 'sub-09/anat/._sub-09_T1w.nii.gz', 'sub-09/anat/.sub-09_T1w.nii.gz.swp.nii')
    assert names(find(tmp_path).scans) == [Path(GOOD).name]
    assert any('2 hidden files' in line for line in caplog.messages)


# ---- files that cannot be opened


def link(root: Path, name: str, target: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(target)


ANNEX = '../../.git/annex/objects/x/y/MD5E-s1--a.nii.gz/MD5E-s1--a.nii.gz'
LFS = b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n'


def make_bad(root: Path, what: str, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    {
        'annex link': lambda: link(root, name, ANNEX),
        'annex pointer': lambda: put(root, name, content=b'/annex/objects/MD5E-s1--a.nii.gz\n'),
        'annex on Windows': lambda: put(root, name, content=ANNEX.encode()),
        'lfs pointer': lambda: put(root, name, content=LFS),
        'dangling': lambda: link(root, name, '/nowhere/at/all.nii.gz'),
        'circle': lambda: link(root, name, path.name),
        'folder': path.mkdir,
        'pipe': lambda: os.mkfifo(path),
        'empty': lambda: put(root, name, content=b''),
    }[what]()


BAD = {
    'annex link': lambda name: refused(datasets.NOT_FETCHED, naming=name),
    'annex pointer': lambda name: refused(datasets.NOT_FETCHED, naming=name),
    'annex on Windows': lambda name: refused(datasets.NOT_FETCHED, naming=name),
    'lfs pointer': lambda name: refused(datasets.NOT_PULLED, naming=name),
    'dangling': lambda name: refused(datasets.DANGLING, naming=name),
    'circle': lambda name: refused(datasets.UNREADABLE, naming=name),
    'folder': lambda name: refused(datasets.NOT_A_FILE, naming=name),
    'pipe': lambda name: refused(datasets.NOT_A_FILE, naming=name),
    'empty': lambda name: refused(datasets.EMPTY_FILE, naming=name),
}


@pytest.mark.parametrize('what', BAD)
def test_a_file_that_cannot_be_read_is_refused_and_the_others_are_found(tmp_path, what):
    put(tmp_path, GOOD)
    make_bad(tmp_path, what, 'sub-02/anat/sub-02_T1w.nii.gz')
    with BAD[what]('sub-02/anat/sub-02_T1w.nii.gz'):
        raise_refused(tmp_path)


def test_the_mend_of_git_annex_can_be_pasted(tmp_path):
    make_bad(tmp_path, 'annex link', 'sub-02/anat/sub-02_T1w.nii.gz')
    with refused(datasets.NOT_FETCHED, naming='datalad get sub-02/anat/sub-02_T1w.nii.gz'):
        raise_refused(put(tmp_path, GOOD))


def test_a_file_without_permission(tmp_path, monkeypatch):
    put(tmp_path, GOOD, 'sub-02/anat/sub-02_T1w.nii.gz')
    monkeypatch.setattr(os, 'access', lambda path, mode: 'sub-02' not in str(path))
    with refused(datasets.UNREADABLE, naming='Permission denied'):
        raise_refused(tmp_path)


@pytest.mark.parametrize('folder', ['sub-02', 'sub-02/anat', 'sub-02/ses-1', 'sub-02/ses-1/anat'])
def test_a_folder_that_leads_nowhere_is_refused(tmp_path, folder):
    put(tmp_path, GOOD)
    link(tmp_path, folder, '/nowhere')
    with refused(datasets.FOLDER_UNREADABLE, naming=folder):
        raise_refused(tmp_path)


def test_if_nothing_is_left_the_reasons_are_there(tmp_path, caplog):
    make_bad(tmp_path, 'dangling', 'sub-02/anat/sub-02_T1w.nii.gz')
    assert find(tmp_path).scans == ()
    with refused(datasets.NONE_USABLE, naming='none of the 1 scans'):
        find_usable_scans(tmp_path, Query())
    assert 'leads nowhere' in caplog.text


def test_a_session_of_nothing_but_refused_scans_is_known(tmp_path):
    put(tmp_path, 'sub-01/ses-1/anat/sub-01_T1w.nii.gz')
    assert len(find(tmp_path, sessions=('1',)).refused) == 1


# ---- T2w scans


@pytest.mark.parametrize('what', BAD)
def test_a_bad_t2w_does_not_stop_its_t1w_unless_it_is_needed(tmp_path, caplog, what):
    put(tmp_path, 'sub-01/anat/sub-01_T1w.nii.gz')
    make_bad(tmp_path, what, 'sub-01/anat/sub-01_T2w.nii.gz')
    (scan,) = find(tmp_path).scans
    assert scan.t2w is None
    assert any('sub-01_T2w' in line for line in caplog.messages)
    put(tmp_path, GOOD, GOOD.replace('T1w', 'T2w'))
    with refused(datasets.NO_T2W, naming='sub-01_T1w'):
        raise_refused(tmp_path, needs_t2w=True)


@pytest.mark.parametrize(
    'bad',
    [('sub-01_T2w.nii', 'sub-01_T2w.nii.gz'), ('sub-01_acq-t2-tse_T2w.nii.gz',), ('sub-02_T2w.nii.gz',)],
)
def test_ambiguous_and_misplaced_t2w_are_left_out(tmp_path, caplog, bad):
    put(tmp_path, 'sub-01/anat/sub-01_T1w.nii.gz', *(f'sub-01/anat/{name}' for name in bad))
    (scan,) = find(tmp_path).scans
    assert scan.t2w is None
    assert all(any(name in line for line in caplog.messages) for name in bad)


def test_a_good_t2w_is_taken_where_another_one_is_bad(tmp_path):
    put(tmp_path, 'sub-01/anat/sub-01_T1w.nii.gz', 'sub-01/anat/sub-01_acq-z_T2w.nii.gz')
    make_bad(tmp_path, 'dangling', 'sub-01/anat/sub-01_T2w.nii.gz')
    (scan,) = find(tmp_path).scans
    assert scan.t2w.name == 'sub-01_acq-z_T2w.nii.gz'


def test_a_t2w_that_is_the_t1w_by_another_name_is_left_out(tmp_path, caplog):
    put(tmp_path, 'sub-01/anat/sub-01_T1w.nii.gz')
    link(tmp_path, 'sub-01/anat/sub-01_T2w.nii.gz', 'sub-01_T1w.nii.gz')
    assert find(tmp_path).scans[0].t2w is None
    assert 'the same file' in caplog.text


def test_t2w_are_not_looked_at_if_they_are_not_wanted(tmp_path, caplog):
    put(tmp_path, 'sub-01/anat/sub-01_T1w.nii.gz')
    make_bad(tmp_path, 'dangling', 'sub-01/anat/sub-01_T2w.nii.gz')
    assert len(find(tmp_path, use_t2w=False).scans) == 1
    assert not caplog.messages


# ---- laws

LABELS = st.text('aA1+-_. é０', max_size=3)
PARTS = st.lists(st.tuples(st.sampled_from(['acq', 'run', 'desc', 'ACQ']), LABELS), max_size=2)


@st.composite
def file_names(draw):
    """Path of a T1w in a dataset: most are wrong in one way or another."""
    sub, other = draw(st.sampled_from(['1', 'a', 'A'])), draw(st.sampled_from(['1', 'a', '']))
    ses, own = draw(st.sampled_from(['', '1'])), draw(st.sampled_from(['', '1', '2']))
    parts = [f'sub-{other or sub}', *([f'ses-{own}'] if own else []), *(f'{k}-{v}' for k, v in draw(PARTS))]
    extension = draw(st.sampled_from(['.nii', '.nii.gz']))
    folder = f'sub-{sub}/ses-{ses}/anat' if ses else f'sub-{sub}/anat'
    return f'{folder}/{"_".join(parts)}_T1w{extension}'


@given(st.lists(file_names(), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_no_two_scans_share_an_output_and_none_is_lost_in_silence(tmp_path_factory, caplog, files):
    root = put(tmp_path_factory.mktemp('law'), GOOD, *files)
    caplog.clear()
    selection = find(root)
    out = Path('/out')
    outputs = [
        Naming.of(out, scan.anat).anat(suffix, **added)
        for scan in selection.scans
        for suffix, added in (
            ('mask', {'label': 'PVS'}),
            ('dseg', {'desc': 'pvs'}),
            ('dseg', {'seg': 'regions'}),
        )
    ]
    folded = [str(path).casefold() for path in outputs]
    assert len(set(folded)) == len(folded)
    assert all(out in path.parents and '..' not in path.parts for path in outputs)
    found = {scan.anat.relative_to(root).as_posix() for scan in selection.scans}
    told = {r.path for r in selection.refused}
    for name in {GOOD, *files} - found - told:
        assert any(' '.join(name.split()) in line for line in caplog.messages), name
    records = [Naming(out, r.entities).failure for r in selection.refused if r.entities]
    records += [Naming.of(out, scan.anat).failure for scan in selection.scans]
    assert len(set(records)) == len(records)


# ---- what is remembered of a scan


def test_a_file_that_has_vanished_ends_nothing(tmp_path):
    scan = Scan(tmp_path / 'sub-01_T1w.nii')
    assert scan.inputs == {'t1w': ['sub-01_T1w.nii', None, None]}
    with refused(datasets.VANISHED, naming='sub-01_T1w.nii'):
        raise error_of(check_present(scan))


def test_inputs_are_those_of_the_time_when_the_work_begins(tmp_path):
    put(tmp_path, 'sub-01_T1w.nii')
    scan = Scan(tmp_path / 'sub-01_T1w.nii')
    before = scan.inputs
    put(tmp_path, 'sub-01_T1w.nii', content=b'longer than before')
    assert scan.inputs == before
    assert Scan(tmp_path / 'sub-01_T1w.nii').inputs != before


def test_files_of_the_same_name_size_and_time_are_told_apart(tmp_path):
    scans = []
    for folder in 'ab':
        put(tmp_path, f'{folder}/T1.nii')
        os.utime(tmp_path / folder / 'T1.nii', ns=(1, 1))
        scans.append(Scan(Path('sub-T1_T1w.nii'), source=tmp_path / folder / 'T1.nii'))
    assert scans[0].inputs['t1w'] == scans[1].inputs['t1w']
    assert scans[0].inputs != scans[1].inputs
    assert scans[0].key != scans[1].key


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
    for path in root.glob('sub-*/**/*.nii*'):
        path.write_bytes(b'image')  # they come empty
    selection = find(root)
    expected = sorted(p for p in root.glob('sub-*/**/anat/*_T1w.nii*'))
    assert [s.anat for s in selection.scans] == expected
    assert selection.refused == ()
    assert len(selection.scans) == number
    assert sum(s.t2w is not None for s in selection.scans) == with_t2w
    for scan in selection.scans:
        if scan.t2w:
            other = dict(p.split('-', 1) for p in scan.t2w.name.split('_')[:-1])
            assert all(other.get(k) == scan.entities.get(k) for k in ('sub', 'ses'))


def test_ready_made_masks_and_segmentations_are_those_of_the_scan(dataset, tmp_path_factory):
    ready = tmp_path_factory.mktemp('ready')
    put(
        ready,
        *(f'sub-011/anat/sub-011_{name}.nii.gz' for name in ('desc-brain_mask', 'dseg', 'desc-aseg_dseg')),
    )
    own, other = find(dataset, subjects=('011', '03'), derivatives=(ready,)).scans
    assert own.brain_mask.name == 'sub-011_desc-brain_mask.nii.gz'
    assert own.segmentation.name == 'sub-011_desc-aseg_dseg.nii.gz'
    assert other.brain_mask is other.segmentation is None


def test_a_ready_made_mask_that_cannot_be_read_is_not_passed_over(tmp_path):
    put(tmp_path / 'bids', GOOD, 'sub-01/anat/sub-01_T1w.nii.gz')
    link(tmp_path / 'ready', 'sub-01/anat/sub-01_desc-brain_mask.nii.gz', ANNEX)
    with refused(datasets.READY_MADE, naming='sub-01_desc-brain_mask.nii.gz'):
        raise_refused(tmp_path / 'bids', derivatives=(tmp_path / 'ready',))


def test_thousands_of_subjects_are_found_in_seconds(tmp_path):
    for number in range(2000):
        put(tmp_path, *(f'sub-{number}/anat/sub-{number}_{suffix}.nii.gz' for suffix in ('T1w', 'T2w')))
    started = time.process_time()
    assert len(find(tmp_path).scans) == 2000
    assert time.process_time() - started < 10


# ---- masks of white matter hyperintensities


@pytest.mark.parametrize(
    'name',
    [
        'sub-01_label-WMH_mask.nii.gz',
        'sub-01_space-T1w_label-WMH_mask.nii.gz',
        'sub-01_acq-3d_space-FLAIR_label-WMH_desc-lst_mask.nii',
    ],
)
def test_a_mask_of_hyperintensities_is_found(tmp_path, name):
    put(tmp_path / 'bids', 'sub-01/anat/sub-01_acq-mprage_T1w.nii.gz')
    put(tmp_path / 'wmh', f'sub-01/anat/{name}', 'sub-01/anat/sub-01_space-MNI_label-WMH_mask.nii.gz')
    (scan,) = find(tmp_path / 'bids', derivatives=(tmp_path / 'wmh',)).scans
    assert scan.lesions == tmp_path / 'wmh' / 'sub-01' / 'anat' / name
    assert 'lesions' in scan.inputs


def test_masks_of_other_runs_and_odd_names_are_passed_over(tmp_path, caplog):
    put(tmp_path / 'bids', 'sub-01/anat/sub-01_run-1_T1w.nii.gz')
    odd, other = 'sub-01_FLAIR_label-WMH_mask.nii.gz', 'sub-01_run-2_label-WMH_mask.nii.gz'
    put(tmp_path / 'wmh', f'sub-01/anat/{odd}', f'sub-01/anat/{other}')
    (scan,) = find(tmp_path / 'bids', derivatives=(tmp_path / 'wmh',)).scans
    assert scan.lesions is None
    assert odd in caplog.text


def test_without_a_mask_of_hyperintensities_none_can_be_left_out(tmp_path):
    put(tmp_path / 'bids', 'sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz')
    put(tmp_path / 'wmh', 'sub-01/ses-2/anat/sub-01_ses-2_label-WMH_mask.nii.gz')
    put(tmp_path / 'wmh', 'sub-01/ses-1/anat/sub-01_ses-1_space-MNI152Lin_label-WMH_mask.nii.gz')
    (scan,) = find(tmp_path / 'bids', derivatives=(tmp_path / 'wmh',)).scans
    assert scan.lesions is None
    put(tmp_path / 'bids', GOOD)
    put(tmp_path / 'wmh', GOOD.replace('T1w', 'label-WMH_mask'))
    with refused(datasets.NO_LESIONS, naming='sub-01_ses-1_T1w'):
        raise_refused(tmp_path / 'bids', derivatives=(tmp_path / 'wmh',), needs_lesions=True)
