"""From a finished training to a model: weights, threshold and card."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import __version__
from ..messages import training
from ..messages.message import one_line
from ..segmentation.card import TEXT_LENGTH, ModelCard, find_problem, json_content, make_label, shown
from ..segmentation.intensity import TissueNormalization
from ..segmentation.model import PARAMETERS, count_parameters, expected_state, load_model, write_model
from ..segmentation.networks import build
from .checkpoint import read_checkpoint
from .config import TrainingConfig
from .datasets import TrainingImage
from .losses import calibrate_output
from .recipes import Recipe
from .trainer import TrainingEnd
from .validation import DEFAULT_THRESHOLD, Validator

#: Names of the model's card for fields of `Recipe`, where they differ.
_CARD_NAMES = {'positive_fraction': 'positive_share', 'all_orientations': 'turns'}


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """Description of the training data for a model's card.

    Attributes
    ----------
    data_sets : tuple of str
        Names of the datasets.
    labelled, unlabelled : int
        Numbers of scans that were trained on.
    label_maps : int
        Number of label maps from which patches were made.
    backgrounds : int
        Number of scans from which some of the patches were cut, with spaces drawn into them.
    """

    data_sets: tuple[str, ...] = ()
    labelled: int = 0
    unlabelled: int = 0
    label_maps: int = 0
    backgrounds: int = 0


def recipe_entries(recipe: Recipe) -> dict[str, Any]:
    """The entry ``training.recipe`` of a model's card; architecture and channels are entries of their own."""
    return {
        _CARD_NAMES.get(name, name): value
        for name, value in asdict(recipe).items()
        if name not in ('architecture', 'channels')
    }


def package_model(
    config: TrainingConfig,
    folder: Path,
    summary: TrainingSummary,
    validation: Sequence[TrainingImage],
    *,
    end: TrainingEnd | None = None,
    wants_to_end: Callable[[], bool] = lambda: False,
) -> Path:
    """Write the best weights of a training with their card.

    Parameters
    ----------
    config : TrainingConfig
    folder : Path
        Folder of the training, with ``checkpoints/best.pt``; the model is written there.
    summary : TrainingSummary
    validation : sequence of TrainingImage
        The threshold is chosen on them; without any it is 0.5.
    end : TrainingEnd, optional
        How the training ended; the card says so if the time limit ended it.
    wants_to_end : callable, optional
        Called between the scans; the threshold is then chosen on those by then, at least on one.

    Returns
    -------
    folder : Path

    Raises
    ------
    InputError
        If the checkpoint cannot be read, or belongs to another network.
    """
    network, steps = _best_network(config, folder / 'checkpoints' / 'best.pt')
    entries = {'steps': steps, 'pretrained': (folder / 'pretraining' / 'encoder.pt').exists()}
    entries |= _time_entries(end)
    return package_network(
        config, folder, network, summary, validation, entries=entries, wants_to_end=wants_to_end
    )


def package_network(
    config: TrainingConfig,
    folder: Path,
    network: nn.Module,
    summary: TrainingSummary,
    validation: Sequence[TrainingImage],
    *,
    entries: Mapping[str, Any],
    wants_to_end: Callable[[], bool] = lambda: False,
) -> Path:
    """Write a network with its card.

    Parameters
    ----------
    config : TrainingConfig
    folder : Path
        The model is written there.
    network : nn.Module
        In evaluation mode, on the first device.
    summary, validation, wants_to_end
        As `package_model`.
    entries : mapping of str
        How it was trained, for the card; first, how long.

    Returns
    -------
    folder : Path
    """
    threshold, metrics = DEFAULT_THRESHOLD, {}
    if validation:
        validator = Validator.of(config.recipe, validation, config.devices[0], wants_to_end=wants_to_end)
        threshold, dice, number = validator.best_threshold(network)
        score = None if math.isnan(dice) else round(dice, 4)
        metrics = {'validation_dice': score, 'validation_scans': number}
    card = make_card(config, describe_data(config, summary))
    first = next(iter(entries))  # how long it was trained
    told = {first: entries[first], **card.training, **entries}
    told['recipe'] = told.pop('recipe')  # last, as it is the longest
    write_model(folder, network, replace(card, threshold=threshold, metrics=metrics, training=told))
    return folder


