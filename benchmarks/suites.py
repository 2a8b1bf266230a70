#!/usr/bin/env python3
"""How well models do on simulated heads of unseen anatomy, through the whole workflow, in one table.

    python benchmarks/suites.py LABEL_MAPS WORK_DIR [--heads 8] [--suites easy shift hard dense]
        [--models joliot2021-t1 m2ss-t1t2 t2] [--nprocs 2]

LABEL_MAPS is a folder of label maps that the models were not trained on (of the bundled ones: SynthSeg's
seg_13 to seg_16). Each suite is simulated to WORK_DIR/SUITE; each model, a bundled one or a folder, segments
it by `participant` with the scans that it takes, at its own threshold, and `evaluate` compares. What is done
already in WORK_DIR is not done again, so that the command may be stopped and run once more. A model of the
T2w alone is compared with the truth on the grid of the T2w.

Means over heads with 95 % bootstrap intervals. "d' from 6" is the recall of the spaces that an observer who
knows their shape hardly ever misses, with that observer's own recall at the same rate of false clusters.
Heads whose T2w has thick slices are also given by themselves. The last table is the voxel Dice at other
thresholds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import experiment
import nibabel as nib
import numpy as np
import pandas as pd
from watching import run

from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.evaluation.metrics import dice
from pvs_bidsapp.outputs.evaluation import find_mask_pairs
from pvs_bidsapp.segmentation.model import Model, load_model

#: Scores of `evaluate` in the table: heading, name, size filter in mm3, decimals.
SCORES = (
    ('voxel Dice', 'dice', 0.0, 3),
    ('cluster Dice', 'cluster_dice', 0.0, 3),
    ('AVD (%)', 'avd', 0.0, 0),
    ('AUPRC', 'auprc', 0.0, 3),
    ('clDice', 'cldice', 0.0, 3),
    ('false clusters from 5 mm3', 'false_clusters', 5.0, 1),
)
#: Slices are thick from here on, in mm; half of the simulated T2w have slices of 2 to 3 mm.
THICK = 1.5
#: Ranges of d' whose recall is in the table; infinite at the end.
RANGES = ((5, float('inf')), (6, float('inf')), (6, 8), (8, 12), (12, 20), (20, float('inf')))
#: Thresholds of the last table.
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)


def segment(suite: Path, model: Model, label: str, nprocs: int) -> tuple[Path, Path]:
    """Segment the heads of a suite and compare them with the truth; folders of the outputs and the tables."""
    out, tables = (
        suite.with_name(f'{suite.name}-{label}'),
        suite.with_name(f'{suite.name}-{label}-evaluation'),
    )
    run(suite, out, 'participant', '--model', model.folder, '--modality', '+'.join(model.card.channels),
        '--nprocs', nprocs)  # fmt: skip
    run('evaluate', out, labels_dir(suite, model.card.channels[0]), tables)
    return out, tables


def scores(tables: Path) -> list[str]:
    """Cells of the scores, mean and interval."""
    summary = pd.read_csv(tables / 'evaluation_summary.tsv', sep='\t', na_values='n/a')
    rows = {(r.score, r.min_size_mm3): r for r in summary[summary['region'] == 'all'].itertuples()}
    cells = []
    for _, name, size, digits in SCORES:
        row = rows[name, size]
        cells.append(experiment.interval(row.mean, row.ci_low, row.ci_high, digits))
    return cells


def recalls(tables: Path) -> list[str]:
    """Cells of the recall by d', with the ideal observer's, and the number of spaces."""
    recall = pd.read_csv(tables / 'evaluation_recall.tsv', sep='\t', na_values='n/a')
    recall = recall[recall['measure'] == 'detectability'].fillna({'high': float('inf')})
    cells = []
    for low, high in RANGES:
        rows = recall[(recall['low'] == low) & (recall['high'] == high)]
        if rows.empty or not rows['n_spaces'].iloc[0]:
            cells.append('none')
            continue
        row = rows.iloc[0]
        cells.append(f'{row["recall"]:.2f} ({row["ideal_recall"]:.2f}, {row["n_spaces"]:.0f})')
    return cells


def dice_by_slices(suite: Path, tables: Path) -> list[str]:
    """Cells of the mean voxel Dice of the heads with about cubic voxels of the T2w, and with thick slices."""
    table = pd.read_csv(tables / 'evaluation.tsv', sep='\t', na_values='n/a')
    dice = table[(table['region'] == 'all') & (table['min_size_mm3'] == 0)].set_index('scan')['dice']
    thickest = {
        path.name.removesuffix('_T2w.nii.gz'): max(nib.load(path).header.get_zooms()[:3])
        for path in suite.glob('sub-*/anat/*_T2w.nii.gz')
    }
    is_thick = dice.index.map(thickest) > THICK
    return [f'{part.mean():.3f} ({len(part)})' for part in (dice[~is_thick], dice[is_thick])]


def dice_by_threshold(out: Path, references: Path) -> list[str]:
    """Cells of the mean voxel Dice and AVD by threshold, of the probability that was kept at the card's."""
    found = []
    for files in find_mask_pairs(out, references).pairs:
        pair, _ = files.read()
        assert pair.probability is not None
        masks = [pair.probability >= threshold - 1e-6 for threshold in THRESHOLDS]
        volumes = np.array([mask.sum() for mask in masks]) / pair.reference.sum()
        found.append([[dice(mask, pair.reference) for mask in masks], 100 * abs(volumes - 1)])
    return [f'{score:.3f} ({avd:.0f} %)' for score, avd in np.mean(found, axis=0).T]


