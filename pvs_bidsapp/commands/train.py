"""Train a model on a BIDS dataset with labels."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..bids.labelled_scans import find_all_labelled_scans
from ..runtime.signals import Stopped, StopRequest
from ..training.config import TrainingConfig
from ..training.splits import folds, hold_out
from .cross_validation import cross_validate
from .training_run import train_split


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
            split = hold_out(persons, data.validation_fraction, seed)
            return train_split(config, scans, split, config.model_dir, stop)
        splits = folds(
            persons, data.folds, seed, test=data.test_fraction, validation=data.validation_fraction
        )
        return cross_validate(config, scans, splits, stop)
    return None
