#!/usr/bin/env python3
"""Table 1 of Chai et al., M2SS-PVS, on simulated heads.

    python benchmarks/table_1.py OUT_DIR [--scale small|paper] [--label-maps DIR]

Four systems, supervised or semi-supervised, mono- or multi-scale, learn from 50 simulated heads (T1w + T2w),
in each fold from 12 of them with their labels (the paper: 12 of 33, split 8:1:1). Prints DSC, AVD and recall
of the heads that were not trained on as mean +- standard deviation, as the paper does, and the 95 % bootstrap
interval of the DSC. Small: 2 folds, 5 heads each to test on, 120 steps of eight patches, no overlap of
patches at inference. Paper: 5 folds, 20,000 steps of sixteen.
"""

from __future__ import annotations

import json

import experiment

from pvs_bidsapp.training.recipes import RECIPES

SCALES = {
    'small': experiment.small(4, 30),
    'paper': experiment.PAPER,
}
N_LABELLED = 12
#: DSC, AVD (%), recall of the paper.
PUBLISHED = {
    'supervised-mono': '0.50, 55, 0.70', 'supervised-multi': '0.56, 51, 0.54',
    'm2ss-mono': '0.51, 43, 0.79', 'm2ss': '0.65, 34, 0.75',
}  # fmt: skip


def main() -> None:
    """Run the four systems and print the table."""
    args = experiment.parse(experiment.parser(__doc__))
    data_dir = experiment.heads(args)
    scale = SCALES[args.scale]
    results = {}
    for name in PUBLISHED:
        folder = experiment.cross_validate(
            args, name, RECIPES[name], scale, data_dir, training_size=N_LABELLED, test_fraction=0.1,
            validation_fraction=0.1 if args.scale == 'paper' else 0.04,
        )  # fmt: skip
        results[name] = json.loads((folder / 'crossval.json').read_text())
    print(f'scale {args.scale}, seed {args.seed}, {scale.folds} folds, ', end='')
    print(f'{N_LABELLED} labelled heads of {experiment.N_HEADS}\n')
    print('| system | DSC | AVD (%) | recall | DSC, 95 % interval | published DSC, AVD, recall |')
    print('| --- | --- | --- | --- | --- | --- |')
    for name, scores in results.items():
        cells = [f'{scores[k]["mean"]:.2f} +- {scores[k]["sd"]:.2f}' for k in ('dice', 'avd', 'recall')]
        print(f'| {name} | {" | ".join(cells)} | {experiment.summary(scores["dice"])} | {PUBLISHED[name]} |')


if __name__ == '__main__':
    main()
