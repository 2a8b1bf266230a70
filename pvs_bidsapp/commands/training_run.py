"""One training: its scans are cached, one process per device trains the network, and the model is written."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
import torch
from torch import multiprocessing
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..bids.labelled_scans import LabelledScan
from ..errors import PVSError
from ..messages import training
from ..outputs.ground_truth import read_head_geometry
from ..reports.curves import draw_curves
from ..runtime.deadline import Deadline, TimeUp
from ..runtime.files import write_json
from ..runtime.signals import Stopped, StopRequest
from ..segmentation.grid import spacing_range
from ..segmentation.intensity import TissueNormalization
from ..segmentation.model import load_model
from ..segmentation.networks.joliot import JoliotAutoencoder, JoliotUNet, transfer
from ..simulation.background import read_background
from ..simulation.background_patches import BackgroundSampler, MixedSampler
from ..simulation.patch_generator import PatchGenerator, PatchSampler
from ..simulation.patch_source import read_source
from ..simulation.patch_synthesis import HeadGeometry
from ..simulation.scanner import SUITES
from ..training.allocator import keep_freed_memory
from ..training.checkpoint import LAST, check_resumable, read_checkpoint
from ..training.config import TrainingConfig
from ..training.datasets import (
    Batch,
    GeneratedPatchDataset,
    PatchDataset,
    SemiSupervisedDataset,
    SyntheticPatchDataset,
    TrainingImage,
)
from ..training.distributed import ProcessGroup
from ..training.log import read_log
from ..training.losses import make_loss
from ..training.objectives import Objective, Reconstruction, SemiSupervised, Supervised
from ..training.packaging import TrainingSummary, package_model
from ..training.sampling import Sampling
from ..training.splits import Split
from ..training.trainer import Trainer, TrainingEnd
from ..training.validation import Validator
from .training_cache import CachedImage, Preparation, cache_images, read_cached
from .training_limits import Limits

LOG = logging.getLogger(__name__)
T = TypeVar('T')
#: Fraction of the epochs, and of the time that is left at its start, that pre-training gets.
PRETRAINING_FRACTION = 0.25
#: Seconds in which the other processes of a training end by themselves when one has failed.
GRACE = 10.0
#: Who is trained, validated and tested on.
SPLIT = 'split.json'
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
    sources : list of Path
        Prepared label maps, if patches are made from them.
    backgrounds : list of Path
        Prepared scans from which some of these patches are cut.
    deadline : Deadline
        By which the model has to be written, and tested.
    tests : int
        Number of scans that it will be tested on.
    """

    config: TrainingConfig
    folder: Path
    heads: list[LabelledScan]
    cached: DataSplit[CachedImage]
    sources: list[Path] = field(default_factory=list)
    backgrounds: list[Path] = field(default_factory=list)
    deadline: Deadline = field(default_factory=Deadline)
    tests: int = 0


