"""Training on two tiny images: it stops, and continues where it stopped."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refusals import refused

from pvs_bidsapp.messages import training
from pvs_bidsapp.runtime.deadline import Deadline
from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.training.checkpoint import read_checkpoint
from pvs_bidsapp.training.datasets import PatchDataset
from pvs_bidsapp.training.distributed import ProcessGroup
from pvs_bidsapp.training.losses import POSITIVE_WEIGHT, calibrate_output, make_loss
from pvs_bidsapp.training.objectives import Supervised
from pvs_bidsapp.training.sampling import Sampling
from pvs_bidsapp.training.trainer import Trainer, TrainingEnd
from pvs_bidsapp.training.validation import Interrupted, Validator

CPU = torch.device('cpu')


def batches(images, steps: int) -> PatchDataset:
    sampling = Sampling(shape=(16, 16, 16), batch_size=4, steps=steps, seed=1)
    return PatchDataset(images, TissueNormalization(), sampling)


def supervised() -> Supervised:
    return Supervised(make_loss('dice-ce'))


class StopAfter:
    """Requests a stop after a number of steps; it is asked before the first one, too."""

    def __init__(self, steps: int) -> None:
        self.left = steps + 1

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


def test_patience(tmp_path, images, make_config):
    waiting = Trainer(make_config(patience=2), tmp_path / 'patience', CPU)
    scores = iter([0.5, 0.4, 0.3, 0.9])
    waiting.fit(batches(images, 48), supervised(), lambda network: next(scores))
    assert (waiting.step, waiting.best_step) == (36, 12)
    again = Trainer(make_config(patience=2), tmp_path / 'patience', CPU)
    again.resume(again.last)
    again.fit(batches(images, 48), supervised(), lambda network: 0.9)
    assert (again.step, again.best_step) == (36, 12)


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
    with refused(training.WEIGHTS_MISFIT, naming='do not fit'):
        trainer.start_from({'head.bias': torch.zeros(1)})


def test_the_positive_weight_is_removed_from_the_output_and_put_back(tmp_path, make_config):
    trainer = Trainer(make_config(loss='dice-ce'), tmp_path, CPU)
    before = trainer.average.module.head.bias.clone()
    network = trainer.average.module
    network.load_state_dict(calibrate_output(network.state_dict()))
    assert trainer.average.module.head.bias < before
    trainer.start_from_model(network)
    torch.testing.assert_close(trainer.average.module.head.bias, before)


@pytest.mark.parametrize('part', ['refinement', 'comparison'])
def test_the_positive_weight_is_removed_behind_all_corrections(part, tmp_path, make_config):
    architecture = {'name': 'joliot2021', 'blocks': 2, 'filters': 2, 'refine': 2}
    architecture['compare'] = 2 if part == 'comparison' else 0
    trainer = Trainer(make_config(loss='dice-ce', architecture=architecture), tmp_path, CPU)
    network = trainer.average.module.eval()
    torch.nn.init.normal_(network.get_submodule(part).head.weight)
    torch.nn.init.normal_(network.head.weight, std=4)  # some voxels are in doubt, and some are not
    volume = torch.randn(1, 1, 8, 8, 8)
    with torch.no_grad():
        before = network(volume)
        network.load_state_dict(calibrate_output(network.state_dict()))
        torch.testing.assert_close(network(volume), before - float(np.log(POSITIVE_WEIGHT)))
    trainer.start_from_model(network)
    torch.testing.assert_close(trainer.network.eval()(volume), before)


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
    with refused(training.DIVERGED, naming='up to step 10'):
        Trainer(make_config(epochs=1), tmp_path, CPU).fit(batches(images, 12), SometimesNaN(range(1, 12)))


class OverAfter(Deadline):
    """Is over after a number of steps; it is asked before the first one, too."""

    def __init__(self, steps: int) -> None:
        object.__setattr__(self, 'left', [steps + 1])

    def is_over(self, margin: float = 0.0) -> bool:
        self.left[0] -= 1
        return self.left[0] <= 0


def rows(folder) -> list[list[str]]:
    return [line.split(',') for line in (folder / 'log.csv').read_text().splitlines()[1:]]


@pytest.mark.parametrize('steps', [1, 5, 11, 12, 13])
def test_a_training_ends_at_the_step_at_which_its_time_is_up(tmp_path, images, make_config, steps):
    data = batches(images, 24)
    limited = Trainer(make_config(epochs=2), tmp_path, CPU, deadline=OverAfter(steps))
    limited.fit(data, supervised())
    assert (limited.step, limited.time_is_up, limited.stopped) == (steps, True, False)
    assert limited.end == TrainingEnd(step=steps, steps=24, is_time_up=True)
    best = read_checkpoint(tmp_path / 'best.pt')
    assert best['step'] == steps
    for name, weights in limited.average.module.state_dict().items():  # there was no validation
        torch.testing.assert_close(best['average'][name], weights)
    assert [int(r[0]) for r in rows(tmp_path)] == ([12, 13] if steps == 13 else [steps])


@pytest.mark.parametrize('steps', [5, 12, 13])
def test_a_training_that_its_time_ended_is_resumed_as_if_it_had_not(tmp_path, images, make_config, steps):
    data, scores = batches(images, 24), {12: 0.5, 24: 0.4}
    trainers = []
    for name in ('whole', 'limited', 'resumed'):
        folder = tmp_path / ('whole' if name == 'whole' else 'limited')
        deadline = OverAfter(steps) if name == 'limited' else Deadline()
        trainer = Trainer(make_config(epochs=2), folder, CPU, deadline=deadline)
        if name == 'resumed':
            trainer.resume(trainer.last)
            assert trainer.step == steps
        trainer.fit(data, supervised(), lambda network, trainer=trainer: scores[trainer.step])
        trainers.append(trainer)
    whole, _, resumed = trainers
    for one, two in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        torch.testing.assert_close(one, two)
    assert (resumed.best, resumed.best_step) == (whole.best, whole.best_step) == (0.5, 12)
    assert read_checkpoint(tmp_path / 'limited' / 'best.pt')['step'] == 12
    columns = [[r[0], r[2]] for r in rows(tmp_path / 'whole')]
    assert [[r[0], r[2]] for r in rows(tmp_path / 'limited')] == columns


class SlowFrom(PatchDataset):
    """Batches that do not come from a step on."""

    step = 5

    def __getitem__(self, step):
        if step == self.step:
            time.sleep(600)
        return super().__getitem__(step)


def test_a_training_that_waits_for_a_batch_ends_when_its_time_is_up(
    tmp_path, images, make_config, monkeypatch
):
    monkeypatch.setattr('pvs_bidsapp.training.loading.WAIT', 0.01)
    data = batches(images, 24)
    slow = SlowFrom(images, TissueNormalization(), data.sampling)
    trainers = [Trainer(make_config(epochs=2), tmp_path / 'whole', CPU)]
    trainers[0].fit(data, supervised(), lambda network: 0.5)  # without a limit, who waits waits on
    assert trainers[0].end == TrainingEnd(step=24, steps=24)

    class OverAtTheSlowOne(Deadline):
        @property
        def seconds_left(self) -> float:
            return 0.0 if trainers[-1].step == slow.step else 60.0

    trainers.append(Trainer(make_config(epochs=2), tmp_path / 'late', CPU, deadline=OverAtTheSlowOne(1e12)))
    trainers[-1].fit(slow, supervised(), lambda network: 0.5)
    assert trainers[-1].end == TrainingEnd(step=5, steps=24, is_time_up=True)
    resumed = Trainer(make_config(epochs=2), tmp_path / 'late', CPU)
    resumed.resume(resumed.last)
    resumed.fit(data, supervised(), lambda network: 0.5)
    for one, two in zip(trainers[0].network.parameters(), resumed.network.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_the_best_weights_stay_the_best_when_the_time_is_up(tmp_path, images, make_config):
    limited = Trainer(make_config(epochs=2), tmp_path, CPU, deadline=OverAfter(20))
    limited.fit(batches(images, 24), supervised(), lambda network: 0.5)
    assert limited.step == 20
    assert read_checkpoint(tmp_path / 'best.pt')['step'] == 12
    assert read_checkpoint(tmp_path / 'last.pt')['step'] == 20


def test_nothing_is_done_when_the_time_is_up_at_the_start(tmp_path, images, make_config):
    late = Trainer(make_config(), tmp_path, CPU, deadline=Deadline(0.0))
    late.fit(batches(images, 48), supervised())
    assert (late.step, late.time_is_up) == (0, True)
    assert not list(tmp_path.glob('*.pt'))


def test_a_training_that_is_done_needs_no_time(tmp_path, images, make_config):
    data = batches(images, 12)
    Trainer(make_config(epochs=1), tmp_path, CPU).fit(data, supervised())
    again = Trainer(make_config(epochs=1), tmp_path, CPU, deadline=Deadline(0.0))
    again.resume(again.last)
    again.fit(data, supervised())
    assert again.end == TrainingEnd(step=12, steps=12)


def test_a_validation_that_is_interrupted_is_done_again(tmp_path, images, make_config):
    data = batches(images, 24)
    deadline = [False]

    class Settable(Deadline):
        def is_over(self, margin: float = 0.0) -> bool:
            return deadline[0]

    def interrupted(network) -> float:
        deadline[0] = True
        raise Interrupted

    limited = Trainer(make_config(epochs=2), tmp_path, CPU, deadline=Settable())
    limited.fit(data, supervised(), interrupted)
    assert (limited.step, limited.time_is_up, len(limited._losses)) == (12, True, 12)
    assert [r[:3:2] for r in rows(tmp_path)] == [['12', 'nan']]
    assert read_checkpoint(tmp_path / 'best.pt')['step'] == 12
    resumed = Trainer(make_config(epochs=2), tmp_path, CPU)
    resumed.resume(resumed.last)
    seen = []
    resumed.fit(data, supervised(), lambda network: seen.append(resumed.step) or 0.25)
    assert seen == [12, 24]
    assert [r[:3:2] for r in rows(tmp_path)] == [['12', '0.2500'], ['24', '0.2500']]


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock for training and deadline that a test sets."""
    fake = SimpleNamespace(now=0.0)
    fake.monotonic = lambda: fake.now
    for module in ('runtime.deadline', 'training.trainer'):
        monkeypatch.setattr(f'pvs_bidsapp.{module}.time', fake)
    return fake


