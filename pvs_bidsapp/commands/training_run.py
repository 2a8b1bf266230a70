"""One training in one process: data, objective, checkpoints; pre-training before it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..bids.labelled_scans import LabelledScan, read_head_geometry
from ..errors import InputError
from ..segmentation.intensity import TissueNormalization
from ..segmentation.model import load_model
from ..segmentation.networks.joliot import JoliotAutoencoder, JoliotUNet, transfer
from ..simulation.scanner import SUITES
from ..training.allocator import keep_freed_memory
from ..training.distributed import ProcessGroup
from ..training.losses import make_loss
from ..training.patches import PatchDataset, Sampling, SemiSupervisedDataset, SyntheticPatchDataset
from ..training.pretraining import Reconstruction
from ..training.recipes import Recipe
from ..training.semisupervised import SemiSupervised
from ..training.supervised import Supervised
from ..training.trainer import Objective, Plan, Trainer
from ..training.validation import Validator
from .training_cache import load_training_images

LOG = logging.getLogger(__name__)
T = TypeVar('T')
#: Share of the epochs, or of the time limit, that pre-training gets.
PRETRAINING_SHARE = 0.25


@dataclass(frozen=True)
class DataSplit(Generic[T]):
    """What is learnt from with and without tracings, and validated on.

    Attributes
    ----------
    labelled, unlabelled, validation : list
    """

    labelled: list[T]
    unlabelled: list[T]
    validation: list[T]


@dataclass(frozen=True)
class Task:
    """A recipe and how it is followed.

    Attributes
    ----------
    recipe : Recipe
    epochs, steps_per_epoch : int
    seed : int
    time_limit : float or None
        Minutes, pre-training included.
    patience : int
        Epochs without a better validation score after which training stops; 0 for never.
    precision : str
        ``fp32``, ``bf16`` or ``fp16``.
    micro_batch : int or None
        Samples that go through the network together; None for one whole volume, or all patches.
    resume : bool
    init : str or None
        Model (name or folder) or checkpoint whose weights training starts from.
    paint : str or None
        The heads were simulated: paint their patches anew, on scanners of this suite.
    folder, cache : Path
        Of this training; of the prepared scans.
    """

    recipe: Recipe
    epochs: int = 40
    steps_per_epoch: int = 100
    seed: int = 1
    time_limit: float | None = None
    patience: int = 0
    precision: str = 'fp32'
    micro_batch: int | None = None
    resume: bool = False
    init: str | None = None
    paint: str | None = None
    folder: Path = field(default_factory=Path)
    cache: Path = field(default_factory=Path)

    @property
    def pretrains(self) -> bool:
        """Whether training begins as an autoencoder."""
        return self.recipe.pretraining and self.init is None

    @property
    def wants_unlabelled(self) -> bool:
        """Whether scans without tracing are of use."""
        return self.recipe.semisupervised or (self.pretrains and self.paint is None)

    @property
    def warmup_steps(self) -> int:
        """Steps on patches that hold perivascular spaces alone; at most half of all."""
        return min(self.recipe.warmup_epochs, self.epochs // 2) * self.steps_per_epoch

    def plan(self) -> Plan:
        """The trainer's part of it."""
        recipe = self.recipe
        whole = recipe.patch_size is None
        micro = self.micro_batch or (1 if whole else 1_000_000)
        same = {
            k: getattr(recipe, k)
            for k in ('loss', 'spacing', 'patch_size', 'batch_size', 'semisupervised', 'turns')
        }
        return Plan(
            architecture=recipe.architecture, epochs=self.epochs, steps_per_epoch=self.steps_per_epoch,
            micro_batch=micro, learning_rate=recipe.learning_rate, seed=self.seed, time_limit=self.time_limit,
            patience=self.patience, precision=self.precision, extra=same | {'paint': self.paint},
        )  # fmt: skip

    def sampling(self, team: ProcessGroup) -> Sampling:
        """How batches are drawn."""
        recipe = self.recipe
        whole = recipe.patch_size is None
        size = recipe.box if recipe.patch_size is None else (recipe.patch_size,) * 3
        return Sampling(
            size, recipe.batch_size, self.epochs * self.steps_per_epoch, self.seed, whole,
            recipe.positive_share, self.warmup_steps, rank=team.rank,
            world=team.world, turns=recipe.turns and not whole,
        )  # fmt: skip


