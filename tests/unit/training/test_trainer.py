"""Training on two tiny images: it stops, and continues where it stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pvs_bidsapp.errors import InputError
from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.training.datasets import PatchDataset
from pvs_bidsapp.training.losses import make_loss, undo_positive_weight
from pvs_bidsapp.training.objectives import Supervised
from pvs_bidsapp.training.sampling import Sampling
from pvs_bidsapp.training.trainer import Trainer
from pvs_bidsapp.training.validation import Validator

CPU = torch.device('cpu')


def batches(images, steps: int) -> PatchDataset:
    sampling = Sampling(shape=(16, 16, 16), batch_size=4, steps=steps, seed=1)
    return PatchDataset(images, TissueNormalization(), sampling)


def supervised() -> Supervised:
    return Supervised(make_loss('dice-ce'))


class StopAfter:
    """Requests a stop after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


@pytest.mark.parametrize('steps', [5, 12])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, images, make_config, steps):
    data = batches(images, 24)
    whole = Trainer(make_config(epochs=2), tmp_path / 'whole', CPU)
    whole.fit(data, supervised())
    stopped = Trainer(make_config(epochs=2), tmp_path / 'stopped', CPU, stop=StopAfter(steps))
    stopped.fit(data, supervised())
    assert stopped.stopped
    assert stopped.step == steps
    resumed = Trainer(make_config(epochs=2), tmp_path / 'stopped', CPU)
    resumed.resume(resumed.last)
    resumed.fit(data, supervised())
    for one, two in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        torch.testing.assert_close(one, two)
    logs = [np.genfromtxt(t.folder / 'log.csv', delimiter=',', skip_header=1) for t in (whole, resumed)]
    np.testing.assert_allclose(logs[0][:, :2], logs[1][:, :2], rtol=1e-5)  # step and loss


def test_rows_after_the_checkpoint_are_removed(tmp_path, images, make_config):
    trainer = Trainer(make_config(epochs=2), tmp_path, CPU)
    trainer.fit(batches(images, 24), supervised())
    with (tmp_path / 'log.csv').open('a') as stream:
        stream.write('36,1,nan,1,1\n')  # an epoch whose checkpoint was not written
    again = Trainer(make_config(epochs=3), tmp_path, CPU)
    again.resume(again.last)
    again.fit(batches(images, 36), supervised())
    steps = [line.split(',')[0] for line in (tmp_path / 'log.csv').read_text().splitlines()[1:]]
    assert steps == ['12', '24', '36']


def test_time_limit_and_patience(tmp_path, images, make_config):
    limited = Trainer(make_config(time_limit=0.0), tmp_path / 'limit', CPU)
    limited.fit(batches(images, 48), supervised())
    assert limited.step == 12
    waiting = Trainer(make_config(patience=2), tmp_path / 'patience', CPU)
    scores = iter([0.5, 0.4, 0.3, 0.9])
    waiting.fit(batches(images, 48), supervised(), lambda network: next(scores))
    assert (waiting.step, waiting.best_step) == (36, 12)


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path, images, make_config):
    architecture = {'name': 'joliot2021', 'blocks': 2, 'filters': 2, 'dropout': 0.0}
    data = batches(images, 1)
    gradients = []
    for micro in (4, 1):
        config = make_config(architecture=architecture, micro_batch=micro)
        trainer = Trainer(config, tmp_path / str(micro), CPU)
        trainer.network.eval()  # statistics of a batch would differ from those of its parts
        trainer._update(trainer.network, data[0].to(CPU), lambda n, b, s: n(b.image).square().mean())
        gradients.append([p.grad.clone() for p in trainer.network.parameters()])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)


def test_half_precision_learns(tmp_path, images, make_config):
    trainer = Trainer(make_config(epochs=2, steps_per_epoch=40, precision='bf16'), tmp_path, CPU)
    score = Validator(images[:1], TissueNormalization(), CPU, patch_size=None, stride=None)
    trainer.fit(batches(images, 80), supervised(), score)
    assert trainer.best > 0.5


def test_a_checkpoint_of_another_training_gives_its_weights(tmp_path, make_config):
    other = Trainer(make_config(seed=2, loss='dice', learning_rate=1.0), tmp_path / 'other', CPU)
    other.save(other.last)
    trainer = Trainer(make_config(), tmp_path / 'new', CPU)
    trainer.start_from_checkpoint(other.last)
    assert trainer.step == 0
    for one, two in zip(other.average.module.parameters(), trainer.network.parameters(), strict=True):
        torch.testing.assert_close(one, two)
    with pytest.raises(InputError, match='do not fit'):
        trainer.start_from({'head.bias': torch.zeros(1)})


def test_the_positive_weight_is_removed_from_the_output_and_put_back(tmp_path, make_config):
    trainer = Trainer(make_config(loss='dice-ce'), tmp_path, CPU)
    before = trainer.average.module.head.bias.clone()
    undo_positive_weight(trainer.average.module)
    assert trainer.average.module.head.bias < before
    trainer.start_from_model(trainer.average.module)
    torch.testing.assert_close(trainer.average.module.head.bias, before)


class SometimesNaN:
    """An objective whose forward pass overflows at some steps, as half precision may."""

    def __init__(self, steps: range) -> None:
        self.steps = steps

    def __call__(self, network, batch, step):
        image = batch.image * float('nan') if step in self.steps else batch.image
        return network(image).square().mean()


def test_a_step_without_a_finite_gradient_is_skipped(tmp_path, images, make_config, caplog):
    trainer = Trainer(make_config(epochs=1), tmp_path, CPU)
    trainer.fit(batches(images, 12), SometimesNaN(range(3, 5)))
    assert caplog.text.count('no finite gradient, skipped') == 2
    assert all(torch.isfinite(value).all() for value in trainer.network.state_dict().values())
    assert all(torch.isfinite(value).all() for value in trainer.average.module.state_dict().values())
    assert 'nan' not in (tmp_path / 'log.csv').read_text().splitlines()[1].split(',')[1]


def test_a_training_that_diverges_is_ended_with_advice(tmp_path, images, make_config):
    with pytest.raises(InputError, match=r'diverged.*--learning-rate'):
        Trainer(make_config(epochs=1), tmp_path, CPU).fit(batches(images, 12), SometimesNaN(range(1, 12)))
