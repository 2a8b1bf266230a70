"""Run all scans of a data set: one failed scan neither stops nor hides the others."""

from __future__ import annotations

import contextlib
import getpass
import logging
import multiprocessing.util
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..bids.dataset import describe_derivative
from ..bids.naming import Naming
from ..bids.query import Scan
from ..outputs.scan import status
from ..outputs.texts import CITATIONS, IGNORED, README, methods
from ..runtime.files import write_json, write_text
from ..runtime.locks import Lock, Locks
from ..runtime.signals import ending_on_sigterm
from ..settings import Settings

LOG = logging.getLogger(__name__)
WORKFLOW = 'pvs'
#: Seconds between two looks at a scan that another job is at work on.
WAITING = 5.0
#: Seconds between two questions to a batch system about each job: its scheduler has others to serve.
QUEUE_POLL = 5


@dataclass
class Outcome:
    """What became of the scans, by name of the T1w.

    Attributes
    ----------
    done, reused : list of str
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
    """Work on all scans that are not done yet, then write the pages.

    Pages and the record of the run are written whatever happens.
    """
    describe_output(settings)
    outcome, waiting = Outcome(), []
    for scan in scans:
        state = status(scan, settings)
        if state == 'done':
            outcome.reused.append(scan.t1w.name)
            continue
        if state == 'other settings':
            LOG.info('%s: inputs or settings differ from the last run, done anew', scan.t1w.name)
        waiting.append(scan)
    started = time.time()
    try:
        _take_turns(waiting, settings)
    finally:
        for scan in waiting:
            if status(scan, settings) == 'done':
                outcome.done.append(scan.t1w.name)
            else:
                outcome.failed[scan.t1w.name] = _reason(scan, settings, started)
        if waiting:
            write_pages(scans, settings, outcome.failed)
            _record(settings, outcome, time.time() - started)
        if settings.execution.clean_workdir and not outcome.failed:
            _clean(waiting, settings)
    return outcome


def _take_turns(scans: Sequence[Scan], settings: Settings) -> None:
    """Run the scans; those that another job is at are waited for, and taken over if it did not finish."""
    left, said = list(scans), False
    while left:
        locks = {scan: _locks(scan, settings) for scan in left}
        mine = [scan for scan in left if locks[scan].take()]
        try:
            if todo := [scan for scan in mine if status(scan, settings) != 'done']:
                _run_workflow(todo, settings)
        finally:
            for scan in mine:
                locks[scan].give_back()
        left = [scan for scan in left if scan not in mine]
        if left and not mine:
            if not said:
                said = True
                LOG.info('%s: another job is at work on it, waiting', left[0].t1w.name)
            time.sleep(WAITING)


def _locks(scan: Scan, settings: Settings) -> Locks:
    """On a scan's outputs and on its work folder: another job may share either of them without the other."""
    return Locks((Naming.of(settings.out_dir, scan.t1w).lock, _work_lock(scan, settings)))


def _work_lock(scan: Scan, settings: Settings) -> Path:
    return settings.execution.work_dir / Naming.of(settings.out_dir, scan.t1w).lock.name


def _clean(scans: Sequence[Scan], settings: Settings) -> None:
    """Remove the work folders of these scans; what belongs to other jobs stays."""
    from ..workflows.scan import workflow_name

    top = settings.execution.work_dir
    for scan in scans:
        lock = Lock(_work_lock(scan, settings))
        if lock.take():  # else another job has begun with it, for its own output folder
            shutil.rmtree(top / WORKFLOW / workflow_name(scan, settings), ignore_errors=True)
            lock.give_back()
    for name in ('index.html', 'd3.js', 'graph.json', 'graph1.json'):  # nipype's own, of all scans
        (top / WORKFLOW / name).unlink(missing_ok=True)
    for folder in (top / WORKFLOW, top):
        with contextlib.suppress(OSError):  # not there, or not empty
            folder.rmdir()


def describe_output(settings: Settings) -> None:
    """What describes the derivative data set; unchanged files are left alone."""
    out = settings.out_dir
    out.mkdir(parents=True, exist_ok=True)
    if not (out / 'dataset_description.json').exists():
        describe_derivative(out, 'Perivascular spaces (PVS BIDS-App)', settings.bids_dir)
    for name, text in (('README.md', README), ('.bidsignore', IGNORED), ('CITATION.bib', CITATIONS)):
        if not (out / name).exists() or (out / name).read_text(encoding='utf-8') != text:
            write_text(out / name, text)
    (out / 'logs').mkdir(exist_ok=True)


def _run_workflow(scans: Sequence[Scan], settings: Settings) -> None:
    """Run the scans' workflows; failures are read from the outputs afterwards."""
    with tempfile.TemporaryDirectory(prefix='run-', dir=_made(settings.execution.work_dir)) as folder:
        _configure_nipype(settings, Path(folder))
        from nipype.pipeline import engine as pe

        from ..workflows.scan import init_scan_wf

        top = pe.Workflow(name=WORKFLOW, base_dir=str(settings.execution.work_dir))
        top.add_nodes([init_scan_wf(scan, settings) for scan in scans])
        with _temporary_files_in(Path(folder)), ending_on_sigterm():
            _execute(top, settings)


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Ours and those of our workers: a container's /tmp may be small, the work folder has room."""
    # multiprocessing puts its sockets where temporary files go when it is first asked, and the path of a
    # socket may have 107 characters at most: they stay in /tmp
    multiprocessing.util.get_temp_dir()
    before = os.environ.get('TMPDIR')
    os.environ['TMPDIR'] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = None
        del os.environ['TMPDIR']
        if before is not None:
            os.environ['TMPDIR'] = before


