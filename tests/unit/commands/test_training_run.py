"""Which scans a training learns from, and how its pre-training is configured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from labelled_data import make_data_set, make_person

from pvs_bidsapp.bids.labelled_scans import find_all_labelled_scans, find_labelled_scans
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.commands.training_run import autoencoder_config, split_scans
from pvs_bidsapp.training.config import Schedule, TrainingConfig
from pvs_bidsapp.training.recipes import JOLIOT
from pvs_bidsapp.training.splits import folds, hold_out


@pytest.fixture(scope='module')
def scans(tmp_path_factory):
    root = make_data_set(tmp_path_factory.mktemp('labelled'))
    return find_labelled_scans(root, labels_dir(root))


def test_two_sessions_of_a_person_stay_together(scans):
    for split in folds([s.person for s in scans if s.label], 3, seed=1):
        parts = split_scans(scans, split, None)
        inside = {s.person for s in (*parts.labelled, *parts.unlabelled)}
        assert not inside & {*split.validation, *split.test}
        assert 'sub-06' in {s.person for s in parts.unlabelled}
        both = [s.name for s in scans if s.person == 'sub-05']
        places = [
            [name in {s.name for s in part} for name in both] for part in (parts.labelled, parts.validation)
        ]
        assert all(len(set(p)) == 1 for p in places)


def test_labels_that_are_not_to_be_used_are_left_out(scans):
    split = hold_out([s.person for s in scans if s.label], 0.25, seed=1)
    parts = split_scans(scans, split, 1)
    assert len({s.person for s in parts.labelled}) == 1
    assert all(s.label is None for s in parts.unlabelled)
    assert len(parts.unlabelled) > 1


def test_persons_with_the_same_label_in_two_data_sets_are_two_persons(tmp_path):
    for name in ('here', 'there'):
        make_person(tmp_path / name, 'sub-01', 1)
    data_sets = [(tmp_path / name, labels_dir(tmp_path / name)) for name in ('here', 'there')]
    scans = find_all_labelled_scans(data_sets, ('T1w',))
    split = hold_out([s.person for s in scans], 0.5, seed=1)
    parts = split_scans(scans, split, None)
    assert [s.t1w.parts[-4] for s in parts.labelled] == [split.training[0].split('/')[0]]


def test_pre_training_gets_a_quarter_of_the_epochs_and_of_the_time():
    config = TrainingConfig(recipe=JOLIOT, schedule=Schedule(epochs=10, time_limit=60.0, patience=3))
    own = autoencoder_config(config)
    assert own.recipe == replace(
        JOLIOT, architecture=JOLIOT.architecture | {'name': 'joliot2021-autoencoder'}
    )
    assert own.schedule == Schedule(epochs=2, time_limit=15.0, patience=0)
    assert autoencoder_config(TrainingConfig(recipe=JOLIOT)).schedule.time_limit is None
