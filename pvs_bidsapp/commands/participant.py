"""Find and measure PVS in all scans of a dataset: one failed scan neither stops nor hides the others."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
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

    def sort(self, names: Sequence[str]) -> None:
        """Put the scans into the order of these names, in place of that in which they have ended."""
        position = {name: number for number, name in enumerate(names)}
        self.done.sort(key=position.__getitem__)
        self.failed = dict(sorted(self.failed.items(), key=lambda item: position[item[0]]))


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
    kept = [Naming.of(settings.out_dir, scan.anat) for scan in reused]
    changed += [names for names in kept if clear_failure(names)]
    changed += find_outdated(kept)
    failures, clock = engine.Failures(settings), time.monotonic()
    ends = _Ends(selection, settings, outcome, failures)
    try:
        run_unlocked_scans(waiting, settings, failures, ends.note_at_once)
    finally:
        for scan in waiting:
            ends.note(scan)
        outcome.sort(list(shown.values()))
        if waiting or selection.refused or changed:
            write_pages(ends.not_shown(), settings, changed=changed)
            _record(settings, outcome, time.monotonic() - clock)
        for scan in reused:
            _remove_traces(scan, settings)
        if settings.execution.clean_workdir:
            clean_work_dir([scan for scan in waiting if shown[scan] in outcome.done], settings)
    return outcome


class _Ends:
    """What became of the scans of a run: in its outcome, in their records, and on their pages.

    Parameters
    ----------
    selection : Selection
    settings : Settings
    outcome : Outcome
        To which each scan is added.
    failures : Failures
    """

    def __init__(
        self, selection: Selection, settings: Settings, outcome: Outcome, failures: engine.Failures
    ) -> None:
        self.selection, self.settings, self.outcome, self.failures = selection, settings, outcome, failures
        self._shown_as = names_of(selection, settings)
        #: Why each scan that has ended is not done; None if it is.
        self._reasons: dict[Scan, str | None] = {}
        self._pages: dict[Path, list[Scan | Refused]] = {}
        members: list[Scan | Refused] = [*selection.scans, *selection.refused]
        for member in members:
            self._pages.setdefault(self._page_of(member), []).append(member)
        self._are_current: set[Path] = set()

    def _page_of(self, member: Scan | Refused) -> Path:
        root = self.settings.out_dir
        if isinstance(member, Scan):
            return Naming.of(root, member.anat).report
        return Naming(root, member.entities).report if member.entities else root

    def note(self, scan: Scan) -> str | None:
        """Note what became of a scan, once; returns why it is not done, None if it is."""
        if scan not in self._reasons:
            self._are_current.discard(self._page_of(scan))
            self._reasons[scan] = self._record(scan)
        return self._reasons[scan]

    def _record(self, scan: Scan) -> str | None:
        names, shown = Naming.of(self.settings.out_dir, scan.anat), self._shown_as[scan]
        if status(scan, self.settings) == 'done':
            clear_failure(names)
            self.outcome.done.append(shown)
            for finding in findings_of(scan, self.settings):
                LOG.warning('%s', finding)
            return None
        absent = check_present(scan)
        reason = one_line(_as_named(self.failures.reason(scan), scan) if absent is None else str(absent))
        self.outcome.failed[shown] = reason
        write_failure(names, relative_path(scan, self.settings), reason)
        return reason

    def note_at_once(self, scan: Scan) -> str | None:
        """The same for a scan that has just ended and is still locked; shows it, and tidies up after it."""
        reason = self.note(scan)
        page = self._page_of(scan)
        try:
            write_pages(self._part({page}), self.settings)
            self._are_current.add(page)
        except OSError as error:  # a full disk, say: the page is written at the end of the run
            LOG.debug('%s: %s', page, error)
        if reason is None and self.settings.execution.clean_workdir:
            engine.remove_work_folder(scan, self.settings)
        elif reason is not None and (folder := engine.work_folder(scan, self.settings)).exists():
            LOG.info('%s: the next run goes on with what is in %s', one_line(self._shown_as[scan]), folder)
        return reason

    def not_shown(self) -> Selection:
        """The scans whose pages are still to be written."""
        members: list[Scan | Refused] = [*self._reasons, *self.selection.refused]
        ended = {self._page_of(member) for member in members}
        return self._part(ended - self._are_current)

    def _part(self, pages: Collection[Path]) -> Selection:
        """The scans of some pages."""
        members = [member for page in pages for member in self._pages[page]]
        return replace(
            self.selection,
            scans=tuple(member for member in members if isinstance(member, Scan)),
            refused=tuple(member for member in members if isinstance(member, Refused)),
        )


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


def _as_named(reason: str, scan: Scan) -> str:
    """A reason with the names that the owner gave to files in place of those of links to them."""
    for link, source in ((scan.anat, scan.source), (scan.t2w, scan.t2w_source)):
        if link is not None and source is not None:
            reason = reason.replace(str(link), str(source))
    return reason


def run_unlocked_scans(
    scans: Sequence[Scan],
    settings: Settings,
    failures: engine.Failures,
    on_end: Callable[[Scan], str | None],
) -> None:
    """Run the scans that no other job has locked; wait for the rest, and run those not finished by then.

    A scan is locked from its begin to its end, so that jobs of the same scans share the work. Scans of which
    a file has vanished are left out.

    Parameters
    ----------
    scans : sequence of Scan
    settings : Settings
    failures : Failures
    on_end : callable
        Called with each scan that has ended, while it is locked; returns why it is not done.
    """
    turns, is_logged = _Turns(scans, settings), False
    while turns.left:
        before = len(turns.left)

        def end(scan: Scan) -> str | None:
            try:
                return on_end(scan)
            finally:
                turns.release(scan)

        try:
            engine.run_scans(turns.take(), settings, failures, total=before, on_end=end)
        finally:
            turns.release_all()
        if failures.are_known and settings.execution.stop_on_first_crash:
            return
        if len(turns.left) == before:
            if not is_logged:
                is_logged = True
                LOG.info('%s: another job is working on it; waiting', one_line(turns.left[0].name))
            time.sleep(WAITING)


class _Turns:
    """Scans that are locked when it is their turn.

    Parameters
    ----------
    scans : sequence of Scan
    settings : Settings

    Attributes
    ----------
    left : list of Scan
        Those that were locked by other jobs when it was their turn, or have not had it.
    """

    def __init__(self, scans: Sequence[Scan], settings: Settings) -> None:
        self.left, self.settings = list(scans), settings
        self._held: dict[Scan, Locks] = {}

    def take(self) -> Iterator[Scan]:
        """The scans that no other job has locked or finished, each locked."""
        for scan in tuple(self.left):
            locks = locks_of(scan, self.settings)
            if not locks.acquire():
                continue
            self._held[scan] = locks
            self.left.remove(scan)
            if status(scan, self.settings) != 'done' and check_present(scan) is None:
                yield scan
            else:
                self.release(scan)

    def release(self, scan: Scan) -> None:
        """Release the locks of a scan."""
        self._held.pop(scan).release()

    def release_all(self) -> None:
        """Release all locks that are held."""
        for scan in tuple(self._held):
            self.release(scan)


def locks_of(scan: Scan, settings: Settings) -> Locks:
    """The locks on a scan's outputs and on its work folder: another job may share only one of them."""
    return Locks((Naming.of(settings.out_dir, scan.anat).lock, _work_lock(scan, settings)))


def _work_lock(scan: Scan, settings: Settings) -> Path:
    return settings.execution.work_dir / Naming.of(settings.out_dir, scan.anat).lock.name


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
