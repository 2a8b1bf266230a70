"""Train a model on a BIDS dataset with labels."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ..bids.labelled_scans import LabelledScan, find_all_labelled_scans
from ..runtime.signals import Stopped, StopRequest
from ..training.config import TrainingConfig
from ..training.splits import Split, folds, hold_out
from .cross_validation import cross_validate
from .training_cache import check_labels, require_pvs
from .training_run import split_scans, train_split


def train(config: TrainingConfig) -> Path | None:
    """Prepare the scans, train, and write the model.

    Parameters
    ----------
    config : TrainingConfig

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
    """
    data, seed = config.data, config.schedule.seed
    scans = find_all_labelled_scans(data.data_sets, config.recipe.channels)
    persons = [scan.person for scan in scans if scan.label]
    with StopRequest() as stop, contextlib.suppress(Stopped):
        if not data.folds:
            splits = [hold_out(persons, data.validation_fraction, seed)]
        else:
            splits = folds(
                persons, data.folds, seed, test=data.test_fraction, validation=data.validation_fraction
            )
        _check_labels(config, scans, splits, stop)
        if data.folds:
            return cross_validate(config, scans, splits, stop)
        return train_split(config, scans, splits[0], config.model_dir, stop)
    return None


def _check_labels(
    config: TrainingConfig, scans: Sequence[LabelledScan], splits: Sequence[Split], stop: StopRequest
) -> None:
    """Refuse labels that cannot be used, and splits without a single perivascular space in a part."""
    marked = check_labels(scans, stop=stop)
    require_pvs('the dataset', list(marked), marked)
    for split in splits:
        parts = split_scans(scans, split, config.data.training_size)
        require_pvs('the scans to train on', parts.labelled, marked)
        require_pvs('the scans to validate on', parts.validation, marked)
