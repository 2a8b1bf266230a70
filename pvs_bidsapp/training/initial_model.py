"""The model from which a training starts: a bundled one, a model folder, or a checkpoint of a training."""

from __future__ import annotations

from pathlib import Path

from ..segmentation.model import load_model
from .checkpoint import read_checkpoint
from .recipes import InitialModel


def read_initial_model(init: str) -> InitialModel:
    """Read the card of a model, or the configuration in a checkpoint.

    Parameters
    ----------
    init : str
        Name of a bundled model, a model folder, or a checkpoint (``.pt``).

    Raises
    ------
    InputError
        If the checkpoint cannot be read.
    ModelError
        If there is no such model.
    """
    if not init.endswith('.pt'):
        card = load_model(init).card
        return InitialModel(
            name=init, architecture=card.architecture, spacing=card.spacing, patch_size=card.patch_size
        )
    plan = read_checkpoint(Path(init))['plan']
    return InitialModel(
        name=init,
        architecture=plan['architecture'],
        spacing=plan['extra'].get('spacing'),
        patch_size=plan['extra'].get('patch_size'),
    )
