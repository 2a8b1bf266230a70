"""A run stopped at any change of the file system leaves nothing partial, and the next one completes it.

The steps that find the results are left out, so that a run takes a fraction of a second.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import outputs
from faults.made_up_results import make_dataset, make_results, make_settings
from nipype.pipeline import engine as pe

from pvs_bidsapp.bids.query import Query, find_scans
from pvs_bidsapp.commands import participant
from pvs_bidsapp.outputs.scan import write
from pvs_bidsapp.runtime.files import check_writable
from pvs_bidsapp.workflows import engine
from pvs_bidsapp.workflows import scan as scan_workflow

#: Changes of the file system, by the names of Python's audit events.
CHANGES = ('os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'shutil.rmtree')
#: Every so many changes, a run is stopped; at each one if PVS_FAULTS is set.
STRIDES = [
    (how, 1 if 'PVS_FAULTS' in os.environ else n) for how, n in ((signal.SIGKILL, 20), (signal.SIGINT, 40))
]


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[[Path], None]:
    """The participant level on two scans, whose results are ready; nipype is given nothing to do."""
    results, bids = make_results(tmp_path / 'results'), make_dataset(tmp_path / 'bids', '01', '02')
    selection = find_scans(bids, Query())

    def init_scan_wf(scan, settings):
        return pe.Workflow(name=scan_workflow.workflow_name(scan, settings))

    def by_workers(run, scans, arguments):
        for scan in scans:
            run._workflow(scan)
            engine.work_folder(scan, run.settings).mkdir(parents=True, exist_ok=True)
            write(scan, run.settings, results)
            run._end(scan)

    monkeypatch.setattr(scan_workflow, 'init_scan_wf', init_scan_wf)
    monkeypatch.setattr(engine._Run, '_by_workers', by_workers)

    def run_in(folder: Path) -> None:
        settings = make_settings(bids, folder)
        check_writable(settings.out_dir, 'OUT_DIR')
        outcome = participant.run(selection, settings)
        assert outcome.exit_status == 0
        assert len([*outcome.done, *outcome.reused]) == 2

    run_in(tmp_path / 'first')  # here, so that all is imported before processes are forked
    return run_in


def in_child(work: Callable[[], object], hook: Callable[[str, tuple], None] | None = None) -> int:
    """Do something in a process of its own; returns its exit status, negative if a signal ended it."""
    child = os.fork()
    if not child:
        status = 1
        try:
            if hook is not None:
                sys.addaudithook(hook)
            work()
            status = 0
        except KeyboardInterrupt:
            status = 130
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_change(event: str, arguments: tuple) -> bool:
    if event == 'open':
        return isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
    return event in CHANGES


def count_changes(work: Callable[[], object], file: Path) -> int:
    """Number of the changes of the file system that something makes; it is done in a child."""
    handle = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def count(event: str, arguments: tuple) -> None:
        if is_change(event, arguments):
            os.write(handle, b'.')

    assert in_child(work, count) == 0
    os.close(handle)
    return file.stat().st_size


def stopping(number: int, how: signal.Signals) -> Callable[[str, tuple], None]:
    """An audit hook that sends this process a signal just before a change."""
    left = [number]

    def hook(event: str, arguments: tuple) -> None:
        if is_change(event, arguments):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), how)

    return hook


@pytest.mark.parametrize(('how', 'stride'), STRIDES)
def test_a_run_stopped_at_any_change_is_completed_by_the_next(run, tmp_path, how, stride):
    whole = tmp_path / 'whole'
    changes = count_changes(lambda: run(whole), tmp_path / 'changes')
    assert changes > 100
    assert not outputs.damaged(whole / 'out') + outputs.leftovers(whole / 'out', whole / 'work')
    problems = []
    for number in range(1, changes + 1, stride):
        folder = tmp_path / f'{number}'
        out = folder / 'out'
        status = in_child(lambda folder=folder: run(folder), stopping(number, how))
        assert status in ((-how, 130) if how == signal.SIGINT else (-how,)), number
        found = [f'after the stop: {p}' for p in outputs.damaged(out)]
        again = in_child(lambda folder=folder: run(folder))
        found += [f'status {again}'] if again else []
        found += outputs.damaged(out) + outputs.differences(out, whole / 'out')
        found += [f'left behind: {name}' for name in outputs.leftovers(out, folder / 'work')]
        problems += [f'change {number}: {problem}' for problem in found]
    assert not problems, '\n'.join(problems)
