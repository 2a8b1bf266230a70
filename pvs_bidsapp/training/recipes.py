"""The recipes of both papers as named settings. What a paper leaves open is marked as ours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import InputError
from ..segmentation.grid import BOX, Spacing


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes
    ----------
    name : str
    architecture : dict
        As in a model card.
    channels : tuple of str
        ``T1w``, ``T2w``.
    spacing : float or tuple of float
        Voxel size of the network's grid in mm, or the range within which a scan keeps its own.
    patch_size : int or None
        Edge of the cubic patches in voxels; None stands for whole volumes.
    stride : int or None
        Step between patches at work; None where the network sees whole volumes. A network that
        has learnt from patches wants patches: on whole volumes, where its deep blocks meet
        features in place of padding, it misses most of what it finds on patches.
    mirror : bool
        At work, average with what is found on the mirror image.
    batch_size : int
    learning_rate : float
        At the start; Adam.
    loss : str
        ``dice``, ``dice-ce`` or ``focal``, see `pvs_bidsapp.training.losses`.
    pretraining : bool
        Begin as an autoencoder on all scans, traced or not.
    semisupervised : bool
        Learn from untraced scans by consistency.
    warmup_epochs : int
        Epochs at the start on patches that hold perivascular spaces alone, without consistency.
    positive_share : float
        Share of patches centred on a perivascular space (after the warm-up).
    turns : bool
        See `pvs_bidsapp.training.patches.Sampling`.
    confidence : float
        Voxels count in the consistency loss where the clean image's probability is above this
        (pseudo label 1) or below one minus this (pseudo label 0).
    noise : float
        Standard deviation of the Gaussian noise in it, in the network's units (white matter and
        CSF lie 2.4 apart).
    consistency_weight : float
        Of the consistency loss beside the supervised one.
    box : tuple of int
        Shape of a whole volume, and the least shape of the network's grid.
    """

    name: str
    architecture: dict[str, Any]
    channels: tuple[str, ...] = ('T1w',)
    spacing: Spacing = 1.0
    patch_size: int | None = None
    stride: int | None = None
    mirror: bool = False
    batch_size: int = 4
    learning_rate: float = 3e-3
    loss: str = 'dice-ce'
    pretraining: bool = False
    semisupervised: bool = False
    warmup_epochs: int = 0
    positive_share: float = 0.5
    turns: bool = False
    confidence: float = 0.8
    noise: float = 0.15
    consistency_weight: float = 0.1
    box: tuple[int, int, int] = field(default=BOX)


JOLIOT = Recipe(
    'joliot2021',
    {'name': 'joliot2021', 'in_channels': 1, 'blocks': 7, 'filters': 8, 'dropout': 0.1},
    pretraining=True, mirror=True,
)  # fmt: skip
# The paper: channels, spacing, patch, stride, focal loss, 20 epochs, confidence. Ours: the rest.
M2SS = Recipe(
    'm2ss',
    {'name': 'm2ss', 'in_channels': 2, 'filters': 16, 'side_filters': 8, 'levels': 4, 'multi_scale': True},
    channels=('T1w', 'T2w'), spacing=0.8, patch_size=32, stride=16, batch_size=16, learning_rate=2e-3,
    loss='focal', semisupervised=True, warmup_epochs=20,
    box=(1, 1, 1),
)  # fmt: skip


def _sibling(name: str, *, multi_scale: bool, semisupervised: bool) -> Recipe:
    architecture = M2SS.architecture | {'multi_scale': multi_scale}
    return replace(M2SS, name=name, architecture=architecture, semisupervised=semisupervised)


#: By the name of ``--recipe``; the last four are the systems of table 1 of Chai et al.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        JOLIOT,
        M2SS,
        _sibling('m2ss-mono', multi_scale=False, semisupervised=True),
        _sibling('supervised-multi', multi_scale=True, semisupervised=False),
        _sibling('supervised-mono', multi_scale=False, semisupervised=False),
    )
}


def find_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises
    ------
    InputError
        If there is none; the message lists those that are.
    """
    if name not in RECIPES:
        raise InputError(f'no recipe {name!r}; there are: {", ".join(RECIPES)}')
    return RECIPES[name]
