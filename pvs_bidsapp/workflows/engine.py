"""Running the scans' workflows with nipype: its configuration, its plugins, and its reports of failures."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import logging
import multiprocessing.util
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bids.naming import Naming, logs_dir
from ..bids.query import Scan
from ..messages import options
from ..messages.message import one_line
from ..runtime.files import is_full, remove_leftovers, temporary_folder, write_text
from ..runtime.signals import ending_on_sigterm
from ..runtime.tracebacks import reason_of
from ..settings import Settings
from .plugin_file import LOCAL, read_plugin_file

if TYPE_CHECKING:
    from .progress import Progress

LOG = logging.getLogger(__name__)
WORKFLOW = 'pvs'
#: Seconds between two status queries to a batch system, whose scheduler more frequent ones would burden.
QUEUE_POLL = 5.0
#: Scans under way at a time in a batch system, if the plugin's file does not limit the number of jobs.
SCANS_IN_QUEUE = 20
#: Longest path of a folder for sockets: that of a socket may have 107 bytes.
_LONGEST_SOCKET_FOLDER = 60
_NODE = re.compile(rf'^Node: {WORKFLOW}\.(\w+)\.', re.MULTILINE)

_OUR_ERROR = re.compile(r'^\s*pvs_bidsapp\.errors\.\w+: ', re.MULTILINE)


class Failures:
    """Why scans failed, from the crash files of the runs of this process alone.

    nipype writes the files to a folder of the run. They are moved to the logs one by one.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._reasons: dict[str, str] = {}

    def reason(self, scan: Scan) -> str:
        """Why a scan that is not done failed, in one line."""
        from .scan import workflow_name

        if (reason := self._reasons.get(workflow_name(scan, self.settings))) is not None:
            return reason
        is_stopped = self._reasons and self.settings.execution.stop_on_first_crash
        return str((options.STOPPED_BY_OTHER if is_stopped else options.STOPPED).finding())

    def collect(self, folder: Path) -> None:
        """Read nipype's crash files in a folder, and move them to the logs."""
        for path in sorted(folder.glob('crash-*')):
            with contextlib.suppress(OSError):  # a full disk, say: it is no reason to stop the other scans
                self.note(path.read_text(encoding='utf-8', errors='replace'), path.name)
                os.replace(path, logs_dir(self.settings.out_dir) / path.name)

    def note(self, text: str, file: str = '') -> None:
        """Keep the reason of a failure; the first of a scan counts.

        Parameters
        ----------
        text : str
            Content of a crash file.
        file : str
            Its name.
        """
        if (node := _NODE.search(text)) is not None and node[1] not in self._reasons:
            reason, execution = error_line(text), self.settings.execution
            full = [path for path in (execution.work_dir, self.settings.out_dir) if is_full(path)]
            if full and not _OUR_ERROR.search(text):  # ITK, for one, does not say why it cannot write
                reason = str(options.DISK_FULL.finding(full[0], reason=f'no space left; {reason}'))
            self._reasons[node[1]] = f'{reason} [{file}]' if file else reason

    @property
    def are_known(self) -> bool:
        """Whether any scan failed for a reason."""
        return bool(self._reasons)


def error_line(text: str) -> str:
    """The reason in a crash file, in one line."""
    start = text.find('Traceback (most recent call last)')
    return reason_of(text[max(start, 0) :]) or 'failed for an unknown reason'


def run_scans(
    scans: Iterable[Scan],
    settings: Settings,
    failures: Failures | None = None,
    *,
    total: int = 1,
    on_end: Callable[[Scan], str | None] = lambda scan: None,
) -> None:
    """Run the scans' workflows, scan by scan; outputs show which of them are done.

    Parameters
    ----------
    scans : iterable of Scan
        Of which this process holds the locks. A scan is taken when it begins.
    settings : Settings
    failures : Failures
        To which the reasons of failures are added.
    total : int
        Scans of the run, for what is said of its progress.
    on_end : callable
        Called with each scan of which nothing is left to do; returns why it is not done, None if it is.
    """
    scans, work_dir = iter(scans), settings.execution.work_dir
    if (first := next(scans, None)) is None:
        return
    failures = failures or Failures(settings)
    work_dir.mkdir(parents=True, exist_ok=True)
    logs_dir(settings.out_dir).mkdir(parents=True, exist_ok=True)
    for folder in (work_dir, logs_dir(settings.out_dir)):
        remove_leftovers(folder)
    with temporary_folder(work_dir) as folder, temporary_folder(logs_dir(settings.out_dir)) as crashes:
        _configure_nipype(settings, folder)
        from .progress import Progress

        with (
            _temporary_files_in(folder),
            ending_on_sigterm(),
            Progress(total).shown() as progress,
        ):
            run = _Run(settings, failures, crashes, progress, on_end)
            try:
                run.execute(itertools.chain([first], scans))
            finally:
                failures.collect(crashes)


