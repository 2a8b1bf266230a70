"""``pvs simulate``: a BIDS data set of simulated heads."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError

DESCRIPTION = """\
Simulate whole heads (T1w and T2w) with known perivascular spaces, as a BIDS data set. The truth
goes to OUT_DIR/derivatives/labels. A head depends on --seed and its own number alone; heads that
are there already are kept."""

EXAMPLES = """\
examples:
  pvs simulate heads --n-subjects 4
  pvs simulate heads --n-subjects 40 --label-maps label-maps/ --suite hard --nprocs 8
"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = argparse.ArgumentParser(
        'pvs simulate', description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
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
        choices=('easy', 'hard', 'mixed'),
        default='mixed',
        help='how hard the scans are to read (default mixed)',
    )
    p.add_argument(
        '--spacing', type=float, default=1.0, metavar='MM', help='voxel size of the T1w (default 1)'
    )
    p.add_argument('--seed', type=int, default=1, help='seed of all that is random (default 1)')
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
    if not 0.4 <= args.spacing <= 2.0:
        raise InputError(f'--spacing {args.spacing}: between 0.4 and 2 mm, please')
    from ..simulation.dataset import plan
    from ..workflows.simulate import SimulationJob, run

    maps = label_maps(args.label_maps) if args.label_maps else []
    subjects = plan(args.n_subjects, maps, args.seed, args.first)
    run(SimulationJob(args.out_dir, tuple(subjects), args.suite, args.spacing, args.nprocs, args.seed))
    print(f'{len(subjects)} heads in {args.out_dir}; truth in {args.out_dir / "derivatives" / "labels"}')
    return 0


def label_maps(folder: Path) -> list[Path]:
    """Label maps in a folder, sorted by name."""
    if not folder.is_dir():
        raise InputError(f'--label-maps {folder}: no such folder')
    found = sorted(p for e in ('*.nii.gz', '*.nii', '*.mgz') for p in folder.glob(e))
    if not found:
        raise InputError(f'--label-maps {folder}: no *.nii.gz, *.nii or *.mgz in it')
    return found
