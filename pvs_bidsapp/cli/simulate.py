"""``pvs simulate``: a BIDS data set of simulated heads."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from .arguments import SUITES, command_parser

DESCRIPTION = """\
Simulate whole heads (T1w and T2w) with known perivascular spaces, as a BIDS data set. The truth
goes to OUT_DIR/derivatives/labels. A head depends on --seed and its own number alone; heads that
are there already are kept. With --into, spaces are drawn into real scans instead."""

EXAMPLES = """\
examples:
  pvs simulate heads --n-subjects 4
  pvs simulate heads --n-subjects 40 --label-maps label-maps/ --suite hard --nprocs 8
  pvs simulate cohort --n-subjects 200 --sites 3 --sessions 2
  pvs simulate drawn --into my-bids-dataset
"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = command_parser('pvs simulate', DESCRIPTION, EXAMPLES)
    p.add_argument('out_dir', type=Path, metavar='OUT_DIR', help='BIDS data set to write')
    p.add_argument(
        '--n-subjects', '--n_subjects', type=int, default=4, metavar='N', help='number of heads (default 4)'
    )
    p.add_argument('--first', type=int, default=1, metavar='K', help='number of the first head (default 1)')
    p.add_argument(
        '--label-maps',
        '--label_maps',
        type=Path,
        metavar='DIR',
        help='folder of label maps with FreeSurfer codes, *.nii.gz or *.mgz (default: the bundled template)',
    )
    p.add_argument(
        '--suite',
        choices=SUITES,
        default='mixed',
        help='how hard the scans are to read: easy; hard (noise, faint and small spaces, many mimics); '
        'shift (scanners that the others never hold); mixed, from easy to hard (default); training, for networks '
        '(more wide and visible spaces than people have)',
    )
    p.add_argument(
        '--into',
        type=Path,
        metavar='BIDS_DIR',
        help='draw spaces into the real scans of this data set, and change nothing else in them',
    )
    p.add_argument(
        '--spacing', type=float, metavar='MM', help='voxel size of the T1w (default: as the suite has it)'
    )
    p.add_argument(
        '--sites',
        type=int,
        default=0,
        metavar='N',
        help='sites that share scanners (default: one scanner a head)',
    )
    p.add_argument(
        '--sessions',
        type=int,
        default=1,
        metavar='N',
        help='scans of each person, two years apart (default 1)',
    )
    p.add_argument(
        '--rater-reliability',
        '--rater_reliability',
        type=float,
        default=0.85,
        metavar='R',
        help='of the visual rating in participants.tsv, 0 to 1 (default 0.85)',
    )
    p.add_argument('--seed', type=int, help="seed of all that is random (default: the suite's own)")
    p.add_argument(
        '--nprocs',
        '--n-cpus',
        '--n_cpus',
        type=int,
        default=1,
        metavar='N',
        help='heads at a time (default 1)',
    )
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    if args.n_subjects < 1 or args.nprocs < 1 or args.first < 1:
        raise InputError('--n-subjects, --first and --nprocs must be at least 1')
    if args.spacing is not None and not 0.4 <= args.spacing <= 2.0:
        raise InputError(f'--spacing {args.spacing}: between 0.4 and 2 mm, please')
    if args.sites < 0 or args.sessions < 1:
        raise InputError('--sites must be at least 0 and --sessions at least 1')
    if not 0 <= args.rater_reliability <= 1:
        raise InputError(f'--rater-reliability {args.rater_reliability}: between 0 and 1, please')
    from ..simulation.subjects import SUITE_SEEDS

    if args.seed is None:
        args.seed = SUITE_SEEDS[args.suite]
    if args.into is not None:
        return _into(args)
    return _heads(args)


def _heads(args: argparse.Namespace) -> int:
    from ..bids.naming import labels_dir
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
    print(f'{len(subjects)} heads in {args.out_dir}; truth in {labels_dir(args.out_dir)}')
    print(f'a picture of them: {args.out_dir / "gallery.png"}')
    return 0


def _into(args: argparse.Namespace) -> int:
    from ..commands.insert import InsertionOptions, run

    if not args.into.is_dir():
        raise InputError(f'--into {args.into}: no such folder')
    if args.out_dir.resolve().is_relative_to(args.into.resolve()):
        raise InputError(f'{args.out_dir}: lies inside {args.into}, to which nothing is written')
    options = InsertionOptions(
        bids_dir=args.into, out_dir=args.out_dir, suite=args.suite, nprocs=args.nprocs, seed=args.seed
    )
    done, failed = run(options)
    print(
        f'{done} scans in {args.out_dir}, {failed} failed; a picture of them: {args.out_dir / "gallery.png"}'
    )
    return 1 if failed else 0


def label_maps(folder: Path) -> list[Path]:
    """Label maps in a folder, sorted by name."""
    if not folder.is_dir():
        raise InputError(f'--label-maps {folder}: no such folder')
    found = sorted(p for e in ('*.nii.gz', '*.nii', '*.mgz') for p in folder.glob(e))
    if not found:
        raise InputError(f'--label-maps {folder}: no *.nii.gz, *.nii or *.mgz in it')
    return found
