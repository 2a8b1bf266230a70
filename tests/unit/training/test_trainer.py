"""Training on two tiny heads: it learns, stops, goes on where it stopped."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pvs_bidsapp.errors import InputError
from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.segmentation.networks.joliot import transfer
from pvs_bidsapp.training.losses import make_loss
from pvs_bidsapp.training.patches import PatchDataset, Sampling, SemiSupervisedDataset
from pvs_bidsapp.training.pretraining import Reconstruction
from pvs_bidsapp.training.recipes import M2SS, RECIPES
from pvs_bidsapp.training.semisupervised import SemiSupervised
from pvs_bidsapp.training.supervised import Supervised
from pvs_bidsapp.training.trainer import Plan, Trainer
from pvs_bidsapp.training.validation import Validator

JOLIOT = {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 4, 'dropout': 0.1}
CPU = torch.device('cpu')


def plan(**changes) -> Plan:
    return Plan(**({'architecture': JOLIOT, 'epochs': 4, 'steps_per_epoch': 12} | changes))


def batches(volumes, steps: int, **changes) -> PatchDataset:
    options = {'size': (16, 16, 16), 'batch_size': 4, 'steps': steps, 'seed': 1} | changes
    return PatchDataset(volumes, TissueNormalization(), Sampling(**options))


def supervised(loss: str = 'dice-ce') -> Supervised:
    return Supervised(make_loss(loss))


def validator(volumes, **changes) -> Validator:
    return Validator(volumes, TissueNormalization(), CPU, **({'patch': None, 'stride': None} | changes))


@pytest.mark.parametrize('loss', ['dice', 'dice-ce'])
def test_joliot_learns(tmp_path, volumes, loss):
    trainer = Trainer(plan(epochs=4, steps_per_epoch=36), tmp_path, CPU)
    score = validator(volumes[:1])
    before = score(trainer.average.module.eval())
    trainer.fit(batches(volumes, 144), supervised(loss), score)
    assert trainer.best > 0.75 > before
    assert len((tmp_path / 'log.csv').read_text().splitlines()) == 5
    assert list((tmp_path / 'tensorboard').iterdir())


@pytest.mark.parametrize('name', ['m2ss', 'm2ss-mono', 'supervised-multi', 'supervised-mono'])
def test_each_system_of_table_1_learns(tmp_path, paired, name):
    recipe = RECIPES[name]
    architecture = recipe.architecture | {'filters': 4, 'side_filters': 4, 'levels': 2}
    trainer = Trainer(
        plan(architecture=architecture, epochs=3, steps_per_epoch=40, learning_rate=5e-3), tmp_path, CPU
    )
    labelled = batches(paired, 120, warmup_steps=24, positive_share=0.5)
    objective, data = supervised('focal'), labelled
    if recipe.semisupervised:
        untraced = batches(paired, 120, seed=2, positive_share=0.0)
        data = SemiSupervisedDataset(labelled, untraced, 24)
        objective = SemiSupervised(
            make_loss('focal'), warmup_steps=24, confidence=0.8, noise=0.15, weight=M2SS.consistency_weight
        )
    trainer.fit(data, objective, validator(paired[:1], patch=16, stride=8))
    assert trainer.best > 0.75


def test_the_autoencoder_learns_and_hands_its_layers_over(tmp_path, volumes):
    architecture = JOLIOT | {'name': 'joliot2021-autoencoder', 'dropout': 0.0}
    trainer = Trainer(plan(architecture=architecture, epochs=4), tmp_path, CPU)
    trainer.fit(batches(volumes, 48), Reconstruction())
    with (tmp_path / 'log.csv').open() as stream:
        losses = [float(row['loss']) for row in csv.DictReader(stream)]
    assert losses[-1] < 0.8 * losses[0]
    network = build(JOLIOT)
    skip = network.decoder[0][0].weight[:, 16:].clone()
    taken = transfer(trainer.network, network)
    torch.testing.assert_close(network.encoder[1][0].weight, trainer.network.encoder[1][0].weight)
    torch.testing.assert_close(network.decoder[0][0].weight[:, :16], trainer.network.decoder[0][0].weight)
    torch.testing.assert_close(network.decoder[0][0].weight[:, 16:], skip)
    assert set(network.state_dict()) - set(taken) == {'head.weight', 'head.bias'}


class After:
    """Says stop after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


@pytest.mark.parametrize('steps', [5, 12])
def test_a_resumed_training_equals_an_unbroken_one(tmp_path, volumes, steps):
    data = batches(volumes, 24)
    whole = Trainer(plan(epochs=2), tmp_path / 'whole', CPU)
    whole.fit(data, supervised())
    broken = Trainer(plan(epochs=2), tmp_path / 'broken', CPU, stop=After(steps))
    broken.fit(data, supervised())
    assert broken.stopped
    assert broken.step == steps
    resumed = Trainer(plan(epochs=2), tmp_path / 'broken', CPU)
    resumed.load(resumed.last)
    resumed.fit(data, supervised())
    for one, two in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        torch.testing.assert_close(one, two)
    logs = [np.genfromtxt(t.folder / 'log.csv', delimiter=',', skip_header=1) for t in (whole, resumed)]
    np.testing.assert_allclose(logs[0][:, :2], logs[1][:, :2], rtol=1e-5)  # step and loss


