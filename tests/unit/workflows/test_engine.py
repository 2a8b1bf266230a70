"""Runs with nipype: what is told of failures, what is left, and what is used again."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from nipype import Function
from nipype.pipeline import engine as pe
from refusals import refused

from pvs_bidsapp.bids.query import Scan
from pvs_bidsapp.errors import PVSError
from pvs_bidsapp.messages import options
from pvs_bidsapp.runtime.files import TEMPORARY, own_prefix
from pvs_bidsapp.workflows import engine
from pvs_bidsapp.workflows import scan as scan_workflow
from pvs_bidsapp.workflows.step import SEAL, Step


def count_and_write(folder, text):
    """A step: notes that it runs, and writes a file."""
    from pathlib import Path

    with Path(folder, 'log').open('a') as stream:
        stream.write(text + '\n')
    path = Path('out.txt').absolute()
    path.write_text(text * 1000)
    return str(path)


def fail(what):
    """A step that fails."""
    import os
    import signal
    import zlib

    from pvs_bidsapp.messages import scans

    if what == 'ours':
        try:
            zlib.decompress(b'abc')
        except zlib.error as error:
            raise scans.DAMAGED.error('/d/sub-1_T1w.nii', reason=error) from error
    if what == 'full':
        with open('/dev/full', 'w') as stream:
            stream.write('x' * 100_000)
    if what == 'killed':
        os.kill(os.getpid(), signal.SIGKILL)
    if what == 'ctrl-c':
        raise KeyboardInterrupt
    return what


def step(name, function, **inputs):
    made = Step(Function(input_names=list(inputs), output_names=['out'], function=function), name=name)
    for key, value in inputs.items():
        setattr(made.inputs, key, value)
    return made


@pytest.fixture
def scan(settings):
    path = settings.bids_dir / 'sub-1' / 'anat' / 'sub-1_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    path.touch()
    return Scan(path)


@pytest.fixture
def run(settings, scan, monkeypatch):
    """Run steps as those of the scan; returns the failures."""
    monkeypatch.setattr(engine, 'QUEUE_POLL', 0.05)

    def run(*steps, edges=(), config=settings):
        def build(scan, settings):
            workflow = pe.Workflow(name=scan_workflow.workflow_name(scan, settings))
            workflow.add_nodes(list(steps))
            workflow.connect(list(edges))
            return workflow

        monkeypatch.setattr(scan_workflow, 'init_scan_wf', build)
        failures = engine.Failures(config)
        engine.run_scans([scan], config, failures)
        return failures

    return run


@pytest.mark.parametrize(
    ('what', 'words'),
    [
        ('ours', '/d/sub-1_T1w.nii: cannot be read, damaged or cut short'),
        ('full', 'could not be written (No space left on device); free some space'),
        ('killed', 'lack of memory'),
        ('ctrl-c', 'KeyboardInterrupt'),
    ],
)
def test_the_reason_of_a_failure_is_told_and_its_file_is_in_the_logs(run, scan, settings, what, words):
    failures = run(step('bad', fail, what=what))
    (crash,) = (settings.out_dir / 'logs').iterdir()
    assert crash.name.startswith('crash-')
    reason = failures.reason(scan)
    assert words in reason
    assert reason.endswith(f'[{crash.name}]')
    assert not [p for p in settings.execution.work_dir.iterdir() if p.name.startswith(TEMPORARY)]


def test_a_crash_file_says_nothing_of_the_environment(run, settings, monkeypatch):
    monkeypatch.setenv('TOKEN_OF_MINE', 'hunter2')
    run(step('bad', fail, what='ours'))
    files = [path for path in settings.out_dir.rglob('*') if path.is_file()]
    assert any(path.name.startswith('crash-') for path in files)
    assert not any(b'hunter2' in path.read_bytes() for path in files)


def test_crash_files_of_other_runs_say_nothing_of_this_one(run, scan, settings):
    logs = settings.out_dir / 'logs'
    logs.mkdir(parents=True)
    name = scan_workflow.workflow_name(scan, settings)
    for number, year in enumerate((1990, 2090)):  # whatever the clock says
        path = logs / f'crash-{year}0101-000000-me-{number}.txt'
        path.write_text(f'Node: pvs.{name}.bad\nTraceback (most recent call last):\nValueError: of {year}\n')
        os.utime(path, (1e9 * (1 + 3 * number),) * 2)
    with refused(options.STOPPED):
        raise PVSError(run(step('good', fail, what='')).reason(scan))
    assert 'lack of memory' in run(step('bad', fail, what='killed')).reason(scan)


def test_a_scan_that_was_not_reached_after_the_failure_of_another(run, scan, settings):
    execution = replace(settings.execution, stop_on_first_crash=True)
    failures = run(step('bad', fail, what='ours'), config=replace(settings, execution=execution))
    other = Scan(scan.anat.with_name('sub-2_T1w.nii.gz'))
    with refused(options.STOPPED_BY_OTHER, naming='--stop-on-first-crash'):
        raise PVSError(failures.reason(other))
    assert 'damaged' in failures.reason(scan)


def test_logs_that_cannot_be_written_do_not_hide_the_reason(run, scan, settings, monkeypatch):
    def full(*_, **__):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('nipype.pipeline.plugins.base.report_crash', full)
    assert 'damaged' in run(step('bad', fail, what='ours')).reason(scan)


def test_the_plugin_file_of_many_guides_runs_on_this_machine(run, scan, settings, tmp_path):
    file = tmp_path / 'plugin.yml'
    file.write_text(
        'plugin: LegacyMultiProc\nplugin_args: {n_procs: 1, maxtasksperchild: 1, mp_context: odd}\n'
    )
    config = replace(settings, execution=replace(settings.execution, plugin=str(file)))
    assert 'damaged' in run(step('bad', fail, what='ours'), config=config).reason(scan)


def test_a_run_goes_on_where_a_killed_one_stopped_whatever_that_left(run, scan, settings, tmp_path):
    log = tmp_path / 'log'

    def again():
        first = step('first', count_and_write, folder=str(tmp_path), text='a')
        second = step('second', count_and_write, folder=str(tmp_path), text='')
        failures = run(first, second, edges=[(first, second, [('out', 'text')])])
        return 'a' if 'stopped' in failures.reason(scan) else failures.reason(scan)

    again()
    work = settings.execution.work_dir / engine.WORKFLOW / scan_workflow.workflow_name(scan, settings)
    assert log.read_text().split() == ['a', str(work / 'first' / 'out.txt')]
    again()
    assert len(log.read_text().split()) == 2  # both are used again
    (work / 'second' / SEAL).unlink()
    (work / 'second' / '_0xabc_unfinished.json').touch()
    again()
    assert len(log.read_text().split()) == 3
    (work / 'first' / 'result_first.pklz').write_bytes(b'')
    again()
    assert len(log.read_text().split()) == 5
    assert sorted(p.name for p in settings.execution.work_dir.iterdir()) == [engine.WORKFLOW]


def test_what_killed_runs_have_left_is_removed_and_what_is_in_use_stays(run, settings, scan):
    names = scan_workflow.Naming.of(settings.out_dir, scan.anat)
    results = (names.anat('T1w').parent, names.figure('brain').parent)
    folders = (settings.execution.work_dir, names.logs, *results)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{own_prefix()}1.nii.gz').write_bytes(b'half')
        (folder / 'mine.nii.gz').write_bytes(b'whole')
    run(step('good', fail, what=''))
    assert all([p.name for p in folder.iterdir() if p.is_file()] == ['mine.nii.gz'] for folder in folders)


def test_only_own_folders_are_removed_from_the_work_folder(settings, scan):
    top = settings.execution.work_dir
    name = scan_workflow.workflow_name(scan, settings)
    for path in (f'pvs/{name}/conform/x', 'pvs/index.html', 'pvs/mine/x', 'run-1/x', 'notes.txt'):
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).touch()
    engine.remove_work_folder(scan, settings)
    engine.remove_empty_work_folder(settings)
    left = sorted(str(p.relative_to(top)) for p in top.rglob('*') if p.is_file())
    assert left == ['notes.txt', 'pvs/index.html', 'pvs/mine/x', 'run-1/x']
