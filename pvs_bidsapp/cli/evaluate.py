"""``pvs evaluate``: agreement of masks with traced (or simulated) ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError

DESCRIPTION = """\
Compare the PVS masks of PRED_DIR with those of the same names in REF_DIR, by voxels and by
clusters (26-connected; a hit is any overlap; cluster Dice is the harmonic mean of cluster recall
and precision). Writes OUT_DIR/evaluation.tsv and prints the means."""


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = argparse.ArgumentParser('pvs evaluate', description=DESCRIPTION)
    p.add_argument('pred_dir', type=Path, metavar='PRED_DIR', help='output of participant')
    p.add_argument('ref_dir', type=Path, metavar='REF_DIR', help='data set with the true masks')
    p.add_argument('out_dir', type=Path, metavar='OUT_DIR', help='where the table goes')
    p.add_argument(
        '--size-filters',
        '--size_filters',
        nargs='+',
        type=float,
        default=[0, 5, 10, 15],
        metavar='MM3',
        help='cluster-size filters in mm3 (default 0 5 10 15)',
    )
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    for folder in (args.pred_dir, args.ref_dir):
        if not folder.is_dir():
            raise InputError(f'{folder}: no such folder')
    from ..workflows.evaluate import run

    table = run(args.pred_dir, args.ref_dir, args.out_dir, args.size_filters)
    columns = ['dice', 'recall', 'precision', 'avd', 'cluster_dice', 'large_recall', 'large_precision']
    print(f'{table["scan"].nunique()} scans, means by cluster-size filter (mm3):')
    print(table.groupby('min_size_mm3')[columns].mean().round(3).to_string())
    print(f'table: {args.out_dir / "evaluation.tsv"}')
    return 0
