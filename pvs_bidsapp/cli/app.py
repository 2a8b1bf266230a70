"""The BIDS-App form of the command line: ``pvs BIDS_DIR OUT_DIR participant|group``."""

from __future__ import annotations

import argparse
import logging

from .. import __version__
from ..messages import options
from . import group, participant
from .arguments import (
    PATH,
    OptionParser,
    add_option,
    add_verbosity,
    command_parser,
    log_to_terminal,
    name_of,
)
from .completion import SHELLS, PrintCompletion
from .folders import check_input, check_output, check_work_dir

DESCRIPTION = """\
Find and measure perivascular spaces (PVS) on T1w (and T2w) brain MRI. Research software, not a
medical device. Nothing is written to BIDS_DIR. The program never connects to the internet."""

EPILOG = """\
examples:
  pvs /bids /out participant                                  every T1w of every session
  pvs /bids /out participant --participant-label 01 02        two subjects
  pvs /bids /out participant --dry-run                        list what would be processed
  pvs /bids /out group                                        tables and a page of the cohort

other commands (pvs COMMAND --help):
  train      train a model, on labelled scans or on label maps
  predict    process one scan, or a folder of scans, without BIDS
  evaluate   compare PVS masks with reference masks
  calibrate  fit the intervals of a model's expected numbers
  simulate   make a BIDS dataset of simulated heads with known PVS
  models     list, show and verify the bundled models
  challenge  one scan in, posterior and mask out: the contract of the field's challenge

exit status of all commands: 0 all done; 1 some scan or file failed (the others are finished);
2 wrong usage or input; 3 a model or template is missing or damaged; 130 or 143 interrupted: run
the same command again to go on (`pvs train`: 1, and --resume goes on).
"""


LOG = logging.getLogger(__name__)
#: Options of the participant level that choose scans.
_SELECTION = ('participant_label', 'session_label', 'bids_filter_file')
#: Those that ask for something else in place of the work, so that doing the work would be a surprise.
_INSTEAD = ('dry_run', 'reports_only', 'boilerplate_only')


def parser() -> OptionParser:
    """Arguments of the BIDS-App."""
    p = command_parser('pvs', DESCRIPTION, EPILOG)
    p.add_argument('bids_dir', type=PATH, metavar='BIDS_DIR', help='BIDS dataset')
    p.add_argument('out_dir', type=PATH, metavar='OUT_DIR', help='folder for the outputs')
    p.add_argument(
        'level',
        choices=('participant', 'group'),
        help='participant: process each scan; group: tables, statistics and a page of all processed scans',
    )
    p.add_argument('--version', action='version', version=f'pvs {__version__}')
    add_option(
        p, '--print-completion', action=PrintCompletion, choices=SHELLS,
        help='print a script with which a shell completes commands and options',
    )  # fmt: skip
    add_verbosity(p)
    participant.add_selection(p.add_argument_group('scans'))
    participant.add_analysis(p.add_argument_group('analysis'))
    participant.add_execution(p.add_argument_group('execution'))
    group.add_options(p.add_argument_group('group level', group.COLUMNS))
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises
    ------
    InputError
        If arguments do not go together, or a folder cannot be used.
    """
    p = parser()
    args = p.parse_args(argv)
    level = logging.DEBUG if args.verbose > 1 else logging.INFO
    log_to_terminal(level)
    _check_level(p, args)
    _check_folders(args)
    return group.main(args) if args.level == 'group' else participant.main(args)


def _check_level(p: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse or tell options that have no effect at this level."""
    others = {
        'participant': ('group level',),
        'group': ('scans', 'analysis', 'execution'),
    }[args.level]
    for section in p._action_groups:
        for action in section._group_actions if section.title in others else ():
            is_ignored = (action.help or '').startswith(participant.COMPATIBLE)
            if getattr(args, action.dest) == action.default or is_ignored:
                continue
            if args.level == 'group' and action.dest in _SELECTION:
                raise options.NOT_AT_GROUP.error(name_of(action))
            if args.level == 'group' and action.dest in _INSTEAD:
                raise options.INSTEAD_OF_WORK.error(name_of(action))
            options.WITHOUT_EFFECT.log(LOG, name_of(action), level=args.level)


def _check_folders(args: argparse.Namespace) -> None:
    check_input(args.bids_dir, 'the root of a BIDS dataset')
    inputs = [(args.bids_dir, 'BIDS_DIR')]
    check_output(args.out_dir, 'OUT_DIR', inputs)
    if args.work_dir:
        check_work_dir(args.work_dir, args.out_dir, inputs)
    if args.bids_database_dir:
        check_output(args.bids_database_dir, '--bids-database-dir', inputs)
