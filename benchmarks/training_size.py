#!/usr/bin/env python3
"""Training-set size of Joliot et al. 2021: 10, 20, 30, 40 labelled scans, with and without pre-training.

    python benchmarks/training_size.py OUT_DIR [--scale small|paper] [--label-maps DIR] [--loss dice]

Each size is cross-validated on the same folds of 50 simulated heads. The scans whose labels are left out are
used in pre-training. Prints the voxel Dice of heads that were not trained on (95 % bootstrap intervals), and
the Dice on the validation heads after a third of the steps, which shows how fast training converges. Small: 2
folds, a shallower network, patches, 120 steps. Paper: 5 folds, whole volumes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import experiment
import numpy as np
import pandas as pd

from pvs_bidsapp.reports.figures import pyplot
from pvs_bidsapp.training.recipes import JOLIOT

SCALES = {
    'small': experiment.small(3, 40),
    'paper': experiment.PAPER,
}
SIZES = (10, 20, 30, 40)
#: Voxel Dice of the paper with pre-training, by number of labelled scans.
PUBLISHED = {20: 0.48, 30: 0.50, 40: 0.51}
#: What the paper's table says of each number, with pre-training or without.
PUBLISHED_CELLS = {(size, True): dice for size, dice in PUBLISHED.items()} | {(10, False): 'hardly converges'}


def early(folder: Path) -> float:
    """Mean over folds of the validation Dice after a third of the epochs."""
    logs = [pd.read_csv(p) for p in sorted(folder.glob('fold-*/checkpoints/log.csv'))]
    return float(np.mean([log['validation_dice'].iloc[len(log) // 3 - (len(log) >= 3)] for log in logs]))


def main() -> None:
    """Run, print the table, draw the figure."""
    p = experiment.parser(__doc__)
    p.add_argument('--sizes', type=int, nargs='+', choices=SIZES, default=SIZES, help='default: all four')
    p.add_argument('--loss', choices=('dice-ce', 'dice'), default='dice-ce', help="dice: the paper's alone")
    args = experiment.parse(p)
    data_dir = experiment.heads(args)
    scale = SCALES[args.scale]
    rows = []
    suffix = '' if args.loss == 'dice-ce' else f'-{args.loss}'
    for size in args.sizes:
        for pretraining in (True, False):
            recipe = replace(JOLIOT, pretraining=pretraining, loss=args.loss)
            name = f'size-{size}-{"with" if pretraining else "without"}{suffix}'
            # eight heads to test on, two to validate on: forty are left to train on
            folder = experiment.cross_validate(
                args, name, recipe, scale, data_dir, training_size=size, validation_fraction=0.04,
                test_fraction=0.16,
            )  # fmt: skip
            scores = json.loads((folder / 'crossval.json').read_text())
            rows.append((size, pretraining, scores, early(folder)))
    print(f'scale {args.scale}, loss {args.loss}, seed {args.seed}, ', end='')
    print(f'{scale.folds} folds of {experiment.N_HEADS} heads\n')
    print('| labelled scans | pre-training | voxel Dice | cluster Dice ', end='')
    print('| validation Dice after a third | published |')
    print('| --- | --- | --- | --- | --- | --- |')
    for size, pretraining, scores, third in rows:
        published = PUBLISHED_CELLS.get((size, pretraining), '')
        cells = [experiment.summary(scores[k]) for k in ('dice', 'cluster_dice')]
        print(
            f'| {size} | {"yes" if pretraining else "no"} | {" | ".join(cells)} | {third:.2f} | {published} |'
        )
    print('\nfigure:', draw(rows, args.out_dir / args.scale / f'training_size{suffix}.png'))


def draw(rows: list, path: Path) -> Path:
    """Draw the Dice by number of labelled scans, beside the paper's; returns the path."""
    plt = pyplot()
    figure, ax = plt.subplots(figsize=(6, 4), constrained_layout=True)
    for pretraining, label in ((True, 'with pre-training'), (False, 'without')):
        part = [(size, s['dice']) for size, p, s, _ in rows if p == pretraining]
        sizes = [p[0] for p in part]
        # None, of one head, becomes NaN: no bar is drawn
        low, means, high = (np.array([p[1][k] for p in part], float) for k in ('ci_low', 'mean', 'ci_high'))
        spread = np.array([means - low, high - means])
        ax.errorbar(
            np.array(sizes) + (0.4 if pretraining else -0.4), means, spread, fmt='o-', capsize=3, label=label
        )
    ax.plot(list(PUBLISHED), list(PUBLISHED.values()), 'k^--', label='Joliot et al. 2021 (scans of people)')
    ax.set(xlabel='labelled scans', ylabel='voxel Dice', ylim=(0, 1), xticks=SIZES)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return path


if __name__ == '__main__':
    main()
