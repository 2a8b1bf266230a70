"""``pvs train``: train a model."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from ..messages import options
from .arguments import (
    COUNT,
    PATH,
    PROCESSES,
    SEED,
    SUITES,
    Number,
    OptionParser,
    WholeNumber,
    add_label_options,
    add_option,
    command_parser,
    log_to_terminal,
)
from .folders import check_input, check_output
from .simulate import label_maps

if TYPE_CHECKING:
    from ..training.config import TrainingConfig
    from ..training.recipes import RecipeChanges

DESCRIPTION = """\
Train a model on labelled scans. DATA_DIR is a BIDS dataset. The labels, masks of PVS, are in a
derivative dataset (--labels) as *_label-PVS_mask.nii.gz, with the names of their scans. Scans
without a label are used for pre-training and by the semi-supervised recipes. Brain masks
(desc-brain_mask) and tissue classes (seg-tissue_dseg) in the same dataset are used; what is
missing is computed, which takes some minutes per scan, once. With --generate, training needs
label maps only, and no DATA_DIR: each patch is made anew from them; with --backgrounds, some of
them from real scans that `pvs participant` has finished. The result is a model
for `--model MODEL_DIR`. An interrupted training is continued with --resume."""

EXAMPLES = """\
recipes:
  joliot2021        T1w at 1 mm, 7-block network, pre-training as an autoencoder (Joliot et al. 2021)
  m2ss              T1w + T2w at 0.8 mm, multi-scale, semi-supervised (Chai et al.)
  m2ss-mono         as m2ss, without side inputs
  supervised-multi  as m2ss, without unlabelled scans
  supervised-mono   as m2ss, without either

examples:
  start from a bundled model; a dozen labelled scans are enough:
    pvs train /data/labelled models/mine --init joliot2021-t1 --epochs 10
  start from scratch, in five folds, on two GPUs, within the time limit of a batch system:
    pvs train /data/labelled models/mine --folds 5 --devices 2 --time-limit 1400 --resume
  train on simulated heads whose patches are synthesized anew each time:
    pvs simulate heads --n-subjects 40 --label-maps label-maps/ --spacing 1
    pvs train heads models/mine --paint mixed --init joliot2021-t1
  train on patches that are made from label maps alone, each of them once:
    pvs train models/mine --generate label-maps/ --recipe supervised-multi --modality T1w --resume
  cut a quarter of the patches from real scans, with spaces drawn into them:
    pvs /data/bids /data/out participant
    pvs train models/mine --generate label-maps/ --backgrounds /data/out
  use the model:
    pvs /bids /out participant --model models/mine