def make_card(config: TrainingConfig, description: str = '') -> ModelCard:
    """Make the card of a model, as far as it is known before the training.

    Parameters
    ----------
    config : TrainingConfig
    description : str
        Of the training data, unless the configuration has one.
    """
    recipe = config.recipe
    text = one_line(config.trained_on) or one_line(description)[:TEXT_LENGTH]
    return ModelCard(
        name=make_label(config.model_dir.resolve().name),
        version=__version__,
        architecture=recipe.architecture,
        channels=recipe.channels,
        spacing=recipe.spacing,
        box=recipe.box,
        intensity=TissueNormalization().card(),
        threshold=DEFAULT_THRESHOLD,
        min_cluster_size=0.0,
        trained_on=text,
        limits='Research only; not a medical device. Not tested on scans unlike those it was trained on.',
        licence='unspecified: the licence of the scans and tracings decides',
        patch_size=recipe.patch_size if recipe.stride else None,
        stride=recipe.stride,
        mirror=recipe.mirror,
        training={'seed': config.schedule.seed, 'recipe': recipe_entries(recipe)},
    )


def check_model(config: TrainingConfig) -> None:
    """Check that a training gives a model that can be used, before it takes hours.

    Parameters
    ----------
    config : TrainingConfig

    Raises
    ------
    InputError
        If an entry of its card is not what it has to be, or its network has too many parameters.
    """
    content = json_content(replace(make_card(config), sha256='0' * 64))
    if problem := find_problem(content):
        raise training.UNUSABLE_MODEL.error(
            key=problem.key, value=shown(problem.value), wanted=problem.wanted
        )
    number = count_parameters(expected_state(config.recipe.architecture)) * max(1, config.data.folds)
    if number > PARAMETERS:
        raise training.TOO_MANY_PARAMETERS.error(number=number, limit=PARAMETERS)


def _time_entries(end: TrainingEnd | None) -> dict[str, int]:
    """What a card says about a training that the time limit has ended."""
    return {'time_limit_at_step': end.step, 'steps_planned': end.steps} if end and end.is_time_up else {}


def is_cut_short(folder: Path) -> bool:
    """Whether the time limit has ended the training of the model in a folder.

    Raises
    ------
    ModelError
        If its card cannot be used.
    """
    return 'time_limit_at_step' in load_model(folder).card.training


def _best_network(config: TrainingConfig, checkpoint: Path) -> tuple[nn.Module, int]:
    """The network with the averaged weights of a checkpoint and a calibrated output; its step."""
    device = config.devices[0]
    state = read_checkpoint(checkpoint, device)
    network = build(config.recipe.architecture).to(device)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    weights = state['average']
    if config.recipe.loss == 'dice-ce':
        weights = calibrate_output(weights)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = one_line(str(error))[:200]
        raise training.WEIGHTS_MISFIT.error(checkpoint, reason=reason) from error
    return network.eval(), int(state.get('step', 0))


def describe_data(config: TrainingConfig, summary: TrainingSummary) -> str:
    """Describe the training data in a sentence, for ``trained_on`` of the model's card.

    Parameters
    ----------
    config : TrainingConfig
    summary : TrainingSummary
        Datasets and numbers of scans.
    """
    if config.data.generate:
        text = f'patches made anew from {summary.label_maps} label maps; '
        if summary.backgrounds:
            percent = round(100 * config.data.background_fraction)
            text += f'{percent} % of them from {summary.backgrounds} real scans, with spaces drawn into them'
        else:
            text += 'no scan of a person was used'
        return text + (f'; started from the weights of {config.init}' if config.init else '')
    text = f'{summary.labelled} labelled scans of {" and ".join(summary.data_sets)}'
    if config.uses_unlabelled and summary.unlabelled:
        text += f', {summary.unlabelled} unlabelled scans'
    if config.data.synthesize:
        text += (
            f' (simulated heads; each patch synthesized with a scanner of the suite {config.data.synthesize})'
        )
    return text + (f'; started from the weights of {config.init}' if config.init else '')


def join_folds(folder: Path, number: int, scores: dict[str, Any]) -> Path:
    """Write the networks of all folds as one model, whose probability is the mean of theirs.

    Parameters
    ----------
    folder : Path
        With the models ``fold-1``, ``fold-2``, ...
    number : int
        Number of folds.
    scores : dict
        Results of the cross-validation, for the card.

    Returns
    -------
    folder : Path
    """
    members = [load_model(folder / f'fold-{k}') for k in range(1, number + 1)]
    first = members[0].card
    architecture = {'name': 'ensemble', 'members': number, 'of': first.architecture}
    ensemble: Any = build(architecture)
    for network, member in zip(ensemble.members, members, strict=True):
        network.load_state_dict(member.network().state_dict())
    card = replace(
        first,
        architecture=architecture,
        threshold=float(np.median([m.card.threshold for m in members])),
        trained_on=f'{number} folds of a cross-validation; the first: {first.trained_on}'[:TEXT_LENGTH],
        metrics={'cross_validation': scores},
    )
    write_model(folder, ensemble.eval(), card)
    return folder
