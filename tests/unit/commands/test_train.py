"""What a training refuses before the long preparation of its scans."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from labelled_data import make_person, save
from refusals import refused

from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.commands.train import train
from pvs_bidsapp.messages import masks
from pvs_bidsapp.training.config import Schedule, TrainingConfig, TrainingData
from pvs_bidsapp.training.recipes import JOLIOT
from pvs_bidsapp.training.splits import folds, hold_out


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """The trainings that were started; none is run."""
    started: list[str] = []
    for name in ('train_split', 'cross_validate'):
        monkeypatch.setattr(f'pvs_bidsapp.commands.train.{name}', lambda *_, name=name: started.append(name))
    return started


def config(root: Path, **data: object) -> TrainingConfig:
    return TrainingConfig(
        recipe=JOLIOT,
        schedule=Schedule(seed=1),
        data=TrainingData(data_sets=((root, labels_dir(root)),), cache_dir=root / 'cache', **data),
        model_dir=root / 'model',
    )


def make(root: Path, number: int, empty: tuple[str, ...] = ()) -> list[str]:
    """A dataset of some persons, of whom the labels of some are empty; returns all persons."""
    persons = [f'sub-{k:02}' for k in range(1, number + 1)]
    for k, person in enumerate(persons):
        make_person(root, person, k, is_empty=person in empty)
    return persons


def test_labels_that_are_all_empty_are_refused(tmp_path, started):
    make(tmp_path, 2, empty=('sub-01', 'sub-02'))
    with refused(masks.NO_PVS, naming='no label of the dataset'):
        train(config(tmp_path))
    assert started == []


def test_validation_and_training_scans_without_any_pvs_are_refused(tmp_path, started):
    persons = [f'sub-{k:02}' for k in range(1, 4)]
    split = hold_out(persons, 0.1, 1)
    make(tmp_path / 'validation', 3, empty=split.validation)
    with refused(masks.NO_PVS, naming='no label of the scans to validate on'):
        train(config(tmp_path / 'validation'))
    make(tmp_path / 'training', 3, empty=split.training)
    with refused(masks.NO_PVS, naming='no label of the scans to train on'):
        train(config(tmp_path / 'training'))
    five = [f'sub-{k:02}' for k in range(1, 6)]
    make(tmp_path / 'folds', 5, empty=folds(five, 3, 1)[2].validation)
    with refused(masks.NO_PVS, naming='no label of the scans to validate on'):
        train(config(tmp_path / 'folds', folds=3))
    assert started == []
    train(config(tmp_path / 'validation', validation_fraction=0.0))
    assert started == ['train_split']


def test_a_label_that_cannot_be_used_is_named_before_any_work(tmp_path, started):
    make(tmp_path, 3)
    path = labels_dir(tmp_path) / 'sub-02/anat/sub-02_label-PVS_mask.nii.gz'
    label = np.asarray(nib.load(path).dataobj)
    for values in (
        label[..., None].repeat(2, -1),
        np.where(np.indices(label.shape)[0] > 30, 3 * label, label),
    ):
        save(path, values)
        with refused(masks.LABELS_UNUSABLE, naming='sub-02_label-PVS_mask.nii.gz'):
            train(config(tmp_path))
    assert started == []
    assert not (tmp_path / 'cache').exists()
    save(path, 255 * label[..., None])
    train(config(tmp_path, folds=3))
    assert started == ['cross_validate']
