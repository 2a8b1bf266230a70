"""Training as its users start it, on tiny scans: killed and resumed, in folds, by two processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from labelled_data import make_data_set
from program import RUN, pvs, pvs_here

from pvs_bidsapp.segmentation.model import load_model

#: A small network on few patches; the spacing is that of the recipe.
SMALL = [
    '--recipe', 'supervised-mono', '--batch-size', '2', '--epochs', '3', '--steps', '4', '--device', 'cpu',
    '--validation', '0.2', '--filters', '4',
]  # fmt: skip


@pytest.fixture(scope='module')
def bids(tmp_path_factory) -> Path:
    return make_data_set(tmp_path_factory.mktemp('labelled'))


@pytest.fixture(scope='module')
def cache(tmp_path_factory) -> list[object]:
    return ['--cache', tmp_path_factory.mktemp('cache'), '--nprocs', '2']


def pvs_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    return pvs('train', *arguments, timeout=600)


def losses(model: Path) -> dict[int, float]:
    with (model / 'checkpoints' / 'log.csv').open() as stream:
        return {int(row['step']): float(row['loss']) for row in csv.DictReader(stream)}


@dataclass
class Uninterrupted:
    """A training that was not interrupted: its model, and what it said."""

    model: Path
    messages: str


@pytest.fixture(scope='module')
def uninterrupted(bids, cache, tmp_path_factory) -> Uninterrupted:
    model = tmp_path_factory.mktemp('models') / 'uninterrupted'
    done = pvs_train(bids, model, *SMALL, *cache)
    assert done.returncode == 0, done.stderr
    return Uninterrupted(model, done.stderr)


def test_the_model_and_its_card(uninterrupted):
    model = load_model(uninterrupted.model)
    model.verify()
    assert model.card.channels == ('T1w', 'T2w')
    assert (model.card.spacing, model.card.patch_size, model.card.stride) == (0.8, 32, 16)
    assert 'labelled scans' in model.card.trained_on
    assert model.card.training['steps'] > 0
    assert model.card.training['recipe']['positive_share'] == 0.5  # the keys of all versions
    assert model.card.training['recipe']['turns'] is False
    assert (uninterrupted.model / 'learning_curves.png').stat().st_size > 1000
    split = json.loads((uninterrupted.model / 'split.json').read_text())
    assert not set(split['training']) & set(split['validation'])


def test_an_empty_label_is_reported_and_used(uninterrupted):
    assert 'sub-04_label-PVS_mask.nii.gz: the label is empty' in uninterrupted.messages


@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_resumed_it_ends_like_an_uninterrupted_one(bids, cache, uninterrupted, tmp_path, how):
    arguments = map(str, [bids, tmp_path / 'm', *SMALL, *cache])
    process = subprocess.Popen([*RUN, 'train', *arguments], stderr=subprocess.DEVNULL, start_new_session=True)
    log = tmp_path / 'm' / 'checkpoints' / 'log.csv'
    deadline = time.monotonic() + 300
    while not (log.exists() and len(log.read_text().splitlines()) > 1) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, how)  # as a batch system does
    status = process.wait(timeout=300)
    assert status == (1 if how == signal.SIGTERM else -signal.SIGKILL)
    assert not (tmp_path / 'm' / 'model.json').exists()
    done = pvs_train(bids, tmp_path / 'm', *SMALL, *cache, '--resume')
    assert done.returncode == 0, done.stderr
    whole, resumed = losses(uninterrupted.model), losses(tmp_path / 'm')
    assert list(resumed) == list(whole)
    np.testing.assert_allclose(list(resumed.values()), list(whole.values()), rtol=1e-3)


def test_a_second_training_does_not_overwrite_the_first(bids, cache, uninterrupted):
    done = pvs_here('train', bids, uninterrupted.model, *SMALL, *cache)
    assert done.returncode == 2
    assert '--resume' in done.stderr
    assert 'Traceback' not in done.stderr


def test_two_processes_with_gloo(bids, cache, uninterrupted, tmp_path):
    done = pvs_train(bids, tmp_path / 'm', *SMALL, *cache, '--devices', '2', '--epochs', '2')
    assert done.returncode == 0, done.stderr
    assert len(losses(tmp_path / 'm')) == 2
    assert not (tmp_path / 'm' / '.meeting').exists()
    load_model(tmp_path / 'm').verify()


def test_joliot_with_pretraining(bids, cache, tmp_path):
    options = ['--batch-size', '2', '--epochs', '1', '--steps', '2', '--device', 'cpu', '--validation', '0.2',
               '--filters', '2']  # fmt: skip
    done = pvs_here('train', bids, tmp_path / 'm', *options, *cache)
    assert done.returncode == 0, done.stderr
    assert 'pre-training as an autoencoder' in done.stderr
    assert 'few scans to validate on' in done.stderr
    assert (tmp_path / 'm' / 'pretraining' / 'encoder.pt').exists()
    assert load_model(tmp_path / 'm').card.training['pretrained']
    tuned = pvs_here('train', bids, tmp_path / 'n', *options, *cache, '--init', tmp_path / 'm')
    assert tuned.returncode == 0, tuned.stderr
    assert not (tmp_path / 'n' / 'pretraining').exists()


def test_folds_of_the_semi_supervised_recipe(bids, cache, uninterrupted, tmp_path):
    options = ['--recipe', 'm2ss', '--batch-size', '2', '--epochs', '2', '--steps', '2', '--device', 'cpu',
               '--filters', '4']  # fmt: skip
    done = pvs_here('train', bids, tmp_path / 'm', *options, '--folds', '2', '--training-size', '2', *cache)
    assert done.returncode == 0, done.stderr
    table = np.genfromtxt(
        tmp_path / 'm' / 'crossval.tsv', names=True, dtype=None, delimiter='\t', encoding='utf-8'
    )
    assert set(table['fold']) == {1, 2}
    summary = json.loads((tmp_path / 'm' / 'crossval.json').read_text())
    assert summary['dice']['ci_low'] <= summary['dice']['mean'] <= summary['dice']['ci_high']
    assert (tmp_path / 'm' / 'crossval_sweep.png').exists()
    assert load_model(tmp_path / 'm').card.architecture['members'] == 2
    load_model(tmp_path / 'm').network()
