"""``pvs train``: retrain a model."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .arguments import SUITES, command_parser

if TYPE_CHECKING:
    from ..training.initial_model import InitialModel
    from ..training.recipes import Recipe

LOG = logging.getLogger(__name__)

DESCRIPTION = """\
Train a model on traced scans. DATA_DIR is a BIDS data set; the tracings stand in a derivative
data set (--labels) as *_label-PVS_mask.nii.gz, named like their scans. Scans without a tracing
serve pre-training and the semi-supervised recipes. Brain masks (desc-brain_mask) and tissue
classes (seg-tissue_dseg) beside the tracings are used; what is missing is worked out (some
minutes a scan, once). MODEL_DIR then serves as `--model MODEL_DIR`. An interrupted training
goes on where it stopped with --resume."""

EXAMPLES = """\
recipes:
  joliot2021        T1w at 1 mm, 7-block network, autoencoder pre-training (Joliot et al. 2021)
  m2ss              T1w + T2w at 0.8 mm, multi-scale, semi-supervised (Chai et al.)
  m2ss-mono, supervised-multi, supervised-mono
                    the same without side inputs, without untraced scans, without both

examples:
  a dozen tracings, on top of a bundled model (most labs' case):
    pvs train /data/traced models/mine --init joliot2021-t1 --epochs 10
  from the beginning, in five folds, on two GPUs, stopping in time for the batch system:
    pvs train /data/traced models/mine --folds 5 --devices 2 --time-limit 1400 --resume
  on simulated heads, every patch painted anew:
    pvs simulate heads --n-subjects 40 --label-maps label-maps/ --spacing 1
    pvs train heads models/mine --paint mixed --init joliot2021-t1
  and at work:
    pvs /bids /out participant --model models/mine
"""

RECIPES = ('joliot2021', 'm2ss', 'm2ss-mono', 'supervised-multi', 'supervised-mono')


def _add_recipe_options(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group('what is trained')
    g.add_argument('--recipe', choices=RECIPES, default='joliot2021', help='see below (default joliot2021)')
    g.add_argument(
        '--labels', type=Path, metavar='DIR', help='tracings (default DATA_DIR/derivatives/labels)'
    )
    g.add_argument(
        '--also', type=Path, action='append', default=[], metavar='DIR',
        help='a further data set, with its tracings in DIR/derivatives/labels (may be repeated)',
    )  # fmt: skip
    g.add_argument(
        '--init', metavar='MODEL', help='start from a bundled model, a model folder or a checkpoint (.pt)'
    )
    g.add_argument(
        '--no-pretraining', '--no_pretraining', action='store_true',
        help='leave the autoencoder out (joliot2021); it gets a quarter of the epochs or time else',
    )  # fmt: skip
    g.add_argument(
        '--loss', choices=('dice', 'dice-ce', 'focal'),
        help='dice alone (Joliot et al.), dice with cross-entropy (default of joliot2021: starts '
        'sooner), focal (default of the others)',
    )  # fmt: skip
    g.add_argument(
        '--paint', choices=SUITES, metavar='SUITE',
        help='DATA_DIR holds simulated heads: paint each patch anew, as on a scanner of this suite '
        f'({", ".join(SUITES)})',
    )  # fmt: skip
    g.add_argument(
        '--trained-on', '--trained_on', default='', metavar='TEXT', help="said in the model's card"
    )


def _add_split_options(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group('who is trained, validated and tested on (never one person twice)')
    g.add_argument(
        '--validation', type=float, default=0.1, metavar='SHARE',
        help='share of persons kept for validation (default 0.1)',
    )  # fmt: skip
    g.add_argument(
        '--folds', type=int, default=0, metavar='K',
        help='cross-validation: K models, tested on persons that they have not seen, then joined to one',
    )  # fmt: skip
    g.add_argument(
        '--test', type=float, metavar='SHARE',
        help='with --folds: share of persons each fold is tested on (default 1/K; 0.1 for m2ss and siblings)',
    )  # fmt: skip
    g.add_argument(
        '--training-size', '--training_size', type=int, metavar='N',
        help='use the tracings of N persons alone; the other scans count as untraced',
    )  # fmt: skip


def _add_course_options(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group('how it goes')
    g.add_argument('--epochs', type=int, default=40, help='of 100 steps each (default 40)')
    g.add_argument('--steps', type=int, default=100, metavar='N', help='steps of an epoch (default 100)')
    g.add_argument(
        '--patch-size', '--patch_size', type=int, metavar='VOXELS',
        help='edge of the training patches; 0 for whole volumes (default: as the recipe has it; '
        'joliot2021: that of the model named by --init, else whole volumes on a GPU, 64 on the CPU)',
    )  # fmt: skip
    g.add_argument(
        '--spacing', type=float, nargs='+', metavar='MM',
        help='voxel size of the grid that the network works on; two numbers: scans keep their own voxels where '
        'these lie between the two (default: as the recipe, or the model named by --init, has it)',
    )  # fmt: skip
    g.add_argument(
        '--turns', action='store_true',
        help='lay patches in all 48 ways of a cube, not only as the mirror image (always with --paint)',
    )  # fmt: skip
    g.add_argument('--batch-size', '--batch_size', type=int, help='samples a step (default 4; m2ss 16)')
    g.add_argument(
        '--filters', type=int, metavar='N',
        help='filters of the first level, doubled in each deeper one (default: those of the model named by '
        '--init; 8; m2ss 16)',
    )  # fmt: skip
    g.add_argument(
        '--dropout', type=float, metavar='SHARE',
        help='share of the values dropped in training, between 0 and 1 (joliot2021 alone; default: as the model '
        'named by --init, else 0.1)',
    )  # fmt: skip
    g.add_argument(
        '--micro-batch', '--micro_batch', type=int, metavar='N',
        help='samples that are in memory together, the rest by gradient accumulation '
        '(default: one whole volume, all patches)',
    )  # fmt: skip
    g.add_argument(
        '--learning-rate', '--learning_rate', type=float, help='at the start (default 0.003; m2ss 0.002)'
    )
    g.add_argument(
        '--patience', type=int, default=15, metavar='EPOCHS',
        help='stop after so many epochs without a better validation score; 0: never (default 15)',
    )  # fmt: skip
    g.add_argument('--seed', type=int, default=1, help='seed of all that is random (default 1)')
    g.add_argument(
        '--resume', action='store_true', help='go on where it stopped, or begin if it has not begun'
    )
    g.add_argument(
        '--time-limit', '--time_limit', type=float, metavar='MINUTES',
        help='stop in good order after this time and write the model',
    )  # fmt: skip


def _add_machine_options(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group('on what')
    g.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N (default auto)')
    g.add_argument(
        '--devices', type=int, default=1, metavar='N',
        help='train on N GPUs (or in N processes on the CPU) together; each takes its part of a batch',
    )  # fmt: skip
    g.add_argument(
        '--precision', choices=('auto', 'fp32', 'bf16', 'fp16'), default='auto',
        help='of the numbers inside the network (auto: bf16 on a GPU that has it, fp32 else)',
    )  # fmt: skip
    g.add_argument(
        '--cache', type=Path, metavar='DIR',
        help='where prepared scans are kept (default MODEL_DIR/cache); several trainings may share it',
    )  # fmt: skip
    g.add_argument(
        '--nprocs', '--n-cpus', '--n_cpus', type=int, default=1, metavar='N',
        help='processes that prepare scans (default 1)',
    )  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = command_parser('pvs train', DESCRIPTION, EXAMPLES)
    p.add_argument('data_dir', type=Path, metavar='DATA_DIR', help='BIDS data set with the scans')
    p.add_argument(
        'model_dir', type=Path, metavar='MODEL_DIR', help='where the model, checkpoints and log go'
    )
    for add in (_add_recipe_options, _add_split_options, _add_course_options, _add_machine_options):
        add(p)
    return p


def _check(args: argparse.Namespace) -> None:
    for folder in (args.data_dir, *args.also):
        if not folder.is_dir():
            raise InputError(f'{folder}: no such folder')
    at_least_one = (
        'epochs', 'steps', 'batch_size', 'filters', 'micro_batch', 'devices', 'training_size', 'nprocs'
    )  # fmt: skip
    for name in at_least_one:
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InputError(f'--{name.replace("_", "-")} {value}: must be at least 1')
    if not 0 <= args.validation < 1 or not 0 < (args.test or 0.5) < 1:
        raise InputError('--validation and --test are shares of the persons: between 0 and 1')
    if args.dropout is not None and not 0 <= args.dropout < 1:
        raise InputError(f'--dropout {args.dropout:g}: must be at least 0 and below 1')
    if args.spacing and (len(args.spacing) > 2 or not 0.3 <= min(args.spacing) <= max(args.spacing) <= 3):
        raise InputError('--spacing: one or two voxel sizes between 0.3 and 3 mm')
    if args.folds == 1 or args.folds < 0:
        raise InputError(f'--folds {args.folds}: give 2 or more, or leave it out')


def choose_recipe(args: argparse.Namespace, device: str) -> Recipe:
    """The recipe with what the command line changes of it."""
    from ..training.initial_model import read_initial_model
    from ..training.recipes import find_recipe

    recipe = find_recipe(args.recipe)
    changes = {k: getattr(args, k) for k in ('batch_size', 'learning_rate', 'loss') if getattr(args, k)}
    if args.no_pretraining:
        changes['pretraining'] = False
    given = read_initial_model(args.init) if args.init else None
    changes['architecture'] = choose_architecture(args, recipe, given)
    changes |= choose_grid(args, recipe, given, device)
    changes['turns'] = args.turns or args.paint is not None
    recipe = replace(recipe, **changes)
    least = _least_patch(recipe)
    own = -(-recipe.batch_size // args.devices)
    together = min(args.micro_batch or own, own)
    if recipe.patch_size == least and 1 in (together, own % together, recipe.batch_size // args.devices):
        raise InputError(
            f'one patch of {least} voxels alone leaves the deepest layer a single voxel: give a larger '
            '--patch-size, or at least two samples a device by --batch-size and --micro-batch'
        )
    return recipe


def choose_architecture(
    args: argparse.Namespace, recipe: Recipe, given: InitialModel | None
) -> dict[str, Any]:
    """The recipe's network with what is asked for, else with what the model that is trained further has."""
    architecture = dict(recipe.architecture)
    if args.dropout is not None and 'dropout' not in architecture:
        raise InputError(f'--dropout: the network of {recipe.name} has none; leave it out')
    for name in ('filters', 'dropout'):
        asked = getattr(args, name)
        if asked is None and given is not None:
            asked = given.architecture.get(name)
        if asked is not None and name in architecture:
            architecture[name] = asked
    if given:
        given.check(args.init, architecture)
    return architecture


def choose_grid(
    args: argparse.Namespace, recipe: Recipe, given: InitialModel | None, device: str
) -> dict[str, Any]:
    """Voxels and patches: as asked for, else those of the model that is trained further, else the recipe's."""
    changes: dict[str, Any] = {}
    if args.spacing:
        low, high = min(args.spacing), max(args.spacing)
        changes['spacing'] = low if low == high else (low, high)
    elif given and given.spacing:
        changes['spacing'] = given.spacing
    size = args.patch_size
    if size is None and recipe.patch_size is None:
        size = given.patch_size if given else None
        if size is None and device == 'cpu':
            LOG.info('no GPU: training on patches of 64 voxels (--patch-size 0 for whole volumes)')
            size = 64
    if size == 0 and recipe.stride:
        raise InputError(f'--patch-size 0: {recipe.name} is trained on patches')
    if size and size < (least := _least_patch(recipe)):
        raise InputError(f'--patch-size {size}: this network needs at least {least}')
    if size is not None:
        changes['patch_size'] = size or None
    if size:
        # with the mirror image beside, patches overlap enough by a quarter: 60 % of the time, the same Dice
        changes['stride'] = size * 3 // 4 if recipe.mirror else size // 2
    return changes


def _least_patch(recipe: Recipe) -> int:
    """Edge of the smallest patch that reaches the deepest layer."""
    blocks = recipe.architecture.get('blocks', recipe.architecture.get('levels', 0) + 1)
    return int(2 ** (blocks - 1))


def choose_precision(asked: str, device: str) -> str:
    """``fp32``, ``bf16`` or ``fp16``."""
    if asked != 'auto':
        return asked
    if device.startswith('cuda'):
        import torch

        return 'bf16' if torch.cuda.is_bf16_supported() else 'fp16'
    return 'fp32'


def choose_devices(device: str, number: int) -> tuple[str, ...]:
    """One device a process.

    Raises
    ------
    InputError
        If there are fewer GPUs.
    """
    if number == 1 or device == 'cpu':
        return (device,) * number
    import torch

    if (there := torch.cuda.device_count()) < number:
        raise InputError(f'--devices {number}: only {there} GPUs are to be seen')
    return tuple(f'cuda:{k}' for k in range(number))


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    _check(args)
    from ..bids.naming import labels_dir
    from ..commands.train import TrainingJob, run
    from ..commands.training_run import Task
    from ..segmentation.device import choose_device

    logging.basicConfig(level=logging.INFO, format='%(message)s')
    device = choose_device(args.device)
    recipe = choose_recipe(args, device)
    task = Task(
        recipe, epochs=args.epochs, steps_per_epoch=args.steps, seed=args.seed, time_limit=args.time_limit,
        patience=args.patience, precision=choose_precision(args.precision, device),
        micro_batch=args.micro_batch, resume=args.resume, init=args.init, paint=args.paint,
    )  # fmt: skip
    job = TrainingJob(
        args.data_dir, args.labels or labels_dir(args.data_dir), args.model_dir, task,
        choose_devices(device, args.devices), args.nprocs, args.validation, args.folds,
        0.1 if args.test is None and recipe.name != 'joliot2021' else args.test, args.training_size, args.trained_on, args.cache,
        tuple(args.also),
    )  # fmt: skip
    if run(job) is None:
        print(f'stopped as asked; go on with --resume (checkpoints in {args.model_dir})', file=sys.stderr)
        return 1
    print(f'model written to {args.model_dir}')
    return 0
