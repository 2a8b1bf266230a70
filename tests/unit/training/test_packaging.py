"""What the card of a trained model says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import refused

from pvs_bidsapp.messages import training
from pvs_bidsapp.segmentation.model import load_model
from pvs_bidsapp.training.config import TrainingData
from pvs_bidsapp.training.packaging import (
    TrainingSummary,
    check_model,
    describe_data,
    is_cut_short,
    join_folds,
    package_model,
    recipe_entries,
)
from pvs_bidsapp.training.recipes import JOLIOT, RECIPES
from pvs_bidsapp.training.trainer import Trainer, TrainingEnd

SUMMARY = TrainingSummary(data_sets=('one', 'two'), labelled=3, unlabelled=2)
#: As in the cards of all versions.
KEYS = [
    'name', 'spacing', 'patch_size', 'stride', 'mirror', 'batch_size', 'learning_rate', 'loss', 'pretraining',
    'semisupervised', 'warmup_epochs', 'positive_share', 'turns', 'confidence', 'noise', 'consistency_weight',
    'box',
]  # fmt: skip


def test_keys_of_the_recipe_in_a_card_stay_as_they_were():
    assert list(recipe_entries(JOLIOT)) == KEYS
    entries = recipe_entries(replace(JOLIOT, positive_fraction=0.25, all_orientations=True))
    assert (entries['positive_share'], entries['turns']) == (0.25, True)


def test_the_description_of_the_data(make_config):
    config = make_config(semisupervised=True)
    assert describe_data(config, SUMMARY) == '3 labelled scans of one and two, 2 unlabelled scans'
    config = replace(make_config(), init='joliot2021-t1', data=TrainingData(synthesize='mixed'))
    assert describe_data(config, SUMMARY) == (
        '3 labelled scans of one and two (simulated heads; each patch synthesized with a scanner of the '
        'suite mixed); started from the weights of joliot2021-t1'
    )


def test_the_best_weights_become_a_model_with_a_calibrated_output(tmp_path, images, make_config):
    config = replace(make_config(loss='dice-ce', seed=4), model_dir=tmp_path / 'mine')
    biases = []
    for k in (1, 2):
        folder = config.model_dir / f'fold-{k}'
        trainer = Trainer(config, folder / 'checkpoints', torch.device('cpu'))
        trainer.step = 12
        trainer.save(trainer.folder / 'best.pt')
        biases.append(float(trainer.average.module.head.bias.detach()))
        assert package_model(config, folder, SUMMARY, images if k == 1 else []) == folder
    first, second = (load_model(config.model_dir / f'fold-{k}') for k in (1, 2))
    assert float(first.network().head.bias.detach()) < biases[0] - 2  # the logarithm of the positive weight
    assert (first.card.name, first.card.training['steps'], first.card.training['seed']) == ('mine', 12, 4)
    assert set(first.card.metrics) == {'validation_dice', 'validation_scans'}
    assert (second.card.metrics, second.card.threshold) == ({}, 0.5)
    assert not first.card.training['pretrained']
    join_folds(config.model_dir, 2, {'dice': {'mean': 0.5}})
    joined = load_model(config.model_dir)
    assert joined.card.architecture == {'name': 'ensemble', 'members': 2, 'of': config.recipe.architecture}
    assert joined.card.metrics == {'cross_validation': {'dice': {'mean': 0.5}}}
    joined.network()


def test_whole_volumes_have_no_patches_in_the_card(tmp_path, make_config):
    config = replace(make_config(patch_size=16, stride=None, loss='focal'), model_dir=tmp_path)
    trainer = Trainer(config, tmp_path / 'checkpoints', torch.device('cpu'))
    trainer.save(trainer.folder / 'best.pt')
    package_model(config, tmp_path, SUMMARY, [])
    assert load_model(tmp_path).card.patch_size is None


def trained(tmp_path, make_config, **changes):
    """A configuration whose folder holds a checkpoint."""
    config = replace(make_config(loss='focal', **changes), model_dir=tmp_path / 'mine')
    trainer = Trainer(config, config.model_dir / 'checkpoints', torch.device('cpu'))
    trainer.step = 7
    trainer.save(trainer.folder / 'best.pt')
    return config


def test_scans_without_spaces_give_no_score(tmp_path, images, make_config):
    config = trained(tmp_path, make_config)
    empty = [replace(image, label=np.zeros_like(image.label)) for image in images]
    package_model(config, config.model_dir, SUMMARY, empty)
    card = load_model(config.model_dir).card
    assert card.metrics == {'validation_dice': None, 'validation_scans': 0}
    assert card.threshold == 0.5
    assert 'NaN' not in (config.model_dir / 'model.json').read_text()
    package_model(config, config.model_dir, SUMMARY, [*empty, images[0]])
    assert load_model(config.model_dir).card.metrics['validation_scans'] == 1


def test_a_card_says_that_the_time_limit_ended_the_training(tmp_path, images, make_config):
    config = trained(tmp_path, make_config)
    end = TrainingEnd(step=9, steps=48)
    package_model(config, config.model_dir, SUMMARY, images, end=end)
    assert not is_cut_short(config.model_dir)
    package_model(
        config,
        config.model_dir,
        SUMMARY,
        images,
        end=replace(end, is_time_up=True),
        wants_to_end=lambda: True,
    )
    card = load_model(config.model_dir).card
    assert is_cut_short(config.model_dir)
    assert list(card.training) == [
        'steps', 'seed', 'pretrained', 'time_limit_at_step', 'steps_planned', 'recipe',
    ]  # fmt: skip
    assert [card.training[k] for k in ('steps', 'time_limit_at_step', 'steps_planned')] == [7, 9, 48]
    assert card.metrics['validation_scans'] == 1


def test_a_best_checkpoint_of_another_network_is_refused(tmp_path, make_config):
    config = trained(tmp_path, make_config)
    other = replace(
        config, recipe=replace(config.recipe, architecture=config.recipe.architecture | {'filters': 2})
    )
    with refused(training.WEIGHTS_MISFIT, naming='best.pt'):
        package_model(other, config.model_dir, SUMMARY, [])


@pytest.mark.parametrize('name', ['.', '..', 'my model', '.hidden', 'a\nb', 'x' * 200, '\u202ex'])
def test_any_folder_can_hold_a_model(tmp_path, make_config, monkeypatch, name):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    config = replace(trained(tmp_path, make_config), model_dir=tmp_path / 'here' / name)
    check_model(config)
    package_model(config, tmp_path / 'mine', SUMMARY, [])
    assert load_model(tmp_path / 'mine').card.name


def test_names_of_data_sets_are_shown_in_one_line(tmp_path, make_config):
    config = trained(tmp_path, make_config)
    package_model(config, config.model_dir, replace(SUMMARY, data_sets=('a\n\x1b[2Jb',)), [])
    assert load_model(config.model_dir).card.trained_on == '3 labelled scans of a [2Jb'
    assert json.loads((config.model_dir / 'model.json').read_text())['trained_on']


def test_a_long_description_fits_in_the_card_of_all_folds(tmp_path, make_config):
    config = replace(trained(tmp_path, make_config), trained_on='x' * 20_000)
    fold = config.model_dir / 'fold-1'
    fold.mkdir()
    (config.model_dir / 'checkpoints').rename(fold / 'checkpoints')
    package_model(config, fold, SUMMARY, [])
    join_folds(config.model_dir, 1, {})
    assert load_model(config.model_dir).card.trained_on.startswith('1 folds')


@pytest.mark.parametrize('recipe', RECIPES.values(), ids=RECIPES)
def test_each_recipe_gives_a_model_that_can_be_used(make_config, recipe):
    check_model(replace(make_config(), recipe=recipe))


def test_a_model_that_could_not_be_used_is_refused_before_the_training(make_config):
    config = make_config()
    with refused(training.UNUSABLE_MODEL, naming='"patch_size"'):
        check_model(replace(config, recipe=replace(config.recipe, patch_size=400)))
    with refused(training.UNUSABLE_MODEL, naming='"architecture.filters"'):
        check_model(make_config(architecture=config.recipe.architecture | {'filters': 1024}))
    with refused(training.UNUSABLE_MODEL, naming='"trained_on"'):
        check_model(replace(config, trained_on='x' * 20_001))
    check_model(replace(config, trained_on='two\nlines\x07'))
    large = make_config(architecture=JOLIOT.architecture | {'filters': 32}, patch_size=64, stride=32)
    check_model(large)
    with refused(training.TOO_MANY_PARAMETERS, naming='1.89e+09'):
        check_model(replace(large, data=TrainingData(folds=5)))
