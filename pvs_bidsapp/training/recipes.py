"""The recipes of both papers as named settings, and what a user may change of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from ..messages import training
from ..segmentation.card import smallest_patch
from ..segmentation.grid import BOX, Spacing

LOG = logging.getLogger(__name__)
#: Edge in voxels of the patches of ``joliot2021`` on a CPU.
CPU_PATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained.

    Attributes
    ----------
    name : str
    architecture : dict
        As in a model's card.
    channels : tuple of str
        ``T1w``, ``T2w``.
    spacing : float or tuple of float
        Voxel size of the network's grid in mm, or the range within which a scan keeps its own.
    patch_size : int or None
        Edge of the cubic patches in voxels; None for whole volumes.
    stride : int or None
        Step between patches at inference, in voxels; None if the network is applied to whole volumes. A
        network that was trained on patches has to be applied to patches: on whole volumes its deep blocks
        receive features where there was only padding in training, and most of what is segmented on patches
        is missed.
    mirror : bool
        At inference, average with the prediction on the mirror image.
    batch_size : int
        Samples per step.
    learning_rate : float
        Largest learning rate of Adam.
    loss : str
        ``dice``, ``dice-ce`` or ``focal``, see `pvs_bidsapp.training.losses`.
    pretraining : bool
        Pre-train as an autoencoder on all scans, labelled or not.
    semisupervised : bool
        Learn from unlabelled scans by consistency.
    warmup_epochs : int
        Epochs at the start in which every patch holds perivascular spaces and there is no consistency loss.
    positive_fraction : float
        Fraction of the patches that are centred on a perivascular space, after the warm-up; in [0, 1].
    all_orientations : bool
        See `pvs_bidsapp.training.sampling.Sampling`.
    confidence : float
        Voxels count in the consistency loss if the clean image's probability is above this
        (pseudo label 1) or below one minus this (pseudo label 0).
    noise : float
        Standard deviation of the Gaussian noise of the consistency loss, in the network's units (white matter
        and CSF are 2.4 apart).
    consistency_weight : float
        Weight of the consistency loss; that of the supervised loss is 1.
    box : tuple of int
        Shape of a whole volume, and smallest shape of the network's grid, in voxels.
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
    positive_fraction: float = 0.5
    all_orientations: bool = False
    confidence: float = 0.8
    noise: float = 0.15
    consistency_weight: float = 0.1
    box: tuple[int, int, int] = BOX

    @property
    def smallest_patch(self) -> int:
        """Edge in voxels of the smallest patch, which the deepest layer reduces to one voxel."""
        return smallest_patch(self.architecture)


JOLIOT = Recipe(
    name='joliot2021',
    architecture={
        'name': 'joliot2021',
        'in_channels': 1,
        'blocks': 7,
        'filters': 8,
        'dropout': 0.1,
        'refine': 0,
        'compare': 0,
        'compare_limit': 0.0,
    },
    pretraining=True,
    mirror=True,
)
# From the paper: channels, spacing, patch, stride, focal loss, 20 epochs, confidence. Chosen here: the rest.
M2SS = Recipe(
    name='m2ss',
    architecture={
        'name': 'm2ss', 'in_channels': 2, 'filters': 16, 'side_filters': 8, 'levels': 4, 'multi_scale': True,
        'refine': 0, 'compare': 0, 'compare_limit': 0.0,
    },
    channels=('T1w', 'T2w'),
    spacing=0.8,
    patch_size=32,
    stride=16,
    batch_size=16,
    learning_rate=2e-3,
    loss='focal',
    semisupervised=True,
    warmup_epochs=20,
    box=(1, 1, 1),
)  # fmt: skip


def _variant(name: str, *, multi_scale: bool, semisupervised: bool) -> Recipe:
    architecture = M2SS.architecture | {'multi_scale': multi_scale}
    return replace(M2SS, name=name, architecture=architecture, semisupervised=semisupervised)


#: Recipes by their names, the values of ``--recipe``; the last four are the systems of table 1 of Chai et al.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        JOLIOT,
        M2SS,
        _variant('m2ss-mono', multi_scale=False, semisupervised=True),
        _variant('supervised-multi', multi_scale=True, semisupervised=False),
        _variant('supervised-mono', multi_scale=False, semisupervised=False),
    )
}


def find_recipe(name: str) -> Recipe:
    """Find a recipe by its name.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.

    Raises
    ------
    InputError
        If there is no such recipe; the message lists the recipes.
    """
    if name not in RECIPES:
        raise training.NO_RECIPE.error(name=name, known=', '.join(RECIPES))
    return RECIPES[name]


@dataclass(frozen=True, kw_only=True)
class InitialModel:
    """Network and grid of the model that training starts from.

    Attributes
    ----------
    name : str
        As the user gave it.
    architecture : dict
        As in a model's card.
    spacing : float or tuple of float, or None
        Voxel size of its grid in mm, or the smallest and largest; None if a checkpoint does not hold it.
    patch_size : int or None
        Edge of its patches in voxels; None for whole volumes.
    """

    name: str
    architecture: dict[str, Any]
    spacing: Spacing | None
    patch_size: int | None

    def check(self, architecture: dict[str, Any]) -> None:
        """Check that its weights fit a network, before hours are spent on preparing scans.

        A network without a refinement or a comparison may get one.

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
            raise training.SEVERAL_NETWORKS.error(f'--init {self.name}', number=number)
        added = [k for k in ('refine', 'compare') if not self.architecture.get(k)]
        without_weights = ('dropout', 'compare_limit', *added)
        different = [
            f'{k} {self.architecture[k]} instead of {value}'
            for k, value in architecture.items()
            if k not in without_weights and self.architecture.get(k, value) != value
        ]
        if different:
            raise training.OTHER_NETWORK.error(f'--init {self.name}', different=', '.join(different))


