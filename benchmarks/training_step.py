#!/usr/bin/env python3
"""Time of a training step on one core, beside what the core's arithmetic allows.

    python benchmarks/training_step.py [--steps N]

Four patches of 64 voxels. The limit is the time in which the core multiplies matrices in float32 with as many
operations as the step has, as torch counts them (convolutions, forward and backward). Each recipe runs with
freed blocks of memory kept, as in training, and returned to the system.
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
from torch.utils.flop_counter import FlopCounterMode

from pvs_bidsapp.segmentation.networks import build
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


def operations(name: str) -> int:
    """Floating-point operations of a step."""
    architecture = RECIPES[name].architecture | {'filters': 8}
    network, channels = build(architecture), architecture['in_channels']
    counter = FlopCounterMode(display=False)
    with counter:
        network(torch.randn(4, channels, 64, 64, 64)).sum().backward()
    return int(counter.get_total_flops())


def operations_per_second(size: int = 2048, repeats: int = 5) -> float:
    """Speed of one core in products of matrices in float32."""
    torch.set_num_threads(1)
    one, two = torch.randn(2, size, size)
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        one @ two
        seconds.append(time.process_time() - started)
    return 2 * size**3 / min(seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=8)
    args = parser.parse_args()
    speed = operations_per_second()
    print(f'one core: {speed / 1e9:.0f} billion operations a second\n')
    print(
        '| recipe | freed blocks | s per step | steps a s | page faults per step | peak, GiB | of the limit |'
    )
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for recipe in ('joliot2021', 'supervised-multi'):
        limit = operations(recipe) / speed
        for kept in (False, True):
            # the allocator is set once per process
            with ProcessPoolExecutor(1, get_context('spawn')) as pool:
                seconds, faults, memory = pool.submit(measure, recipe, kept, args.steps).result()
            blocks = 'kept' if kept else 'returned'
            print(f'| {recipe} | {blocks} | {seconds:.2f} | {1 / seconds:.2f} | {faults:.0f} ', end='')
            print(f'| {memory:.1f} | {limit / seconds:.0%} |')


if __name__ == '__main__':
    main()
