"""What a training starts from: a bundled model, a model folder, or a checkpoint of another training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..segmentation.model import load_model
from .recipes import Spacing
from .trainer import read_checkpoint


@dataclass(frozen=True)
class InitialModel:
    """How the network that is trained further was made; the grid it knows suits its further training.

    Attributes
    ----------
    architecture : dict
        As in a model card.
    spacing : float or tuple of float, or None
        Voxel size in mm of its grid, or the smallest and largest; None where a checkpoint does not say.
    patch_size : int or None
        None for whole volumes.
    """

    architecture: dict[str, Any]
    spacing: Spacing | None
    patch_size: int | None

    def check(self, name: str, architecture: dict[str, Any]) -> None:
        """See that its weights fit a network, before hours are spent on preparing scans.

        Parameters
        ----------
        name : str
            What it is called in the message.
        architecture : dict
            Of the network that is to be trained.

        Raises
        ------
        InputError
            If they do not; the message names what differs.
        """
        if number := self.architecture.get('members'):
            raise InputError(
                f'--init {name}: holds {number} networks (of --folds); name the folder of one of them'
            )
        free = ('dropout',)  # has no weights
        other = [
            f'{k} {self.architecture[k]} instead of {value}'
            for k, value in architecture.items()
            if k not in free and self.architecture.get(k, value) != value
        ]
        if other:
            raise InputError(
                f'--init {name}: another network than is to be trained ({", ".join(other)}); give the --recipe '
                'and --filters that it was trained with'
            )


def read_initial_model(init: str) -> InitialModel:
    """Read what a name, a model folder or a checkpoint (``.pt``) says of itself.

    Raises
    ------
    InputError
        If there is no such model, or the checkpoint cannot be read.
    """
    if not init.endswith('.pt'):
        card = load_model(init).card
        return InitialModel(card.architecture, card.spacing, card.patch_size)
    plan = read_checkpoint(Path(init))['plan']
    return InitialModel(plan['architecture'], plan['extra'].get('spacing'), plan['extra'].get('patch_size'))
