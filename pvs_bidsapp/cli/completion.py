"""``pvs --print-completion SHELL``: a script with which a shell completes commands and options."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

#: Shells for which a script can be printed.
SHELLS = ('bash', 'zsh')


class PrintCompletion(argparse.Action):
    """Print the script for a shell, and end the program."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        """Print the script for the shell that `values` names."""
        import shtab

        print(shtab.complete(whole_program(parser), shell=values))
        parser.exit()


def whole_program(app: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """One parser with the options of the BIDS-App and, in place of BIDS_DIR, the other commands.

    It describes the program to a shell, and is never used to parse arguments.

    Parameters
    ----------
    app : ArgumentParser
        That of the BIDS-App.
    """
    from .main import COMMANDS

    p = argparse.ArgumentParser('pvs')
    commands = p.add_subparsers(dest='bids_dir')
    for name in COMMANDS:
        made = import_module(f'.{name}', __package__).parser()
        summary = ' '.join((made.description or '').split('.')[0].split())
        commands.add_parser(name, parents=[made], add_help=False, help=summary)
    commands.nargs = None  # one word: without it, what follows a folder would count as its arguments
    for action in app._actions:
        if action.dest not in ('help', 'bids_dir'):
            p._add_action(action)
    return p