def test_rows_after_the_checkpoint_are_struck_out(tmp_path, volumes):
    trainer = Trainer(plan(epochs=2), tmp_path, CPU)
    trainer.fit(batches(volumes, 24), supervised())
    with (tmp_path / 'log.csv').open('a') as stream:
        stream.write('36,1,nan,1,1\n')  # an epoch whose checkpoint was not written any more
    again = Trainer(plan(epochs=3), tmp_path, CPU)
    again.load(again.last)
    again.fit(batches(volumes, 36), supervised())
    steps = [line.split(',')[0] for line in (tmp_path / 'log.csv').read_text().splitlines()[1:]]
    assert steps == ['12', '24', '36']


def test_time_limit_and_patience(tmp_path, volumes):
    limited = Trainer(plan(time_limit=0.0), tmp_path / 'limit', CPU)
    limited.fit(batches(volumes, 48), supervised())
    assert limited.step == 12
    waiting = Trainer(plan(patience=2), tmp_path / 'patience', CPU)
    scores = iter([0.5, 0.4, 0.3, 0.9])
    waiting.fit(batches(volumes, 48), supervised(), lambda network: next(scores))
    assert (waiting.step, waiting.best_step) == (36, 12)


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path, volumes):
    architecture = {'name': 'joliot2021', 'blocks': 2, 'filters': 2, 'dropout': 0.0}
    data = batches(volumes, 1)
    found = []
    for micro in (4, 1):
        trainer = Trainer(plan(architecture=architecture, micro_batch=micro), tmp_path / str(micro), CPU)
        trainer.network.eval()  # statistics of a batch would differ from those of its parts
        trainer._update(trainer.network, data[0].to(CPU), lambda n, b, s: n(b.image).square().mean())
        found.append([p.grad.clone() for p in trainer.network.parameters()])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)


def test_half_precision_learns(tmp_path, volumes):
    trainer = Trainer(plan(epochs=2, steps_per_epoch=40, precision='bf16'), tmp_path, CPU)
    trainer.fit(batches(volumes, 80), supervised(), validator(volumes[:1]))
    assert trainer.best > 0.5


def checkpoint_with(trainer: Trainer, folder: Path, **extra) -> Path:
    other = Trainer(replace(trainer.plan, extra=extra), folder, CPU)
    other.save(other.last)
    return other.last


def test_what_an_earlier_version_did_not_note_is_not_held_against_a_checkpoint(tmp_path):
    trainer = Trainer(plan(), tmp_path / 'new', CPU)
    old = checkpoint_with(trainer, tmp_path / 'old', loss='dice')
    noting = Trainer(plan(extra={'loss': 'dice', 'spacing': 0.8}), tmp_path / 'new', CPU)
    assert noting.load(old) == 0


def test_a_checkpoint_of_another_training_is_refused(tmp_path, volumes):
    trainer = Trainer(plan(epochs=1), tmp_path, CPU)
    trainer.fit(batches(volumes, 12), supervised())
    with pytest.raises(InputError, match='learning_rate'):
        Trainer(plan(epochs=1, learning_rate=1.0), tmp_path, CPU).load(trainer.last)
    with pytest.raises(InputError, match='another spacing'):
        Trainer(plan(epochs=1, extra={'spacing': 0.8}), tmp_path, CPU).load(
            checkpoint_with(trainer, tmp_path / 'other', spacing=(0.6, 1.2))
        )
    trainer.last.write_bytes(b'no checkpoint')
    with pytest.raises(InputError, match='cannot be read'):
        trainer.load(trainer.last)


def test_positive_weight_is_taken_out_of_the_output(tmp_path):
    trainer = Trainer(plan(), tmp_path, CPU)
    before = trainer.average.module.head.bias.clone()
    trainer.undo_positive_weight()
    trainer.start_from_bundle(trainer.average.module, 'dice-ce')
    torch.testing.assert_close(trainer.average.module.head.bias, before)


class Sometimes:
    """An objective whose forward pass breaks down at some steps, as half precision may."""

    def __init__(self, broken: range) -> None:
        self.broken = broken

    def __call__(self, network, batch, step):
        image = batch.image * float('nan') if step in self.broken else batch.image
        return network(image).square().mean()


def test_a_step_without_a_finite_gradient_is_left_out(tmp_path, volumes, caplog):
    trainer = Trainer(plan(epochs=1), tmp_path, CPU)
    trainer.fit(batches(volumes, 12), Sometimes(range(3, 5)))
    assert caplog.text.count('no finite gradient, left out') == 2
    assert all(torch.isfinite(value).all() for value in trainer.network.state_dict().values())
    assert all(torch.isfinite(value).all() for value in trainer.average.module.state_dict().values())
    assert 'nan' not in (tmp_path / 'log.csv').read_text().splitlines()[1].split(',')[1]


def test_a_training_that_diverges_is_ended_with_advice(tmp_path, volumes):
    with pytest.raises(InputError, match=r'diverged.*--learning-rate'):
        Trainer(plan(epochs=1), tmp_path, CPU).fit(batches(volumes, 12), Sometimes(range(1, 12)))
