"""The model from which a training starts: a bundled one, a model folder, or a checkpoint of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..segmentation.grid import Spacing
from ..segmentation.model import load_model
from .checkpoint import read_checkpoint


@dataclass(frozen=True, kw_only=True)
class InitialModel:
    """Network and grid of a model that is trained further.

    Attributes
    ----------
    name : str
        As the user gave it.
    architecture : dict
        As in a model's card.
    spacing : float or tuple of float, or None
        Voxel size of its grid in mm, or the smallest and largest; None if a checkpoint does not say.
    patch_size : int or None
        Edge of its patches in voxels; None for whole volumes.
    """

    name: str
    architecture: dict[str, Any]
    spacing: Spacing | None
    patch_size: int | None

    def check(self, architecture: dict[str, Any]) -> None:
        """Check that its weights fit a network, before hours are spent on preparing scans.

        Parameters
        ----------
        architecture : dict
            Of the network that is to be trained.

        Raises
        ------
        InputError
            If they do not; the message names what differs.
        """
        if number := self.architecture.get('members'):
            raise InputError(
                f'--init {self.name}: holds {number} networks (of --folds); name the folder of one of them'
            )
        without_weights = ('dropout',)
        different = [
            f'{k} {self.architecture[k]} instead of {value}'
            for k, value in architecture.items()
            if k not in without_weights and self.architecture.get(k, value) != value
        ]
        if different:
            raise InputError(
                f'--init {self.name}: another network than is to be trained ({", ".join(different)}); give '
                'the --recipe and --filters that it was trained with'
            )


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
