"""The BIDS-App form of the command line: ``pvs BIDS_DIR OUT_DIR participant|group``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from .. import __version__
from ..errors import InputError
from . import group, participant
from .arguments import command_parser

DESCRIPTION = """\
Find and measure perivascular spaces (PVS) on T1w (and T2w) brain MRI. Research software, not a
medical device. Nothing is written to BIDS_DIR. The program uses no network."""

EPILOG = """\
examples:
  pvs /bids /out participant                                  every T1w of every session
  pvs /bids /out participant --participant-label 01 02        two subjects
  pvs /bids /out participant --dry-run                        list what would be processed
  pvs /bids /out group                                        tables and a page of the cohort

other commands (pvs COMMAND --help):
  train      retrain a model on labelled scans
  predict    process one scan, or a folder of scans, without BIDS
  evaluate   compare PVS masks with reference masks
  simulate   make a BIDS dataset of simulated heads with known PVS
  models     list, show and verify the bundled models

exit status: 0 all done; 1 some scan failed (the others are finished); 2 wrong usage or input;
3 a model or template is missing or damaged.
"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the BIDS-App."""
    p = command_parser('pvs', DESCRIPTION, EPILOG)
    p.add_argument('bids_dir', type=Path, metavar='BIDS_DIR', help='BIDS dataset')
    p.add_argument('out_dir', type=Path, metavar='OUT_DIR', help='folder for the outputs')
    p.add_argument(
        'level',
        choices=('participant', 'group'),
        help='participant: process each scan; group: statistics of all processed scans',
    )
    p.add_argument('--version', action='version', version=f'pvs {__version__}')
    p.add_argument(
        '-v', '--verbose', action='count', default=0, help='-vv: print debug messages and those of nipype'
    )
    participant.add_selection(p.add_argument_group('scans'))
    participant.add_analysis(p.add_argument_group('analysis'))
    participant.add_execution(p.add_argument_group('execution'))
    group.add_options(p.add_argument_group('group level'))
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    level = logging.DEBUG if args.verbose > 1 else logging.INFO
    logging.basicConfig(level=level, format='pvs: %(message)s', stream=sys.stderr)
    _check_folders(args.bids_dir, args.out_dir)
    return group.main(args) if args.level == 'group' else participant.main(args)


def _check_folders(bids_dir: Path, out_dir: Path) -> None:
    if not bids_dir.is_dir():
        raise InputError(f'{bids_dir}: no such folder; give the root of a BIDS dataset')
    bids, out = bids_dir.resolve(), out_dir.resolve()
    if out == bids or bids in out.parents:
        raise InputError(
            f'OUT_DIR {out_dir} lies inside BIDS_DIR, to which nothing is written; give another folder'
        )
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f'OUT_DIR {out_dir} is a file')
