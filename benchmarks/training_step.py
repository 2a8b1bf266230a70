#!/usr/bin/env python3
"""Time of a training step on one core, with and without freed blocks given back to the system.

python benchmarks/training_step.py [--steps N]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn

from pvs_bidsapp.training.allocator import keep_freed_memory
from pvs_bidsapp.training.losses import make_loss
from pvs_bidsapp.training.patches import Batch
from pvs_bidsapp.training.recipes import RECIPES
from pvs_bidsapp.training.supervised import Supervised
from pvs_bidsapp.training.trainer import Plan, Trainer


def measure(recipe: str, kept: bool, steps: int) -> tuple[float, float, float]:
    """Median seconds and page faults a step, and peak memory in GiB, of four patches of 64 voxels."""
    torch.set_num_threads(1)
    if kept:
        keep_freed_memory()
    architecture = RECIPES[recipe].architecture | {'filters': 8}
    channels = architecture['in_channels']
    batch = Batch(torch.randn(4, channels, 64, 64, 64), (torch.rand(4, 1, 64, 64, 64) > 0.98).float())
    learn, seen = Supervised(make_loss('dice-ce')), []

    def objective(network: nn.Module, batch: Batch, step: int) -> torch.Tensor:
        seen.append((time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt))
        return learn(network, batch, step)

    count = 5 + steps  # five until the heap has grown as large as it will
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(architecture, epochs=1, steps_per_epoch=count)
        Trainer(plan, Path(folder), torch.device('cpu')).fit([batch] * count, objective)
    each = torch.tensor(seen[4:], dtype=torch.float64).diff(dim=0)
    seconds, faults = each.median(0).values.tolist()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return seconds, faults, usage.ru_maxrss / 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=8)
    args = parser.parse_args()
    print('| recipe | freed blocks | seconds a step | page faults a step | peak memory (GiB) | time |')
    print('| --- | --- | --- | --- | --- | --- |')
    for recipe in ('joliot2021', 'supervised-multi'):
        before = 0.0
        for kept in (False, True):
            # the allocator is told once a process
            with ProcessPoolExecutor(1, get_context('spawn')) as pool:
                seconds, faults, memory = pool.submit(measure, recipe, kept, args.steps).result()
            before = before or seconds
            print(
                f'| {recipe} | {"kept" if kept else "given back"} | {seconds:.2f} | {faults:.0f} | {memory:.1f} '
                f'| {seconds / before:.2f} |'
            )


if __name__ == '__main__':
    main()
