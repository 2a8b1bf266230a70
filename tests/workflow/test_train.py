"""Training on two tiny heads: it learns, stops, goes on where it stopped, and yields a usable model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pvs_bidsapp.segmentation.intensity import TissueLevels
from pvs_bidsapp.training.patches import PatchBatches, Volume
from pvs_bidsapp.training.supervised import Plan, Trainer

ARCHITECTURE = {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 4, 'dropout': 0.0}


def volume(seed: int) -> Volume:
    rng = np.random.default_rng(seed)
    target = np.zeros((32, 32, 32), np.uint8)
    for _ in range(6):
        x, y = rng.integers(4, 28, 2)
        target[x : x + 2, y : y + 2, 4:28] = 1
    image = 0.4 - 1.5 * target + rng.normal(0, 0.1, target.shape)
    return Volume(f'sub-{seed}', image[None].astype(np.float16), np.ones(target.shape, bool), target)


def plan(**changes) -> Plan:
    values = {
        'architecture': ARCHITECTURE,
        'epochs': 4,
        'steps_per_epoch': 12,
        'patch_size': 16,
        'batch_size': 4,
    }
    return Plan(**(values | changes))


def batches(trainer: Trainer, volumes: list[Volume]) -> PatchBatches:
    return PatchBatches(volumes, TissueLevels(), **trainer.plan.batching())


@pytest.fixture
def volumes():
    return [volume(1), volume(2)]


def test_it_learns(tmp_path, volumes):
    trainer = Trainer(plan(epochs=10), tmp_path, torch.device('cpu'), TissueLevels())
    before = trainer.validate(volumes)
    trainer.fit(batches(trainer, volumes), volumes[:1])
    assert trainer.best > 0.75 > before
    assert len((tmp_path / 'log.csv').read_text().splitlines()) == 11


def test_a_resumed_training_equals_an_unbroken_one(tmp_path, volumes):
    whole = Trainer(plan(), tmp_path / 'whole', torch.device('cpu'), TissueLevels())
    whole.fit(batches(whole, volumes), [])
    broken = Trainer(plan(time_limit=0.0), tmp_path / 'broken', torch.device('cpu'), TissueLevels())
    broken.fit(batches(broken, volumes), [])  # the limit is reached after one epoch
    assert broken.step == 12
    resumed = Trainer(plan(), tmp_path / 'broken', torch.device('cpu'), TissueLevels())
    resumed.load(tmp_path / 'broken' / 'last.pt')
    resumed.fit(batches(resumed, volumes), [])
    for one, two in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_a_batch_depends_on_the_seed_and_the_step_alone(volumes):
    def make(seed):
        return PatchBatches(volumes, TissueLevels(), patch_size=(16,) * 3, batch_size=4, steps=9, seed=seed)

    torch.testing.assert_close(make(1)[5], make(1)[5])
    assert not torch.equal(make(1)[5][0], make(2)[5][0])
    assert make(1)[3][0].shape == (1, 1, 32, 32, 32)  # each fourth step: larger patches
    assert make(1)[4][0].shape == (4, 1, 16, 16, 16)
