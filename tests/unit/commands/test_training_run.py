"""Which scans a training learns from, how its pre-training is configured, and how it ends in time."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labelled_data import make_data_set, make_person
from refusals import refused

from pvs_bidsapp.bids.labelled_scans import find_all_labelled_scans, find_labelled_scans
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.commands.training_cache import CachedImage
from pvs_bidsapp.commands.training_limits import Limits
from pvs_bidsapp.commands.training_run import (
    DataSplit,
    TrainingImages,
    TrainingRun,
    _first_error,
    _start_processes,
    autoencoder_config,
    parts_of,
    split_scans,
    train_process,
    train_split,
    write_split,
)
from pvs_bidsapp.messages import training
from pvs_bidsapp.runtime.deadline import Deadline, TimeUp
from pvs_bidsapp.runtime.signals import Stopped
from pvs_bidsapp.training.checkpoint import read_checkpoint
from pvs_bidsapp.training.config import Schedule, TrainingConfig
from pvs_bidsapp.training.datasets import TrainingImage
from pvs_bidsapp.training.log import read_log
from pvs_bidsapp.training.recipes import JOLIOT, Recipe
from pvs_bidsapp.training.splits import folds, hold_out
from pvs_bidsapp.training.trainer import TrainingEnd


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
    assert [s.anat.parts[-4] for s in parts.labelled] == [split.training[0].split('/')[0]]


def test_pre_training_gets_a_quarter_of_the_epochs():
    config = TrainingConfig(recipe=JOLIOT, schedule=Schedule(epochs=10, patience=3))
    own = autoencoder_config(config)
    assert own.recipe == replace(
        JOLIOT, architecture=JOLIOT.architecture | {'name': 'joliot2021-autoencoder'}
    )
    assert own.schedule == Schedule(epochs=2, patience=0)


TINY = {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 2, 'dropout': 0.0}
RECIPE = replace(JOLIOT, architecture=TINY, patch_size=16, stride=8, batch_size=2, pretraining=False)


class Images(TrainingImages):
    """Images that need not be read."""

    def __init__(self, run: TrainingRun, rng: np.random.Generator, *, is_empty: bool = False) -> None:
        super().__init__(run)
        label = np.zeros((20, 20, 20), np.uint8)
        label[8:11, 8:11, 4:16] = 1
        image = (0.4 - label + rng.normal(0, 0.1, (1, 20, 20, 20))).astype(np.float16)
        labelled = TrainingImage(name='a', image=image, brain=label >= 0, label=label)
        self.__dict__ |= {
            'labelled': [labelled],
            'unlabelled': [],
            'validation': [replace(labelled, label=0 * label) if is_empty else labelled],
        }


def make_run(folder: Path, recipe: Recipe = RECIPE, *, deadline: Deadline | None = None, **schedule):
    config = TrainingConfig(
        recipe=recipe, schedule=Schedule(**{'epochs': 4, 'steps_per_epoch': 3} | schedule), model_dir=folder
    )
    nothing = DataSplit[CachedImage](labelled=[], unlabelled=[], validation=[])
    return TrainingRun(
        config=config, folder=folder, heads=[], cached=nothing, deadline=deadline or Deadline()
    )


class OverAfter(Deadline):
    """Is over when it has been asked this often; so is any part of it."""

    def __init__(self, times: int) -> None:
        object.__setattr__(self, 'left', [times])

    def is_over(self, margin: float = 0.0) -> bool:
        self.left[0] -= 1
        return self.left[0] < 0

    def part(self, fraction: float) -> Deadline:
        return OverAfter(int(self.left[0] * fraction))


def test_a_training_ends_in_time_and_leaves_weights(tmp_path, rng):
    run = make_run(tmp_path, deadline=OverAfter(3))
    end = train_process(run, Images(run, rng))
    assert end == TrainingEnd(step=3, steps=12, is_time_up=True)
    assert read_checkpoint(tmp_path / 'checkpoints' / 'best.pt')['step'] == 3
    resumed = make_run(tmp_path)
    assert train_process(resumed, Images(resumed, rng)) == TrainingEnd(step=12, steps=12)


def test_pre_training_gets_a_quarter_of_the_time_that_is_left(tmp_path, rng):
    # one long epoch: a validation asks, too
    schedule = {'epochs': 1, 'steps_per_epoch': 120}
    run = make_run(tmp_path, replace(RECIPE, pretraining=True), deadline=OverAfter(20), **schedule)
    end = train_process(run, Images(run, rng))
    assert read_checkpoint(tmp_path / 'pretraining' / 'encoder.pt')['step'] == 5
    assert end.is_time_up
    assert 12 < end.step < 20


def test_pre_training_that_takes_all_the_time_is_not_finished(tmp_path, rng):
    run = make_run(tmp_path, replace(RECIPE, pretraining=True), deadline=Deadline(0.0))
    with pytest.raises(TimeUp):
        train_process(run, Images(run, rng))
    assert not list(tmp_path.rglob('*.pt'))

    class Over(Deadline):  # a step takes longer than there is time
        def part(self, fraction: float) -> Deadline:
            return OverAfter(1)

        def is_over(self, margin: float = 0.0) -> bool:
            return True

    run = replace(run, deadline=Over())
    with pytest.raises(TimeUp):
        train_process(run, Images(run, rng))
    assert [p.name for p in tmp_path.rglob('last.pt')] == ['last.pt']
    assert not (tmp_path / 'pretraining' / 'encoder.pt').exists()


def test_empty_labels_give_no_score(tmp_path, rng, caplog):
    run = make_run(tmp_path, epochs=2)
    train_process(run, Images(run, rng, is_empty=True))
    assert 'no scan to validate on shows a perivascular space' in caplog.text
    assert [row['validation_dice'] for row in read_log(tmp_path / 'checkpoints')] == pytest.approx(
        [np.nan, np.nan], nan_ok=True
    )
    assert read_checkpoint(tmp_path / 'checkpoints' / 'best.pt')['step'] == 6


def test_images_are_not_read_when_the_time_is_over(tmp_path):
    run = make_run(tmp_path)
    run = replace(run, cached=replace(run.cached, labelled=[None]))
    with pytest.raises(TimeUp):
        _ = TrainingImages(run, Limits(deadline=Deadline(0.0))).labelled
    with pytest.raises(Stopped):
        _ = TrainingImages(run, Limits(stop=lambda: True, deadline=Deadline(0.0))).labelled


@pytest.fixture
def one_split(scans):
    return hold_out([s.person for s in scans if s.label], 0.25, seed=1)


def test_another_training_in_the_folder_is_refused_before_any_work(tmp_path, scans, one_split, rng):
    run = make_run(tmp_path, epochs=1)
    train_process(run, Images(run, rng))
    before = sorted(p.name for p in tmp_path.rglob('*'))
    with refused(training.HOLDS_TRAINING, naming=str(tmp_path)):
        train_split(run.config, scans, one_split, tmp_path, Limits())
    other = replace(run.config, resume=True, schedule=replace(run.config.schedule, seed=5))
    with refused(training.OTHER_TRAINING, naming='seed'):
        train_split(other, scans, one_split, tmp_path, Limits())
    assert sorted(p.name for p in tmp_path.rglob('*')) == before


def test_a_training_is_resumed_with_its_own_people_only(tmp_path, scans, one_split, rng):
    run = make_run(tmp_path, epochs=1)
    write_split(tmp_path, parts_of(one_split))
    train_process(run, Images(run, rng))
    write_split(tmp_path, parts_of(one_split))
    other = hold_out([s.person for s in scans if s.label], 0.5, seed=1)
    with refused(training.OTHER_SPLIT, naming='training, validation'):
        train_split(replace(run.config, resume=True), scans, other, tmp_path, Limits())


def test_an_encoder_of_another_training_is_not_used(tmp_path, rng):
    recipe = replace(RECIPE, pretraining=True)
    run = make_run(tmp_path, recipe, deadline=OverAfter(5))  # ends after pre-training
    train_process(run, Images(run, rng))
    encoder = tmp_path / 'pretraining' / 'encoder.pt'
    first = read_checkpoint(encoder)
    (tmp_path / 'checkpoints' / 'last.pt').unlink()
    other = make_run(tmp_path, recipe, seed=7)
    with refused(training.OTHER_TRAINING, naming='seed'):
        resumed = replace(other, config=replace(other.config, resume=True))
        train_process(resumed, Images(resumed, rng))
    train_process(other, Images(other, rng))
    assert read_checkpoint(encoder)['plan']['seed'] == 7 != first['plan']['seed']


def test_few_scans_to_validate_on_are_told(tmp_path, scans, one_split, caplog):
    with pytest.raises(TimeUp):
        train_split(make_run(tmp_path).config, scans, one_split, tmp_path, Limits(deadline=Deadline(0.0)))
    assert 'few scans to validate on (' in caplog.text


# ---- several processes


def test_an_error_of_one_process_is_that_of_the_training(tmp_path):
    run = make_run(tmp_path)
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / 'last.pt').write_bytes(b'damaged')
    run = replace(run, config=replace(run.config, devices=('cpu', 'cpu'), resume=True))
    with refused(training.CHECKPOINT_UNREADABLE, naming='last.pt'):
        _start_processes(run, lambda: False)
    assert not (tmp_path / '.meeting').exists()


def test_processes_without_time_say_so(tmp_path):
    run = make_run(tmp_path, deadline=Deadline(0.0))
    run = replace(
        run,
        config=replace(run.config, devices=('cpu', 'cpu')),
        cached=replace(run.cached, labelled=[None]),  # not read, as the time is over
    )
    with pytest.raises(TimeUp):
        _start_processes(run, lambda: False)


def test_the_error_that_came_first_is_told():
    refusal, system = training.DIVERGED.error(number=1, step=1), OSError(28, 'full')
    assert _first_error([system, TimeUp(), refusal]) is refusal
    assert _first_error([system, TimeUp()]).__class__ is TimeUp
    assert _first_error([system]) is system
    assert _first_error([TrainingEnd(step=1, steps=1)]) is None


def test_a_process_that_is_killed_is_told(tmp_path, monkeypatch):
    # the other one waits for it, and does not hear that it shall end
    monkeypatch.setattr('pvs_bidsapp.commands.training_run.GRACE', 0.5)
    run = make_run(tmp_path)
    run = replace(run, config=replace(run.config, devices=('cpu', 'cpu')))
    asked = []

    def stop() -> bool:  # asked each second while the processes import torch
        if not asked:
            asked.append(multiprocessing.active_children()[0])
            os.kill(asked[0].pid, signal.SIGKILL)
        return False

    with refused(training.PROCESS_ENDED, naming='SIGKILL'):
        _start_processes(run, stop)
