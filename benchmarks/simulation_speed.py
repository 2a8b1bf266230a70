#!/usr/bin/env python3
"""Speed of the simulation of whole heads, and of the synthesis of training patches, on one core.

python benchmarks/simulation_speed.py [--label-map FILE] [--heads N]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation import head, label_maps, patch_synthesis, scanner
from pvs_bidsapp.training.datasets import SyntheticPatchDataset
from pvs_bidsapp.training.sampling import Sampling


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--label-map', type=Path)
    parser.add_argument('--heads', type=int, default=3)
    args = parser.parse_args()
    source = label_maps.load_label_map(args.label_map) if args.label_map else label_maps.template_anatomy()
    mixed = scanner.SUITES['mixed']
    started = time.perf_counter()
    for seed in range(args.heads):
        simulated = head.simulate(source, np.random.default_rng(seed), mixed, spacing=1.0, age=60)
    per_head = (time.perf_counter() - started) / args.heads
    geometry = patch_synthesis.make_head_geometry(
        'head',
        labels=simulated.anatomy.labels,
        occupancy=simulated.rendering.occupancy,
        index=simulated.rendering.index,
        mimics=simulated.mimics.codes,
        brain=label_maps.brain_mask(simulated.anatomy),
        spacing=1.0,
    )
    normalization = TissueNormalization()
    batches = SyntheticPatchDataset(
        [geometry],
        normalization,
        Sampling(shape=(64, 64, 64), batch_size=4, steps=20, seed=1),
        difficulty=mixed,
    )
    started = time.perf_counter()
    for step in range(20):
        batches[step]
    per_patch = (time.perf_counter() - started) / 80
    started = time.perf_counter()
    whole = tuple(slice(0, n) for n in geometry.labels.shape)
    patch_synthesis.synthesize_patch(geometry, whole, np.random.default_rng(1), mixed, normalization)
    per_volume = time.perf_counter() - started
    print('| task | seconds | per second |\n| --- | --- | --- |')
    for name, seconds in (
        ('whole head, T1w + T2w, 1 mm', per_head),
        ('whole brain, new contrast, T1w', per_volume),
        ('patch of 64 voxels, new contrast, T1w', per_patch),
    ):
        print(f'| {name} | {seconds:.2f} | {1 / seconds:.2f} |')


if __name__ == '__main__':
    main()
