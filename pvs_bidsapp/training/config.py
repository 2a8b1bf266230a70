"""The configuration of a training: recipe, schedule and data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .recipes import Recipe

#: Micro batch that is larger than any batch: all patches of a batch go through the network together.
UNLIMITED = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Length of a training, and how its steps are computed.

    Attributes
    ----------
    epochs, steps_per_epoch : int
        Number of epochs, and of steps in each.
    seed : int
        Seed of all random numbers.
    time_limit : float or None
        Minutes from the start of the command after which training ends and the model is written.
    patience : int
        Epochs without a better validation score after which training stops; 0 for never.
    precision : str
        ``fp32``, ``bf16`` or ``fp16`` (with gradient scaling) inside the network.
    micro_batch : int or None
        Samples that go through the network together; the gradients of a larger batch are accumulated. None:
        a single whole volume, or all patches.
    checkpoint_minutes : float
        Longest time between two checkpoints. There is also one after each epoch.
    """

    epochs: int = 40
    steps_per_epoch: int = 100
    seed: int = 1
    time_limit: float | None = None
    patience: int = 0
    precision: str = 'fp32'
    micro_batch: int | None = None
    checkpoint_minutes: float = 10.0

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The scans of a training, and how they are used.

    Attributes
    ----------
    data_sets : tuple of (Path, Path)
        BIDS datasets, each with the folder of its labels.
    labels_layout, rater : str or None
        How the labels are named, and whose are taken; None: as those that are there, and any.
    cache_dir : Path
        Folder of the prepared scans; several trainings may share it.
    validation_fraction : float
        Fraction of the persons that are kept for validation, in [0, 1).
    folds : int
        Number of folds of a cross-validation; 0 for a single training.
    test_fraction : float or None
        Fraction of the persons on which each fold is tested; None for one over the number of folds.
    training_size : int or None
        Number of labelled persons to train on; the labels of the others are not used. None for all.
    synthesize : str or None
        The heads were simulated: patches are synthesized with scanners of this suite. None: patches are cut
        out of the scans.
    generate : tuple of Path
        Label maps from which patches are made, without any scan; none: patches come from scans.
    backgrounds : tuple of Path
        Outputs of ``participant``; some of the patches are cut from their scans, with spaces drawn into them.
    background_fraction : float
        Fraction of these patches, in (0, 1).
    """

    data_sets: tuple[tuple[Path, Path], ...] = ()
    labels_layout: str | None = None
    rater: str | None = None
    cache_dir: Path = Path('cache')
    validation_fraction: float = 0.1
    folds: int = 0
    test_fraction: float | None = None
    training_size: int | None = None
    synthesize: str | None = None
    generate: tuple[Path, ...] = ()
    backgrounds: tuple[Path, ...] = ()
    background_fraction: float = 0.25

    @property
    def is_synthetic(self) -> bool:
        """Whether patches are made anew, not cut out of scans."""
        return self.synthesize is not None or bool(self.generate)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """All settings of a training.

    Attributes
    ----------
    recipe : Recipe
    schedule : Schedule
    data : TrainingData
    model_dir : Path
        Folder of the model, its checkpoints and its log. With folds, each has a folder below it.
    devices : tuple of str
        Torch devices, one per process; ``('cpu', 'cpu')`` are two processes on the CPU.
    nprocs : int
        Number of processes that prepare scans, and that make patches from label maps.
    resume : bool
        Continue from the last checkpoint, if there is one.
    init : str or None
        Model (name or folder) or checkpoint (``.pt``) with the weights that training starts from.
    adds_comparison : bool
        These weights stay as they are: only a comparison behind them is trained, on patches from label maps.
    trained_on : str
        Description of the training data for the model's card; empty: made from the numbers of scans.
    """

    recipe: Recipe
    schedule: Schedule = field(default_factory=Schedule)
    data: TrainingData = field(default_factory=TrainingData)
    model_dir: Path = Path('model')
    devices: tuple[str, ...] = ('cpu',)
    nprocs: int = 1
    resume: bool = False
    init: str | None = None
    adds_comparison: bool = False
    trained_on: str = ''

    @property
    def pretrains(self) -> bool:
        """Whether training begins with an autoencoder."""
        return self.recipe.pretraining and self.init is None

    @property
    def uses_unlabelled(self) -> bool:
        """Whether unlabelled scans are trained on."""
        return self.recipe.semisupervised or (self.pretrains and not self.data.is_synthetic)

    @property
    def warmup_steps(self) -> int:
        """Steps in which every patch holds perivascular spaces; at most half of the epochs."""
        return min(self.recipe.warmup_epochs, self.schedule.epochs // 2) * self.schedule.steps_per_epoch

    @property
    def loaders(self) -> int:
        """Number of processes that prepare batches: what is made anew takes longer than what is cut out."""
        return self.nprocs if self.data.generate else 1

    @property
    def micro_batch(self) -> int:
        """Samples that go through the network together."""
        return self.schedule.micro_batch or (1 if self.recipe.patch_size is None else UNLIMITED)