class Timed(Supervised):
    """An objective that takes a second."""

    def __init__(self, clock: SimpleNamespace) -> None:
        super().__init__(make_loss('dice-ce'))
        self.clock = clock

    def __call__(self, network, batch, step):
        self.clock.now += 1
        return super().__call__(network, batch, step)


@pytest.mark.parametrize(('validations', 'needed'), [(1.0, 5), (3.0, 15)])
def test_time_is_kept_for_the_choice_of_the_threshold(
    tmp_path, images, make_config, clock, validations, needed
):
    deadline = Deadline(60.0)
    trainer = Trainer(make_config(epochs=4), tmp_path, CPU, deadline=deadline, validations=validations)

    def validate(network) -> float:
        clock.now += 5
        return 0.5

    trainer.fit(batches(images, 48), Timed(clock), validate)
    assert trainer.time_is_up
    assert 60 - 1.5 * needed - 2 <= clock.now <= 60 - needed


def test_a_tenth_is_kept_as_long_as_no_validation_was_timed(tmp_path, images, make_config, clock):
    trainer = Trainer(make_config(epochs=2, steps_per_epoch=24), tmp_path, CPU, deadline=Deadline(20.0))
    trainer.fit(batches(images, 48), Timed(clock), lambda network: 0.5)
    assert (trainer.step, clock.now) == (17, 17)  # with the next step and two seconds, 20 would be passed
    other = Trainer(make_config(steps_per_epoch=24), tmp_path / 'other', CPU, deadline=Deadline(37.0))
    other.fit(batches(images, 96), Timed(clock))  # without validation nothing follows
    assert other.step == 19


