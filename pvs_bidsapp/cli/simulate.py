"""``pvs simulate``: a BIDS dataset of simulated heads."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from .arguments import SUITES, add_option, command_parser

DESCRIPTION = """\
Simulate whole heads (T1w and T2w) with known perivascular spaces (PVS), as a BIDS dataset. The
ground truth is written to OUT_DIR/derivatives/labels. Each head depends only on --seed and its own
number; heads that exist already are kept. With --into, PVS are inserted into real scans instead."""

EXAMPLES = """\
examples:
  pvs simulate heads --n-subjects 4
  pvs simulate heads --n-subjects 40 --label-maps label-maps/ --suite hard --nprocs 8
  pvs simulate cohort --n-subjects 200 --sites 3 --sessions 2
  pvs simulate inserted --into my-bids-dataset
"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = command_parser('pvs simulate', DESCRIPTION, EXAMPLES)
    p.add_argument('out_dir', type=Path, metavar='OUT_DIR', help='BIDS dataset to write')
    _add_heads(p)
    _add_cohort(p)
    add_option(p, '--seed', type=int, help="random seed (default: the suite's own)")
    add_option(
        p, '--nprocs', '--n-cpus', type=int, default=1, metavar='N', help='parallel processes (default 1)'
    )
    return p


def _add_heads(p: argparse.ArgumentParser) -> None:
    """Options of the heads and their scans."""
    add_option(p, '--n-subjects', type=int, default=4, metavar='N', help='number of heads (default 4)')
    add_option(p, '--first', type=int, default=1, metavar='K', help='number of the first head (default 1)')
    add_option(
        p,
        '--label-maps',
        type=Path,
        metavar='DIR',
        help='folder of label maps with FreeSurfer codes, *.nii.gz or *.mgz (default: the bundled template)',
    )
    add_option(
        p,
        '--suite',
        choices=SUITES,
        default='mixed',
        help='difficulty of the scans. easy: little noise, clear PVS; hard: noise, faint and small PVS, many '
        'structures that look like PVS; shift: contrasts of scanners that are in no other suite; mixed: from '
        'easy to hard (default); training: more wide and visible PVS than people have',
    )
    add_option(
        p,
        '--into',
        type=Path,
        metavar='BIDS_DIR',
        help='insert PVS into the real scans of this dataset, and change nothing else in them',
    )
    add_option(
        p, '--spacing', type=float, metavar='MM', help='voxel size of the T1w (default: as in the suite)'
    )


def _add_cohort(p: argparse.ArgumentParser) -> None:
    """Options of sites, sessions and ratings."""
    add_option(
        p,
        '--sites',
        type=int,
        default=0,
        metavar='N',
        help='number of sites; the heads of a site share a scanner (default: one scanner per head)',
    )
    add_option(
        p,
        '--sessions',
        type=int,
        default=1,
        metavar='N',
        help='number of scans of each person, two years apart (default 1)',
    )
    add_option(
        p,
        '--rater-reliability',
        type=float,
        default=0.85,
        metavar='R',
        help='reliability of the visual rating in participants.tsv, from 0 to 1 (default 0.85)',
    )


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises
    ------
    InputError
        If a folder does not exist, or a value is out of its range.
    """
    args = parser().parse_args(argv)
    if args.n_subjects < 1 or args.nprocs < 1 or args.first < 1:
        raise InputError('--n-subjects, --first and --nprocs must be at least 1')
    if args.spacing is not None and not 0.4 <= args.spacing <= 2.0:
        raise InputError(f'--spacing {args.spacing}: must be between 0.4 and 2 mm')
    if args.sites < 0 or args.sessions < 1:
        raise InputError('--sites must be at least 0 and --sessions at least 1')
    if not 0 <= args.rater_reliability <= 1:
        raise InputError(f'--rater-reliability {args.rater_reliability}: must be between 0 and 1')
    from ..simulation.subjects import SUITE_SEEDS

    if args.seed is None:
        args.seed = SUITE_SEEDS[args.suite]
    return _simulate(args) if args.into is None else _insert(args)


def _simulate(args: argparse.Namespace) -> int:
    from ..bids.naming import SimulationNaming, labels_dir
    from ..commands.simulate import SimulationOptions, run
    from ..simulation.subjects import plan

    maps = label_maps(args.label_maps) if args.label_maps else []
    subjects = plan(args.n_subjects, maps, args.seed, args.first, args.sites)
    options = SimulationOptions(
        out_dir=args.out_dir,
        subjects=tuple(subjects),
        suite=args.suite,
        spacing=args.spacing,
        nprocs=args.nprocs,
        seed=args.seed,
        sessions=args.sessions,
        reliability=args.rater_reliability,
    )
    run(options)
    print(f'{len(subjects)} heads in {args.out_dir}; ground truth in {labels_dir(args.out_dir)}')
    print(f'figure of the first heads: {SimulationNaming(args.out_dir).gallery}')
    return 0


def _insert(args: argparse.Namespace) -> int:
    from ..bids.naming import SimulationNaming
    from ..commands.insert import InsertionOptions, run

    if not args.into.is_dir():
        raise InputError(f'--into {args.into}: no such folder')
    if args.out_dir.resolve().is_relative_to(args.into.resolve()):
        raise InputError(f'{args.out_dir}: lies inside {args.into}, to which nothing is written')
    options = InsertionOptions(
        bids_dir=args.into, out_dir=args.out_dir, suite=args.suite, nprocs=args.nprocs, seed=args.seed
    )
    done, failed = run(options)
    print(f'{done} scans in {args.out_dir}, {failed} failed')
    print(f'figure of the first scans: {SimulationNaming(args.out_dir).gallery}')
    return 1 if failed else 0


def label_maps(folder: Path) -> list[Path]:
    """Label maps in a folder, sorted by name.

    Raises
    ------
    InputError
        If there are none.
    """
    if not folder.is_dir():
        raise InputError(f'--label-maps {folder}: no such folder')
    found = sorted(p for e in ('*.nii.gz', '*.nii', '*.mgz') for p in folder.glob(e))
    if not found:
        raise InputError(f'--label-maps {folder}: has no *.nii.gz, *.nii or *.mgz file')
    return found