class TrainingImages:
    """The images of a run in memory. Each list is read from the cache when it is first used.

    Parameters
    ----------
    run : TrainingRun
    limits : Limits, optional
        Looked at before each image.
    """

    def __init__(self, run: TrainingRun, limits: Limits | None = None) -> None:
        self.run, self.limits = run, limits or Limits()

    def _read(self, cached: Sequence[CachedImage]) -> list[TrainingImage]:
        images = []
        for files in cached:
            self.limits.check()
            images.append(read_cached(files))
        return images

    @cached_property
    def heads(self) -> list[HeadGeometry]:
        """Simulated heads whose patches are synthesized."""
        voxel_sizes = spacing_range(self.run.config.recipe.spacing)
        heads = []
        for scan in tqdm(self.run.heads, desc='heads', disable=None):
            self.limits.check()
            heads.append(read_head_geometry(scan, voxel_sizes))
        return heads

    @cached_property
    def labelled(self) -> list[TrainingImage]:
        """Labelled scans."""
        return self._read(self.run.cached.labelled)

    @cached_property
    def unlabelled(self) -> list[TrainingImage]:
        """Unlabelled scans."""
        return self._read(self.run.cached.unlabelled)

    def free_unlabelled(self) -> None:
        """Free the memory of the unlabelled scans, which are of no use after pre-training."""
        self.__dict__.pop('unlabelled', None)

    @cached_property
    def validation(self) -> list[TrainingImage]:
        """Labelled scans for validation."""
        return self._read(self.run.cached.validation)

    @cached_property
    def generator(self) -> PatchSampler:
        """Makes patches from the label maps, and from the backgrounds if there are any."""
        recipe, size = self.run.config.recipe, self.run.config.recipe.patch_size
        shape = recipe.box if size is None else (size, size, size)
        spacing, normalization = spacing_range(recipe.spacing), TissueNormalization()
        sources = self._prepared(self.run.sources, read_source, 'label maps')
        generator = PatchGenerator(
            sources, normalization, shape=shape, channels=recipe.channels, spacing=spacing
        )
        if not self.run.backgrounds:
            return generator
        backgrounds = self._prepared(self.run.backgrounds, read_background, 'backgrounds')
        sampler = BackgroundSampler(backgrounds, normalization, shape=shape, spacing=spacing)
        return MixedSampler(generator, sampler, self.run.config.data.background_fraction)

    def _prepared(self, paths: Sequence[Path], read: Callable[[Path], T], what: str) -> list[T]:
        """Read what was prepared for the making of patches."""
        found = []
        for path in tqdm(paths, desc=what, disable=None):
            self.limits.check()
            found.append(read(path))
        return found

    def labelled_batches(self, sampling: Sampling) -> Dataset[Batch]:
        """Batches of the labelled scans, or of patches made from heads or label maps."""
        config = self.run.config
        if config.data.generate:
            return GeneratedPatchDataset(self.generator, sampling)
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
    limits: Limits,
) -> Path | None:
    """Do one training, as far as it has not been done before.

    Parameters
    ----------
    config : TrainingConfig
    scans : sequence of LabelledScan
    split : Split
    folder : Path
        Of this training.
    limits : Limits
        The time that is left has to suffice for the tests of the model, too.

    Returns
    -------
    folder : Path or None
        With the model; None if training was stopped and can be resumed.

    Raises
    ------
    Stopped
        If a stop was requested while scans were prepared.
    TimeUp
        If the time was over before the first step of the training.
    InputError
        If the folder holds a training that is not to be resumed, or another one.
    """
    check_earlier(config, folder)
    parts = split_scans(scans, split, config.data.training_size)
    folder.mkdir(parents=True, exist_ok=True)
    write_split(folder, parts_of(split))
    LOG.info(
        '%d labelled scans to train on, %d unlabelled, %d to validate on',
        len(parts.labelled), len(parts.unlabelled), len(parts.validation),
    )  # fmt: skip
    if 0 < len(parts.validation) < FEW_SCANS:
        training.FEW_VALIDATION.log(LOG, count=len(parts.validation))
    run = TrainingRun(
        config=config,
        folder=folder,
        heads=parts.labelled,
        cached=cache_parts(config, parts, limits),
        deadline=limits.deadline,
        tests=sum(1 for s in scans if s.person in split.test and s.label),
    )
    summary = TrainingSummary(
        data_sets=tuple(data_dir.resolve().name for data_dir, _ in config.data.data_sets),
        labelled=len(parts.labelled),
        unlabelled=len(parts.unlabelled),
    )
    return train_and_package(run, summary, limits)