@dataclass(frozen=True, kw_only=True)
class RecipeChanges:
    """Changes of a recipe that a user asks for; None keeps the value of the initial model or of the recipe.

    Attributes
    ----------
    batch_size : int or None
    learning_rate : float or None
    loss : str or None
        As in `Recipe`.
    pretraining : bool
        False leaves pre-training out.
    channels : tuple of str or None
        ``T1w``, ``T2w``.
    spacing : float or tuple of float, or None
        Voxel size of the network's grid in mm, or its range.
    patch_size : int or None
        Edge of the patches in voxels; 0 for whole volumes.
    filters : int or None
        Number of filters of the network's first level.
    dropout : float or None
        Probability that a value is dropped, in [0, 1).
    refine : int or None
        Width of the `pvs_bidsapp.segmentation.networks.refinement.Refinement` of the output; 0: none.
    compare : int or None
        Width of the `pvs_bidsapp.segmentation.networks.comparison.Comparison`; 0: none.
    compare_limit : float or None
        Limit of the changes by that comparison, in logits; 0: none.
    all_orientations : bool
        As in `Recipe`.
    synthesize : bool
        Patches are synthesized from simulated heads; they then have all orientations, too.
    """

    batch_size: int | None = None
    learning_rate: float | None = None
    loss: str | None = None
    pretraining: bool = True
    channels: tuple[str, ...] | None = None
    spacing: Spacing | None = None
    patch_size: int | None = None
    filters: int | None = None
    dropout: float | None = None
    refine: int | None = None
    compare: int | None = None
    compare_limit: float | None = None
    all_orientations: bool = False
    synthesize: bool = False


