"""The model from which a training starts: a bundled one, a model folder, or a checkpoint of a training."""

from __future__ import annotations

from pathlib import Path

from ..messages import training
from ..segmentation.card import shown
from ..segmentation.model import expected_state, load_model
from ..segmentation.networks.refinement import corrections
from .checkpoint import check_architecture, read_checkpoint
from .config import TrainingConfig
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
    path = Path(init)
    plan = read_checkpoint(path)['plan']
    spacing = plan['extra'].get('spacing')
    return InitialModel(
        name=init,
        architecture=check_architecture(plan, path),
        spacing=tuple(spacing) if isinstance(spacing, list) else spacing,
        patch_size=plan['extra'].get('patch_size'),
    )


def check_initial_weights(config: TrainingConfig) -> None:
    """Check the weights that training starts from, before hours are spent on preparing scans.

    Parameters
    ----------
    config : TrainingConfig

    Raises
    ------
    InputError
        If they cannot be read from a checkpoint, or do not fit the recipe.
    ModelError
        If they are those of a model, and are missing, damaged or do not fit its card.
    """
    if config.init is None:
        return
    if not config.init.endswith('.pt'):
        load_model(config.init).network()
        return
    path = Path(config.init)
    found = {name: tuple(tensor.shape) for name, tensor in read_checkpoint(path)['average'].items()}
    state = expected_state(config.recipe.architecture)
    expected = {name: tuple(tensor.shape) for name, tensor in state.items()}
    found = corrections(expected) | found  # they may lack it
    if different := sorted(name for name in found | expected if found.get(name) != expected.get(name)):
        raise training.WEIGHTS_MISFIT.error(path, reason=f'{shown(different[0])} differs')
