"""A training on patches that are made from label maps alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from phantoms import small_anatomy
from real_backgrounds import write_background_scan
from refusals import refused

from pvs_bidsapp.commands import comparison_training, generated_training
from pvs_bidsapp.commands.generated_training import train_generated
from pvs_bidsapp.commands.train import train
from pvs_bidsapp.commands.training_limits import Limits
from pvs_bidsapp.messages import training
from pvs_bidsapp.runtime.deadline import Deadline, TimeUp
from pvs_bidsapp.segmentation.model import load_model
from pvs_bidsapp.training.checkpoint import read_checkpoint
from pvs_bidsapp.training.comparison import Collector
from pvs_bidsapp.training.config import Schedule, TrainingConfig, TrainingData
from pvs_bidsapp.training.recipes import RECIPES
from pvs_bidsapp.training.trainer import Trainer


@pytest.fixture(scope='module')
def maps(tmp_path_factory) -> tuple[Path, ...]:
    """Two small label maps: the template's, and its mirror image."""
    folder = tmp_path_factory.mktemp('maps')
    anatomy = small_anatomy(scale=0.5, step=3)
    paths = []
    for name, image in (('one', anatomy.labels), ('two', anatomy.labels[::-1])):
        paths.append(folder / f'{name}.nii.gz')
        nib.save(nib.Nifti1Image(image.astype(np.int16), anatomy.affine), paths[-1])
    return tuple(paths)


@pytest.fixture(scope='module')
def cache(tmp_path_factory) -> Path:
    """Label maps and heads that are prepared once for all tests."""
    return tmp_path_factory.mktemp('prepared')


@pytest.fixture
def config(maps, cache, tmp_path, monkeypatch) -> TrainingConfig:
    """A training of four steps, with one head for validation."""
    monkeypatch.setattr(generated_training, 'HEADS', 1)
    monkeypatch.setattr(generated_training, 'SUITES', ('easy',))
    recipe = RECIPES['supervised-mono']
    architecture = recipe.architecture | {'in_channels': 1, 'filters': 2}
    return TrainingConfig(
        recipe=replace(
            recipe, architecture=architecture, channels=('T1w',), batch_size=2, patch_size=16, stride=16
        ),
        schedule=Schedule(epochs=2, steps_per_epoch=2, seed=1),
        data=TrainingData(generate=maps, cache_dir=cache),
        model_dir=tmp_path / 'model',
        nprocs=1,
    )


@pytest.mark.parametrize(('channels', 'largest', 'keeps'), [
    (('T2w',), 3.0, True), (('T2w',), 1.2, False), (('T1w', 'T2w'), 3.0, False), (('T1w',), 3.0, False),
])  # fmt: skip
def test_validation_keeps_the_slices_that_patches_have(config, channels, largest, keeps):
    recipe = replace(config.recipe, channels=channels, spacing=(0.6, largest))
    assert generated_training._keeps_t2w(replace(config, recipe=recipe)) is keeps


def test_label_maps_alone_give_a_model(config, cache, tmp_path):
    assert train(config) == tmp_path / 'model'
    card = load_model(tmp_path / 'model').card
    assert card.channels == ('T1w',)
    assert 'label maps' in card.trained_on
    assert card.training['steps'] in (2, 4)
    split = json.loads((tmp_path / 'model/split.json').read_text(encoding='utf-8'))
    assert sorted(split['training'] + split['validation']) == ['one.nii.gz', 'two.nii.gz']
    assert len(split['training']) == 1
    made = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(made) == 3
    train(replace(config, model_dir=tmp_path / 'again'))
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == made


def test_a_model_of_the_t2w_alone_and_of_real_scans(config, tmp_path):
    write_background_scan(tmp_path / 'out', 'sub-01_T2w.nii.gz', ('T2w',))
    recipe, schedule = replace(config.recipe, channels=('T2w',)), replace(config.schedule, epochs=1)
    data = replace(config.data, backgrounds=(tmp_path / 'out',), background_fraction=0.5)
    train(replace(config, recipe=recipe, schedule=schedule, data=data))
    card = load_model(tmp_path / 'model').card
    assert card.channels == ('T2w',)
    assert '50 % of them from 1 real scans' in card.trained_on
    split = json.loads((tmp_path / 'model/split.json').read_text(encoding='utf-8'))
    assert split['backgrounds'] == ['sub-01']


def test_a_training_that_was_interrupted_ends_like_an_uninterrupted_one(config, tmp_path, monkeypatch):
    train(config)
    half, steps, update = replace(config, model_dir=tmp_path / 'half'), [], Trainer._update

    def counted(self: Trainer, *args: Any) -> float:
        steps.append(self.step)
        return update(self, *args)

    monkeypatch.setattr(Trainer, '_update', counted)
    assert train_generated(half, Limits(stop=lambda: len(steps) == 3)) is None
    middle = read_checkpoint(tmp_path / 'half/checkpoints/last.pt')['step']
    assert middle == 3
    assert train(replace(half, resume=True)) == tmp_path / 'half'
    whole, resumed = (
        read_checkpoint(tmp_path / name / 'checkpoints/last.pt')['network'] for name in ('model', 'half')
    )
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0)


