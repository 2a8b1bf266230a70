"""Train a model on a BIDS data set with tracings: splits, processes, and the bundle at the end."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import multiprocessing

from .. import __version__
from ..bids.labelled_scans import LabelledScan, find_all_labelled_scans
from ..bids.naming import labels_dir
from ..clusters.tables import to_tsv
from ..evaluation.metrics import score
from ..evaluation.sweep import SIZES, bootstrap, sweep
from ..reports.curves import draw_curves
from ..reports.sweep import draw_sweep
from ..runtime.files import write_json, write_text
from ..runtime.signals import Stopped, StopRequest
from ..segmentation.intensity import TissueNormalization
from ..segmentation.model import ModelCard, load_model, write_model
from ..segmentation.networks import build
from ..training.patches import TrainingImage
from ..training.splits import Split, folds, hold_out
from ..training.trainer import Trainer
from ..training.validation import Validator
from .training_cache import load_training_images
from .training_run import DataSplit, Task, train

LOG = logging.getLogger(__name__)
#: With fewer validation scans than this, chance decides which checkpoint is best.
FEW = 3
SUMMARY = ('dice', 'avd', 'recall', 'precision', 'cluster_dice', 'cluster_recall', 'cluster_precision')


@dataclass(frozen=True)
class TrainingJob:
    """What `pvs train` was asked for.

    Attributes
    ----------
    data_dir, labels_dir, model_dir : Path
        BIDS data set, its tracings, the model's folder.
    task : Task
        Recipe and how it is followed.
    devices : tuple of str
        Torch devices, one a process; ``('cpu', 'cpu')`` are two processes on the CPU.
    nprocs : int
        Processes that prepare scans.
    validation_share : float
        Share of persons kept for validation.
    folds : int
        Cross-validation in so many folds; 0 for a single training.
    test_share : float or None
        Share of persons that each fold is tested on; None for one over the number of folds.
    training_size : int or None
        So many traced persons are trained on; the tracings of the others are not looked at.
    trained_on : str
        Said in the model's card.
    cache : Path or None
        Where prepared scans are kept; in the model's folder by default. Several trainings may
        share one.
    also : tuple of Path
        Further data sets, with their tracings in ``derivatives/labels``.
    """

    data_dir: Path
    labels_dir: Path
    model_dir: Path
    task: Task
    devices: tuple[str, ...] = ('cpu',)
    nprocs: int = 1
    validation_share: float = 0.1
    folds: int = 0
    test_share: float | None = None
    training_size: int | None = None
    trained_on: str = ''
    cache: Path | None = None
    also: tuple[Path, ...] = ()

    @property
    def data_dirs(self) -> list[tuple[Path, Path]]:
        """All data sets, each with the folder of its tracings."""
        return [(self.data_dir, self.labels_dir), *((d, labels_dir(d)) for d in self.also)]

    @property
    def prepared(self) -> Path:
        """Where prepared scans are kept."""
        return self.cache or self.model_dir / 'cache'


def run(job: TrainingJob) -> Path | None:
    """Prepare, train, bundle.

    Returns
    -------
    folder : Path or None
        The model's folder; None where training was told to stop and can be resumed.
    """
    cases = find_all_labelled_scans(job.data_dirs, job.task.recipe.channels)
    traced = [case.person for case in cases if case.target]
    with StopRequest() as stop, contextlib.suppress(Stopped):
        if not job.folds:
            split = hold_out(traced, job.validation_share, job.task.seed)
            return _single(job, cases, split, job.model_dir, stop)
        splits = folds(traced, job.folds, job.task.seed, test=job.test_share, validation=job.validation_share)
        return _cross_validation(job, cases, splits, stop)
    return None


def split_scans(
    cases: Sequence[LabelledScan], split: Split, training_size: int | None
) -> DataSplit[LabelledScan]:
    """Cases to learn from with and without their tracing, and to validate on.

    Persons of the validation and test sets take no part in training, not even untraced.
    """
    kept = set(split.training[:training_size])
    away = {*split.validation, *split.test}
    return DataSplit(
        labelled=[c for c in cases if c.person in kept and c.target],
        unlabelled=[
            replace(c, target=None)
            for c in cases
            if c.person not in away and not (c.person in kept and c.target)
        ],
        validation=[c for c in cases if c.person in split.validation and c.target],
    )


def _single(
    job: TrainingJob, cases: list[LabelledScan], split: Split, folder: Path, stop: StopRequest
) -> Path | None:
    """One training in `folder`, whatever of it was not done before."""
    share = split_scans(cases, split, job.training_size)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / 'split.json', {k: sorted(v) for k, v in asdict(split).items()})
    LOG.info(
        '%d traced scans to train on, %d without tracing, %d to validate on',
        len(share.labelled), len(share.unlabelled), len(share.validation),
    )  # fmt: skip
    if 0 < len(share.validation) < FEW:
        LOG.warning('few scans to validate on: they alone choose checkpoint and threshold; see --validation')
    held = _volumes(job, share.validation, stop)
    _prepare_all(job, share, stop)
    task = replace(job.task, folder=folder, cache=job.prepared)
    if len(job.devices) == 1:
        train(task, share, job.devices[0], stop=stop)
    else:
        _in_parallel(task, share, job.devices, stop)
    _draw(folder)
    return None if stop() else bundle(job, task, share, held)


def _volumes(job: TrainingJob, cases: Sequence[LabelledScan], stop: StopRequest) -> list[TrainingImage]:
    recipe = job.task.recipe
    return load_training_images(
        cases, job.prepared, TissueNormalization(), spacing=recipe.spacing,
        channels=recipe.channels, nprocs=job.nprocs, stop=stop,
    )  # fmt: skip


def _prepare_all(job: TrainingJob, share: DataSplit[LabelledScan], stop: StopRequest) -> None:
    """Fill the cache with what training will read, by as many processes as there may be."""
    if job.task.paint is None:
        _volumes(job, share.labelled, stop)
    if job.task.wants_unlabelled:
        _volumes(job, share.unlabelled, stop)


def _in_parallel(
    task: Task, share: DataSplit[LabelledScan], devices: Sequence[str], stop: StopRequest
) -> None:
    """One process a device; a request to stop is passed on."""
    meeting = task.folder.resolve() / '.meeting'
    meeting.unlink(missing_ok=True)
    team = multiprocessing.spawn(  # type: ignore[attr-defined]
        _member, (task, share, tuple(devices), meeting), nprocs=len(devices), join=False
    )
    told = False
    while not team.join(timeout=1.0):
        if stop() and not told:
            told = True
            for process in team.processes:
                process.terminate()
    meeting.unlink(missing_ok=True)


def _member(
    rank: int, task: Task, share: DataSplit[LabelledScan], devices: tuple[str, ...], meeting: Path
) -> None:
    """What each process of a team does."""
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.ERROR, format='%(message)s')
    torch.set_num_threads(max(1, torch.get_num_threads() // len(devices)))
    with StopRequest() as stop:
        train(task, share, devices[rank], rank=rank, world=len(devices), meeting=meeting, stop=stop)


def _draw(folder: Path) -> None:
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


def bundle(
    job: TrainingJob, task: Task, share: DataSplit[LabelledScan], validation: Sequence[TrainingImage]
) -> Path:
    """Write the best weights with a filled-in card; the threshold is the best on the validation scans."""
    recipe = task.recipe
    trainer = Trainer(task.plan(), task.folder / 'checkpoints', torch.device(job.devices[0]))
    steps = trainer.load(trainer.folder / 'best.pt', weights_only=True)
    if recipe.loss == 'dice-ce':
        trainer.undo_positive_weight()
    network = trainer.average.module.eval()
    threshold, dice = 0.5, None
    if validation:
        threshold, dice = Validator.of(recipe, validation, job.devices[0]).best_threshold(network)
    card = ModelCard(
        name=job.model_dir.name,
        version=__version__,
        architecture=recipe.architecture,
        channels=recipe.channels,
        spacing=recipe.spacing,
        box=recipe.box,
        intensity=TissueNormalization().card(),
        threshold=threshold,
        min_cluster_size=0.0,
        trained_on=job.trained_on or _trained_on(job, task, share),
        limits='Research only; not a medical device. Not tested on scans unlike those it was trained on.',
        licence='unspecified: the licence of the scans and tracings decides',
        patch_size=recipe.patch_size if recipe.stride else None,
        stride=recipe.stride,
        mirror=recipe.mirror,
        metrics={}
        if dice is None
        else {'validation_dice': round(dice, 4), 'validation_scans': len(validation)},
        training=_how(task, steps),
    )
    write_model(task.folder, network, card)
    return task.folder


def _trained_on(job: TrainingJob, task: Task, share: DataSplit[LabelledScan]) -> str:
    names = ' and '.join(data_dir.resolve().name for data_dir, _ in job.data_dirs)
    text = f'{len(share.labelled)} traced scans of {names}'
    if task.wants_unlabelled and share.unlabelled:
        text += f', {len(share.unlabelled)} scans without tracing'
    if task.paint:
        text += f' (simulated heads, each patch painted anew on a scanner of the suite {task.paint})'
    return text + (f'; started from the weights of {task.init}' if task.init else '')


def _how(task: Task, steps: int) -> dict[str, Any]:
    settings = {k: v for k, v in asdict(task.recipe).items() if k not in ('architecture', 'channels')}
    pretrained = (task.folder / 'pretraining' / 'encoder.pt').exists()
    return {'steps': steps, 'seed': task.seed, 'pretrained': pretrained, 'recipe': settings}


def _cross_validation(
    job: TrainingJob, cases: list[LabelledScan], splits: list[Split], stop: StopRequest
) -> Path | None:
    """Train and test each fold, then bundle all of them as one model."""
    scores, sweeps = [], []
    for number, split in enumerate(splits, 1):
        LOG.info('fold %d of %d', number, len(splits))
        folder = job.model_dir / f'fold-{number}'
        if not (folder / 'test.tsv').exists():
            if _single(job, cases, split, folder, stop) is None:
                return None
            _test(job, folder, [c for c in cases if c.person in split.test and c.target], stop)
        scores.append(pd.read_csv(folder / 'test.tsv', sep='\t').assign(fold=number))
        sweeps.append(pd.read_csv(folder / 'test_sweep.tsv', sep='\t').assign(fold=number))
    table = pd.concat(scores, ignore_index=True)
    write_text(job.model_dir / 'crossval.tsv', to_tsv(table))
    write_json(job.model_dir / 'crossval.json', summarise(table))
    whole = pd.concat(sweeps, ignore_index=True)
    write_text(job.model_dir / 'crossval_sweep.tsv', to_tsv(whole))
    draw_sweep(whole, job.model_dir / 'crossval_sweep.png')
    return join_folds(job.model_dir, len(splits), summarise(table))


def _test(job: TrainingJob, folder: Path, cases: list[LabelledScan], stop: StopRequest) -> None:
    """Scores of a fold's model on the persons that it has never seen."""
    made = load_model(folder)
    volumes = _volumes(job, cases, stop)
    validator = Validator.of(job.task.recipe, volumes, job.devices[0])
    network = made.network().to(job.devices[0])
    rows, sweeps = [], []
    for volume in volumes:
        probability, truth = validator.probability(network, volume), volume.target > 0
        scores = score(probability >= made.card.threshold, truth)
        rows.append({'scan': volume.name, 'threshold': made.card.threshold} | asdict(scores))
        sweeps.append(sweep(probability, truth, volume.voxel, sizes=SIZES).assign(scan=volume.name))
    write_text(folder / 'test_sweep.tsv', to_tsv(pd.concat(sweeps, ignore_index=True)))
    write_text(folder / 'test.tsv', to_tsv(pd.DataFrame(rows)))  # last: it says that the fold is done


