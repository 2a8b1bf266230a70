"""What a user may change of a recipe, and what an initial model changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from refusals import refused

from pvs_bidsapp.messages import training
from pvs_bidsapp.training.recipes import (
    JOLIOT,
    M2SS,
    RECIPES,
    InitialModel,
    RecipeChanges,
    check_batches,
    default_test_fraction,
    find_recipe,
    resolve_recipe,
)


def resolve(name='joliot2021', initial=None, device='cuda:0', **changes):
    return resolve_recipe(name, RecipeChanges(**changes), initial, device)


@pytest.mark.parametrize('name', RECIPES)
def test_without_changes_a_recipe_stays_as_it_is(name):
    assert resolve(name) == RECIPES[name]


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with refused(training.NO_RECIPE, naming='joliot2021, m2ss'):
        find_recipe('other')


def test_on_the_cpu_joliot_is_trained_on_patches(caplog):
    caplog.set_level('INFO')
    recipe = resolve(device='cpu')
    assert (recipe.patch_size, recipe.stride) == (64, 48)
    assert 'no GPU: training on patches of 64 voxels' in caplog.text
    assert resolve(device='cpu', patch_size=0).patch_size is None
    assert resolve('m2ss', device='cpu', patch_size=48).stride == 24


def test_patches_have_all_orientations_if_they_are_synthesized():
    assert not resolve().all_orientations
    assert resolve(all_orientations=True, patch_size=64).all_orientations
    assert resolve(synthesize=True).all_orientations


def test_changes_are_taken_over():
    changed = resolve(
        batch_size=2,
        learning_rate=0.5,
        loss='dice',
        pretraining=False,
        spacing=(0.6, 1.2),
        filters=4,
        dropout=0.0,
    )
    architecture = JOLIOT.architecture | {'filters': 4, 'dropout': 0.0}
    assert changed == replace(
        JOLIOT, batch_size=2, learning_rate=0.5, loss='dice', pretraining=False, spacing=(0.6, 1.2),
        architecture=architecture,
    )  # fmt: skip


def test_an_initial_model_is_trained_further_on_its_grid():
    initial = InitialModel(
        name='mine', architecture=JOLIOT.architecture | {'dropout': 0.3}, spacing=(0.6, 1.2), patch_size=96
    )
    recipe = resolve(initial=initial)
    assert (recipe.spacing, recipe.patch_size, recipe.stride) == ((0.6, 1.2), 96, 72)
    assert recipe.architecture['dropout'] == 0.3
    own = resolve(initial=initial, spacing=1.0, patch_size=64, dropout=0.0)
    assert (own.spacing, own.patch_size, own.architecture['dropout']) == (1.0, 64, 0.0)


@pytest.mark.parametrize(
    ('name', 'size'), [('joliot2021', 32), ('joliot2021', 63), ('m2ss', 8), ('joliot2021', 1)]
)
def test_a_patch_that_is_too_small_for_the_network(name, size):
    with refused(training.SMALL_PATCH, naming='at least 64' if name == 'joliot2021' else 'at least 16'):
        resolve(name, patch_size=size)


def test_changes_that_do_not_suit_a_recipe_are_refused():
    with refused(training.NEEDS_PATCHES, naming='m2ss'):
        resolve('m2ss', patch_size=0)
    with refused(training.NO_DROPOUT, naming='m2ss has none'):
        resolve('m2ss', dropout=0.1)


@pytest.mark.parametrize(
    ('batch_size', 'devices', 'micro_batch', 'is_refused'),
    [(1, 1, None, True), (2, 1, None, False), (2, 2, None, True), (4, 1, 1, True), (5, 1, 2, True),
     (4, 1, 2, False), (4, 2, None, False)],
)  # fmt: skip
def test_a_single_patch_of_the_smallest_size_is_refused(batch_size, devices, micro_batch, is_refused):
    recipe = resolve(batch_size=batch_size, patch_size=64)
    if not is_refused:
        check_batches(recipe, devices=devices, micro_batch=micro_batch)
        return
    with refused(training.SINGLE_PATCH, naming='two samples'):
        check_batches(recipe, devices=devices, micro_batch=micro_batch)
    check_batches(replace(recipe, patch_size=65), devices=devices, micro_batch=micro_batch)


def test_chai_et_al_test_on_a_tenth_of_the_persons():
    assert default_test_fraction(JOLIOT) is None
    assert default_test_fraction(M2SS) == default_test_fraction(RECIPES['supervised-mono']) == 0.1
