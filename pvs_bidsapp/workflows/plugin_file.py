"""Reading a nipype plugin file, with which the steps are run by a batch system."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from ..messages import options

#: Bytes that are read at most: such a file has some lines.
_LARGEST = 100_000
#: nipype's plugins that run without further modules, and the commands that they call.
PLUGINS: dict[str, tuple[str, ...]] = {
    'MultiProc': (),
    'LegacyMultiProc': (),
    'Linear': (),
    'Debug': (),
    'SLURM': ('sbatch', 'squeue'),
    'SLURMGraph': ('sbatch',),
    'SGE': ('qsub', 'qstat'),
    'SGEGraph': ('qsub',),
    'PBS': ('qsub', 'qstat'),
    'PBSGraph': ('qsub',),
    'LSF': ('bsub', 'bjobs'),
    'OAR': ('oarsub', 'oarstat'),
    'Condor': ('condor_submit', 'condor_q'),
    'CondorDAGMan': ('condor_submit_dag',),
}
#: Those that run on this machine, in place of which `pvs_bidsapp.workflows.plugin.Workers` is used.
LOCAL = ('MultiProc', 'LegacyMultiProc')


class _Loader(yaml.SafeLoader):
    """Reads plain values only; aliases could make a small file fill the memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Read a node that is no alias."""
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError('aliases (*name) are not read here')
        return super().compose_node(parent, index)


def read_plugin_file(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a nipype plugin file: ``plugin:`` with the plugin's name, and ``plugin_args:``.

    Returns
    -------
    name : str
        A key of `PLUGINS`.
    arguments : dict
        Plain values by name.

    Raises
    ------
    InputError
        If it cannot be read as YAML, names no known plugin, or one whose commands are not there.
    """
    shown = f'--plugin {path}'
    content = _read(path, shown)
    if not isinstance(content, dict) or not isinstance(content.get('plugin'), str):
        raise options.PLUGIN_ENTRIES.error(shown, reason='no "plugin:" entry with a name')
    if unknown := [key for key in content if key not in ('plugin', 'plugin_args')]:
        raise options.PLUGIN_ENTRIES.error(shown, reason=f'the entry {str(unknown[0])[:50]!r} is not known')
    name, arguments = content['plugin'], content.get('plugin_args')
    if name not in PLUGINS:
        raise options.PLUGIN_UNKNOWN.error(shown, name=name[:50], choices=', '.join(PLUGINS))
    for command in PLUGINS[name]:
        if shutil.which(command) is None:
            raise options.PLUGIN_COMMAND.error(shown, name=name, command=command)
    return name, _check_arguments({} if arguments is None else arguments, name, shown)


def _read(path: Path, shown: str) -> Any:
    if not path.is_file():
        raise options.PLUGIN_UNREADABLE.error(shown, reason='no such file')
    try:
        with path.open('rb') as stream:
            text = stream.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise options.PLUGIN_UNREADABLE.error(shown, reason=f'more than {_LARGEST} bytes')
        return yaml.load(text.decode('utf-8'), Loader=_Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise options.PLUGIN_UNREADABLE.error(shown, reason=str(error)[:200]) from error


def _check_arguments(arguments: Any, name: str, shown: str) -> dict[str, Any]:
    """The arguments of a plugin, if they are plain values."""
    if not isinstance(arguments, dict):
        raise options.PLUGIN_ENTRIES.error(shown, reason='"plugin_args:" is no list of "name: value"')
    for key, value in arguments.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float | bool | None):
            raise options.PLUGIN_ENTRIES.error(
                shown, reason=f'plugin_args: {str(key)[:50]!r} is no plain value'
            )
    limits = {'max_jobs': 1} | ({'n_procs': 1, 'memory_gb': 0.1} if name in LOCAL else {})
    for key, least in limits.items():
        value = arguments.get(key, least)
        if isinstance(value, str | bool | None) or not least <= value < float('inf'):
            raise options.PLUGIN_ENTRIES.error(shown, reason=f'plugin_args: {key} is not at least {least}')
    return arguments
