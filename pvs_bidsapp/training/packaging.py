"""From a finished training to a model: weights, threshold and card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import __version__
from ..segmentation.intensity import TissueNormalization
from ..segmentation.card import ModelCard
from ..segmentation.model import load_model, write_model
from ..segmentation.networks import build
from .checkpoint import read_checkpoint
from .config import TrainingConfig
from .datasets import TrainingImage
from .losses import undo_positive_weight
from .recipes import Recipe
from .validation import Validator

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
    """

    data_sets: tuple[str, ...]
    labelled: int
    unlabelled: int


def recipe_entries(recipe: Recipe) -> dict[str, Any]:
    """The entry ``training.recipe`` of a model's card; architecture and channels are entries of their own."""
    return {
        _CARD_NAMES.get(name, name): value
        for name, value in asdict(recipe).items()
        if name not in ('architecture', 'channels')
    }


def package_model(
    config: TrainingConfig, folder: Path, summary: TrainingSummary, validation: Sequence[TrainingImage]
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

    Returns
    -------
    folder : Path

    Raises
    ------
    InputError
        If the checkpoint cannot be read.
    """
    recipe = config.recipe
    network, steps = _best_network(config, folder / 'checkpoints' / 'best.pt')
    threshold, metrics = 0.5, {}
    if validation:
        threshold, dice = Validator.of(recipe, validation, config.devices[0]).best_threshold(network)
        metrics = {'validation_dice': round(dice, 4), 'validation_scans': len(validation)}
    card = ModelCard(
        name=config.model_dir.name,
        version=__version__,
        architecture=recipe.architecture,
        channels=recipe.channels,
        spacing=recipe.spacing,
        box=recipe.box,
        intensity=TissueNormalization().card(),
        threshold=threshold,
        min_cluster_size=0.0,
        trained_on=config.trained_on or describe_data(config, summary),
        limits='Research only; not a medical device. Not tested on scans unlike those it was trained on.',
        licence='unspecified: the licence of the scans and tracings decides',
        patch_size=recipe.patch_size if recipe.stride else None,
        stride=recipe.stride,
        mirror=recipe.mirror,
        metrics=metrics,
        training={
            'steps': steps,
            'seed': config.schedule.seed,
            'pretrained': (folder / 'pretraining' / 'encoder.pt').exists(),
            'recipe': recipe_entries(recipe),
        },
    )
    write_model(folder, network, card)
    return folder


def _best_network(config: TrainingConfig, checkpoint: Path) -> tuple[nn.Module, int]:
    """The network with the averaged weights of a checkpoint and a calibrated output; its step."""
    device = config.devices[0]
    state = read_checkpoint(checkpoint, device)
    network = build(config.recipe.architecture).to(device)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.load_state_dict(state['average'])
    if config.recipe.loss == 'dice-ce':
        undo_positive_weight(network)
    return network.eval(), int(state['step'])


def describe_data(config: TrainingConfig, summary: TrainingSummary) -> str:
    """Describe the training data in a sentence, for ``trained_on`` of the model's card.

    Parameters
    ----------
    config : TrainingConfig
    summary : TrainingSummary
        Datasets and numbers of scans.
    """
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
        trained_on=f'{number} folds of a cross-validation; the first: {first.trained_on}',
        metrics={'cross_validation': scores},
    )
    write_model(folder, ensemble.eval(), card)
    return folder
