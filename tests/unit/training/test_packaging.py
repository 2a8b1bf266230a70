"""What the card of a trained model says."""

from __future__ import annotations

from dataclasses import replace

import torch

from pvs_bidsapp.segmentation.model import load_model
from pvs_bidsapp.training.config import TrainingData
from pvs_bidsapp.training.packaging import (
    TrainingSummary,
    describe_data,
    join_folds,
    package_model,
    recipe_entries,
)
from pvs_bidsapp.training.recipes import JOLIOT
from pvs_bidsapp.training.trainer import Trainer

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
