from __future__ import annotations

from dataclasses import replace

import pytest

from pvs_bidsapp.training.config import Schedule, TrainingConfig, TrainingData
from pvs_bidsapp.training.recipes import JOLIOT, M2SS


@pytest.mark.parametrize(
    ('recipe', 'synthesize', 'init', 'expected'),
    [
        (JOLIOT, None, None, True),
        (JOLIOT, 'mixed', None, False),
        (JOLIOT, None, 'm', False),
        (M2SS, 'mixed', 'm', True),
        (replace(M2SS, semisupervised=False), None, None, False),
    ],
)
def test_unlabelled_scans_are_prepared_if_they_are_learnt_from(recipe, synthesize, init, expected):
    config = TrainingConfig(recipe=recipe, data=TrainingData(synthesize=synthesize), init=init)
    assert config.uses_unlabelled == expected


@pytest.mark.parametrize(('epochs', 'expected'), [(10, 5), (40, 20), (100, 20)])
def test_the_warm_up_takes_at_most_half_of_the_epochs(epochs, expected):
    config = TrainingConfig(recipe=M2SS, schedule=Schedule(epochs=epochs, steps_per_epoch=7))
    assert config.warmup_steps == 7 * expected
    assert config.schedule.steps == 7 * epochs


def test_whole_volumes_go_through_the_network_one_by_one():
    assert TrainingConfig(recipe=JOLIOT).micro_batch == 1
    assert TrainingConfig(recipe=M2SS).micro_batch >= M2SS.batch_size
    assert TrainingConfig(recipe=M2SS, schedule=Schedule(micro_batch=3)).micro_batch == 3
