#!/usr/bin/env python3
"""Figure 1A of Joliot et al. 2021: Dice by prediction threshold and cluster-size filter, on simulated heads.

    python benchmarks/figure_1a.py OUT_DIR [--scale small|paper] [--label-maps DIR]

Cross-validates `joliot2021` (with pre-training) on 50 heads and prints voxel and cluster Dice of the heads
that each fold has not seen, with 95 % bootstrap intervals, beside the figures of the paper (labelled scans of
people). Small: 2 folds, a shallower network, patches, 300 steps. Paper: 5 folds, whole volumes.
"""

from __future__ import annotations

import experiment
import pandas as pd

from pvs_bidsapp.evaluation.sweep import bootstrap
from pvs_bidsapp.reports.sweep import Mark, draw_sweep
from pvs_bidsapp.training.recipes import JOLIOT

SCALES = {
    'small': experiment.small(6, 50),
    'paper': experiment.PAPER,
}
#: Joliot et al. 2021, and what its successor reports of the same model: panel, threshold, filter, Dice.
PUBLISHED = (
    Mark('dice', 0.5, 0.0, 0.51), Mark('cluster_dice', 0.5, 0.0, 0.64),
    Mark('cluster_dice', 0.5, 10.0, 0.90), Mark('cluster_dice', 0.5, 15.0, 0.95),
)  # fmt: skip


#: In the last, clusters of at least the filter's size may be hit by clusters of any size; in the others,
#: smaller clusters are left out of both masks.
SCORES = ('dice', 'cluster_dice', 'large_dice')


def main() -> None:
    """Run, print the table, draw the figure."""
    args = experiment.parse(experiment.parser(__doc__))
    data_dir = experiment.heads(args)
    folder = experiment.cross_validate(args, 'figure_1a', JOLIOT, SCALES[args.scale], data_dir)
    table = pd.read_csv(folder / 'crossval_sweep.tsv', sep='\t')
    print(f'scale {args.scale}, seed {args.seed}, {table["scan"].nunique()} heads not trained on\n')
    print('| filter (mm3) | threshold | voxel Dice | cluster Dice | of large clusters ', end='')
    print('| published voxel | published cluster |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    published = {(m.score, m.threshold, m.size): m.value for m in PUBLISHED}
    for (size, threshold), part in table.groupby(['min_size_mm3', 'threshold']):
        cells = [experiment.interval(*bootstrap(part[s].to_numpy())) for s in SCORES]
        cells += [str(published.get((s, threshold, size), '')) for s in ('dice', 'cluster_dice')]
        print(f'| {size:g} | {threshold:g} | {" | ".join(cells)} |')
    print('\nfigure:', draw_sweep(table, args.out_dir / args.scale / 'figure_1a.png', PUBLISHED))


if __name__ == '__main__':
    main()