def resolve_recipe(name: str, changes: RecipeChanges, initial: InitialModel | None, device: str) -> Recipe:
    """Apply the user's changes to a recipe.

    Network and voxel size are those that the user asks for, else those of the initial model, else the
    recipe's; so are the patches of ``joliot2021``. Those of the other recipes are the user's or the recipe's.

    Parameters
    ----------
    name : str
        Name of the recipe.
    changes : RecipeChanges
    initial : InitialModel or None
        The model from which training starts.
    device : str
        Torch device; on a CPU ``joliot2021`` is trained on patches.

    Returns
    -------
    recipe : Recipe

    Raises
    ------
    InputError
        If there is no such recipe, a change does not suit it, or the initial model is another network.
    """
    recipe = find_recipe(name)
    grid = _resolve_grid(recipe, changes, initial, device)
    if changes.all_orientations and grid.get('patch_size', recipe.patch_size) is None:
        raise training.WHOLE_VOLUMES.error('--turns')
    return replace(
        recipe,
        architecture=_resolve_architecture(recipe, changes, initial),
        channels=changes.channels or recipe.channels,
        pretraining=recipe.pretraining and changes.pretraining,
        all_orientations=changes.all_orientations or changes.synthesize,
        batch_size=changes.batch_size or recipe.batch_size,
        learning_rate=changes.learning_rate or recipe.learning_rate,
        loss=changes.loss or recipe.loss,
        **grid,
    )


def _resolve_architecture(
    recipe: Recipe, changes: RecipeChanges, initial: InitialModel | None
) -> dict[str, Any]:
    architecture = dict(recipe.architecture)
    if changes.channels:
        architecture['in_channels'] = len(changes.channels)
    if changes.dropout is not None and 'dropout' not in architecture:
        raise training.NO_DROPOUT.error('--dropout', recipe=recipe.name)
    for name in ('filters', 'dropout', 'refine', 'compare', 'compare_limit'):
        value = getattr(changes, name)
        if value is None and initial is not None:
            value = initial.architecture.get(name)
        if value is not None and name in architecture:
            architecture[name] = value
    if initial:
        initial.check(architecture)
    return architecture


def _resolve_grid(
    recipe: Recipe, changes: RecipeChanges, initial: InitialModel | None, device: str
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if spacing := changes.spacing or (initial and initial.spacing):
        values['spacing'] = spacing
    size = changes.patch_size
    if size is None and recipe.patch_size is None:
        size = initial.patch_size if initial else None
        if size is None and device == 'cpu':
            LOG.info(
                'no GPU: training on patches of %d voxels (--patch-size 0 for whole volumes)', CPU_PATCH_SIZE
            )
            size = CPU_PATCH_SIZE
    if size == 0 and recipe.stride:
        raise training.NEEDS_PATCHES.error('--patch-size 0', recipe=recipe.name)
    if size and size < recipe.smallest_patch:
        raise training.SMALL_PATCH.error(f'--patch-size {size}', smallest=recipe.smallest_patch)
    if size is not None:
        values['patch_size'] = size or None
    if size:
        # with the mirror image an overlap of a quarter suffices: 60 % of the time, the same Dice
        values['stride'] = size * 3 // 4 if recipe.mirror else size // 2
    return values


def default_test_fraction(recipe: Recipe) -> float | None:
    """Fraction of the persons on which each fold is tested; None for one over the number of folds.

    Chai et al. test on 0.1 of the persons in each of five folds.
    """
    return None if recipe.name == JOLIOT.name else 0.1


def check_batches(recipe: Recipe, *, devices: int, micro_batch: int | None) -> None:
    """Refuse batches for which batch normalisation of the deepest layer has a single value per channel.

    Parameters
    ----------
    recipe : Recipe
    devices : int
        Number of processes that share a batch.
    micro_batch : int or None
        Samples that go through the network together; None for all.

    Raises
    ------
    InputError
        If some part of a batch is a single patch of the smallest size.
    """
    own = -(-recipe.batch_size // devices)
    together = min(micro_batch or own, own)
    is_alone = 1 in (together, own % together, recipe.batch_size // devices)
    if recipe.patch_size == recipe.smallest_patch and is_alone:
        raise training.SINGLE_PATCH.error(size=recipe.patch_size)
