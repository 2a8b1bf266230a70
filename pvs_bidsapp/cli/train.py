"""``pvs train``: retrain a model."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..errors import InputError
from .arguments import command_parser

DESCRIPTION = """\
Train a model on traced scans. DATA_DIR is a BIDS data set; the tracings stand in a derivative
data set beside it (--labels), as *_label-PVS_mask.nii.gz with desc-brain_mask and
seg-tissue_dseg. MODEL_DIR then serves as `--model MODEL_DIR`. An interrupted training goes on
from its last checkpoint with --resume."""

EXAMPLES = """\
examples:
  pvs simulate heads --n-subjects 40 --label-maps label-maps/
  pvs train heads models/mine --recipe joliot2021 --epochs 40 --time-limit 60
  pvs train heads models/mine --paint mixed --init joliot2021-t1
  pvs /bids /out participant --model models/mine
"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = command_parser('pvs train', DESCRIPTION, EXAMPLES)
    p.add_argument('data_dir', type=Path, metavar='DATA_DIR', help='BIDS data set with the scans')
    p.add_argument(
        'model_dir', type=Path, metavar='MODEL_DIR', help='where the model, checkpoints and log go'
    )
    p.add_argument('--recipe', choices=('joliot2021',), default='joliot2021', help='how to train')
    p.add_argument(
        '--labels', type=Path, metavar='DIR', help='tracings (default DATA_DIR/derivatives/labels)'
    )
    p.add_argument('--epochs', type=int, default=40, help='of 100 steps each (default 40)')
    p.add_argument(
        '--patch-size',
        '--patch_size',
        type=int,
        default=64,
        metavar='VOXELS',
        help='edge of the training patches (default 64)',
    )
    p.add_argument('--batch-size', '--batch_size', type=int, default=4, help='patches a step (default 4)')
    p.add_argument(
        '--learning-rate', '--learning_rate', type=float, default=3e-3, help='at the start (default 0.003)'
    )
    p.add_argument(
        '--validation',
        type=float,
        default=0.1,
        metavar='SHARE',
        help='share of persons kept for validation (default 0.1)',
    )
    p.add_argument('--resume', action='store_true', help='go on from the last checkpoint')
    p.add_argument(
        '--init', metavar='MODEL', help='start from a bundled model, a model folder or a checkpoint (.pt)'
    )
    p.add_argument(
        '--paint',
        choices=('easy', 'hard', 'shift', 'mixed'),
        metavar='SUITE',
        help='DATA_DIR holds simulated heads: paint each patch anew, as on a scanner of this suite',
    )
    p.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N (default auto)')
    p.add_argument(
        '--nprocs',
        '--n-cpus',
        '--n_cpus',
        type=int,
        default=1,
        metavar='N',
        help='processes that prepare scans (default 1)',
    )
    p.add_argument('--seed', type=int, default=1, help='seed of all that is random (default 1)')
    p.add_argument(
        '--time-limit',
        '--time_limit',
        type=float,
        metavar='MINUTES',
        help='stop in good order after this time and write the model',
    )
    p.add_argument(
        '--trained-on', '--trained_on', default='', metavar='TEXT', help="said in the model's card"
    )
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    if not args.data_dir.is_dir():
        raise InputError(f'{args.data_dir}: no such folder')
    if min(args.epochs, args.batch_size, args.patch_size // 16) < 1:
        raise InputError('--epochs and --batch-size must be at least 1, --patch-size at least 16')
    from ..segmentation.device import choose_device
    from ..training.supervised import Plan
    from ..workflows.train import TrainingJob, run

    logging.basicConfig(level=logging.INFO, format='%(message)s')
    plan = Plan(
        architecture={'name': 'joliot2021', 'in_channels': 1, 'blocks': 7, 'filters': 8, 'dropout': 0.1},
        epochs=args.epochs, patch_size=args.patch_size, batch_size=args.batch_size,
        learning_rate=args.learning_rate, seed=args.seed, time_limit=args.time_limit,
    )  # fmt: skip
    job = TrainingJob(
        args.data_dir, args.labels or args.data_dir / 'derivatives' / 'labels', args.model_dir, plan,
        choose_device(args.device), args.nprocs, args.validation, args.resume, args.init, args.trained_on,
        args.paint,
    )  # fmt: skip
    print(f'model written to {run(job)}')
    return 0
