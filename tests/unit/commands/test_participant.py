"""What becomes of the scans of a run, and what is recorded of them; no step of the workflow is run."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from layouts import put, put_images, put_results

from pvs_bidsapp.bids.query import Query, Scan, Selection, find_scans
from pvs_bidsapp.commands import participant
from pvs_bidsapp.commands.participant import clean_work_dir, locks_of, run
from pvs_bidsapp.workflows import engine
from pvs_bidsapp.workflows.engine import WORKFLOW
from pvs_bidsapp.workflows.scan import workflow_name

GOOD, BAD = 'sub-1/anat/sub-1_T1w.nii.gz', 'sub-2/anat/sub-2_T1w.nii.gz'


@pytest.fixture
def scan(settings):
    put(settings.bids_dir, GOOD)
    return Scan(settings.bids_dir / GOOD)


def elsewhere(settings, folder):
    """The same settings with another output folder, and with another work folder."""
    work = replace(settings.execution, work_dir=folder / 'work2')
    return replace(settings, out_dir=folder / 'out2'), replace(settings, execution=work)


@pytest.mark.parametrize('which', [0, 1])
def test_one_job_at_a_time_where_outputs_or_work_folder_are_shared(settings, scan, tmp_path, which):
    other = elsewhere(settings, tmp_path)[which]
    held, waiting = locks_of(scan, settings), locks_of(scan, other)
    assert held.acquire()
    assert not waiting.acquire()
    held.release()
    assert waiting.acquire()
    waiting.release()


def test_jobs_that_share_neither_do_not_wait_for_each_other(settings, scan, tmp_path):
    one, two = elsewhere(settings, tmp_path)
    held, free = locks_of(scan, one), locks_of(scan, two)
    assert held.acquire()
    assert free.acquire()
    held.release()
    free.release()


def test_a_work_folder_that_another_job_is_in_is_not_removed(settings, scan, tmp_path):
    folder = settings.execution.work_dir / WORKFLOW / workflow_name(scan, settings)
    folder.mkdir(parents=True)
    other = locks_of(scan, elsewhere(settings, tmp_path)[0])
    assert other.acquire()
    clean_work_dir([scan], settings)
    assert folder.is_dir()
    other.release()
    clean_work_dir([scan], settings)
    assert not settings.execution.work_dir.exists()


# ---- a run whose workflow is replaced


@pytest.fixture
def worked_on(monkeypatch):
    """Let a run finish every scan but those of sub-2; returns the names of all that it was given."""
    given = []

    def run_scans(scans, settings, failures, *, total, on_end):
        for scan in scans:
            given.append(scan.anat.name)
            if scan.entities['sub'] != '2':
                put_results(scan, settings)
            on_end(scan)

    monkeypatch.setattr(engine, 'run_scans', run_scans)
    monkeypatch.setattr(engine.Failures, 'reason', lambda *_: 'it could not')
    return given


def find(settings, **query):
    return find_scans(settings.bids_dir, Query(**query))


def failure(settings, stem):
    return json.loads((settings.out_dir / 'logs' / f'{stem}_failure.json').read_text())


def failures(settings):
    return sorted(p.name for p in settings.out_dir.glob('logs/*_failure.json'))


def test_a_failure_is_recorded_until_the_scan_is_done(settings, worked_on):
    put_images(settings.bids_dir, GOOD, BAD)
    outcome = run(find(settings), settings)
    assert (outcome.done, outcome.failed) == (['sub-1_T1w.nii.gz'], {'sub-2_T1w.nii.gz': 'it could not'})
    assert failures(settings) == ['sub-2_failure.json']
    assert failure(settings, 'sub-2') == {'scan': BAD, 'reason': 'it could not'}
    assert 'it could not' in (settings.out_dir / 'sub-2.html').read_text()
    put_results(find(settings).scans[1], settings)
    assert run(find(settings), settings).exit_status == 0
    assert failures(settings) == []
    assert 'it could not' not in (settings.out_dir / 'sub-2.html').read_text()


def test_refused_scans_are_named_and_recorded_and_the_others_are_done(settings, worked_on):
    put_images(settings.bids_dir, GOOD, *(f'sub-3/ses-{s}/anat/sub-3_T1w.nii.gz' for s in 'ab'))
    outcome = run(find(settings), settings)
    assert worked_on == outcome.done == ['sub-1_T1w.nii.gz']
    assert list(outcome.failed) == [f'sub-3/ses-{s}/anat/sub-3_T1w.nii.gz' for s in 'ab']
    assert outcome.exit_status == 1
    assert failures(settings) == ['sub-3_ses-a_failure.json', 'sub-3_ses-b_failure.json']
    assert failure(settings, 'sub-3_ses-b')['scan'] == 'sub-3/ses-b/anat/sub-3_T1w.nii.gz'
    for session in 'ab':
        assert f'sub-3_ses-{session}_T1w' in (settings.out_dir / f'sub-3_ses-{session}.html').read_text()
    (record,) = settings.out_dir.glob('logs/run_*.json')
    assert json.loads(record.read_text())['failed'] == outcome.failed


def test_a_refused_file_does_not_bear_the_record_of_a_good_one(settings, worked_on):
    put_images(settings.bids_dir, GOOD, 'sub-1/anat/sub-9_T1w.nii.gz')
    outcome = run(find(settings), settings)
    assert list(outcome.failed) == ['sub-9_T1w.nii.gz']
    assert failures(settings) == []
    assert run(find(settings), settings).reused == ['sub-1_T1w.nii.gz']


def test_if_all_are_refused_that_is_recorded_too(settings, worked_on):
    put_images(settings.bids_dir, 'sub-3/ses-a/anat/sub-3_T1w.nii.gz')
    outcome = run(find(settings), settings)
    assert (worked_on, outcome.exit_status) == ([], 1)
    assert failures(settings) == ['sub-3_ses-a_failure.json']


def test_a_record_goes_with_the_file_that_it_is_about(settings, worked_on):
    put_images(settings.bids_dir, GOOD, 'sub-3/anat/sub-4_T1w.nii.gz')
    run(find(settings), settings)
    assert failures(settings) == ['sub-3_failure.json']
    assert (settings.out_dir / 'sub-3.html').exists()
    (settings.bids_dir / 'sub-3/anat/sub-4_T1w.nii.gz').unlink()
    run(find(settings), settings)
    assert failures(settings) == []
    assert not (settings.out_dir / 'sub-3.html').exists()
    assert (settings.out_dir / 'sub-1.html').exists()


def test_the_record_of_a_failure_outlives_a_run_of_other_subjects(settings, worked_on):
    put_images(settings.bids_dir, GOOD, BAD)
    run(find(settings), settings)
    run(find(settings, subjects=('1',)), settings)
    assert failures(settings) == ['sub-2_failure.json']


@pytest.mark.parametrize('when', ['before', 'after'])
def test_a_scan_that_vanishes_before_its_turn_is_named_and_the_others_are_done(
    settings, worked_on, monkeypatch, when
):
    put_images(settings.bids_dir, GOOD, 'sub-3/anat/sub-3_T1w.nii.gz')
    audit = participant.audit_inputs

    def vanish_and_audit(selection, settings):
        if when == 'before':
            (settings.bids_dir / 'sub-3/anat/sub-3_T1w.nii.gz').unlink()
        audited = audit(selection, settings)
        (settings.bids_dir / 'sub-3/anat/sub-3_T1w.nii.gz').unlink(missing_ok=True)
        return audited

    monkeypatch.setattr(participant, 'audit_inputs', vanish_and_audit)
    outcome = run(find(settings), settings)
    assert worked_on == outcome.done == ['sub-1_T1w.nii.gz']
    assert 'there' in outcome.failed['sub-3_T1w.nii.gz']
    assert failures(settings) == ['sub-3_failure.json']


def test_an_interrupted_run_leaves_records_and_pages(settings, worked_on, monkeypatch):
    put_images(settings.bids_dir, GOOD, BAD)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, 'run_scans', interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(find(settings), settings)
    assert failures(settings) == ['sub-1_failure.json', 'sub-2_failure.json']
    assert (settings.out_dir / 'sub-1.html').exists()


def test_a_scan_is_shown_and_recorded_and_its_intermediate_files_are_gone_before_the_next_begins(
    settings, worked_on, monkeypatch, caplog
):
    put_images(settings.bids_dir, GOOD, BAD, 'sub-3/anat/sub-3_T1w.nii.gz')
    seen = []

    def run_scans(scans, settings, failures, *, total, on_end):
        for scan in scans:
            seen.append(state())
            folder = engine.work_folder(scan, settings)
            put(folder, 'conform/t1w.nii')
            if scan.entities['sub'] != '2':
                put_results(scan, settings)
            on_end(scan)
        seen.append(state())

    def state():
        pages = sorted(page.stem for page in settings.out_dir.glob('*.html'))
        locks = sorted(lock.name for lock in settings.out_dir.rglob('*.lock'))
        work = sorted(p.name[:10] for p in settings.execution.work_dir.glob('pvs/*'))
        return pages, len(locks), work

    monkeypatch.setattr(engine, 'run_scans', run_scans)
    caplog.set_level('INFO')
    run(find(settings), settings)
    assert seen == [
        ([], 1, []),
        (['sub-1'], 1, []),
        (['sub-1', 'sub-2'], 1, ['scan_sub_2']),
        (['sub-1', 'sub-2', 'sub-3'], 0, ['scan_sub_2']),
    ]
    assert failures(settings) == ['sub-2_failure.json']
    (said,) = [line for line in caplog.messages if 'scan_sub_2' in line]
    assert said.startswith('sub-2_T1w.nii.gz: ')


def test_intermediate_files_stay_if_the_user_says_so(settings, worked_on):
    put_images(settings.bids_dir, GOOD)
    kept = replace(settings, execution=replace(settings.execution, clean_workdir=False))
    folder = engine.work_folder(find(kept).scans[0], kept)
    put(folder, 'conform/t1w.nii')
    assert run(find(kept), kept).exit_status == 0
    assert (folder / 'conform' / 't1w.nii').exists()


def test_a_page_that_cannot_be_written_when_its_scan_ends_is_written_at_the_end(
    settings, worked_on, monkeypatch
):
    put_images(settings.bids_dir, GOOD, BAD)
    write, calls = participant.write_pages, []

    def write_pages(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise OSError(28, 'No space left on device')
        return write(*arguments, **options)

    monkeypatch.setattr(participant, 'write_pages', write_pages)
    outcome = run(find(settings), settings)
    assert (outcome.done, list(outcome.failed)) == (['sub-1_T1w.nii.gz'], ['sub-2_T1w.nii.gz'])
    assert all((settings.out_dir / f'sub-{n}.html').exists() for n in '12')


def test_jobs_of_the_same_scans_share_the_work(settings, worked_on, monkeypatch):
    """Another job has a scan when it is its turn; it is finished by the time the others are."""
    put_images(settings.bids_dir, GOOD, 'sub-3/anat/sub-3_T1w.nii.gz')
    monkeypatch.setattr(participant, 'WAITING', 0.01)
    selection = find(settings)
    other = locks_of(selection.scans[0], settings)
    assert other.acquire()
    run_scans = engine.run_scans

    def run_and_let_go(scans, *arguments, **options):
        run_scans(scans, *arguments, **options)
        if worked_on:
            put_results(selection.scans[0], settings)
            other.release()

    monkeypatch.setattr(engine, 'run_scans', run_and_let_go)
    assert run(selection, settings).done == ['sub-1_T1w.nii.gz', 'sub-3_T1w.nii.gz']
    assert worked_on == ['sub-3_T1w.nii.gz']


def test_two_scans_of_the_same_name_size_and_time_share_no_work_folder(settings, tmp_path):
    scans = []
    for folder in 'ab':
        put(tmp_path / folder, GOOD)
        os.utime(tmp_path / folder / GOOD, ns=(1, 1))
        scans.append(Scan(tmp_path / folder / GOOD))
    assert scans[0].inputs == scans[1].inputs
    assert workflow_name(scans[0], settings) != workflow_name(scans[1], settings)


def test_labels_with_a_plus_share_no_work_folder(settings, tmp_path):
    names = ('sub-1_acq-a+b+c_T1w.nii', 'sub-1_acq-a_b-c_T1w.nii')
    made = {workflow_name(Scan(tmp_path / name), settings).rsplit('_', 1)[0] for name in names}
    assert len(made) == 2
    assert all(name.replace('_', '').isalnum() for name in made)


def test_names_that_repeat_are_shown_by_their_paths(settings):
    selection = Selection(scans=tuple(Scan(settings.bids_dir / f / 'T1.nii') for f in 'ab'))
    assert set(participant.names_of(selection, settings).values()) == {'a/T1.nii', 'b/T1.nii'}