class _Run:
    """A run of scans by one plugin.

    Parameters
    ----------
    settings : Settings
    failures : Failures
    crashes : Path
        Folder of nipype's crash files.
    progress : Progress
    on_end : callable
        As for `run_scans`.
    """

    def __init__(
        self,
        settings: Settings,
        failures: Failures,
        crashes: Path,
        progress: Progress,
        on_end: Callable[[Scan], str | None],
    ) -> None:
        self.settings, self.failures, self.crashes = settings, failures, crashes
        self.progress, self._on_end = progress, on_end
        self.config = _execution_config(settings) | {'crashdump_dir': str(crashes)}

    def execute(self, scans: Iterable[Scan]) -> None:
        """Run scans on this machine, or by the plugin that the settings name."""
        plugin = self.settings.execution.plugin
        name, arguments = read_plugin_file(Path(plugin)) if plugin else (LOCAL[0], {})
        arguments = arguments | {'status_callback': self.progress}
        try:
            if name in LOCAL:
                self._by_workers(scans, arguments)
            else:
                with contextlib.suppress(KeyError):  # the user has no name, as in some containers
                    # nipype's SLURM plugin names its jobs by it; batch jobs and containers may lack it
                    os.environ.setdefault('LOGNAME', getpass.getuser())
                self._by_plugin(scans, name, arguments)
        except Exception as error:  # nipype's summary of failed nodes, mostly a RuntimeError
            self.failures.collect(self.crashes)
            if not self.failures.are_known and not isinstance(error, RuntimeError):
                raise
            LOG.debug('nipype: %s', one_line(str(error)))

    def _by_workers(self, scans: Iterable[Scan], arguments: dict[str, Any]) -> None:
        from .plugin import Workers

        execution = self.settings.execution
        limits = {'n_procs': execution.nprocs, 'memory_gb': execution.memory_gb}
        limits |= {key: value for key, value in arguments.items() if key in limits}

        def on_failure(text: str) -> None:
            self.failures.collect(self.crashes)
            self.failures.note(text)  # has an effect if there is no crash file

        always = {'raise_insufficient': False, 'status_callback': self.progress}
        workers = Workers(limits | always, on_failure, adapt_threads=execution.adapt_threads)
        try:
            self._by_scan(
                scans, workers, int(limits['n_procs']), poll=0
            )  # it waits for the workers by itself
        finally:
            workers.stop()

    def _by_plugin(self, scans: Iterable[Scan], name: str, arguments: dict[str, Any]) -> None:
        from nipype.pipeline import plugins
        from nipype.pipeline.plugins.base import DistributedPluginBase

        from .by_scan import ByScan

        kind = getattr(plugins, f'{name}Plugin')
        if issubclass(kind, DistributedPluginBase):
            by_scan = type(kind.__name__, (ByScan, kind), {})
            limit = int(arguments.get('max_jobs', SCANS_IN_QUEUE))
            self._by_scan(scans, by_scan(plugin_args=arguments), limit, poll=QUEUE_POLL)
            return
        for scan in scans:  # such a plugin takes a whole graph
            try:
                self._workflow(scan).run(plugin=name, plugin_args=arguments)
            except Exception as error:
                LOG.debug('nipype: %s', one_line(str(error)))
            self._end(scan)
            if self.failures.are_known and self.settings.execution.stop_on_first_crash:
                return

    def _by_scan(self, scans: Iterable[Scan], runner: Any, limit: int, *, poll: float) -> None:
        from .by_scan import graph_of

        graphs = ((scan, graph_of(self._workflow(scan))) for scan in scans)
        config = {'execution': self.config | {'poll_sleep_duration': str(poll)}}
        runner.run_scans(graphs, config, limit=limit, on_end=self._end)

    def _workflow(self, scan: Scan) -> Any:
        """The workflow of a scan, which begins with this."""
        from nipype.pipeline import engine as pe

        from .scan import init_scan_wf, workflow_name

        _remove_leftovers(scan, self.settings)
        top = pe.Workflow(name=WORKFLOW, base_dir=str(self.settings.execution.work_dir))
        top.config = {'execution': self.config}
        top.add_nodes([init_scan_wf(scan, self.settings)])
        n_steps = sum(not name.endswith('inputnode') for name in top.list_node_names())
        name = Naming.of(self.settings.out_dir, scan.anat).stem
        self.progress.begin(workflow_name(scan, self.settings), name, n_steps)
        return top

    def _end(self, scan: Scan) -> None:
        from .scan import workflow_name

        self.failures.collect(self.crashes)
        self.progress.end(workflow_name(scan, self.settings), self._on_end(scan))


