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

A checkpoint may come from anywhere, or be damaged: it is read without pickle's power to run code, and what it
holds is checked before it is used.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..messages import training
from ..messages.message import one_line
from ..runtime.files import atomic_write
from ..segmentation.card import MAPPING, Rule, architecture_problem, integer, number, optional, shown
from .config import TrainingConfig

#: Name of the newest checkpoint in a training's folder.
LAST = 'last.pt'
#: Most numbers, texts and lists of them in ``plan``.
PLAIN_PARTS = 10_000
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
            'channels': list(recipe.channels),
            'loss': recipe.loss,
            'spacing': recipe.spacing,
            'patch_size': recipe.patch_size,
            'batch_size': recipe.batch_size,
            'semisupervised': recipe.semisupervised,
            'turns': recipe.all_orientations,
            'paint': config.data.synthesize,
            'rater': config.data.rater,
            'training_size': config.data.training_size,
            'generate': sorted(path.name for path in config.data.generate),
            'backgrounds': config.data.background_fraction if config.data.backgrounds else 0.0,
        },
    }


def check_resumable(plan: dict[str, Any], config: TrainingConfig, path: Path) -> None:
    """Check that a training with this configuration may continue from a checkpoint.

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
        raise training.OTHER_TRAINING.error(path, entries=', '.join(different))


def _flat(plan: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in (plan | plan['extra']).items() if k != 'extra'}


# ---- what a checkpoint has to hold

_COUNT = integer(0, 10**9)
_LOSSES = Rule(
    'a list of numbers',
    lambda v: isinstance(v, list) and all(isinstance(loss, float | int) for loss in v),
)
_STATE = Rule(
    'an object of tensors',
    lambda v: isinstance(v, dict) and all(isinstance(k, str) and torch.is_tensor(t) for k, t in v.items()),
)
_DICT = Rule('an object', lambda v: isinstance(v, dict))
_PLAIN = Rule('an object of texts, numbers and lists of them', lambda v: isinstance(v, dict) and _is_plain(v))
_SCORE = Rule('a number', lambda v: isinstance(v, float | int) and v == v)
#: Entries that are needed to start from the weights, and those that are needed to resume.
_WEIGHTS = {'average': _STATE, 'plan': _PLAIN}
_RESUMED = {
    'network': _STATE,
    'average': _STATE,
    'optimizer': _DICT,
    'schedule': _DICT,
    'scaler': _DICT,
    'step': _COUNT,
    'best': _SCORE,
    'best_step': _COUNT,
    'losses': _LOSSES,
    'minutes': number(0, 1e9),
}
_SPACING = Rule(
    'a voxel size, or the smallest and the largest',
    lambda v: (
        v is None
        or number(0.3, 3).accepts(v)
        or (isinstance(v, tuple | list) and len(v) == 2 and all(number(0.3, 3).accepts(size) for size in v))
    ),
)
_EXTRA = {'spacing': _SPACING, 'patch_size': optional(integer(1, 10_000))}


def _is_plain(value: Any) -> bool:
    """Whether a value is made of some numbers and texts only, so that it can be compared."""
    parts = [value]
    for _ in range(PLAIN_PARTS):
        if not parts:
            return True
        part = parts.pop()
        if isinstance(part, dict):
            parts += [*part, *part.values()]
        elif isinstance(part, list | tuple):
            parts += part
        elif part is not None and not isinstance(part, str | int | float):
            return False
    return False


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
        With the keys listed at the top of this module; ``average`` and ``plan`` are there and can be used.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a checkpoint.
    """
    try:
        _check_archive(path)
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        _check_tensors(state, path)
    except Exception as error:  # torch raises exceptions of many kinds on a damaged file
        reason = getattr(error, 'strerror', None) or error
        raise training.CHECKPOINT_UNREADABLE.error(path, reason=one_line(str(reason))[:120]) from error
    if not (isinstance(state, dict) and {'plan', 'average'} <= state.keys()):
        raise training.NO_CHECKPOINT.error(path)
    _check(_WEIGHTS, state, path)
    _check_finite(state['average'], 'average', path)
    _check({'architecture': MAPPING, 'extra': _DICT}, state['plan'], path, 'plan.')
    _check(_EXTRA, state['plan']['extra'], path, 'plan.extra.', is_complete=False)
    return state


def _check_archive(path: Path) -> None:
    """Refuse archives that would become larger in memory than they are on the disk; torch writes none."""
    if not path.is_file():
        raise FileNotFoundError(2, 'no such file')
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise ValueError('compressed')
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise ValueError('its parts overlap')


