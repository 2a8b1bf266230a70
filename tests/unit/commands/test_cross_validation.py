"""Folds share the time; scans without spaces have no scores; what is damaged is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from model_cards import SMALL, card
from refusals import refused

from pvs_bidsapp.commands import cross_validation as module
from pvs_bidsapp.commands.cross_validation import SUMMARY, _test, cross_validate, summarize
from pvs_bidsapp.commands.training_limits import Limits
from pvs_bidsapp.commands.training_run import parts_of, write_split
from pvs_bidsapp.messages import training
from pvs_bidsapp.runtime.deadline import Deadline, TimeUp
from pvs_bidsapp.runtime.signals import Stopped
from pvs_bidsapp.segmentation.model import load_model, write_model
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.training.config import Schedule, TrainingConfig, TrainingData
from pvs_bidsapp.training.datasets import TrainingImage
from pvs_bidsapp.training.recipes import JOLIOT
from pvs_bidsapp.training.splits import Split
from pvs_bidsapp.training.trainer import Trainer

CONFIG = TrainingConfig(
    recipe=replace(JOLIOT, architecture=SMALL, patch_size=16, stride=8, box=(1, 1, 1), mirror=False),
    schedule=Schedule(time_limit=10.0),
    data=TrainingData(folds=3),
)


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that a test sets."""
    fake = SimpleNamespace(now=0.0)
    fake.monotonic = lambda: fake.now
    monkeypatch.setattr('pvs_bidsapp.runtime.deadline.time', fake)
    return fake


class Folds:
    """Trainings of folds that take some time, and are cut short by their share of it."""

    def __init__(self, clock: SimpleNamespace, seconds: float) -> None:
        self.clock, self.seconds, self.shares = clock, seconds, []

    def train(self, config, scans, split, folder: Path, limits: Limits) -> Path:
        self.shares.append((folder.name, limits.deadline.seconds_left))
        if limits.deadline.is_over():
            raise TimeUp
        available = limits.deadline.seconds_left - 10  # the rest is for the tests
        is_short = available < self.seconds
        self.clock.now += min(self.seconds, available)
        entries = {'time_limit_at_step': 5} if is_short else {}
        write_model(folder, build(SMALL), card(training={'steps': 5} | entries))
        return folder

    def test(self, config, folder: Path, cached, limits: Limits) -> None:
        limits.check()
        table = pd.DataFrame([{'scan': folder.name, 'threshold': 0.5} | dict.fromkeys(SUMMARY, 0.5)])
        table.to_csv(folder / 'test.tsv', sep='\t', index=False)
        table.assign(min_size_mm3=0.0).to_csv(folder / 'test_sweep.tsv', sep='\t', index=False)


@pytest.fixture
def make_folds(clock, monkeypatch):
    def make(seconds: float) -> Folds:
        folds = Folds(clock, seconds)
        monkeypatch.setattr(module, 'train_split', folds.train)
        monkeypatch.setattr(module, '_test', folds.test)
        return folds

    return make


SPLITS = [Split(('a',), ('b',), ('c',))] * 3


def run(folder: Path, seconds: float = 600, **changes) -> Path | None:
    config = replace(CONFIG, model_dir=folder, **changes)
    return cross_validate(config, [], SPLITS, Limits(deadline=Deadline.after(seconds / 60)))


def test_folds_share_the_time_that_is_left(tmp_path, make_folds):
    folds = make_folds(100.0)
    assert run(tmp_path) == tmp_path
    assert folds.shares == [('fold-1', 200.0), ('fold-2', 250.0), ('fold-3', 400.0)]
    assert json.loads((tmp_path / 'crossval.json').read_text())['dice']['n'] == 3
    folds.shares.clear()
    assert run(tmp_path) == tmp_path  # all is done
    assert folds.shares == []


@pytest.mark.parametrize('resume', [False, True])
def test_folds_of_another_training_are_refused(tmp_path, make_folds, resume):
    make_folds(100.0)
    run(tmp_path)
    fold = tmp_path / 'fold-2'
    trainer = Trainer(CONFIG, fold / 'checkpoints', torch.device('cpu'))
    trainer.save(trainer.last)
    write_split(fold, parts_of(SPLITS[1]))
    assert run(tmp_path, resume=resume) == tmp_path
    with refused(training.OTHER_TRAINING, naming='seed'):
        run(tmp_path, resume=resume, schedule=replace(CONFIG.schedule, seed=2))
    (fold / 'split.json').write_text('{"training": ["a", "b"], "validation": [], "test": ["c"]}')
    with refused(training.OTHER_SPLIT, naming='fold-2'):
        run(tmp_path, resume=resume)


def test_folds_that_the_time_has_ended_are_continued(tmp_path, make_folds, clock):
    folds = make_folds(1000.0)
    assert run(tmp_path) == tmp_path  # a model of all folds all the same
    assert [share for _, share in folds.shares] == [200.0, 205.0, 215.0]
    assert clock.now == pytest.approx(590)
    folds.shares.clear()
    assert run(tmp_path) == tmp_path  # without --resume they are as they are
    assert folds.shares == []
    folds.seconds = 100
    assert run(tmp_path, resume=True) == tmp_path
    assert [name for name, _ in folds.shares] == ['fold-1', 'fold-2', 'fold-3']


