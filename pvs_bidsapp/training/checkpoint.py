"""Checkpoints of a training: what they hold, how they are written, and which of them may be resumed.

A checkpoint is a dictionary. Its keys do not change, so that trainings of all versions can be resumed:

==================  ==================================================================================
``network``         state dict of the network
``average``         state dict of the running average of its weights
``optimizer``       state dict of Adam
``schedule``        state dict of the learning-rate schedule
``scaler``          state dict of the gradient scaler
``step``            number of steps done
``best``            best validation score
``best_step``       step of the best validation score
``losses``          losses of the steps of the unfinished epoch
``minutes``         minutes spent in training
``plan``            the configuration, see `plan_entries`
==================  ==================================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..runtime.files import atomic_write
from .config import TrainingConfig

#: Entries of ``plan`` that may change when a training is resumed.
FREE_ENTRIES = frozenset((
    'epochs', 'time_limit', 'patience', 'micro_batch', 'checkpoint_minutes', 'precision',
))  # fmt: skip


def plan_entries(config: TrainingConfig) -> dict[str, Any]:
    """The entry ``plan`` of a checkpoint, by the names that it has had since the first version.

    Parameters
    ----------
    config : TrainingConfig

    Returns
    -------
    entries : dict
        ``extra`` holds what was added to the first version's entries.
    """
    recipe, schedule = config.recipe, config.schedule
    return {
        'architecture': dict(recipe.architecture),
        'epochs': schedule.epochs,
        'steps_per_epoch': schedule.steps_per_epoch,
        'micro_batch': config.micro_batch,
        'learning_rate': recipe.learning_rate,
        'seed': schedule.seed,
        'time_limit': schedule.time_limit,
        'patience': schedule.patience,
        'precision': schedule.precision,
        'checkpoint_minutes': schedule.checkpoint_minutes,
        'extra': {
            'loss': recipe.loss,
            'spacing': recipe.spacing,
            'patch_size': recipe.patch_size,
            'batch_size': recipe.batch_size,
            'semisupervised': recipe.semisupervised,
            'turns': recipe.all_orientations,
            'paint': config.data.synthesize,
        },
    }


def check_resumable(plan: dict[str, Any], config: TrainingConfig, path: Path) -> None:
    """Check that a training with this configuration may go on from a checkpoint.

    Parameters
    ----------
    plan : dict
        The entry ``plan`` of the checkpoint. Entries that its version did not write are not compared.
    config : TrainingConfig
    path : Path
        Path of the checkpoint, for the message.

    Raises
    ------
    InputError
        If an entry differs that must not change; the message names it.
    """
    now, then = _flat(plan_entries(config)), _flat(plan)
    fixed = [name for name in now if name not in FREE_ENTRIES and name in then]
    if different := [name for name in fixed if now[name] != then[name]]:
        raise InputError(
            f'{path}: was trained with another {", ".join(different)}; resume with the same options, '
            'or train into another folder'
        )


def _flat(plan: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in (plan | plan['extra']).items() if k != 'extra'}


def read_checkpoint(path: Path, device: torch.device | str = 'cpu') -> dict[str, Any]:
    """Read a checkpoint.

    Parameters
    ----------
    path : Path
    device : torch.device or str
        Device on which its tensors are put.

    Returns
    -------
    state : dict
        With the keys listed at the top of this module.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a checkpoint.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises exceptions of many kinds on a damaged file
        reason = ' '.join(str(error).split())[:120]
        raise InputError(f'{path}: cannot be read as a checkpoint ({reason})') from error
    if not (isinstance(state, dict) and {'plan', 'average'} <= state.keys()):
        raise InputError(f'{path}: no checkpoint of pvs train (those are MODEL_DIR/checkpoints/*.pt)')
    return state


def write_checkpoint(path: Path, state: dict[str, Any], config: TrainingConfig) -> None:
    """Write a checkpoint completely or not at all.

    Parameters
    ----------
    path : Path
    state : dict
        With the keys listed at the top of this module except ``plan``.
    config : TrainingConfig
        Written as ``plan``.
    """
    with atomic_write(path) as temporary:
        torch.save(state | {'plan': plan_entries(config)}, temporary)
