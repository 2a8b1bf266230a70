#!/usr/bin/env python3
"""Time of a training step on one core, with freed blocks kept or returned to the system.

python benchmarks/training_step.py [--steps N]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn

from pvs_bidsapp.training.allocator import keep_freed_memory
from pvs_bidsapp.training.config import Schedule, TrainingConfig
from pvs_bidsapp.training.datasets import Batch
from pvs_bidsapp.training.losses import make_loss
from pvs_bidsapp.training.objectives import Supervised
from pvs_bidsapp.training.recipes import RECIPES
from pvs_bidsapp.training.trainer import Trainer


def measure(name: str, kept: bool, steps: int) -> tuple[float, float, float]:
    """Median seconds and page faults per step of four patches of 64 voxels; peak memory in GiB."""
    torch.set_num_threads(1)
    if kept:
        keep_freed_memory()
    architecture = RECIPES[name].architecture | {'filters': 8}
    recipe = replace(RECIPES[name], architecture=architecture, patch_size=64)
    channels = architecture['in_channels']
    batch = Batch(torch.randn(4, channels, 64, 64, 64), (torch.rand(4, 1, 64, 64, 64) > 0.98).float())
    supervised, measured = Supervised(make_loss('dice-ce')), []

    def objective(network: nn.Module, batch: Batch, step: int) -> torch.Tensor:
        measured.append((time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt))
        return supervised(network, batch, step)

    count = 5 + steps  # after five, the heap has reached its final size
    with tempfile.TemporaryDirectory() as folder:
        config = TrainingConfig(recipe=recipe, schedule=Schedule(epochs=1, steps_per_epoch=count))
        Trainer(config, Path(folder), torch.device('cpu')).fit([batch] * count, objective)
    each = torch.tensor(measured[4:], dtype=torch.float64).diff(dim=0)
    seconds, faults = each.median(0).values.tolist()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return seconds, faults, usage.ru_maxrss / 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=8)
    args = parser.parse_args()
    print('| recipe | freed blocks | seconds per step | page faults per step | peak memory (GiB) | time |')
    print('| --- | --- | --- | --- | --- | --- |')
    for recipe in ('joliot2021', 'supervised-multi'):
        before = 0.0
        for kept in (False, True):
            # the allocator is set once per process
            with ProcessPoolExecutor(1, get_context('spawn')) as pool:
                seconds, faults, memory = pool.submit(measure, recipe, kept, args.steps).result()
            before = before or seconds
            blocks = 'kept' if kept else 'returned'
            print(f'| {recipe} | {blocks} | {seconds:.2f} | {faults:.0f} | {memory:.1f} ', end='')
            print(f'| {seconds / before:.2f} |')


if __name__ == '__main__':
    main()