def summarise(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean, 95 % bootstrap interval and standard deviation over tested scans of each score."""
    out = {}
    for name in SUMMARY:
        values = table[name].to_numpy(float)
        mean, low, high = bootstrap(values)
        known = values[np.isfinite(values)]
        deviation = float(known.std(ddof=1)) if len(known) > 1 else 0.0
        out[name] = {'mean': mean, 'ci_low': low, 'ci_high': high, 'sd': deviation}
    return out


def join_folds(folder: Path, number: int, scores: dict[str, Any]) -> Path:
    """Bundle the folds' networks as one, whose probability is the mean of theirs."""
    members = [load_model(folder / f'fold-{k}') for k in range(1, number + 1)]
    first = members[0].card
    ensemble: Any = build({'name': 'ensemble', 'members': number, 'of': first.architecture})
    for network, member in zip(ensemble.members, members, strict=True):
        network.load_state_dict(member.network().state_dict())
    card = replace(
        first,
        architecture={'name': 'ensemble', 'members': number, 'of': first.architecture},
        threshold=float(np.median([m.card.threshold for m in members])),
        trained_on=f'{number} folds of a cross-validation; the first: {first.trained_on}',
        metrics={'cross_validation': scores},
    )
    write_model(folder, ensemble.eval(), card)
    return folder
