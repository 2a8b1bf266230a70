"""``pvs predict``: one scan, or a folder of scans, without BIDS."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from . import participant
from .arguments import PATH, OptionParser, add_verbosity, command_parser, log_to_terminal
from .folders import check_output, check_work_dir

if TYPE_CHECKING:
    from ..bids.query import Selection
    from ..settings import Settings

DESCRIPTION = """\
Find and measure perivascular spaces on one T1w scan, or on every *.nii, *.nii.gz, *.mgz and *.mgh
file of a folder, without BIDS. OUT_DIR looks as after `participant`, with one sub- folder for each
scan, named after the file. Results of another file of the same name are never overwritten."""

EXAMPLES = """\
examples:
  pvs predict head.nii.gz out
  pvs predict head.nii.gz out --t2w head_t2.nii.gz --model m2ss-t1t2
  pvs predict folder-of-scans out --nprocs 8
"""


def parser() -> OptionParser:
    """Arguments of the command."""
    p = command_parser('pvs predict', DESCRIPTION, EXAMPLES)
    p.add_argument(
        't1w', type=PATH, metavar='T1W', help='a T1w scan, or a folder of T1w scans (T2w with --modality T2w)'
    )
    p.add_argument('--t2w', type=PATH, metavar='T2W', help='T2w of the same session (for one scan only)')
    p.add_argument('out_dir', type=PATH, metavar='OUT_DIR', help='folder for the outputs')
    add_verbosity(p)
    participant.add_analysis(p.add_argument_group('analysis'))
    participant.add_execution(p.add_argument_group('execution'))
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises
    ------
    InputError
        If there is no scan that can be used, or a folder cannot be written to.
    """
    from ..commands.predict import find_images, select_scans

    args = parser().parse_args(argv)
    level = logging.DEBUG if args.verbose > 1 else logging.INFO
    log_to_terminal(level)
    check_output(args.out_dir, 'OUT_DIR', ())
    if args.work_dir:
        check_work_dir(args.work_dir, args.out_dir, ())
    settings = participant.make_settings(args, args.t1w.resolve())
    images = find_images(args.t1w, settings.analysis.suffix)
    if args.boilerplate_only:
        from ..outputs.methods import methods

        print(methods(settings.analysis))
        return 0
    selection = select_scans(images, args.t2w, settings)
    if args.dry_run or args.reports_only:
        return participant.work_on(args, settings, selection, args.t1w)
    return _run(args, settings, selection)


def _run(args: argparse.Namespace, settings: Settings, selection: Selection) -> int:
    """Process the scans in a BIDS tree of links, which is removed at the end."""
    from ..commands.single_scan import staged
    from ..workflows.engine import remove_empty_work_folder

    with staged(selection, settings) as (linked, own):
        status = participant.work_on(args, own, linked, args.t1w)
    if settings.execution.clean_workdir and status == 0:
        remove_empty_work_folder(settings)
    return status
