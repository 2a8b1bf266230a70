"""Scans without results: which, and why."""

from __future__ import annotations

import json

import pytest

from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.outputs.unfinished import NOT_FINISHED, find_unfinished, split_finished


def naming(out, stem):
    return Naming(out, tuple(tuple(part.split('-')) for part in stem.split('_')))


@pytest.fixture
def folders(tmp_path):
    bids, out = tmp_path / 'bids', tmp_path / 'out'
    for stem in ('sub-01_ses-1', 'sub-01_ses-2', 'sub-02', 'sub-03', 'sub-04_run-1', 'sub-04_part-phase'):
        labels = [p for p in stem.split('_') if p[:3] in ('sub', 'ses')]
        folder = bids.joinpath(*labels, 'anat')
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{stem}_T1w.nii.gz').touch()
    (bids / 'sub-05' / 'anat').mkdir(parents=True)
    (bids / 'sub-05' / 'anat' / 'sub-05_T2w.nii.gz').touch()
    (out / 'logs').mkdir(parents=True)
    return bids, out


def fail(out, stem, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (out / 'logs' / f'{stem}_failure.json').write_text(text)


def finish(out, stem):
    (out / 'logs' / f'{stem}_status.json').write_text('{}')


def test_a_failed_session_of_a_person_with_a_good_one_is_missing(folders):
    bids, out = folders
    done = {naming(out, 'sub-01_ses-1')}
    fail(
        out,
        'sub-01_ses-2',
        {'scan': 'sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz', 'reason': 'no brain found\n<b>'},
    )
    missing, without, findings = find_unfinished(bids, out, done, done)
    assert missing == {
        'sub-01_ses-2': 'no brain found <b>',
        **dict.fromkeys(('sub-02', 'sub-03', 'sub-04_run-1'), 'not run'),
    }  # fmt: skip
    assert without == {'sub-05': 'no T1w'}
    assert findings == []


def test_records_of_runs_serve_scans_without_one_of_their_own(folders):
    bids, out = folders
    failed = {
        'sub-02_T1w.nii.gz': 'old reason',
        'sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz': 'by path',
        'odd': 'x',
    }
    (out / 'logs' / 'run_20260101-000000_x.json').write_text(json.dumps({'failed': failed}))
    fail(out, 'sub-02', {'scan': 'x', 'reason': 'new reason'})
    missing, _, _ = find_unfinished(bids, out, set(), set())
    assert missing['sub-02'] == 'new reason'
    assert missing['sub-01_ses-1'] == 'by path'
    assert missing['sub-03'] == 'not run'


@pytest.mark.parametrize(
    'content', ['', '{', '[]', 'null', '{"reason": 3}', '{"reason": ""}', '\x00', '[' * 100000]
)
def test_damaged_records_do_not_hide_a_failure(folders, content):
    bids, out = folders
    fail(out, 'sub-02', content)
    (out / 'logs' / 'run_x.json').write_text(content)
    missing, _, findings = find_unfinished(bids, out, set(), set())
    assert missing['sub-02'] == 'failed, for a reason that is not known'
    assert missing['sub-03'] == 'not run'
    assert {f.code for f in findings} == {'people-record-damaged'}


def test_failures_of_scans_that_are_gone_are_still_told(folders):
    bids, out = folders
    fail(out, 'sub-99', {'scan': 'sub-99/anat/sub-99_T1w.nii.gz', 'reason': 'sheared'})
    assert find_unfinished(bids, out, set(), set())[0]['sub-99'] == 'sheared'
    missing, without, findings = find_unfinished(bids.parent / 'gone', out, set(), set())
    assert (missing, without) == ({'sub-99': 'sheared'}, {})
    assert [f.code for f in findings] == ['people-no-dataset']
    assert find_unfinished(None, out, set(), set())[0] == {'sub-99': 'sheared'}


def test_a_name_that_participant_refuses_is_told_with_the_reason(folders):
    bids, out = folders
    folder = bids / 'sub-06' / 'ses-1' / 'anat'
    folder.mkdir(parents=True)
    (folder / 'sub-06_T1w.nii.gz').touch()
    reason = find_unfinished(bids, out, set(), set())[0]['sub-06_ses-1']
    assert reason != 'not run'
    assert 'ses-1' in reason


def test_scans_whose_writing_was_cut_off_are_not_finished(folders):
    bids, out = folders
    both = {naming(out, 'sub-02'), naming(out, 'sub-03')}
    assert split_finished(both, out) == (both, [])  # no records at all
    finish(out, 'sub-03')
    finished, findings = split_finished(both, out)
    assert finished == {naming(out, 'sub-03')}
    assert [(f.file, f.code) for f in findings] == [('sub-02', 'people-results-unfinished')]
    assert find_unfinished(bids, out, finished, both)[0]['sub-02'] == NOT_FINISHED
    fail(out, 'sub-02', {'scan': 'x', 'reason': 'disk full'})
    assert find_unfinished(bids, out, finished, both)[0]['sub-02'] == 'disk full'


def test_results_of_an_earlier_run_are_used_with_a_word(folders):
    _, out = folders
    finish(out, 'sub-02')
    fail(out, 'sub-02', {'scan': 'x', 'reason': 'no memory'})
    finished, findings = split_finished({naming(out, 'sub-02')}, out)
    assert len(finished) == 1
    assert findings[0].code == 'people-results-stale'
    assert 'no memory' in findings[0].finding
