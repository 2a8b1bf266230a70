"""Find and measure PVS in all scans of a dataset: one failed scan neither stops nor hides the others."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..bids.naming import Naming, logs_dir
from ..bids.query import Scan
from ..outputs.dataset import describe_output
from ..outputs.reports import write_pages
from ..outputs.scan import status
from ..runtime.files import write_json
from ..runtime.locks import Lock, Locks
from ..settings import Settings
from ..workflows import engine

LOG = logging.getLogger(__name__)
#: Seconds between two attempts to lock a scan that another job is working on.
WAITING = 5.0


@dataclass
class Outcome:
    """What became of the scans, by name of the T1w.

    Attributes
    ----------
    done, reused : list of str
        Finished by this run; finished before with the same inputs and settings.
    failed : dict of str to str
        With the reason in one line.
    """

    done: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """0 if nothing failed, else 1."""
        return 1 if self.failed else 0


def run(scans: Sequence[Scan], settings: Settings) -> Outcome:
    """Process all scans that are not done yet, then write the pages.

    Pages and the record of the run are written even if the run is interrupted.

    Parameters
    ----------
    scans : sequence of Scan
    settings : Settings

    Returns
    -------
    outcome : Outcome
    """
    describe_output(settings)
    outcome, waiting = Outcome(), []
    for scan in scans:
        state = status(scan, settings)
        if state == 'done':
            outcome.reused.append(scan.t1w.name)
            continue
        if state == 'other settings':
            LOG.info('%s: inputs or settings differ from the last run; processed again', scan.t1w.name)
        waiting.append(scan)
    started = time.time()
    try:
        run_unlocked_scans(waiting, settings)
    finally:
        for scan in waiting:
            if status(scan, settings) == 'done':
                outcome.done.append(scan.t1w.name)
            else:
                outcome.failed[scan.t1w.name] = engine.failure_reason(scan, settings, started)
        if waiting:
            write_pages(scans, settings, outcome.failed)
            _record(settings, outcome, time.time() - started)
        if settings.execution.clean_workdir and not outcome.failed:
            clean_work_dir(waiting, settings)
    return outcome


def run_unlocked_scans(scans: Sequence[Scan], settings: Settings) -> None:
    """Run the scans that no other job has locked; wait for the rest, and run those not finished by then."""
    left, is_logged = list(scans), False
    while left:
        locks = {scan: locks_of(scan, settings) for scan in left}
        mine = [scan for scan in left if locks[scan].acquire()]
        try:
            if todo := [scan for scan in mine if status(scan, settings) != 'done']:
                engine.run_scans(todo, settings)
        finally:
            for scan in mine:
                locks[scan].release()
        left = [scan for scan in left if scan not in mine]
        if left and not mine:
            if not is_logged:
                is_logged = True
                LOG.info('%s: another job is working on it; waiting', left[0].t1w.name)
            time.sleep(WAITING)


def locks_of(scan: Scan, settings: Settings) -> Locks:
    """The locks on a scan's outputs and on its work folder: another job may share only one of them."""
    return Locks((Naming.of(settings.out_dir, scan.t1w).lock, _work_lock(scan, settings)))


def _work_lock(scan: Scan, settings: Settings) -> Path:
    return settings.execution.work_dir / Naming.of(settings.out_dir, scan.t1w).lock.name


def clean_work_dir(scans: Sequence[Scan], settings: Settings) -> None:
    """Remove the work folders of these scans; what belongs to other jobs stays."""
    for scan in scans:
        lock = Lock(_work_lock(scan, settings))
        if lock.acquire():  # else another job is working on it, for its own output folder
            engine.remove_work_folder(scan, settings)
            lock.release()
    engine.remove_empty_work_folder(settings)


def _record(settings: Settings, outcome: Outcome, seconds: float) -> None:
    """Write settings and outcome of this run to the logs."""
    stamp = f'{time.strftime("%Y%m%d-%H%M%S")}_{uuid.uuid4().hex[:8]}'
    content = {
        'seconds': round(seconds, 1),
        'done': outcome.done,
        'reused': outcome.reused,
        'failed': outcome.failed,
        'settings': settings.dump(),
    }
    write_json(logs_dir(settings.out_dir) / f'run_{stamp}.json', content)
