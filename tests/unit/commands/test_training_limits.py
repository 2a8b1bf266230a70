"""``train`` ends in time, in one line, and lets nobody else use its folder."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from labelled_data import make_data_set
from model_cards import SMALL, card
from refusals import refused

from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.commands import train as module
from pvs_bidsapp.commands.train import train
from pvs_bidsapp.commands.training_limits import Limits
from pvs_bidsapp.messages import models, training
from pvs_bidsapp.runtime.deadline import Deadline, TimeUp
from pvs_bidsapp.runtime.locks import Lock
from pvs_bidsapp.runtime.signals import Stopped
from pvs_bidsapp.segmentation.model import write_model
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.training.config import Schedule, TrainingConfig, TrainingData
from pvs_bidsapp.training.recipes import JOLIOT

RECIPE = replace(JOLIOT, architecture=SMALL, patch_size=16, stride=8)


@pytest.fixture(scope='module')
def data_set(tmp_path_factory) -> Path:
    return make_data_set(tmp_path_factory.mktemp('labelled'))


@pytest.fixture
def config(tmp_path, data_set) -> TrainingConfig:
    data = TrainingData(data_sets=((data_set, labels_dir(data_set)),), cache_dir=tmp_path / 'cache')
    return TrainingConfig(
        recipe=RECIPE, schedule=Schedule(time_limit=1.0), data=data, model_dir=tmp_path / 'model'
    )


@pytest.mark.parametrize('folds', [0, 2])
def test_time_that_is_over_before_the_work_is_told(config, folds):
    late = replace(config, data=replace(config.data, folds=folds))
    started = time.monotonic()
    with refused(training.NO_TIME, naming='--time-limit 1:', status=1):
        train(late, started=started - 60)
    assert time.monotonic() - started < 60
    assert not list(config.model_dir.rglob('*'))


def test_the_limit_is_counted_from_the_start_of_the_command(config, monkeypatch):
    seen = []
    monkeypatch.setattr(module, '_train', lambda config, limits: seen.append(limits.deadline))
    before = time.monotonic()
    train(config, started=before - 20)
    train(config)
    train(replace(config, schedule=Schedule()))
    assert seen[0] == Deadline(before + 40)
    assert before + 60 <= seen[1].end <= time.monotonic() + 60
    assert seen[2] == Deadline()


def test_a_stop_request_is_no_error(config, monkeypatch):
    def stopped(config, limits):
        raise Stopped

    monkeypatch.setattr(module, '_train', stopped)
    assert train(config) is None


def test_a_gpu_without_memory_is_told(config, monkeypatch):
    def full(config, limits):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')

    monkeypatch.setattr(module, '_train', full)
    with refused(training.GPU_MEMORY, naming='--micro-batch', status=1):
        train(config)


def test_two_trainings_do_not_share_a_folder(config, monkeypatch):
    monkeypatch.setattr(module, 'ORPHANS', 0.1)
    monkeypatch.setattr(module, '_train', lambda config, limits: config.model_dir)
    lock = Lock(config.model_dir / '.training.lock')
    assert lock.acquire()
    with refused(training.IN_USE, naming=str(config.model_dir)):
        train(config)
    lock.release()
    assert train(config) == config.model_dir
    assert not list(config.model_dir.iterdir())


def test_weights_to_start_from_are_checked_before_the_work(config, tmp_path, monkeypatch):
    monkeypatch.setattr(module, '_train', lambda config, limits: config.model_dir)
    write_model(tmp_path / 'other', build(SMALL), card())
    good = replace(config, init=str(tmp_path / 'other'))
    assert train(good)
    (tmp_path / 'other' / 'model.safetensors').write_bytes(b'')
    with refused(models.WEIGHTS_CHANGED):
        train(good)
    for architecture, fits in ((SMALL, True), (SMALL | {'filters': 4}, False)):
        network = build(architecture)
        path = tmp_path / 'weights.pt'
        plan = {'architecture': architecture, 'extra': {}}
        torch.save({'average': network.state_dict(), 'plan': plan}, path)
        if fits:
            assert train(replace(config, init=str(path)))
        else:
            with refused(training.WEIGHTS_MISFIT, naming='weights.pt'):
                train(replace(config, init=str(path)))


def test_limits():
    limits = Limits()
    assert limits() is False
    limits.check()
    assert Limits(stop=lambda: True)() is True
    with pytest.raises(Stopped):
        Limits(stop=lambda: True, deadline=Deadline(0.0)).check()
    with pytest.raises(TimeUp):
        Limits(deadline=Deadline(0.0))()
    assert limits.part(0.5) == limits