"""

#: A fraction of the people or of the values, of which some have to be left.
_FRACTION = Number(low=0, high=1, below=True)
_SOME = Number(low=0, above=True, high=1, below=True)
RECIPES = ('joliot2021', 'm2ss', 'm2ss-mono', 'supervised-multi', 'supervised-mono')


def _add_recipe_options(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group('recipe and data')
    add_option(g, '--recipe', choices=RECIPES, default='joliot2021', help='see below (default joliot2021)')
    add_option(
        g, '--labels', type=PATH, metavar='DIR',
        help='dataset with the labels, or with the marks of a reader (sub-*_desc-pvs_marks.tsv) (default: '
        'DATA_DIR/derivatives/labels, or where its layout has them; for the T2w alone, '
        'DATA_DIR/derivatives/labels-T2w if it is there)',
    )  # fmt: skip
    add_label_options(g)
    add_option(
        g, '--also', type=PATH, action='append', default=[], metavar='DIR', dest='further_data_dirs',
        help='a further dataset, with its labels where those of DATA_DIR are by default (may be repeated)',
    )  # fmt: skip
    add_option(
        g, '--init', metavar='MODEL', help='start from a bundled model, a model folder or a checkpoint (.pt)'
    )
    add_option(
        g, '--no-pretraining', action='store_true',
        help='no pre-training as an autoencoder (joliot2021), which takes a quarter of the epochs or time',
    )  # fmt: skip
    add_option(
        g, '--loss', choices=('dice', 'dice-ce', 'focal', 'ce'),
        help='Dice (Joliot et al.), Dice and cross-entropy (default of joliot2021; starts to learn '
        'sooner), focal loss (default of the other recipes) or cross-entropy (calibrated as it is)',
    )  # fmt: skip
    add_option(
        g, '--paint', choices=SUITES, metavar='SUITE', dest='synthesize',
        help='DATA_DIR holds simulated heads: synthesize each patch anew, with a scanner of this suite '
        f'({", ".join(SUITES)})',
    )  # fmt: skip
    add_option(
        g, '--generate', type=PATH, metavar='LABEL_MAPS',
        help='folder of label maps (FreeSurfer, SynthSeg): make each patch anew from them, with spaces, '
        'mimics, contrast and scanner of its own; leave out DATA_DIR. --validation is the fraction of the '
        'label maps in which heads are simulated for validation',
    )  # fmt: skip
    add_option(
        g, '--backgrounds', type=PATH, nargs='+', default=[], metavar='OUT_DIR',
        help='with --generate: outputs of `pvs participant`; some patches are cut from their scans, with '
        "spaces drawn in anew each time; what may be the person's own spaces is left out of the loss",
    )  # fmt: skip
    add_option(
        g, '--background-share', type=_SOME, metavar='FRACTION', dest='background_fraction',
        help='fraction of the patches that --backgrounds gives (default 0.25)',
    )  # fmt: skip
    add_option(
        g, '--trained-on', default='', metavar='TEXT',
        help="description of the training data for the model's card",
    )  # fmt: skip


def _add_split_options(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group('data splits (all scans of a person stay together)')
    add_option(
        g, '--validation', type=_FRACTION, default=0.1, metavar='FRACTION', dest='validation_fraction',
        help='fraction of the people who are kept for validation (default 0.1)',
    )  # fmt: skip
    add_option(
        g, '--folds', type=WholeNumber(low=0, high=100), default=0, metavar='K',
        help='cross-validation: K models, each tested on people whom it has not seen, then joined into one',
    )  # fmt: skip
    add_option(
        g, '--test', type=_SOME, metavar='FRACTION', dest='test_fraction',
        help='with --folds: fraction of the people on whom each fold is tested (default 1/K; 0.1 for m2ss '
        'and its variants)',
    )  # fmt: skip
    add_option(
        g, '--training-size', type=COUNT, metavar='N',
        help='use the labels of N people only; the other scans count as unlabelled',
    )  # fmt: skip


def _add_input_options(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group('network and its input')
    add_option(
        g, '--modality', choices=('T1w', 'T1w+T2w', 'T2w'),
        help='scans that the network gets (default: those of the recipe)',
    )  # fmt: skip
    add_option(
        g, '--patch-size', type=WholeNumber(low=0, high=1024), metavar='VOXELS',
        help='edge of the training patches; 0 for whole volumes (default: that of the recipe; joliot2021: '
        'that of the model named by --init, else whole volumes on a GPU, 64 on the CPU)',
    )  # fmt: skip
    add_option(
        g, '--spacing', type=Number(low=0.3, high=3), nargs='+', metavar='MM',
        help="voxel size of the network's grid; two numbers: scans keep their own voxel sizes between the "
        'two, and with --generate, some patches have slices up to the larger one if that is above 1.2 '
        '(default: that of the model named by --init, or of the recipe)',
    )  # fmt: skip
    add_option(
        g, '--turns', action='store_true', dest='all_orientations',
        help='lay patches in all 48 orientations of a cube, not only mirrored (always with --paint)',
    )  # fmt: skip
    add_option(
        g, '--filters', type=WholeNumber(low=1, high=1024), metavar='N',
        help='filters of the first level, doubled in each deeper one (default: those of the model named by '
        '--init, else 8; m2ss 16)',
    )  # fmt: skip
    add_option(
        g, '--dropout', type=_FRACTION, metavar='FRACTION',
        help='fraction of the values that is dropped in training, between 0 and 1 (joliot2021 only; default: '
        'that of the model named by --init, else 0.1)',
    )  # fmt: skip
    add_option(
        g, '--refine', type=WholeNumber(low=0, high=256), metavar='WIDTH',
        help='give the network a second look at the image, with so many features, which draws borders by the '
        'intensity of each voxel (16 is a good number; 0: none; default: that of the model named by --init, '
        'else none)',
    )  # fmt: skip
    add_option(
        g, '--compare', type=WholeNumber(low=1, high=256), metavar='WIDTH',
        help='with --generate and --init: leave the network as it is, and put behind it a comparison of each '
        'voxel with the sure spaces of its patch, with so many features (32 is a good number); it learns '
        'from --epochs times --steps patches',
    )  # fmt: skip
    add_option(
        g, '--compare-limit', type=Number(low=0, high=100), metavar='LOGITS',
        help='with --compare: change a logit by this at most, so that plain spaces hide fewer of the faint '
        'ones elsewhere in the scan (0: no limit; default: that of the model named by --init)',
    )  # fmt: skip


def _add_schedule_options(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group('schedule')
    add_option(g, '--epochs', type=COUNT, default=40, metavar='N', help='number of epochs (default 40)')
    add_option(g, '--steps', type=COUNT, default=100, metavar='N', help='steps per epoch (default 100)')
    add_option(g, '--batch-size', type=COUNT, metavar='N', help='samples per step (default 4; m2ss 16)')
    add_option(
        g, '--micro-batch', type=COUNT, metavar='N',
        help='samples in memory at a time; gradients are accumulated over the batch (default: one whole '
        'volume, or all patches)',
    )  # fmt: skip
    add_option(
        g, '--learning-rate', type=Number(low=0, above=True, high=1), metavar='RATE',
        help='at the start (default 0.003; m2ss 0.002)',
    )  # fmt: skip
    add_option(
        g, '--patience', type=WholeNumber(low=0, high=2**31 - 1), default=15, metavar='EPOCHS',
        help='stop after this number of epochs without a better validation score; 0: never (default 15)',
    )  # fmt: skip
    add_option(g, '--seed', type=SEED, default=1, metavar='N', help='seed of all random numbers (default 1)')
    add_option(
        g, '--resume', action='store_true',
        help='continue an interrupted training; start one if there is none',
    )  # fmt: skip
    add_option(
        g, '--time-limit', type=Number(low=0, above=True), metavar='MINUTES',
        help='end after this time, counted from the start of the command, and write the model',
    )  # fmt: skip


def _add_machine_options(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group('hardware')
    add_option(g, '--device', default='auto', help='auto, cpu, cuda or cuda:N (default auto)')
    add_option(
        g, '--devices', type=PROCESSES, default=1, metavar='N',
        help='train on N GPUs, or in N processes on the CPU; each takes its part of a batch',
    )  # fmt: skip
    add_option(
        g, '--precision', choices=('auto', 'fp32', 'bf16', 'fp16'), default='auto',
        help='precision inside the network (auto: bf16 on a GPU that supports it, fp16 on other GPUs, fp32 '
        'on the CPU)',
    )  # fmt: skip
    add_option(
        g, '--cache', type=PATH, metavar='DIR',
        help='folder of the prepared scans (default MODEL_DIR/cache); several trainings may share it',
    )  # fmt: skip
    add_option(
        g, '--nprocs', '--n-cpus', type=PROCESSES, default=1, metavar='N',
        help='prepare scans, or make patches (--generate), in N processes in parallel (default 1)',
    )  # fmt: skip


def parser() -> OptionParser:
    """Arguments of the command."""
    p = command_parser('pvs train', DESCRIPTION, EXAMPLES)
    p.add_argument(
        'data_dir', type=PATH, metavar='DATA_DIR', nargs='?',
        help='BIDS dataset with the scans; left out with --generate',
    )  # fmt: skip
    p.add_argument(
        'model_dir', type=PATH, metavar='MODEL_DIR', help='folder of the model, its checkpoints and its log'
    )
    for add in (
        _add_recipe_options,
        _add_split_options,
        _add_input_options,
        _add_schedule_options,
        _add_machine_options,
    ):
        add(p)
    return p


def _check(args: argparse.Namespace) -> None:
    """Check the folders, and values that depend on each other."""
    _check_backgrounds(args)
    _check_comparison(args)
    if args.generate:
        _check_generate(args)
    elif args.data_dir is None:
        raise options.NEEDS_DATA.error('DATA_DIR')
    further = [(folder, '--also') for folder in args.further_data_dirs]
    data_dirs = [(args.data_dir, '')] if args.data_dir else []
    for folder, name in (*data_dirs, *further):
        check_input(folder, 'the root of a BIDS dataset', name)
    if args.labels:
        check_input(args.labels, 'the dataset with the labels', '--labels')
    inputs = [
        *((folder, 'DATA_DIR') for folder, _ in data_dirs),
        *((folder, str(folder)) for folder, _ in further),
        *((folder, '--generate') for folder in [args.generate] if folder),
        *((folder, '--backgrounds') for folder in args.backgrounds),
    ]
    check_output(args.model_dir, 'MODEL_DIR', inputs)
    if args.cache:
        check_output(args.cache, '--cache', inputs)
    if args.spacing and len(args.spacing) > 2:
        raise options.TOO_MANY_VALUES.error('--spacing', count=len(args.spacing), most='one or two')
    if args.devices > 1 and ':' in args.device:
        raise options.CONFLICT.error(f'--device {args.device}', other=f'--devices {args.devices}')
    if args.folds == 1:
        raise options.VALUE.error('--folds 1', allowed='2 or more, or leave it out', program='pvs train')
    if args.test_fraction is not None and not args.folds:
        raise options.NEEDS.error('--test', other='--folds')


def _check_backgrounds(args: argparse.Namespace) -> None:
    """Check the folders of the real scans, which are a part of what label maps give."""
    if args.background_fraction is not None and not args.backgrounds:
        raise options.NEEDS.error('--background-share', other='--backgrounds')
    if args.backgrounds and not args.generate:
        raise options.NEEDS.error('--backgrounds', other='--generate')
    for folder in args.backgrounds:
        check_input(folder, 'the OUT_DIR of `pvs participant`', '--backgrounds')


def _check_comparison(args: argparse.Namespace) -> None:
    """Check what a comparison needs: a network, and patches without end."""
    for option, value in (('--generate', args.generate), ('--init', args.init)):
        if args.compare is not None and not value:
            raise options.NEEDS.error('--compare', other=option)
    if args.compare_limit is not None and args.compare is None:
        raise options.NEEDS.error('--compare-limit', other='--compare')
    given = {
        '--devices': args.devices > 1,
        '--loss': args.loss,
        '--batch-size': args.batch_size,
        '--micro-batch': args.micro_batch,
        '--learning-rate': args.learning_rate,
    }
    for name, value in given.items():
        if args.compare is not None and value:  # the comparison has its own
            raise options.CONFLICT.error('--compare', other=name)


def _check_generate(args: argparse.Namespace) -> None:
    """Refuse what belongs to scans: patches are made from label maps alone."""
    given = {
        'DATA_DIR': args.data_dir,
        '--labels': args.labels,
        '--labels-layout': args.labels_layout,
        '--rater': args.rater,
        '--also': args.further_data_dirs,
        '--paint': args.synthesize,
        '--folds': args.folds,
        '--training-size': args.training_size,
    }
    for name, value in given.items():
        if value:
            raise options.CONFLICT.error('--generate', other=name)


def recipe_changes(args: argparse.Namespace) -> RecipeChanges:
    """What the arguments change of the recipe."""
    from ..training.recipes import RecipeChanges

    low, high = (min(args.spacing), max(args.spacing)) if args.spacing else (None, None)
    return RecipeChanges(
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        loss=args.loss,
        pretraining=not args.no_pretraining,
        channels=tuple(args.modality.split('+')) if args.modality else None,
        spacing=low if low is None or high is None or low == high else (low, high),
        patch_size=args.patch_size,
        filters=args.filters,
        dropout=args.dropout,
        refine=args.refine,
        compare=args.compare,
        compare_limit=args.compare_limit,
        all_orientations=args.all_orientations,
        synthesize=args.synthesize is not None,
    )


def make_config(args: argparse.Namespace) -> TrainingConfig:
    """Make the configuration of a training from the arguments.

    Raises
    ------
    InputError
        If the arguments do not go together, or the device cannot be used.
    """
    from ..bids.label_layouts import default_labels_dir
    from ..segmentation.device import choose_device, choose_devices, choose_precision
    from ..training.config import Schedule, TrainingConfig, TrainingData
    from ..training.initial_model import read_initial_model
    from ..training.recipes import check_batches, default_test_fraction, resolve_recipe

    device = choose_device(args.device)
    initial = read_initial_model(args.init) if args.init else None
    recipe = resolve_recipe(args.recipe, recipe_changes(args), initial, device)
    check_batches(recipe, devices=args.devices, micro_batch=args.micro_batch)
    schedule = Schedule(
        epochs=args.epochs,
        steps_per_epoch=args.steps,
        seed=args.seed,
        time_limit=args.time_limit,
        patience=args.patience,
        precision=choose_precision(args.precision, device),
        micro_batch=args.micro_batch,
    )
    folders = [(args.data_dir, args.labels)] if args.data_dir else []
    folders += [(folder, None) for folder in args.further_data_dirs]
    data = TrainingData(
        data_sets=tuple(
            (folder, labels or default_labels_dir(folder, args.labels_layout, recipe.channels))
            for folder, labels in folders
        ),
        labels_layout=args.labels_layout,
        rater=args.rater,
        cache_dir=args.cache or args.model_dir / 'cache',
        validation_fraction=args.validation_fraction,
        folds=args.folds,
        test_fraction=default_test_fraction(recipe) if args.test_fraction is None else args.test_fraction,
        training_size=args.training_size,
        synthesize=args.synthesize,
        generate=tuple(label_maps(args.generate, '--generate')) if args.generate else (),
        backgrounds=tuple(args.backgrounds),
        background_fraction=args.background_fraction or TrainingData.background_fraction,
    )
    return TrainingConfig(
        recipe=recipe,
        schedule=schedule,
        data=data,
        model_dir=args.model_dir,
        devices=choose_devices(device, args.devices),
        nprocs=args.nprocs,
        resume=args.resume,
        init=args.init,
        adds_comparison=args.compare is not None,
        trained_on=args.trained_on,
    )


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises
    ------
    InputError
        If arguments do not go together, or a folder does not exist or cannot be written to.
    """
    from ..runtime.files import check_writable, remove_leftovers

    started = time.monotonic()  # of --time-limit: what follows imports torch, which takes seconds
    args = parser().parse_args(argv)
    _check(args)
    log_to_terminal(prefix='')
    config = make_config(args)
    from ..commands.train import train

    check_writable(args.model_dir, 'MODEL_DIR')
    check_writable(config.data.cache_dir, 'the folder of prepared scans')
    remove_leftovers(args.model_dir, below=True)
    if train(config, started=started) is None:
        print(f'stopped; continue with --resume (checkpoints are in {args.model_dir})', file=sys.stderr)
        return 1
    print(f'model written to {args.model_dir}')
    return 0
