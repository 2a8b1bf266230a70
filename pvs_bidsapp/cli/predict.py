"""``pvs predict``: one scan, or a folder of scans, without BIDS."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from ..errors import InputError
from . import participant
from .arguments import command_parser

DESCRIPTION = """\
Find and measure perivascular spaces on one T1w scan, or on every *.nii and *.nii.gz file of a
folder, without BIDS. OUT_DIR looks as after `participant`, with one sub- folder for each scan,
named after the file."""

EXAMPLES = """\
examples:
  pvs predict head.nii.gz out
  pvs predict head.nii.gz out --t2w head_t2.nii.gz --model m2ss-t1t2
  pvs predict folder-of-scans out --nprocs 8
"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = command_parser('pvs predict', DESCRIPTION, EXAMPLES)
    p.add_argument('t1w', type=Path, metavar='T1W', help='a T1w scan, or a folder of T1w scans')
    p.add_argument('--t2w', type=Path, metavar='T2W', help='T2w of the same session (for one scan only)')
    p.add_argument('out_dir', type=Path, metavar='OUT_DIR', help='folder for the outputs')
    p.add_argument('-v', '--verbose', action='count', default=0, help='-vv: print the messages of nipype')
    participant.add_analysis(p.add_argument_group('analysis'))
    participant.add_execution(p.add_argument_group('execution'))
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises
    ------
    InputError
        If a scan does not exist, or OUT_DIR cannot be written to.
    """
    from ..bids.query import Query
    from ..commands.predict import find_images, stage
    from ..runtime.files import check_writable

    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format='pvs: %(message)s', stream=sys.stderr)
    images = find_images(args.t1w)
    if args.t2w and len(images) > 1:
        raise InputError('--t2w goes with one scan, not with a folder')
    for path in filter(None, (*images, args.t2w)):
        if not path.exists():
            raise InputError(f'{path}: no such file')
    check_writable(args.out_dir, 'OUT_DIR')
    inputs = ((args.work_dir or args.out_dir / 'work') / 'inputs').resolve()
    stage(images, args.t2w, inputs)
    settings = participant.make_settings(args, inputs)
    return participant.process(args, settings, Query(use_t2w=args.modality != 'T1w'))
