"""Find and measure PVS in all scans of a dataset: one failed scan neither stops nor hides the others."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..bids.naming import Naming, logs_dir
from ..bids.query import Refused, Scan, Selection, check_present
from ..messages.message import one_line
from ..outputs.dataset import describe_output
from ..outputs.records import clear_failure, forget_gone, relative_path, write_failure
from ..outputs.reports import find_outdated, write_pages
from ..outputs.scan import findings_of, status
from ..runtime.files import remove_leftovers, write_json
from ..runtime.locks import Lock, Locks
from ..settings import Settings
from ..workflows import engine
from .audit import audit_inputs

LOG = logging.getLogger(__name__)
#: Seconds between two attempts to lock a scan that another job is working on.
WAITING = 5.0


@dataclass
class Outcome:
    """What became of the scans, by name of the T1w, or by its path where a name is not unique.

    Attributes
    ----------
    done, reused : list of str
        Finished by this run; finished before with the same inputs and settings.
    failed : dict of str to str
        With the reason in one line; also those that were refused before the work.
    """

    done: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """0 if nothing failed, else 1."""
        return 1 if self.failed else 0


def run(selection: Selection, settings: Settings) -> Outcome:
    """Process all scans that are not done yet, then write the pages.

    Pages and the records of the run and of each failure are written even if the run is interrupted.

    Parameters
    ----------
    selection : Selection
    settings : Settings

    Returns
    -------
    outcome : Outcome
    """
    describe_output(settings)
    remove_leftovers(logs_dir(settings.out_dir))
    selection = audit_inputs(selection, settings)
    shown, outcome = names_of(selection, settings), Outcome()
    changed = forget_gone(settings, selection.subjects)
    for refused in selection.refused:
        outcome.failed[shown[refused]] = refused.reason
        if refused.entities is not None:
            write_failure(Naming(settings.out_dir, refused.entities), refused.path, refused.reason)
    is_done = {scan: _is_done(scan, settings) for scan in selection.scans}
    waiting, reused = ([scan for scan in is_done if is_done[scan] == done] for done in (False, True))
    outcome.reused = [shown[scan] for scan in reused]
    kept = [Naming.of(settings.out_dir, scan.t1w) for scan in reused]
    changed += [names for names in kept if clear_failure(names)]
    changed += find_outdated(kept)
    failures, clock = engine.Failures(settings), time.monotonic()
    try:
        run_unlocked_scans(waiting, settings, failures)
    finally:
        for scan in waiting:
            _conclude(scan, settings, outcome, shown[scan], failures)
        if waiting or selection.refused or changed:
            write_pages(selection, settings, changed=changed)
            _record(settings, outcome, time.monotonic() - clock)
        for scan in reused:
            _remove_traces(scan, settings)
        if settings.execution.clean_workdir and not {shown[scan] for scan in waiting} & set(outcome.failed):
            clean_work_dir(waiting, settings)
    return outcome


def names_of(selection: Selection, settings: Settings) -> dict[Scan | Refused, str]:
    """What each scan is called: the name of its file, or its path in the dataset where names repeat."""
    members: list[tuple[Scan | Refused, str]] = [(s, relative_path(s, settings)) for s in selection.scans]
    members += [(refused, refused.path) for refused in selection.refused]
    counts = Counter(member.name for member, _ in members)
    return {member: member.name if counts[member.name] == 1 else path for member, path in members}


def _is_done(scan: Scan, settings: Settings) -> bool:
    state = status(scan, settings)
    if state == 'other settings':
        LOG.info('%s: inputs or settings differ from the last run; processed again', one_line(scan.name))
    return state == 'done'


def _conclude(scan: Scan, settings: Settings, outcome: Outcome, name: str, failures: engine.Failures) -> None:
    """Note what became of a scan, in the outcome and in its record."""
    names = Naming.of(settings.out_dir, scan.t1w)
    if status(scan, settings) == 'done':
        clear_failure(names)
        outcome.done.append(name)
        for finding in findings_of(scan, settings):
            LOG.warning('%s', finding)
        return
    absent = check_present(scan)
    reason = _as_named(failures.reason(scan), scan) if absent is None else str(absent)
    outcome.failed[name] = one_line(reason)
    write_failure(names, relative_path(scan, settings), one_line(reason))


def _as_named(reason: str, scan: Scan) -> str:
    """A reason with the names that the owner gave to files in place of those of links to them."""
    for link, source in ((scan.t1w, scan.source), (scan.t2w, scan.t2w_source)):
        if link is not None and source is not None:
            reason = reason.replace(str(link), str(source))
    return reason


def run_unlocked_scans(
    scans: Sequence[Scan], settings: Settings, failures: engine.Failures | None = None
) -> None:
    """Run the scans that no other job has locked; wait for the rest, and run those not finished by then.

    Scans of which a file has vanished are left out.
    """
    left, is_logged = list(scans), False
    while left:
        locks = {scan: locks_of(scan, settings) for scan in left}
        mine = [scan for scan in left if locks[scan].acquire()]
        try:
            todo = [scan for scan in mine if status(scan, settings) != 'done' and check_present(scan) is None]
            if todo:
                engine.run_scans(todo, settings, failures)
        finally:
            for scan in mine:
                locks[scan].release()
        left = [scan for scan in left if scan not in mine]
        if left and not mine:
            if not is_logged:
                is_logged = True
                LOG.info('%s: another job is working on it; waiting', one_line(left[0].name))
            time.sleep(WAITING)


def locks_of(scan: Scan, settings: Settings) -> Locks:
    """The locks on a scan's outputs and on its work folder: another job may share only one of them."""
    return Locks((Naming.of(settings.out_dir, scan.t1w).lock, _work_lock(scan, settings)))


def _work_lock(scan: Scan, settings: Settings) -> Path:
    return settings.execution.work_dir / Naming.of(settings.out_dir, scan.t1w).lock.name


def _remove_traces(scan: Scan, settings: Settings) -> None:
    """Remove what a run that was killed after a scan's results has left of it: locks, and the work folder."""
    execution, locks = settings.execution, locks_of(scan, settings)
    if locks.exist() and locks.acquire():  # else another job holds them
        locks.release()
    if execution.clean_workdir and (execution.work_dir / engine.WORKFLOW).exists():
        clean_work_dir([scan], settings)


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
