#!/usr/bin/env python3
"""Table 1 of Chai et al., M2SS-PVS: supervised and semi-supervised, mono- and multi-scale, on simulated heads.

    python benchmarks/table_1.py OUT_DIR [--scale small|paper] [--label-maps DIR]

50 simulated heads (T1w + T2w), in each fold 12 of them with their tracing (the paper: 12 of 33, split 8:1:1); prints
DSC, AVD and recall of the heads that were not trained on as mean +- standard deviation, as the paper does, and the 95 %
bootstrap interval of the DSC. Small: 2 folds, 5 heads each to test on, 120 steps of eight patches, no overlap of patches at work.
Paper: 5 folds, 20,000 steps of sixteen.
"""

from __future__ import annotations

import json

import experiment

from pvs_bidsapp.training.recipes import RECIPES

SCALES = {
    'small': experiment.small(4, 30),
    'paper': experiment.PAPER,
}
N_TRACED = 12
#: DSC, AVD (%), recall of the paper.
PUBLISHED = {
    'supervised-mono': '0.50, 55, 0.70', 'supervised-multi': '0.56, 51, 0.54',
    'm2ss-mono': '0.51, 43, 0.79', 'm2ss': '0.65, 34, 0.75',
}  # fmt: skip


def main() -> None:
    """Run the four systems and print the table."""
    args = experiment.parse(experiment.parser(__doc__))
    data = experiment.heads(args)
    scale = SCALES[args.scale]
    found = {}
    for name in PUBLISHED:
        folder = experiment.train(
            args, name, RECIPES[name], scale, data, training_size=N_TRACED, test_share=0.1,
            validation_share=0.1 if args.scale == 'paper' else 0.04,
        )  # fmt: skip
        found[name] = json.loads((folder / 'crossval.json').read_text())
    print(
        f'scale {args.scale}, seed {args.seed}, {scale.folds} folds, {N_TRACED} traced heads of {experiment.N_HEADS}\n'
    )
    print('| system | DSC | AVD (%) | recall | DSC, 95 % interval | published DSC, AVD, recall |')
    print('| --- | --- | --- | --- | --- | --- |')
    for name, scores in found.items():
        cells = [f'{scores[k]["mean"]:.2f} +- {scores[k]["sd"]:.2f}' for k in ('dice', 'avd', 'recall')]
        print(f'| {name} | {" | ".join(cells)} | {experiment.summary(scores["dice"])} | {PUBLISHED[name]} |')


if __name__ == '__main__':
    main()