def train(
    task: Task,
    share: DataSplit[LabelledScan],
    device: str,
    *,
    rank: int = 0,
    world: int = 1,
    meeting: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Follow a task to its end, or until it is told to stop; leaves ``checkpoints/`` behind.

    Parameters
    ----------
    task : Task
    share : Share of LabelledScan
    device : str
    rank, world : int
        Place of this process among those that train together.
    meeting : Path, optional
        File through which they find each other.
    stop : callable
    """
    where = torch.device(device)
    if where.type == 'cpu':
        keep_freed_memory()
    team = ProcessGroup.join(rank, world, meeting, where) if meeting else ProcessGroup()
    try:
        labelled = _labelled(task, share, team)
        trainer = Trainer(task.plan(), task.folder / 'checkpoints', where, team=team, stop=stop)
        if _start(trainer, task, share, labelled, stop):
            objective, batches = _objective(task, share, labelled)
            validator = Validator.of(
                task.recipe, _load(task, share.validation), where, precision=task.precision
            )
            trainer.fit(batches, objective, validator if validator.volumes else None)
    finally:
        team.leave()


def _start(
    trainer: Trainer,
    task: Task,
    share: DataSplit[LabelledScan],
    labelled: PatchDataset,
    stop: Callable[[], bool],
) -> bool:
    """Give the trainer the weights to begin with; False where pre-training was told to stop."""
    if trainer.last.exists():
        if not task.resume:
            raise InputError(
                f'{task.folder}: holds a training already; go on with --resume, or name another MODEL_DIR'
            )
        trainer.load(trainer.last)
    elif task.init and task.init.endswith('.pt'):
        trainer.load(Path(task.init), weights_only=True)
    elif task.init:
        trainer.start_from_bundle(load_model(task.init).network(), task.recipe.loss)
    elif task.pretrains:
        return _pretrain(trainer, task, share, labelled, stop)
    return True


def _pretrain(
    trainer: Trainer,
    task: Task,
    share: DataSplit[LabelledScan],
    labelled: PatchDataset,
    stop: Callable[[], bool],
) -> bool:
    """Train the autoencoder, unless that was done before, and hand its layers over."""
    plan = trainer.plan
    own = replace(
        plan,
        architecture=plan.architecture | {'name': 'joliot2021-autoencoder'},
        epochs=max(1, round(PRETRAINING_SHARE * plan.epochs)),
        time_limit=None if plan.time_limit is None else PRETRAINING_SHARE * plan.time_limit,
        patience=0,
    )
    folder = task.folder / 'pretraining'
    auto = Trainer(own, folder, trainer.device, team=trainer.team, stop=stop)
    done = folder / 'encoder.pt'
    if done.exists():
        auto.load(done, weights_only=True)
    else:
        if task.resume and auto.last.exists():
            auto.load(auto.last)
        LOG.info('pre-training as an autoencoder')
        auto.fit(_all_scans(task, share, labelled, own), Reconstruction())
        if auto.stopped:
            return False
        auto.save(done)
    autoencoder, network = auto.average.module, trainer.network
    assert isinstance(autoencoder, JoliotAutoencoder)
    assert isinstance(network, JoliotUNet)
    transfer(autoencoder, network)
    trainer.start_from(network.state_dict())
    return True


def _all_scans(
    task: Task, share: DataSplit[LabelledScan], labelled: PatchDataset, plan: Plan
) -> PatchDataset:
    """Traced and untraced scans alike, drawn without a look at the tracings."""
    sampling = replace(labelled.sampling, steps=plan.steps, positive_share=0.0, warmup_steps=0)
    if isinstance(labelled, SyntheticPatchDataset):
        return _again(labelled, sampling)
    volumes = [*labelled.volumes, *_load(task, share.unlabelled)]
    return PatchDataset(volumes, labelled.rule, sampling)


def _load(task: Task, cases: list[LabelledScan]) -> list[Any]:
    recipe = task.recipe
    return load_training_images(
        cases, task.cache, TissueNormalization(), spacing=recipe.spacing, channels=recipe.channels, nprocs=1
    )


def _labelled(task: Task, share: DataSplit[LabelledScan], team: ProcessGroup) -> PatchDataset:
    recipe, rule, sampling = task.recipe, TissueNormalization(), task.sampling(team)
    if task.paint is None:
        return PatchDataset(_load(task, share.labelled), rule, sampling)
    scenes = [
        read_head_geometry(case, recipe.spacing) for case in tqdm(share.labelled, desc='scenes', disable=None)
    ]
    return SyntheticPatchDataset(scenes, rule, sampling, SUITES[task.paint], recipe.channels)


def _objective(
    task: Task, share: DataSplit[LabelledScan], labelled: PatchDataset
) -> tuple[Objective, Dataset]:
    """What is learnt, and from which batches."""
    recipe = task.recipe
    loss: nn.Module = make_loss(recipe.loss)
    if not recipe.semisupervised:
        return Supervised(loss), labelled
    objective = SemiSupervised(
        loss, warmup_steps=task.warmup_steps, confidence=recipe.confidence, noise=recipe.noise,
        weight=recipe.consistency_weight,
    )  # fmt: skip
    own = replace(labelled.sampling, seed=labelled.sampling.seed + 1, positive_share=0.0, warmup_steps=0)
    untraced: PatchDataset
    if share.unlabelled:
        untraced = PatchDataset(_load(task, share.unlabelled), labelled.rule, own)
    else:
        LOG.warning('no scans without tracing: consistency is learnt on the traced ones')
        untraced = _again(labelled, own)
    return objective, SemiSupervisedDataset(labelled, untraced, task.warmup_steps)


def _again(batches: PatchDataset, sampling: Sampling) -> PatchDataset:
    """The same scans, drawn another way."""
    if isinstance(batches, SyntheticPatchDataset):
        return SyntheticPatchDataset(
            batches.scenes, batches.rule, sampling, batches.difficulty, batches.channels
        )
    return PatchDataset(batches.volumes, batches.rule, sampling)
