"""Each objective trains a tiny network."""

from __future__ import annotations

import csv

import pytest
import torch

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.segmentation.networks.joliot import transfer
from pvs_bidsapp.training.datasets import PatchDataset, SemiSupervisedDataset
from pvs_bidsapp.training.losses import make_loss
from pvs_bidsapp.training.objectives import Reconstruction, SemiSupervised, Supervised
from pvs_bidsapp.training.recipes import JOLIOT, RECIPES
from pvs_bidsapp.training.sampling import Sampling
from pvs_bidsapp.training.trainer import Trainer
from pvs_bidsapp.training.validation import Validator

CPU = torch.device('cpu')
TINY = JOLIOT.architecture | {'blocks': 3, 'filters': 4}


def batches(images, steps: int, **changes) -> PatchDataset:
    options = {'shape': (16, 16, 16), 'batch_size': 4, 'steps': steps, 'seed': 1} | changes
    return PatchDataset(images, TissueNormalization(), Sampling(**options))


@pytest.mark.parametrize('loss', ['dice', 'dice-ce'])
def test_joliot_learns(tmp_path, images, make_config, loss):
    trainer = Trainer(make_config(epochs=4, steps_per_epoch=36), tmp_path, CPU)
    score = Validator(images[:1], TissueNormalization(), CPU, patch_size=None, stride=None)
    before = score(trainer.average.module.eval())
    trainer.fit(batches(images, 144), Supervised(make_loss(loss)), score)
    assert trainer.best > 0.75 > before
    assert len((tmp_path / 'log.csv').read_text().splitlines()) == 5
    assert list((tmp_path / 'tensorboard').iterdir())


@pytest.mark.parametrize('name', ['m2ss', 'm2ss-mono', 'supervised-multi', 'supervised-mono'])
def test_each_system_of_table_1_learns(tmp_path, paired, make_config, name):
    recipe = RECIPES[name]
    architecture = recipe.architecture | {'filters': 4, 'side_filters': 4, 'levels': 2}
    config = make_config(architecture=architecture, epochs=3, steps_per_epoch=40, learning_rate=5e-3)
    trainer = Trainer(config, tmp_path, CPU)
    labelled = batches(paired, 120, warmup_steps=24, positive_fraction=0.5)
    objective, data = Supervised(make_loss('focal')), labelled
    if recipe.semisupervised:
        unlabelled = batches(paired, 120, seed=2, positive_fraction=0.0)
        data = SemiSupervisedDataset(labelled, unlabelled, 24)
        objective = SemiSupervised.of(recipe, make_loss('focal'), 24)
        assert (objective.confidence, objective.noise, objective.weight) == (0.8, 0.15, 0.1)
    score = Validator(paired[:1], TissueNormalization(), CPU, patch_size=16, stride=8)
    trainer.fit(data, objective, score)
    assert trainer.best > 0.75


def test_the_autoencoder_learns_and_its_layers_are_copied(tmp_path, images, make_config):
    architecture = TINY | {'name': 'joliot2021-autoencoder', 'dropout': 0.0}
    trainer = Trainer(make_config(architecture=architecture, epochs=4), tmp_path, CPU)
    trainer.fit(batches(images, 48), Reconstruction())
    with (tmp_path / 'log.csv').open() as stream:
        losses = [float(row['loss']) for row in csv.DictReader(stream)]
    assert losses[-1] < 0.8 * losses[0]
    network = build(TINY)
    skip = network.decoder[0][0].weight[:, 16:].clone()
    copied = transfer(trainer.network, network)
    torch.testing.assert_close(network.encoder[1][0].weight, trainer.network.encoder[1][0].weight)
    torch.testing.assert_close(network.decoder[0][0].weight[:, :16], trainer.network.decoder[0][0].weight)
    torch.testing.assert_close(network.decoder[0][0].weight[:, 16:], skip)
    assert set(network.state_dict()) - set(copied) == {'head.weight', 'head.bias'}