def train_and_package(run: TrainingRun, summary: TrainingSummary, limits: Limits) -> Path | None:
    """Train, and write the model.

    Parameters
    ----------
    run : TrainingRun
        Whose data are prepared.
    summary : TrainingSummary
        For the model's card.
    limits : Limits

    Returns
    -------
    folder : Path or None
        With the model; None if training was stopped and can be resumed.

    Raises
    ------
    TimeUp
        If the time was over before the first step of the training.
    InputError
        If a checkpoint does not fit, or the training diverges.
    """
    config, folder = run.config, run.folder
    images = TrainingImages(run, limits)
    if len(config.devices) == 1:
        end = train_process(run, images, stop=limits.stop)
    else:
        end = _start_processes(run, limits.stop)
    _draw_curves(folder)
    if limits.stop():
        return None
    images.limits = Limits()  # a model needs its validation scans, even if the time is over
    package_model(config, folder, summary, images.validation, end=end, wants_to_end=limits.deadline.paced())
    if end.is_time_up:
        best = load_model(folder).card.training['steps']
        training.TIME_UP.log(LOG, folder, step=end.step, steps=end.steps, best=best)
    return folder


def check_earlier(config: TrainingConfig, folder: Path) -> None:
    """Refuse a folder with another training, before hours are spent on preparing scans.

    Parameters
    ----------
    config : TrainingConfig
    folder : Path

    Raises
    ------
    InputError
        If the folder holds a training that is not to be resumed, or another one.
    """
    if not config.resume and (folder / 'checkpoints' / LAST).exists():
        raise training.HOLDS_TRAINING.error(folder)
    check_plan(config, folder)


def check_plan(config: TrainingConfig, folder: Path) -> None:
    """Refuse a folder with a training by other options.

    Parameters
    ----------
    config : TrainingConfig
    folder : Path

    Raises
    ------
    InputError
        If an option differs that must not change.
    """
    last = folder / 'checkpoints' / LAST
    if last.exists():
        check_resumable(read_checkpoint(last)['plan'], config, last)


def parts_of(split: Split) -> dict[str, list[str]]:
    """Who is in which part, as it is written to ``split.json``."""
    return {part: sorted(people) for part, people in asdict(split).items()}


