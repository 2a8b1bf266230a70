"""Train a model on a BIDS dataset with labels, or on patches made from label maps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ..bids.labelled_scans import LabelledScan, find_all_labelled_scans
from ..bids.labels import LabelChoice
from ..messages import training
from ..runtime.deadline import Deadline, TimeUp
from ..runtime.locks import Lock
from ..runtime.signals import Stopped, StopRequest
from ..training.config import TrainingConfig
from ..training.initial_model import check_initial_weights
from ..training.packaging import check_model
from ..training.splits import Split, folds, hold_out
from .cross_validation import cross_validate
from .generated_training import train_generated
from .training_cache import check_labels, require_pvs
from .training_limits import Limits
from .training_run import split_scans, train_split

#: Seconds in which processes of a training that was killed end, too.
ORPHANS = 20.0


def train(config: TrainingConfig, *, started: float | None = None) -> Path | None:
    """Prepare the scans, train, and write the model.

    Parameters
    ----------
    config : TrainingConfig
    started : float, optional
        From when the time limit is counted, by ``time.monotonic``; default: now.

    Returns
    -------
    folder : Path or None
        With the model; None if a stop was requested, and training can be resumed.

    Raises
    ------
    InputError
        If the datasets, their labels or the configuration cannot be used, or the training diverges.
    ImageError
        If a scan cannot be used.
    PVSError
        If the time limit is over before there is anything to write, or the GPU has too little memory.
    """
    limit = config.schedule.time_limit
    deadline = Deadline.after(limit, started)
    check_model(config)
    check_initial_weights(config)
    try:
        with StopRequest() as stop, contextlib.suppress(Stopped), _reserved(config.model_dir):
            return _train(config, Limits(stop=stop, deadline=deadline))
    except TimeUp:
        raise training.NO_TIME.error(f'--time-limit {limit:g}') from None
    except torch.OutOfMemoryError as error:
        raise training.GPU_MEMORY.error() from error
    return None


@contextlib.contextmanager
def _reserved(folder: Path) -> Iterator[None]:
    """Let no other training use a folder; a training that was killed is over when its processes are."""
    lock, started = Lock(folder / '.training.lock'), time.monotonic()
    while not lock.acquire():
        if time.monotonic() - started > ORPHANS:
            raise training.IN_USE.error(folder)
        time.sleep(0.5)
    try:
        yield
    finally:
        lock.release()


def _train(config: TrainingConfig, limits: Limits) -> Path | None:
    """Train once, or once per fold."""
    data, seed = config.data, config.schedule.seed
    if data.generate:
        return train_generated(config, limits)
    choice = LabelChoice(layout=data.labels_layout, rater=data.rater)
    scans = find_all_labelled_scans(data.data_sets, config.recipe.channels, choice)
    persons = [scan.person for scan in scans if scan.label]
    if not data.folds:
        splits = [hold_out(persons, data.validation_fraction, seed)]
    else:
        splits = folds(
            persons, data.folds, seed, test=data.test_fraction, validation=data.validation_fraction
        )
    _check_labels(config, scans, splits, limits)
    if data.folds:
        return cross_validate(config, scans, splits, limits)
    return train_split(config, scans, splits[0], config.model_dir, limits)


def _check_labels(
    config: TrainingConfig, scans: Sequence[LabelledScan], splits: Sequence[Split], limits: Limits
) -> None:
    """Refuse labels that cannot be used, and splits without a single perivascular space in a part."""
    marked = check_labels(scans, stop=limits)
    require_pvs('the dataset', list(marked), marked)
    for split in splits:
        parts = split_scans(scans, split, config.data.training_size)
        require_pvs('the scans to train on', parts.labelled, marked)
        require_pvs('the scans to validate on', parts.validation, marked)
