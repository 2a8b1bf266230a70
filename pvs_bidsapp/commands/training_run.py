"""One training: its scans are cached, one process per device trains the network, and the model is written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd
import torch
from torch import multiprocessing
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..bids.labelled_scans import LabelledScan
from ..errors import InputError
from ..outputs.ground_truth import read_head_geometry
from ..reports.curves import draw_curves
from ..runtime.files import write_json
from ..runtime.signals import StopRequest
from ..segmentation.grid import spacing_range
from ..segmentation.intensity import TissueNormalization
from ..segmentation.model import load_model
from ..segmentation.networks.joliot import JoliotAutoencoder, JoliotUNet, transfer
from ..simulation.patch_synthesis import HeadGeometry
from ..simulation.scanner import SUITES
from ..training.allocator import keep_freed_memory
from ..training.config import TrainingConfig
from ..training.datasets import (
    Batch,
    PatchDataset,
    SemiSupervisedDataset,
    SyntheticPatchDataset,
    TrainingImage,
)
from ..training.distributed import ProcessGroup
from ..training.losses import make_loss
from ..training.objectives import Objective, Reconstruction, SemiSupervised, Supervised
from ..training.packaging import TrainingSummary, package_model
from ..training.sampling import Sampling
from ..training.splits import Split
from ..training.trainer import Trainer
from ..training.validation import Validator
from .training_cache import CachedImage, Preparation, cache_images, read_cached

LOG = logging.getLogger(__name__)
T = TypeVar('T')
#: Fraction of the epochs, or of the time limit, that pre-training gets.
PRETRAINING_FRACTION = 0.25
#: With fewer validation scans than this, chance decides which checkpoint is best.
FEW_SCANS = 3


@dataclass(frozen=True, kw_only=True)
class DataSplit(Generic[T]):
    """Items to train on, with and without labels, and to validate on.

    Attributes
    ----------
    labelled, unlabelled, validation : list
    """

    labelled: list[T]
    unlabelled: list[T]
    validation: list[T]


def split_scans(
    scans: Sequence[LabelledScan], split: Split, training_size: int | None
) -> DataSplit[LabelledScan]:
    """Assign scans by a split of their persons.

    Persons of the validation and test sets take no part in training, not even with unlabelled scans.

    Parameters
    ----------
    scans : sequence of LabelledScan
    split : Split
    training_size : int or None
        Number of labelled persons to train on. The labels of the others are left out; their scans count as
        unlabelled.
    """
    persons = set(split.training[:training_size])
    held_out = {*split.validation, *split.test}
    return DataSplit(
        labelled=[s for s in scans if s.person in persons and s.label],
        unlabelled=[
            replace(s, label=None)
            for s in scans
            if s.person not in held_out and not (s.person in persons and s.label)
        ],
        validation=[s for s in scans if s.person in split.validation and s.label],
    )


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A training in one folder, as it is passed to each of its processes.

    Attributes
    ----------
    config : TrainingConfig
    folder : Path
        Of its checkpoints and its model.
    heads : list of LabelledScan
        The labelled scans, if patches are synthesized; they are not cached.
    cached : DataSplit of CachedImage
    """

    config: TrainingConfig
    folder: Path
    heads: list[LabelledScan]
    cached: DataSplit[CachedImage]