def _execute(top: Any, settings: Settings) -> None:
    """Run a workflow here, or by the plugin asked for."""
    from ..workflows.plugin import ProgressBar

    execution, progress = settings.execution, ProgressBar(top)
    try:
        if execution.plugin:
            import yaml

            # nipype's SLURM plugin names its jobs by it; batch jobs and containers may lack it
            os.environ.setdefault('LOGNAME', getpass.getuser())
            content = yaml.safe_load(Path(execution.plugin).read_text(encoding='utf-8'))
            arguments = {'status_callback': progress} | content.get('plugin_args', {})
            top.run(plugin=content['plugin'], plugin_args=arguments)
            return
        from ..workflows.plugin import Workers

        workers = Workers({
            'n_procs': execution.nprocs, 'memory_gb': execution.memory_gb, 'raise_insufficient': False,
            'status_callback': progress,
        })  # fmt: skip
        try:
            top.run(plugin=workers)
        finally:
            workers.stop()
    except RuntimeError as error:  # nipype's summary of failed nodes
        LOG.debug('nipype: %s', error)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _configure_nipype(settings: Settings, folder: Path) -> None:
    """Give nipype its settings as a file, before it is imported: its workers read it too.

    Without one it would write to the user's home, which need not be there.
    """
    level = 'INFO' if settings.execution.verbose > 1 else 'CRITICAL'  # details go to logs/
    content = f"""[logging]
workflow_level = {level}
interface_level = {level}
utils_level = {level}
[execution]
crashdump_dir = {settings.out_dir / 'logs'}
crashfile_format = txt
stop_on_first_crash = {str(settings.execution.stop_on_first_crash).lower()}
poll_sleep_duration = {QUEUE_POLL if settings.execution.plugin else 1}
hash_method = timestamp
check_version = false
remove_unnecessary_outputs = false
"""
    write_text(folder / 'nipype.cfg', content)
    os.environ['NIPYPE_CONFIG_DIR'] = str(folder)
    os.environ['NIPYPE_NO_ET'] = os.environ['NO_ET'] = '1'  # no look for newer versions
    logging.getLogger('nipype').setLevel(level)


def _reason(scan: Scan, settings: Settings, since: float) -> str:
    """Why a scan failed, in one line, from the newest crash file of its workflow."""
    from ..workflows.scan import workflow_name

    name = workflow_name(scan, settings)
    files = sorted((settings.out_dir / 'logs').glob('crash-*.txt'), key=lambda p: p.stat().st_mtime)
    for path in reversed(files):
        text = path.read_text(encoding='utf-8', errors='replace')
        if path.stat().st_mtime >= since - 1 and re.search(rf'^Node: {WORKFLOW}\.{name}\.', text, re.M):
            return error_line(text) + f' [{path.name}]'
    return 'stopped before it was finished (killed, or out of memory?); run again to go on'


def error_line(text: str) -> str:
    """The exception at the end of a traceback, without the class where it is one of ours."""
    found = re.findall(r'^\s*(?:[\w.]+\.)?(\w+(?:Error|Exception|Interrupt|Exit)): (.*)$', text, re.M)
    found = [f for f in found if f[0] != 'NodeExecutionError'] or found
    if not found:
        return 'failed for an unknown reason'
    kind, message = found[-1]
    return message if kind in ('ImageError', 'ModelError', 'InputError') else f'{kind}: {message}'


def write_pages(scans: Sequence[Scan], settings: Settings, failed: dict[str, str]) -> list[Path]:
    """Write the page of every subject and session from what stands in OUT_DIR."""
    from ..reports.subject_page import ScanSection, render

    groups: dict[Path, list[Scan]] = {}
    for scan in scans:
        groups.setdefault(Naming.of(settings.out_dir, scan.t1w).report, []).append(scan)
    for page, members in groups.items():
        sections, errors = [], {}
        for scan in members:
            names = Naming.of(settings.out_dir, scan.t1w)
            if scan.t1w.name in failed:
                errors[scan.t1w.name] = failed[scan.t1w.name]
            elif names.status.exists():
                figures = {d: names.figure(d) for d in ('pvs', 'brain', 'regions', 't2w')}
                sections.append(ScanSection(
                    scan.t1w.name, names.anat('stats', '.tsv', desc='pvs'),
                    names.anat('dseg', '.tsv', desc='pvs'), names.anat('stats', '.json', desc='pvs'),
                    {k: p for k, p in figures.items() if p.exists()},
                ))  # fmt: skip
        write_text(page, render(f'Perivascular spaces: {page.stem}', sections, errors, methods(settings)))
    return list(groups)


def _record(settings: Settings, outcome: Outcome, seconds: float) -> None:
    """Settings and outcome of this run, in logs."""
    stamp = f'{time.strftime("%Y%m%d-%H%M%S")}_{uuid.uuid4().hex[:8]}'
    content = {
        'seconds': round(seconds, 1),
        'done': outcome.done,
        'reused': outcome.reused,
        'failed': outcome.failed,
        'settings': settings.dump(),
    }
    write_json(settings.out_dir / 'logs' / f'run_{stamp}.json', content)