def with_comparison(config: TrainingConfig, folder: Path, *, init: Path) -> TrainingConfig:
    """The training of a comparison behind the network of a model."""
    architecture = config.recipe.architecture | {'compare': 4}
    return replace(
        config,
        recipe=replace(config.recipe, architecture=architecture),
        model_dir=folder,
        init=str(init),
        adds_comparison=True,
    )


def test_a_comparison_is_put_behind_a_model(config, cache, tmp_path, monkeypatch):
    former = train(config)
    added = with_comparison(config, tmp_path / 'added', init=former)
    collected, collect = [], Collector.collect

    def counted(self: Collector, batch: Any) -> Any:
        collected.append(batch)
        return collect(self, batch)

    monkeypatch.setattr(Collector, 'collect', counted)
    # so new a network doubts everything, with low logits
    monkeypatch.setattr('pvs_bidsapp.segmentation.networks.comparison.LOWEST', -20.0)
    monkeypatch.setattr('pvs_bidsapp.training.comparison.LOWEST', -20.0)
    # interrupted after the third of four patches, which are kept
    assert train_generated(added, Limits(stop=lambda: len(collected) == 3)) is None
    assert not (tmp_path / 'added/model.json').exists()
    (kept,) = cache.glob('doubtful_*')
    assert len(list(kept.iterdir())) == 3
    assert train(added) == tmp_path / 'added'
    assert len(collected) == 4
    assert not kept.exists()
    card = load_model(tmp_path / 'added').card
    assert card.architecture['compare'] == 4
    assert card.training['comparison_patches'] == 4
    assert f'started from the weights of {former}' in card.trained_on
    before, after = (load_model(folder).network().state_dict() for folder in (former, tmp_path / 'added'))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=0)
    assert after['comparison.head.weight'].any()
    # the same without an interrupt, from the checkpoint, whose weights are in single precision
    again = with_comparison(config, tmp_path / 'again', init=former / 'checkpoints/best.pt')
    train(again)
    torch.testing.assert_close(
        load_model(tmp_path / 'again').network().state_dict(), after, rtol=0, atol=1e-3
    )


def test_a_checkpoint_of_weighted_voxels_starts_a_comparison_as_its_model_does(config, tmp_path):
    former = train(replace(config, recipe=replace(config.recipe, loss='dice-ce')))
    one, two = (
        comparison_training.initial_network(with_comparison(config, tmp_path / 'a', init=init)).state_dict()
        for init in (former, former / 'checkpoints/best.pt')
    )
    for name, tensor in one.items():  # a model keeps its weights in half precision
        torch.testing.assert_close(tensor.half(), two[name].half(), rtol=0, atol=0)


def test_a_comparison_has_no_time_to_begin(config, tmp_path):
    former = train(config)
    added = with_comparison(config, tmp_path / 'added', init=former)
    with pytest.raises(TimeUp):
        train_generated(added, Limits(deadline=Deadline.after(0)))
    assert not (tmp_path / 'added/model.json').exists()


def test_what_the_network_leaves_in_doubt_is_kept_apart_for_each_network(config, tmp_path):
    run = generated_training.TrainingRun(
        config=with_comparison(config, tmp_path / 'a', init=Path('joliot2021-t1')),
        folder=tmp_path / 'a',
        heads=[],
        cached=generated_training.DataSplit(labelled=[], unlabelled=[], validation=[]),
        sources=list(config.data.generate),
    )
    other = replace(run, config=replace(run.config, init='m2ss-t1t2'))
    fewer = replace(run, sources=run.sources[:1])
    folders = {comparison_training.doubtful_folder(each) for each in (run, replace(run), other, fewer)}
    assert len(folders) == 3
    longer = replace(run.config, schedule=replace(run.config.schedule, time_limit=9.0, epochs=5))
    assert comparison_training.doubtful_folder(replace(run, config=longer)) in folders
    t2w = replace(run.config, recipe=replace(run.config.recipe, channels=('T2w',)))
    assert comparison_training.doubtful_folder(replace(run, config=t2w)) not in folders


def test_a_network_that_doubts_nothing_is_told(config, tmp_path, monkeypatch):
    former = train(config)
    monkeypatch.setattr('pvs_bidsapp.segmentation.networks.comparison.LOWEST', 20.0)
    monkeypatch.setattr('pvs_bidsapp.training.comparison.LOWEST', 20.0)
    with refused(training.NOTHING_IN_DOUBT, naming=str(former)):
        train(with_comparison(config, tmp_path / 'added', init=former))