class Partner(ProcessGroup):
    """A process whose partner has its own reasons to end."""

    def __init__(self, reasons: list[int]) -> None:
        object.__setattr__(self, 'rank', 0)
        object.__setattr__(self, 'world_size', 1)
        object.__setattr__(self, 'reasons', reasons)

    def largest(self, number: int) -> int:
        return max(number, self.reasons.pop(0))


@pytest.mark.parametrize(('reason', 'is_stopped'), [(1, False), (2, True)])
def test_all_processes_end_at_the_same_step(tmp_path, images, make_config, reason, is_stopped):
    group = Partner([0, 0, 0, reason])
    trainer = Trainer(make_config(), tmp_path, CPU, group=group)
    trainer.fit(batches(images, 48), supervised())
    assert (trainer.step, trainer.stopped, trainer.time_is_up) == (3, is_stopped, not is_stopped)


def test_a_stop_request_comes_before_the_time_limit(tmp_path, images, make_config):
    trainer = Trainer(make_config(), tmp_path, CPU, stop=lambda: True, deadline=Deadline(0.0))
    trainer.fit(batches(images, 48), supervised())
    assert (trainer.stopped, trainer.time_is_up) == (True, False)


def test_a_long_epoch_tells_where_it_is(tmp_path, images, make_config, caplog):
    caplog.set_level('INFO', 'pvs_bidsapp')
    trainer = Trainer(make_config(epochs=1, checkpoint_minutes=1e-9), tmp_path, CPU)
    trainer.fit(batches(images, 12), supervised())
    lines = [line for line in caplog.messages if 'left without validation' in line]
    assert len(lines) == 12
    assert lines[0].startswith('step 1 of 12, about 0 min left')