class TrainingImages:
    """The images of a run in memory. Each list is read from the cache when it is first used.

    Parameters
    ----------
    run : TrainingRun
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run = run

    @cached_property
    def heads(self) -> list[HeadGeometry]:
        """Simulated heads whose patches are synthesized."""
        voxel_sizes = spacing_range(self.run.config.recipe.spacing)
        return [
            read_head_geometry(scan, voxel_sizes) for scan in tqdm(self.run.heads, desc='heads', disable=None)
        ]

    @cached_property
    def labelled(self) -> list[TrainingImage]:
        """Labelled scans."""
        return [read_cached(files) for files in self.run.cached.labelled]

    @cached_property
    def unlabelled(self) -> list[TrainingImage]:
        """Unlabelled scans."""
        return [read_cached(files) for files in self.run.cached.unlabelled]

    def free_unlabelled(self) -> None:
        """Free the memory of the unlabelled scans, which are of no use after pre-training."""
        self.__dict__.pop('unlabelled', None)

    @cached_property
    def validation(self) -> list[TrainingImage]:
        """Labelled scans for validation."""
        return [read_cached(files) for files in self.run.cached.validation]

    def labelled_batches(self, sampling: Sampling) -> PatchDataset:
        """Batches of the labelled scans, or of patches synthesized from the heads."""
        config = self.run.config
        if config.data.synthesize is None:
            return PatchDataset(self.labelled, TissueNormalization(), sampling)
        return SyntheticPatchDataset(
            self.heads,
            TissueNormalization(),
            sampling,
            difficulty=SUITES[config.data.synthesize],
            channels=config.recipe.channels,
        )


def train_split(
    config: TrainingConfig,
    scans: Sequence[LabelledScan],
    split: Split,
    folder: Path,
    stop: StopRequest,
) -> Path | None:
    """Do one training, as far as it has not been done before.

    Parameters
    ----------
    config : TrainingConfig
    scans : sequence of LabelledScan
    split : Split
    folder : Path
        Of this training.
    stop : StopRequest

    Returns
    -------
    folder : Path or None
        With the model; None if training was stopped and can be resumed.

    Raises
    ------
    Stopped
        If a stop was requested while scans were prepared.
    """
    parts = split_scans(scans, split, config.data.training_size)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / 'split.json', {k: sorted(v) for k, v in asdict(split).items()})
    LOG.info(
        '%d labelled scans to train on, %d unlabelled, %d to validate on',
        len(parts.labelled), len(parts.unlabelled), len(parts.validation),
    )  # fmt: skip
    if 0 < len(parts.validation) < FEW_SCANS:
        LOG.warning('few scans to validate on: they alone choose checkpoint and threshold; see --validation')
    run = TrainingRun(config=config, folder=folder, heads=parts.labelled, cached=_cache(config, parts, stop))
    images = TrainingImages(run)
    if len(config.devices) == 1:
        train_process(run, images, stop=stop)
    else:
        _start_processes(run, stop)
    _draw_curves(folder)
    if stop():
        return None
    summary = TrainingSummary(
        data_sets=tuple(data_dir.resolve().name for data_dir, _ in config.data.data_sets),
        labelled=len(parts.labelled),
        unlabelled=len(parts.unlabelled),
    )
    return package_model(config, folder, summary, images.validation)


def preparation_of(config: TrainingConfig) -> Preparation:
    """How the scans of a training are prepared."""
    return Preparation(spacing=config.recipe.spacing, channels=config.recipe.channels)


def _cache(
    config: TrainingConfig, scans: DataSplit[LabelledScan], stop: StopRequest
) -> DataSplit[CachedImage]:
    """Prepare the scans that training will read."""

    def cache(part: list[LabelledScan]) -> list[CachedImage]:
        return cache_images(
            part, config.data.cache_dir, preparation_of(config), nprocs=config.nprocs, stop=stop
        )

    return DataSplit(
        validation=cache(scans.validation),
        labelled=cache(scans.labelled) if config.data.synthesize is None else [],
        unlabelled=cache(scans.unlabelled) if config.uses_unlabelled else [],
    )


def _start_processes(run: TrainingRun, stop: StopRequest) -> None:
    """Train with one process per device; a stop request is passed on to them."""
    rendezvous_file = run.folder.resolve() / '.meeting'
    rendezvous_file.unlink(missing_ok=True)
    group = multiprocessing.spawn(  # type: ignore[attr-defined]
        _spawned, (run, rendezvous_file), nprocs=len(run.config.devices), join=False
    )
    is_passed_on = False
    while not group.join(timeout=1.0):
        if stop() and not is_passed_on:
            is_passed_on = True
            for process in group.processes:
                process.terminate()
    rendezvous_file.unlink(missing_ok=True)


def _spawned(rank: int, run: TrainingRun, rendezvous_file: Path) -> None:
    """Entry point of each process, if there are several."""
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.ERROR, format='%(message)s')
    torch.set_num_threads(max(1, torch.get_num_threads() // len(run.config.devices)))
    with StopRequest() as stop:
        train_process(run, TrainingImages(run), rank=rank, rendezvous_file=rendezvous_file, stop=stop)


def train_process(
    run: TrainingRun,
    images: TrainingImages,
    *,
    rank: int = 0,
    rendezvous_file: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train in this process until the end or a stop request; the result is in ``checkpoints/``.

    Parameters
    ----------
    run : TrainingRun
    images : TrainingImages
    rank : int
        Number of this process, and of its device.
    rendezvous_file : Path, optional
        File through which several processes connect; without it there is one process.
    stop : callable
        Called after each step; training stops once it returns True.

    Raises
    ------
    InputError
        If the folder holds a training that is not to be resumed, a checkpoint does not fit, or the training
        diverges.
    """
    config, device = run.config, torch.device(run.config.devices[rank])
    if device.type == 'cpu':
        keep_freed_memory()
    group = ProcessGroup()
    if rendezvous_file:
        group = ProcessGroup.join(rank, len(config.devices), rendezvous_file, device)
    try:
        sampling = Sampling.of(config, group)
        trainer = Trainer(config, run.folder / 'checkpoints', device, group=group, stop=stop)
        if _initialize(trainer, run, images, sampling):
            objective, batches = _objective(config, images, sampling)
            validator = Validator.of(
                config.recipe, images.validation, device, precision=config.schedule.precision
            )
            trainer.fit(batches, objective, validator if validator.images else None)
    finally:
        group.leave()


