"""``pvs --print-completion SHELL``: a script with which a shell completes commands and options."""

from __future__ import annotations

import argparse
import re
from importlib import import_module
from typing import Any

#: Shells for which a script can be printed.
SHELLS = ('bash', 'zsh')
#: Stands for the folder of a dataset in the script for zsh; the last of the commands by name.
_FOLDER = 'zzfolder'
#: What offers the bundled models, and folders.
_MODELS = {
    'bash': '_pvs_models() {{ compgen -W "{names}" -- "$1"; compgen -d -- "$1"; }}',
    'zsh': '_pvs_models() {{ compadd {names}; _files -/; }}',
}
#: In the names of values that are files or folders.
_PLACES = ('DIR', 'FILE', 'PATH', 'LABEL_MAPS')


class PrintCompletion(argparse.Action):
    """Print the script for a shell, and end the program."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        """Print the script for the shell that `values` names."""
        print(script(parser, values))
        parser.exit()


def script(app: argparse.ArgumentParser, shell: str) -> str:
    """The script for a shell.

    Parameters
    ----------
    app : ArgumentParser
        That of the BIDS-App.
    shell : str
        One of `SHELLS`.
    """
    import shtab

    from ..segmentation.model import bundled_names

    models = _MODELS[shell].format(names=' '.join(bundled_names()))
    text: str = shtab.complete(whole_program(app, shell), shell=shell, preamble=models)
    if shell == 'bash':  # files and folders where nothing else is offered
        return text.replace('complete -o bashdefault', 'complete -o bashdefault -o default')
    return _with_folders(text)


def whole_program(app: argparse.ArgumentParser, shell: str) -> argparse.ArgumentParser:
    """One parser with the options of the BIDS-App and, in place of BIDS_DIR, the other commands.

    It describes the program to a shell, and is never used to parse arguments.

    Parameters
    ----------
    app : ArgumentParser
        That of the BIDS-App.
    shell : str
        One of `SHELLS`. For zsh, what follows BIDS_DIR is a further command, see `_with_folders`.
    """
    from .main import COMMANDS

    p = argparse.ArgumentParser('pvs')
    commands = p.add_subparsers(dest='bids_dir')
    for name in COMMANDS:
        made = import_module(f'.{name}', __package__).parser()
        summary = ' '.join((made.description or '').split('.')[0].split())
        commands.add_parser(name, parents=[made], add_help=False, help=summary)
    commands.nargs = None  # one word: without it, what follows a folder would count as its arguments
    rest = commands.add_parser(_FOLDER, add_help=False, help='a dataset') if shell == 'zsh' else p
    for action in app._actions:
        if action.dest not in ('help', 'bids_dir'):
            rest._add_action(action)
    for parser in (p, *commands.choices.values()):
        for action in parser._actions:
            _complete(action)
    return p


def _complete(action: argparse.Action) -> None:
    """Say what a shell offers for the value of an option or an argument."""
    import shtab

    if action.dest in ('model', 'init') or (action.dest == 'name' and not action.option_strings):
        action.complete = {'bash': '_pvs_models', 'zsh': '_pvs_models'}  # type: ignore[attr-defined]
    elif action.choices is not None:
        return
    elif not action.option_strings or any(word in str(action.metavar) for word in _PLACES):
        action.complete = shtab.FILE  # type: ignore[attr-defined]


def _with_folders(text: str) -> str:
    """The script for zsh, with the options of the BIDS-App after a folder in place of a command."""
    text = text.replace("': :_shtab_pvs_commands'", "': :{_shtab_pvs_commands; _files -/}'")
    text = re.sub(rf"\n *'?{_FOLDER}'?:[^\n]*", '', text)
    return re.sub(rf'\b{_FOLDER}\)', '*)', text)
