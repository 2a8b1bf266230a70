"""Parts of all of the papers' experiments: scales, simulated heads, and trainings that can be resumed."""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.cli.main import main as pvs
from pvs_bidsapp.commands.train import train
from pvs_bidsapp.runtime.resources import cores
from pvs_bidsapp.training.config import Schedule, TrainingConfig, TrainingData
from pvs_bidsapp.training.recipes import JOLIOT, Recipe


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of an experiment is done.

    Attributes
    ----------
    epochs, steps : int
    folds : int
    patch_size, batch_size : int or None
        Of joliot2021; None for the paper's.
    blocks : int
    learning_rate : float
        Of joliot2021.
    """

    epochs: int
    steps: int
    folds: int
    patch_size: int | None
    batch_size: int
    blocks: int
    learning_rate: float

    def shrink(self, recipe: Recipe) -> Recipe:
        """The recipe at this scale."""
        if recipe.stride:  # m2ss and its variants are always trained on patches
            if self.patch_size is None:
                return recipe
            return replace(recipe, batch_size=self.batch_size, warmup_epochs=1, stride=recipe.patch_size)
        architecture = recipe.architecture | {'blocks': self.blocks}
        return replace(
            recipe,
            architecture=architecture,
            patch_size=self.patch_size,
            stride=self.patch_size,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
        )


PAPER = Scale(
    epochs=200, steps=100, folds=5, patch_size=None, batch_size=4, blocks=7,
    learning_rate=JOLIOT.learning_rate,
)  # fmt: skip


def small(epochs: int, steps: int) -> Scale:
    """A scale that takes less than an hour on two cores."""
    return Scale(
        epochs=epochs, steps=steps, folds=2, patch_size=32, batch_size=8, blocks=5, learning_rate=5e-3
    )


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with the arguments of all experiments."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        'out_dir', type=Path, metavar='OUT_DIR', help='heads, trainings, table; a rerun continues there'
    )
    p.add_argument('--scale', choices=('small', 'paper'), default='small', help='default: small')
    p.add_argument(
        '--label-maps', type=Path, metavar='DIR', help='anatomies of the heads (default: the template)'
    )
    p.add_argument('--device', default='cpu', help='cpu or cuda (default cpu)')
    p.add_argument('--precision', choices=('fp32', 'bf16', 'fp16'), default='fp32', help='default: fp32')
    p.add_argument('--nprocs', type=int, default=cores(), help='simulate in N processes in parallel')
    p.add_argument('--seed', type=int, default=7)
    return p


def parse(p: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments; progress is logged from then on."""
    args = p.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    return args


#: All experiments use these heads.
N_HEADS = 50


def heads(args: argparse.Namespace) -> Path:
    """Simulate the heads (suite easy, T1w + T2w), unless they are there already; returns their folder."""
    folder = args.out_dir / 'heads'
    if len(list(folder.glob('sub-*'))) < N_HEADS:
        maps = ['--label-maps', str(args.label_maps)] if args.label_maps else []
        pvs([
            'simulate', str(folder), '--n-subjects', str(N_HEADS), '--suite', 'easy', '--spacing', '1',
            '--seed', str(args.seed), '--nprocs', str(args.nprocs), *maps,
        ])  # fmt: skip
    return folder


def cross_validate(
    args: argparse.Namespace, name: str, recipe: Recipe, scale: Scale, data_dir: Path, **data: Any
) -> Path:
    """Cross-validate in ``OUT_DIR/NAME``, unless it has been done before; returns the folder.

    Parameters
    ----------
    args : argparse.Namespace
    name : str
        Of the experiment.
    recipe : Recipe
    scale : Scale
    data_dir : Path
        With the heads.
    **data
        Fields of `TrainingData`.
    """
    config = TrainingConfig(
        recipe=scale.shrink(recipe),
        schedule=Schedule(
            epochs=scale.epochs, steps_per_epoch=scale.steps, seed=args.seed, precision=args.precision
        ),
        data=TrainingData(
            data_sets=((data_dir, labels_dir(data_dir)),),
            cache_dir=args.out_dir / 'cache',
            folds=scale.folds,
            **data,
        ),
        model_dir=args.out_dir / args.scale / name,
        devices=(args.device,),
        nprocs=args.nprocs,
        resume=True,
    )
    if train(config) is None:
        raise SystemExit('stopped; the same command continues')
    return config.model_dir


def interval(mean: float, low: float | None, high: float | None, digits: int = 2) -> str:
    """Format a mean with its 95 % interval; means of one head have none (None or NaN)."""
    if low is None or high is None or math.isnan(low):
        return f'{mean:.{digits}f} [n/a]'
    return f'{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]'


def summary(scores: dict[str, float]) -> str:
    """Format a score of ``crossval.json`` with its 95 % interval."""
    return interval(scores['mean'], scores['ci_low'], scores['ci_high'])