def _initialize(trainer: Trainer, run: TrainingRun, images: TrainingImages, sampling: Sampling) -> bool:
    """Give the network its initial weights; False if a stop was requested in pre-training."""
    config = run.config
    if trainer.last.exists():
        if not config.resume:
            raise InputError(
                f'{run.folder}: holds a training already; continue with --resume, or name another MODEL_DIR'
            )
        trainer.resume(trainer.last)
    elif config.init and config.init.endswith('.pt'):
        trainer.start_from_checkpoint(Path(config.init))
    elif config.init:
        trainer.start_from_model(load_model(config.init).network())
    elif config.pretrains:
        return _pretrain(trainer, run, images, sampling)
    return True


def _pretrain(trainer: Trainer, run: TrainingRun, images: TrainingImages, sampling: Sampling) -> bool:
    """Train the autoencoder, if that was not done before, and copy its layers; False after a stop request."""
    config = autoencoder_config(run.config)
    folder = run.folder / 'pretraining'
    pretrainer = Trainer(config, folder, trainer.device, group=trainer.group, stop=trainer.stop)
    finished = folder / 'encoder.pt'
    if finished.exists():
        pretrainer.start_from_checkpoint(finished)
    else:
        if config.resume and pretrainer.last.exists():
            pretrainer.resume(pretrainer.last)
        LOG.info('pre-training as an autoencoder')
        pretrainer.fit(_pretraining_batches(config, images, sampling), Reconstruction())
        images.free_unlabelled()
        if pretrainer.stopped:
            return False
        pretrainer.save(finished)
    autoencoder, network = pretrainer.average.module, trainer.network
    assert isinstance(autoencoder, JoliotAutoencoder)
    assert isinstance(network, JoliotUNet)
    transfer(autoencoder, network)
    trainer.start_from(network.state_dict())
    return True


def autoencoder_config(config: TrainingConfig) -> TrainingConfig:
    """Configuration of the pre-training that belongs to a training."""
    schedule = config.schedule
    limit = schedule.time_limit
    return replace(
        config,
        recipe=replace(
            config.recipe, architecture=config.recipe.architecture | {'name': 'joliot2021-autoencoder'}
        ),
        schedule=replace(
            schedule,
            epochs=max(1, round(PRETRAINING_FRACTION * schedule.epochs)),
            time_limit=None if limit is None else PRETRAINING_FRACTION * limit,
            patience=0,
        ),
    )


def _pretraining_batches(config: TrainingConfig, images: TrainingImages, sampling: Sampling) -> PatchDataset:
    """Batches of labelled and unlabelled scans alike, drawn without regard to the labels."""
    sampling = replace(sampling, steps=config.schedule.steps, positive_fraction=0.0, warmup_steps=0)
    if config.data.synthesize is not None:
        return images.labelled_batches(sampling)
    return PatchDataset([*images.labelled, *images.unlabelled], TissueNormalization(), sampling)


def _objective(
    config: TrainingConfig, images: TrainingImages, sampling: Sampling
) -> tuple[Objective, Dataset[Batch]]:
    """What is learnt, and from which batches."""
    loss, labelled = make_loss(config.recipe.loss), images.labelled_batches(sampling)
    if not config.recipe.semisupervised:
        return Supervised(loss), labelled
    objective = SemiSupervised.of(config.recipe, loss, config.warmup_steps)
    sampling = replace(sampling, seed=sampling.seed + 1, positive_fraction=0.0, warmup_steps=0)
    if images.unlabelled:
        unlabelled = PatchDataset(images.unlabelled, TissueNormalization(), sampling)
    else:
        LOG.warning('no unlabelled scans: consistency is learnt on the labelled ones')
        unlabelled = images.labelled_batches(sampling)
    return objective, SemiSupervisedDataset(labelled, unlabelled, config.warmup_steps)


def _draw_curves(folder: Path) -> None:
    logs = {
        name: pd.read_csv(path)
        for name, path in (
            ('pre-training', folder / 'pretraining' / 'log.csv'),
            ('training', folder / 'checkpoints' / 'log.csv'),
        )
        if path.exists()
    }
    if logs:
        draw_curves(logs, folder / 'learning_curves.png')
