"""Running the scans' workflows with nipype: its configuration, its plugins, and its reports of failures."""

from __future__ import annotations

import contextlib
import getpass
import logging
import multiprocessing.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..bids.naming import logs_dir
from ..bids.query import Scan
from ..errors import InputError
from ..runtime.files import write_text
from ..runtime.signals import ending_on_sigterm
from ..settings import Settings

LOG = logging.getLogger(__name__)
WORKFLOW = 'pvs'
#: Seconds between two status queries to a batch system; more frequent ones would burden its scheduler.
QUEUE_POLL = 5
#: Nipype's own files in the work folder, which belong to all scans.
_NIPYPE_FILES = ('index.html', 'd3.js', 'graph.json', 'graph1.json')


def run_scans(scans: Sequence[Scan], settings: Settings) -> None:
    """Run the scans' workflows; outputs and crash files show which of them failed."""
    work_dir = settings.execution.work_dir
    work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='run-', dir=work_dir) as folder:
        _configure_nipype(settings, Path(folder))
        from nipype.pipeline import engine as pe

        from .scan import init_scan_wf

        top = pe.Workflow(name=WORKFLOW, base_dir=str(work_dir))
        top.add_nodes([init_scan_wf(scan, settings) for scan in scans])
        with _temporary_files_in(Path(folder)), ending_on_sigterm():
            _execute(top, settings)


def read_plugin_file(path: Path) -> dict[str, Any]:
    """Read a nipype plugin file: ``plugin:`` with the plugin's name, and ``plugin_args:``.

    Raises
    ------
    InputError
        If it cannot be read as YAML, or names no plugin.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f'--plugin {path}: cannot be read as YAML ({error})') from error
    if not isinstance(content, dict) or 'plugin' not in content:
        raise InputError(f'--plugin {path}: no "plugin:" entry')
    return content


def remove_work_folder(scan: Scan, settings: Settings) -> None:
    """Remove nipype's intermediate files of one scan."""
    from .scan import workflow_name

    folder = settings.execution.work_dir / WORKFLOW / workflow_name(scan, settings)
    shutil.rmtree(folder, ignore_errors=True)


def remove_empty_work_folder(settings: Settings) -> None:
    """Remove nipype's own files, and the work folder if nothing else is left in it."""
    top = settings.execution.work_dir
    for name in _NIPYPE_FILES:
        (top / WORKFLOW / name).unlink(missing_ok=True)
    for folder in (top / WORKFLOW, top):
        with contextlib.suppress(OSError):  # not there, or not empty
            folder.rmdir()


def failure_reason(scan: Scan, settings: Settings, since: float) -> str:
    """Why a scan failed, in one line, from the newest crash file of its workflow.

    Parameters
    ----------
    scan : Scan
    settings : Settings
    since : float
        Start of the run, in seconds since the epoch; older crash files are of other runs.
    """
    from .scan import workflow_name

    name = workflow_name(scan, settings)
    files = sorted(logs_dir(settings.out_dir).glob('crash-*.txt'), key=lambda p: p.stat().st_mtime)
    for path in reversed(files):
        text = path.read_text(encoding='utf-8', errors='replace')
        if path.stat().st_mtime >= since - 1 and re.search(rf'^Node: {WORKFLOW}\.{name}\.', text, re.M):
            return error_line(text) + f' [{path.name}]'
    return 'stopped before it was finished (killed, or out of memory?); run again to go on'


def error_line(text: str) -> str:
    """The exception at the end of a traceback, without its class if it is one of ours."""
    errors = re.findall(r'^\s*(?:[\w.]+\.)?(\w+(?:Error|Exception|Interrupt|Exit)): (.*)$', text, re.M)
    errors = [e for e in errors if e[0] != 'NodeExecutionError'] or errors
    if not errors:
        return 'failed for an unknown reason'
    name, message = errors[-1]
    return message if name in ('ImageError', 'ModelError', 'InputError') else f'{name}: {message}'


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Put temporary files, also those of the workers, into a folder: /tmp may be small in a container."""
    # multiprocessing puts its sockets into the folder for temporary files of its first call, and the path of
    # a socket may have at most 107 characters: they stay in /tmp
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
    """Run a workflow on this machine, or by the plugin that the settings name."""
    from .plugin import ProgressBar, Workers

    execution, progress = settings.execution, ProgressBar(top)
    try:
        if execution.plugin:
            # nipype's SLURM plugin names its jobs by it; batch jobs and containers may lack it
            os.environ.setdefault('LOGNAME', getpass.getuser())
            content = read_plugin_file(Path(execution.plugin))
            arguments = {'status_callback': progress} | content.get('plugin_args', {})
            top.run(plugin=content['plugin'], plugin_args=arguments)
            return
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


def _configure_nipype(settings: Settings, folder: Path) -> None:
    """Write nipype's settings to a file before nipype is imported; its workers read the file, too.

    Without it, nipype would write to the user's home, which need not exist.
    """
    level = 'INFO' if settings.execution.verbose > 1 else 'CRITICAL'  # details go to logs/
    content = f"""[logging]
workflow_level = {level}
interface_level = {level}
utils_level = {level}
[execution]
crashdump_dir = {logs_dir(settings.out_dir)}
crashfile_format = txt
stop_on_first_crash = {str(settings.execution.stop_on_first_crash).lower()}
poll_sleep_duration = {QUEUE_POLL if settings.execution.plugin else 1}
hash_method = timestamp
check_version = false
remove_unnecessary_outputs = false
"""
    write_text(folder / 'nipype.cfg', content)
    os.environ['NIPYPE_CONFIG_DIR'] = str(folder)
    os.environ['NIPYPE_NO_ET'] = os.environ['NO_ET'] = '1'  # no check for newer versions
    logging.getLogger('nipype').setLevel(level)
