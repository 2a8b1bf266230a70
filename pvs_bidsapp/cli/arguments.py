"""What the commands' parsers share."""

from __future__ import annotations

import argparse

#: Names of `pvs_bidsapp.simulation.scanner.SUITES`, which is too heavy to import for a parser.
SUITES = ('easy', 'hard', 'shift', 'mixed', 'training')


def command_parser(name: str, description: str, epilog: str = '') -> argparse.ArgumentParser:
    """A parser whose help keeps the lines of its texts."""
    return argparse.ArgumentParser(
        name, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
