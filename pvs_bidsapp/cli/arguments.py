"""Helpers that all parsers share."""

from __future__ import annotations

import argparse
from typing import Any

#: Names of `pvs_bidsapp.simulation.scanner.SUITES`, which is too heavy to import for a parser.
SUITES = ('easy', 'hard', 'shift', 'mixed', 'training')


def command_parser(name: str, description: str, epilog: str = '') -> argparse.ArgumentParser:
    """Make a parser whose help keeps the line breaks of its texts."""
    return argparse.ArgumentParser(
        name, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_option(group: argparse._ActionsContainer, *names: str, **kwargs: Any) -> None:
    """Add an option under both of its spellings, with hyphens and with underscores.

    Parameters
    ----------
    group : argument group or parser
    *names : str
        Spellings with hyphens, such as ``-w`` and ``--work-dir``; the help shows these alone.
    **kwargs
        As for ``add_argument``.
    """
    group.add_argument(*names, **kwargs)
    action = group._actions[-1]
    for name in names:
        other = name[:2] + name[2:].replace('-', '_')
        if other != name:
            # registered for parsing, but not in option_strings: the help need not list everything twice
            group._option_string_actions[other] = action