def _remove_leftovers(scan: Scan, settings: Settings) -> None:
    """Remove what a killed run has left of a scan; it may be the one for which this run has waited."""
    names = Naming.of(settings.out_dir, scan.anat)
    for path in (names.anat(scan.suffix), names.figure('brain')):
        remove_leftovers(path.parent)


def work_folder(scan: Scan, settings: Settings) -> Path:
    """Folder of nipype's intermediate files of one scan."""
    from .scan import workflow_name

    return settings.execution.work_dir / WORKFLOW / workflow_name(scan, settings)


def remove_work_folder(scan: Scan, settings: Settings) -> None:
    """Remove the intermediate files of one scan."""
    shutil.rmtree(work_folder(scan, settings), ignore_errors=True)


def remove_empty_work_folder(settings: Settings) -> None:
    """Remove the work folder if nothing is left in it."""
    top = settings.execution.work_dir
    remove_leftovers(top)
    for folder in (top / WORKFLOW, top):
        with contextlib.suppress(OSError):  # not there, or not empty
            folder.rmdir()


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Put temporary files, also those of the workers, into a folder: /tmp may be small in a container."""
    # multiprocessing puts its sockets into the folder for temporary files of its first call, and the path of
    # a socket may have at most 107 characters: they stay in /tmp
    try:
        multiprocessing.util.get_temp_dir()
    except FileNotFoundError:  # there is no /tmp
        if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
            raise
    before = os.environ.get('TMPDIR')
    os.environ['TMPDIR'] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = None
        del os.environ['TMPDIR']
        if before is not None:
            os.environ['TMPDIR'] = before


def _execution_config(settings: Settings) -> dict[str, str]:
    """Nipype's settings of a run."""
    return {
        'crashfile_format': 'txt',
        'stop_on_first_crash': str(settings.execution.stop_on_first_crash).lower(),
        'job_finished_timeout': '5',
        'hash_method': 'timestamp',
        'check_version': 'false',
        'remove_unnecessary_outputs': 'false',
        'remove_node_directories': 'false',
        'local_hash_check': 'true',
        'stop_on_first_rerun': 'false',
        'create_report': 'false',  # it holds the environment's variables, and other files of the same names
    }


def _configure_nipype(settings: Settings, folder: Path) -> None:
    """Write nipype's settings to a file before nipype is imported; its workers read the file, too.

    Without it, nipype would write to the user's home, which need not exist. The workflow has the same
    settings, since a ``nipype.cfg`` in the current folder would change them.
    """
    level = 'INFO' if settings.execution.verbose > 1 else 'CRITICAL'  # details go to logs/
    logging_lines = [f'{name}_level = {level}' for name in ('workflow', 'interface', 'utils')]
    execution_lines = [f'{key} = {value}' for key, value in _execution_config(settings).items()]
    content = '\n'.join(['[logging]', *logging_lines, '[execution]', *execution_lines, ''])
    write_text(folder / 'nipype.cfg', content)
    os.environ['NIPYPE_CONFIG_DIR'] = str(folder)
    os.environ['NIPYPE_NO_ET'] = os.environ['NO_ET'] = '1'  # no check for newer versions
    logging.getLogger('nipype').setLevel(level)