def test_time_that_is_over_in_the_middle_is_told(tmp_path, make_folds, clock):
    folds = make_folds(100.0)

    def slow(config, folder, cached, limits) -> None:
        folds.test(config, folder, cached, limits)
        clock.now += 600

    module._test = slow  # undone with the fixture's
    with refused(training.NO_TIME_IN_FOLDS, naming='fold 2 of 3', status=1):
        run(tmp_path)
    assert (tmp_path / 'fold-1' / 'test.tsv').exists()
    assert not (tmp_path / 'model.json').exists()
    module._test = folds.test
    assert run(tmp_path, resume=True) == tmp_path


@pytest.mark.parametrize('untested', [1, 3])
def test_folds_without_tests_are_in_the_model_and_tested_later(tmp_path, make_folds, caplog, untested):
    folds = make_folds(100.0)

    def no_time(config, folder, cached, limits) -> None:
        if int(folder.name[-1]) > 3 - untested:
            raise TimeUp
        folds.test(config, folder, cached, limits)

    module._test = no_time
    assert run(tmp_path) == tmp_path
    assert f'left {untested} of 3 folds without tests' in caplog.text
    model = load_model(tmp_path)
    assert model.card.architecture['members'] == 3
    assert model.card.metrics['cross_validation']['dice']['n'] == 3 - untested
    assert (tmp_path / 'crossval.tsv').exists() == (untested < 3)
    folds.shares.clear()
    module._test = folds.test
    assert run(tmp_path, resume=True) == tmp_path
    assert len(folds.shares) == untested
    assert load_model(tmp_path).card.metrics['cross_validation']['dice']['n'] == 3


def test_a_continued_fold_does_not_keep_its_old_tests(tmp_path, make_folds, monkeypatch):
    folds = make_folds(1000.0)
    run(tmp_path)

    def stopped(config, scans, split, folder, limits) -> None:
        return None

    monkeypatch.setattr(module, 'train_split', stopped)
    assert run(tmp_path, resume=True) is None
    assert [(tmp_path / f'fold-{k}' / 'test.tsv').exists() for k in (1, 2, 3)] == [False, True, True]
    assert folds.shares


@pytest.mark.parametrize(
    'text', ['', 'scan\tdice\nx\t1\n', '\x00\xff', 'scan\t' + '\t'.join(SUMMARY) + '\nx' + '\ta' * 7]
)
@pytest.mark.parametrize('name', ['test.tsv', 'test_sweep.tsv'])
def test_a_table_that_is_damaged_is_named(tmp_path, make_folds, name, text):
    make_folds(100.0)
    run(tmp_path)
    (tmp_path / 'fold-2' / name).write_text(text, encoding='latin-1')
    with refused(training.RESULTS_DAMAGED, naming=f'fold-2/{name}'):
        run(tmp_path)


def tube(name: str, *, is_empty: bool) -> TrainingImage:
    label = np.zeros((20, 20, 20), np.uint8)
    label[8:11, 8:11, 4:16] = not is_empty
    image = np.random.default_rng(0).normal(0, 1, (1, 20, 20, 20)).astype(np.float16)
    return TrainingImage(name=name, image=image, brain=label >= 0, label=label)


def test_scans_without_spaces_have_no_scores(tmp_path, monkeypatch):
    write_model(tmp_path, build(SMALL), card())
    monkeypatch.setattr(module, 'read_cached', lambda image: image)
    _test(CONFIG, tmp_path, [tube('full', is_empty=False), tube('empty', is_empty=True)], Limits())
    table = pd.read_csv(tmp_path / 'test.tsv', sep='\t', index_col='scan')
    assert table.loc['empty', list(SUMMARY)].isna().all()
    assert table.loc['full', list(SUMMARY)].notna().all()
    sweep = pd.read_csv(tmp_path / 'test_sweep.tsv', sep='\t', index_col='scan')
    assert sweep.loc['empty'].drop(columns=['threshold', 'min_size_mm3']).isna().all(axis=None)
    assert len(sweep.loc['empty']) == len(sweep.loc['full'])
    summary = summarize(table)
    assert (summary['dice']['n'], summary['dice']['mean']) == (1, table.loc['full', 'dice'])
    assert [summary['dice'][k] for k in ('ci_low', 'ci_high', 'sd')] == [None] * 3  # of one scan
    assert summarize(table.loc[['empty']])['dice'] == {
        'mean': None, 'ci_low': None, 'ci_high': None, 'sd': None, 'n': 0,
    }  # fmt: skip


def test_tests_end_between_scans(tmp_path, monkeypatch):
    write_model(tmp_path, build(SMALL), card())
    monkeypatch.setattr(module, 'read_cached', lambda image: image)
    with pytest.raises(TimeUp):
        _test(CONFIG, tmp_path, [tube('a', is_empty=False)], Limits(deadline=Deadline(0.0)))
    with pytest.raises(Stopped):
        _test(CONFIG, tmp_path, [tube('a', is_empty=False)], Limits(stop=lambda: True))
    assert not (tmp_path / 'test.tsv').exists()
