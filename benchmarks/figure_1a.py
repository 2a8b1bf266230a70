#!/usr/bin/env python3
"""Figure 1A of Joliot et al. 2021: Dice by prediction threshold and cluster-size filter, on simulated heads.

    python benchmarks/figure_1a.py OUT_DIR [--scale small|paper] [--label-maps DIR]

Cross-validates `joliot2021` (with pre-training) and prints voxel and cluster Dice of the heads that each fold has
not seen, with 95 % bootstrap intervals; the paper's own figures (of traced scans of people) stand in a column of
their own. 50 heads. Small: 2 folds, a shallower network, patches, 300 steps. Paper: 5 folds, whole volumes.
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
#: Joliot et al. 2021 and its successor's own account of the same model: panel, threshold, filter, Dice.
PUBLISHED = (
    Mark('dice', 0.5, 0.0, 0.51), Mark('cluster_dice', 0.5, 0.0, 0.64),
    Mark('cluster_dice', 0.5, 10.0, 0.90), Mark('cluster_dice', 0.5, 15.0, 0.95),
)  # fmt: skip


#: In the last, clusters of the filter's size or more may be hit by clusters of any size; in the others,
#: smaller ones are left out of both masks.
SCORES = ('dice', 'cluster_dice', 'large_dice')


def main() -> None:
    """Run, print the table, draw the figure."""
    args = experiment.parse(experiment.parser(__doc__))
    data = experiment.heads(args)
    folder = experiment.train(args, 'figure_1a', JOLIOT, SCALES[args.scale], data)
    table = pd.read_csv(folder / 'crossval_sweep.tsv', sep='\t')
    print(f'scale {args.scale}, seed {args.seed}, {table["scan"].nunique()} heads not trained on\n')
    print(
        '| filter (mm3) | threshold | voxel Dice | cluster Dice | of large clusters | published voxel | published cluster |'
    )
    print('| --- | --- | --- | --- | --- | --- | --- |')
    published = {(m.score, m.threshold, m.size): m.value for m in PUBLISHED}
    for (size, threshold), part in table.groupby(['min_size_mm3', 'threshold']):
        cells = [experiment.interval(*bootstrap(part[s].to_numpy())) for s in SCORES]
        theirs = [published.get((s, threshold, size), '') for s in ('dice', 'cluster_dice')]
        print(f'| {size:g} | {threshold:g} | {" | ".join(map(str, (*cells, *theirs)))} |')
    print('\nfigure:', draw_sweep(table, args.out_dir / args.scale / 'figure_1a.png', PUBLISHED))


if __name__ == '__main__':
    main()
