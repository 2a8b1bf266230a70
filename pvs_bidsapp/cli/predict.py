"""``pvs predict``: one scan, or a folder of scans, without BIDS."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from pathlib import Path

from ..errors import InputError
from . import app
from .arguments import command_parser

DESCRIPTION = """\
Find and measure perivascular spaces on one T1w scan, or on every *.nii.gz of a folder, without
BIDS. OUT_DIR looks as after `participant`, with one sub- a scan, named after the file."""


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = command_parser('pvs predict', DESCRIPTION)
    p.add_argument('t1w', type=Path, metavar='T1W', help='a scan, or a folder of scans')
    p.add_argument('--t2w', type=Path, metavar='T2W', help='T2w of the same session (one scan only)')
    p.add_argument('out_dir', type=Path, metavar='OUT_DIR', help='where the derivatives go')
    p.add_argument('-v', '--verbose', action='count', default=0, help='say more')
    app.add_analysis(p.add_argument_group('analysis'))
    app.add_execution(p.add_argument_group('how it is run'))
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format='pvs: %(message)s', stream=sys.stderr)
    images = find_images(args.t1w)
    if args.t2w and len(images) > 1:
        raise InputError('--t2w goes with one scan, not with a folder')
    for path in filter(None, (*images, args.t2w)):
        if not path.exists():
            raise InputError(f'{path}: no such file')
    app.check_writable(args.out_dir)
    args.bids_dir = (args.work_dir or args.out_dir / 'work') / 'inputs'
    stage(images, args.t2w, args.bids_dir)
    args.participant_label = args.session_label = args.derivatives = []
    args.bids_filter_file = args.bids_database_dir = None
    return app.participant(args)


def find_images(path: Path) -> list[Path]:
    """The scan, or the scans of a folder, sorted."""
    if not path.is_dir():
        return [path]
    found = sorted(p for e in ('*.nii', '*.nii.gz') for p in path.glob(e))
    if not found:
        raise InputError(f'{path}: no *.nii or *.nii.gz in it')
    return found


def stage(images: list[Path], t2w: Path | None, folder: Path) -> None:
    """Link the scans into a BIDS tree, one subject a scan, labelled by the file's name.

    Raises
    ------
    InputError
        If two files would get one label.
    """
    seen: dict[str, Path] = {}
    for path in images:
        label = (
            re.sub(r'[^a-zA-Z0-9]', '', path.name.split('.')[0].removeprefix('sub-').removesuffix('_T1w'))
            or 'scan'
        )
        if label in seen:
            raise InputError(f'{seen[label].name} and {path.name} would both become sub-{label}; rename one')
        seen[label] = path
        for source, suffix in ((path, 'T1w'), (t2w, 'T2w')):
            if source is not None:
                extension = '.nii.gz' if source.name.endswith('.gz') else '.nii'
                link = folder / f'sub-{label}' / 'anat' / f'sub-{label}_{suffix}{extension}'
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(source.resolve())