def range_name(low: float, high: float) -> str:
    """A range of d' as a heading."""
    return f"d' from {low:g}" if high == float('inf') else f"d' {low:g} to {high:g}"


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table in Markdown."""
    for row in [header, ['---'] * len(header), *rows]:
        print('| ' + ' | '.join(row) + ' |')
    print(flush=True)


def main() -> None:
    """Simulate, segment, compare; print both tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('label_maps', type=Path)
    p.add_argument('work_dir', type=Path)
    p.add_argument('--heads', type=int, default=8)
    p.add_argument('--suites', nargs='+', default=['easy', 'shift', 'hard', 'dense'])
    p.add_argument('--models', nargs='+', default=['joliot2021-t1', 'm2ss-t1t2', 't2'])
    p.add_argument('--seed', type=int, default=2026)
    p.add_argument('--nprocs', type=int, default=2)
    args = p.parse_args()
    first, second, third, fourth = [], [], [], []
    for name in args.suites:
        suite = args.work_dir / name
        run('simulate', suite, '--n-subjects', args.heads, '--label-maps', args.label_maps, '--suite', name,
            '--seed', args.seed, '--nprocs', args.nprocs)  # fmt: skip
        for spec in args.models:
            model = load_model(spec)
            out, tables = segment(suite, model, Path(spec).name, args.nprocs)
            label = [name, f'{model.card.name} {model.card.version}']
            first.append([*label, *scores(tables)])
            second.append([*label, *recalls(tables)])
            fourth.append([*label, *dice_by_threshold(out, labels_dir(suite, model.card.channels[0]))])
            if 'T2w' in model.card.channels:
                third.append([*label, *dice_by_slices(suite, tables)])
    print_table(['suite', 'model', *(heading for heading, *_ in SCORES)], first)
    print("Recall by d' (that of the ideal observer at the same rate of false clusters, number of spaces):\n")
    print_table(['suite', 'model', *(range_name(*limits) for limits in RANGES)], second)
    if third:
        print('Voxel Dice by the T2w (number of heads):\n')
        print_table(['suite', 'model', 'voxels about cubic', f'slices above {THICK:g} mm'], third)
    print('Voxel Dice (AVD) by threshold:\n')
    print_table(['suite', 'model', *(f'{threshold:g}' for threshold in THRESHOLDS)], fourth)


if __name__ == '__main__':
    main()
