"""``pvs simulate``: a BIDS dataset of simulated heads."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from ..messages import options
from .arguments import (
    COUNT,
    PATH,
    PROCESSES,
    SEED,
    SUITES,
    Number,
    OptionParser,
    WholeNumber,
    add_option,
    command_parser,
    log_to_terminal,
)
from .folders import check_input, check_output

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
  pvs simulate faint --into my-bids-dataset --contrast 0.25 0.45
"""


#: Names of label maps.
_LABEL_MAPS = ('*.nii.gz', '*.nii', '*.mgz', '*.mgh')
#: Options of simulated heads, which have no effect on real scans.
_OF_HEADS = (
    'n_subjects', 'first', 'label_maps', 'spacing', 'sites', 'sessions', 'rater_reliability',
)  # fmt: skip


def parser() -> OptionParser:
    """Arguments of the command."""
    p = command_parser('pvs simulate', DESCRIPTION, EXAMPLES)
    p.add_argument('out_dir', type=PATH, metavar='OUT_DIR', help='BIDS dataset to write')
    _add_heads(p)
    _add_cohort(p)
    add_option(
        p, '--seed', type=SEED, metavar='N', help="seed of all random numbers (default: the suite's own)"
    )
    add_option(
        p, '--nprocs', '--n-cpus', type=PROCESSES, default=1, metavar='N',
        help='parallel processes (default 1)',
    )  # fmt: skip
    return p


def _add_heads(p: argparse.ArgumentParser) -> None:
    """Options of the heads and their scans."""
    add_option(p, '--n-subjects', type=COUNT, default=4, metavar='N', help='number of heads (default 4)')
    add_option(p, '--first', type=COUNT, default=1, metavar='K', help='number of the first head (default 1)')
    add_option(
        p,
        '--label-maps',
        type=PATH,
        metavar='DIR',
        help=f'folder of label maps with FreeSurfer codes, {", ".join(_LABEL_MAPS)} (default: the bundled '
        'template)',
    )
    add_option(
        p,
        '--suite',
        choices=SUITES,
        default='mixed',
        help='difficulty of the scans. easy: little noise, clear PVS; hard: noise, faint and small PVS, many '
        'structures that look like PVS; shift: contrasts of scanners that are in no other suite; dense: as '
        'many, as thin and as faint PVS as experts trace in people; mixed: from easy to hard (default); '
        'training: more wide and visible PVS than people have',
    )
    add_option(
        p,
        '--into',
        type=PATH,
        metavar='BIDS_DIR',
        help='insert PVS into the real scans of this dataset, and change nothing else in them',
    )
    add_option(
        p,
        '--contrast',
        nargs=2,
        type=Number(low=0, above=True, high=1),
        metavar=('LOW', 'HIGH'),
        help='with --into: range from which the contrast of each PVS is drawn, as a fraction of that between '
        'CSF and the surrounding tissue (default: as in the suite)',
    )
    add_option(
        p, '--spacing', type=Number(low=0.4, high=2), metavar='MM',
        help='voxel size of the T1w, 0.4 to 2 mm (default: as in the suite)',
    )  # fmt: skip


def _add_cohort(p: argparse.ArgumentParser) -> None:
    """Options of sites, sessions and ratings."""
    add_option(
        p,
        '--sites',
        type=WholeNumber(low=0, high=10_000),
        default=0,
        metavar='N',
        help='number of sites; the heads of a site share a scanner (default: one scanner per head)',
    )
    add_option(
        p,
        '--sessions',
        type=WholeNumber(low=1, high=100),
        default=1,
        metavar='N',
        help='number of scans of each person, two years apart (default 1)',
    )
    add_option(
        p,
        '--rater-reliability',
        type=Number(low=0, high=1),
        default=0.85,
        metavar='R',
        help='reliability of the visual rating in participants.tsv, from 0 to 1 (default 0.85)',
    )


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises
    ------
    InputError
        If a folder does not exist or cannot be written to, or an argument is out of its range.
    """
    from ..outputs.dataset import check_own
    from ..runtime.files import check_writable, remove_leftovers
    from ..simulation.subjects import SUITE_SEEDS

    p = parser()
    args = p.parse_args(argv)
    log_to_terminal(logging.WARNING)
    if args.seed is None:
        args.seed = SUITE_SEEDS[args.suite]
    inputs = []
    if args.contrast is not None:
        _check_contrast(args)
    if args.into is not None:
        for name in _OF_HEADS:
            if getattr(args, name) != p.get_default(name):
                raise options.CONFLICT.error(f'--{name.replace("_", "-")}', other='--into')
        check_input(args.into, 'the root of a BIDS dataset', '--into')
        inputs = [(args.into, str(args.into))]
    check_output(args.out_dir, 'OUT_DIR', inputs)
    check_own(args.out_dir, 'raw')
    maps = label_maps(args.label_maps) if args.label_maps else []
    check_writable(args.out_dir, 'OUT_DIR')
    remove_leftovers(args.out_dir, below=True)
    return _simulate(args, maps) if args.into is None else _insert(args)


def _check_contrast(args: argparse.Namespace) -> None:
    if args.into is None:
        raise options.NEEDS.error('--contrast', other='--into')
    low, high = args.contrast
    if low > high:
        raise options.RANGE.error(f'--contrast {low:g} {high:g}')


def _simulate(args: argparse.Namespace, maps: list[Path]) -> int:
    from ..bids.naming import SimulationNaming, labels_dir
    from ..commands.simulate import SimulationOptions, run
    from ..simulation.subjects import plan

    subjects = plan(args.n_subjects, maps, args.seed, args.first, args.sites)
    failed = run(SimulationOptions(
        out_dir=args.out_dir,
        subjects=tuple(subjects),
        suite=args.suite,
        spacing=args.spacing,
        nprocs=args.nprocs,
        seed=args.seed,
        sessions=args.sessions,
        reliability=args.rater_reliability,
    ))  # fmt: skip
    done = len(subjects) - len(failed)
    print(f'{done} heads in {args.out_dir}; ground truth in {labels_dir(args.out_dir)}')
    if done:
        print(f'figure of the first heads: {SimulationNaming(args.out_dir).gallery}')
    return _say_failed(failed)


def _insert(args: argparse.Namespace) -> int:
    from ..bids.naming import SimulationNaming
    from ..commands.insert import InsertionOptions, run

    done, failed = run(InsertionOptions(
        bids_dir=args.into, out_dir=args.out_dir, suite=args.suite, nprocs=args.nprocs, seed=args.seed,
        contrast=tuple(args.contrast) if args.contrast else None,
    ))  # fmt: skip
    print(f'{done} scans in {args.out_dir}, {len(failed)} failed')
    if done:
        print(f'figure of the first scans: {SimulationNaming(args.out_dir).gallery}')
    return _say_failed(failed)


def _say_failed(failed: dict[str, str]) -> int:
    """Print which heads or scans failed, and why; returns the exit status."""
    for name, reason in failed.items():
        print(f'pvs: error: {name}: {reason}', file=sys.stderr)
    return 1 if failed else 0


def label_maps(folder: Path, option: str = '--label-maps') -> list[Path]:
    """Label maps in a folder, sorted by name; hidden files are none.

    Parameters
    ----------
    folder : Path
    option : str
        Its name, for the message.

    Raises
    ------
    InputError
        If there are none.
    """
    check_input(folder, 'a folder of label maps', option)
    found = sorted(
        path for pattern in _LABEL_MAPS for path in folder.glob(pattern) if not path.name.startswith('.')
    )
    if not found:
        raise options.NO_LABEL_MAPS.error(f'{option} {folder}')
    return found