def check_split(folder: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Refuse another split than that of the training in a folder: who was trained on must not validate it.

    Parameters
    ----------
    folder : Path
    parts : mapping of str to sequence of str
        People, label maps or scans of each part.

    Raises
    ------
    InputError
        If a part differs; the message names it.
    """
    file = folder / SPLIT
    if not (file.exists() and (folder / 'checkpoints' / LAST).exists()):
        return
    try:
        earlier = json.loads(file.read_text(encoding='utf-8'))
    except ValueError:  # not by this program: there is nothing to compare with
        return
    names = [*parts, *(name for name in earlier if name not in parts)]
    if different := [name for name in names if earlier.get(name, []) != list(parts.get(name, []))]:
        raise training.OTHER_SPLIT.error(folder, parts=', '.join(different))


def write_split(folder: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Write what is in which part of a training, unless another split is there.

    Parameters
    ----------
    folder : Path
    parts : mapping of str to sequence of str

    Raises
    ------
    InputError
        As in `check_split`.
    """
    check_split(folder, parts)
    write_json(folder / SPLIT, dict(parts))


def preparation_of(config: TrainingConfig) -> Preparation:
    """How the scans of a training are prepared."""
    return Preparation(spacing=config.recipe.spacing, channels=config.recipe.channels)


def cache_parts(
    config: TrainingConfig, scans: DataSplit[LabelledScan], limits: Limits
) -> DataSplit[CachedImage]:
    """Prepare the scans that training will read, as far as that was not done before.

    Parameters
    ----------
    config : TrainingConfig
    scans : DataSplit of LabelledScan
    limits : Limits

    Raises
    ------
    Stopped, TimeUp
        If a stop was requested, or the time is over; what was prepared by then is kept.
    """
    labelled = scans.labelled if config.data.synthesize is None else []
    unlabelled = scans.unlabelled if config.uses_unlabelled else []
    # in one go: to start the processes takes longer than a few scans
    cached = iter(
        cache_images(
            [*scans.validation, *labelled, *unlabelled],
            config.data.cache_dir,
            preparation_of(config),
            nprocs=config.nprocs,
            stop=limits,
        )
    )
    return DataSplit(
        validation=list(islice(cached, len(scans.validation))),
        labelled=list(islice(cached, len(labelled))),
        unlabelled=list(cached),
    )


def _start_processes(run: TrainingRun, stop: Callable[[], bool]) -> TrainingEnd:
    """Train with one process per device; a stop request is passed on to them."""
    rendezvous_file = run.folder.resolve() / '.meeting'
    rendezvous_file.unlink(missing_ok=True)
    outcomes = multiprocessing.get_context('spawn').SimpleQueue()
    group = multiprocessing.spawn(  # type: ignore[attr-defined]
        _spawned, (run, rendezvous_file, outcomes), nprocs=len(run.config.devices), join=False
    )
    is_passed_on = False
    try:
        while not group.join(timeout=1.0, grace_period=GRACE):
            if stop() and not is_passed_on:
                is_passed_on = True
                for process in group.processes:
                    process.terminate()
    except ProcessException as error:
        if error_of_process := _first_error(_all_of(outcomes)):
            raise error_of_process from None
        if isinstance(error, ProcessExitedException):
            raise training.PROCESS_ENDED.error(reason=' '.join(str(error).split())) from error
        raise
    finally:
        rendezvous_file.unlink(missing_ok=True)
    return next(outcome for outcome in _all_of(outcomes) if isinstance(outcome, TrainingEnd))


def _all_of(outcomes: Any) -> list[Any]:
    """What is in a queue to which nobody writes any more."""
    found = []
    while not outcomes.empty():
        found.append(outcomes.get())
    return found


def _first_error(outcomes: Sequence[Any]) -> Exception | None:
    """The error that ended the processes: the others then fail for want of their partner."""
    for kind in (PVSError, Stopped, TimeUp, OSError, MemoryError):
        for outcome in outcomes:
            if isinstance(outcome, kind):
                return outcome
    return None


def _spawned(rank: int, run: TrainingRun, rendezvous_file: Path, outcomes: Any) -> None:
    """Entry point of each process, if there are several. Errors that have a message go to `outcomes`."""
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.ERROR, format='%(message)s')
    torch.set_num_threads(max(1, torch.get_num_threads() // len(run.config.devices)))
    try:
        with StopRequest() as stop:
            images = TrainingImages(run, Limits(stop=stop, deadline=run.deadline))
            end = train_process(run, images, rank=rank, rendezvous_file=rendezvous_file, stop=stop)
    except torch.OutOfMemoryError:
        outcomes.put(training.GPU_MEMORY.error())
    except (PVSError, Stopped, TimeUp, OSError, MemoryError) as error:
        error.__cause__ = error.__context__ = None
        outcomes.put(error)
    else:
        if rank == 0:
            outcomes.put(end)
        return
    sys.exit(1)


def train_process(
    run: TrainingRun,
    images: TrainingImages,
    *,
    rank: int = 0,
    rendezvous_file: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainingEnd:
    """Train in this process until the end, a stop request or the deadline; the result is in ``checkpoints/``.

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

    Returns
    -------
    end : TrainingEnd

    Raises
    ------
    InputError
        If a checkpoint does not fit, or the training diverges.
    TimeUp
        If the time was over before the first step.
    """
    config, device = run.config, torch.device(run.config.devices[rank])
    if device.type == 'cpu':
        keep_freed_memory()
    group = ProcessGroup()
    if rendezvous_file:
        group = ProcessGroup.join(rank, len(config.devices), rendezvous_file, device)
    try:
        sampling = Sampling.of(config, group)
        validated = len(run.cached.validation)
        trainer = Trainer(
            config,
            run.folder / 'checkpoints',
            device,
            group=group,
            stop=stop,
            deadline=run.deadline,
            validations=(validated + run.tests) / max(1, validated),
        )
        if _initialize(trainer, run, images, sampling):
            _train(trainer, config, images, sampling)
    finally:
        group.leave()
    if trainer.time_is_up and not trainer.step:
        raise TimeUp
    return trainer.end


def _train(trainer: Trainer, config: TrainingConfig, images: TrainingImages, sampling: Sampling) -> None:
    """Do the steps of a training whose network has its initial weights."""
    objective, batches = _objective(config, images, sampling)
    validator = Validator.of(
        config.recipe,
        images.validation,
        trainer.device,
        precision=config.schedule.precision,
        wants_to_end=trainer.wants_to_end,
    )
    if validator.images and not validator.scored and trainer.group.is_first:
        training.EMPTY_VALIDATION.log(LOG)
    trainer.fit(batches, objective, validator if validator.scored else None)


def _initialize(trainer: Trainer, run: TrainingRun, images: TrainingImages, sampling: Sampling) -> bool:
    """Give the network its initial weights; False if the training has to end in pre-training."""
    config = run.config
    if trainer.last.exists():
        trainer.resume(trainer.last)
    elif config.init and config.init.endswith('.pt'):
        trainer.start_from_checkpoint(Path(config.init))
    elif config.init:
        trainer.start_from_model(load_model(config.init).network())
    elif config.pretrains:
        return _pretrain(trainer, run, images, sampling)
    return True


def _pretrain(trainer: Trainer, run: TrainingRun, images: TrainingImages, sampling: Sampling) -> bool:
    """Train the autoencoder, if that was not done before, and copy its layers; False if all has to end."""
    config = autoencoder_config(run.config)
    folder = run.folder / 'pretraining'
    deadline = trainer.deadline.part(PRETRAINING_FRACTION)
    pretrainer = Trainer(
        config, folder, trainer.device, group=trainer.group, stop=trainer.stop, deadline=deadline
    )
    finished = folder / 'encoder.pt'
    if config.resume and finished.exists():
        check_resumable(read_checkpoint(finished)['plan'], config, finished)
        pretrainer.start_from_checkpoint(finished)
    else:
        if config.resume and pretrainer.last.exists():
            pretrainer.resume(pretrainer.last)
        LOG.info('pre-training as an autoencoder')
        pretrainer.fit(_pretraining_batches(config, images, sampling), Reconstruction())
        images.free_unlabelled()
        if pretrainer.stopped or trainer.must_end():  # it is not finished, and can be resumed
            return False
        if pretrainer.time_is_up:
            LOG.info('pre-training ended at step %d, with its part of the time', pretrainer.step)
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
    return replace(
        config,
        recipe=replace(
            config.recipe, architecture=config.recipe.architecture | {'name': 'joliot2021-autoencoder'}
        ),
        schedule=replace(
            schedule,
            epochs=max(1, round(PRETRAINING_FRACTION * schedule.epochs)),
            patience=0,
        ),
    )


def _pretraining_batches(
    config: TrainingConfig, images: TrainingImages, sampling: Sampling
) -> Dataset[Batch]:
    """Batches of labelled and unlabelled scans alike, drawn without regard to the labels."""
    sampling = replace(sampling, steps=config.schedule.steps, positive_fraction=0.0, warmup_steps=0)
    if config.data.is_synthetic:
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
        unlabelled: Dataset[Batch] = PatchDataset(images.unlabelled, TissueNormalization(), sampling)
    else:
        training.NO_UNLABELLED.log(LOG)
        unlabelled = images.labelled_batches(sampling)
    return objective, SemiSupervisedDataset(labelled, unlabelled, config.warmup_steps)


def _draw_curves(folder: Path) -> None:
    logs = {
        name: pd.DataFrame(rows)
        for name, part in (('pre-training', 'pretraining'), ('training', 'checkpoints'))
        if (rows := read_log(folder / part))
    }
    if logs:
        draw_curves(logs, folder / 'learning_curves.png')