def _check_tensors(state: Any, path: Path) -> None:
    """Refuse tensors that would become larger than the file when they are copied, such as repeated values."""
    parts, seen, size = [state], set(), 0
    while parts:
        part = parts.pop()
        if torch.is_tensor(part):
            bytes_ = part.numel() * part.element_size()
            size += bytes_
            if bytes_ > part.untyped_storage().nbytes() or size > 2 * path.stat().st_size:
                raise ValueError('a tensor is larger than its data')
        elif isinstance(part, dict | list | tuple) and id(part) not in seen:
            seen.add(id(part))
            parts += part.values() if isinstance(part, dict) else part


def _check(
    rules: Mapping[str, Rule],
    values: Mapping[str, Any],
    path: Path,
    prefix: str = '',
    *,
    is_complete: bool = True,
) -> None:
    for key, rule in rules.items():
        if key not in values and not is_complete:
            continue
        if key not in values or not rule.accepts(values[key]):
            value = shown(values[key]) if key in values else 'missing'
            raise training.CHECKPOINT_WRONG.error(path, key=f'{prefix}{key}', value=value, wanted=rule.wanted)


def _check_finite(state: Mapping[str, torch.Tensor], key: str, path: Path) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise training.CHECKPOINT_WRONG.error(
                path, key=key, value=f'NaN or infinite in {shown(name)}', wanted='finite'
            )


def check_architecture(plan: dict[str, Any], path: Path) -> dict[str, Any]:
    """The network of a checkpoint, which is to be built, within the bounds of a model card.

    Parameters
    ----------
    plan : dict
        The entry ``plan`` of the checkpoint.
    path : Path
        Path of the checkpoint, for the message.

    Raises
    ------
    InputError
        If it is unknown, or an argument is out of its range.
    """
    architecture: dict[str, Any] = plan['architecture']
    if problem := architecture_problem(architecture):
        raise training.CHECKPOINT_WRONG.error(
            path, key=problem.key, value=shown(problem.value), wanted=problem.wanted
        )
    return architecture


def check_state(state: dict[str, Any], network: nn.Module, path: Path) -> None:
    """Check that a training of this network can be resumed from a checkpoint.

    Parameters
    ----------
    state : dict
        As `read_checkpoint` returns it.
    network : nn.Module
    path : Path
        Path of the checkpoint, for the message.

    Raises
    ------
    InputError
        If an entry is missing or is not what it has to be, or a tensor has another shape than in the network.
    """
    _check(_RESUMED, state, path)
    _check_finite(state['network'], 'network', path)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for key in ('network', 'average'):
        found = {name: tuple(tensor.shape) for name, tensor in state[key].items()}
        if different := sorted(n for n in expected | found if expected.get(n) != found.get(n)):
            raise training.WEIGHTS_MISFIT.error(path, reason=f'{key}: {shown(different[0])} differs')
    with resuming(path):
        shapes = [tuple(parameter.shape) for parameter in network.parameters()]
        moments = state['optimizer']['state']
        for number_, moment in moments.items():
            if {tuple(moment[name].shape) for name in ('exp_avg', 'exp_avg_sq')} != {shapes[number_]}:
                raise ValueError(f'moments of parameter {number_}')


@contextlib.contextmanager
def resuming(path: Path) -> Iterator[None]:
    """Report a checkpoint whose optimizer or schedule cannot be taken over.

    Parameters
    ----------
    path : Path
        Path of the checkpoint, for the message.

    Raises
    ------
    InputError
        In place of the errors that torch raises then.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise training.CHECKPOINT_WRONG.error(
            path, key='optimizer', value=f'damaged ({one_line(str(error))[:120]})', wanted='as it was written'
        ) from error


def write_checkpoint(path: Path, state: dict[str, Any], config: TrainingConfig) -> None:
    """Write a checkpoint completely or not at all.

    Parameters
    ----------
    path : Path
    state : dict
        With the keys listed at the top of this module except ``plan``.
    config : TrainingConfig
        Written as ``plan``.

    Raises
    ------
    OSError
        If it cannot be written; an earlier one stays as it was.
    """
    with atomic_write(path) as temporary, temporary.open('wb') as stream:
        try:
            torch.save(state | {'plan': plan_entries(config)}, stream)
        except RuntimeError as error:  # torch's own; the reason is behind it
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, OSError):
                cause = cause.__context__
            if cause is not None:
                raise cause from error
            raise
