"""An initial model says how its network was made, and is refused if that is another network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from refusals import refused

from pvs_bidsapp.messages import training
from pvs_bidsapp.segmentation.model import load_model
from pvs_bidsapp.training.initial_model import check_initial_weights, read_initial_model
from pvs_bidsapp.training.recipes import M2SS, InitialModel
from pvs_bidsapp.training.trainer import Trainer

SMALL = M2SS.architecture | {'filters': 2, 'side_filters': 2, 'levels': 2}


def initial(architecture, spacing=1.0, patch_size=None, name='mine') -> InitialModel:
    return InitialModel(name=name, architecture=architecture, spacing=spacing, patch_size=patch_size)


def test_a_checkpoint_says_its_network_and_its_grid(tmp_path, make_config):
    config = make_config(architecture=SMALL, spacing=(0.6, 1.2), patch_size=64)
    trainer = Trainer(config, tmp_path, torch.device('cpu'))
    trainer.save(trainer.last)
    name = str(trainer.last)
    assert read_initial_model(name) == initial(SMALL, (0.6, 1.2), 64, name)
    state = torch.load(trainer.last, weights_only=True)
    state['plan']['extra'] = {}  # of an earlier version
    torch.save(state, trainer.last)
    assert read_initial_model(name) == initial(SMALL, None, None, name)


def test_a_bundled_model_does_so_in_its_card():
    card = load_model('m2ss-t1t2').card
    expected = initial(card.architecture, card.spacing, card.patch_size, 'm2ss-t1t2')
    assert read_initial_model('m2ss-t1t2') == expected


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'filters': 4}, 'filters 2 instead of 4'),
        ({'name': 'joliot2021', 'in_channels': 1}, 'name m2ss instead of joliot2021, in_channels 2'),
    ],
)
def test_another_network_is_refused_by_what_differs(change, message):
    with refused(training.OTHER_NETWORK, naming=message):
        initial(SMALL).check(SMALL | change)
    with refused(training.OTHER_NETWORK, naming='--init mine'):
        initial(SMALL).check(SMALL | change)


def test_several_networks_in_one_model_cannot_be_trained_further():
    with refused(training.SEVERAL_NETWORKS, naming='2 networks'):
        initial({'name': 'ensemble', 'members': 2, 'of': SMALL}).check(SMALL)


@pytest.mark.parametrize('part', ['refine', 'compare'])
def test_a_correction_may_be_added_but_not_changed(part):
    initial(SMALL).check(SMALL | {part: 4})
    older = {name: value for name, value in SMALL.items() if name != part}
    initial(older).check(SMALL | {part: 4})
    initial(SMALL | {part: 4}).check(SMALL | {part: 4})
    with refused(training.OTHER_NETWORK, naming=f'{part} 4 instead of 8'):
        initial(SMALL | {part: 4}).check(SMALL | {part: 8})
    with refused(training.OTHER_NETWORK, naming=f'{part} 4 instead of 0'):
        initial(SMALL | {part: 4}).check(SMALL)


@pytest.mark.parametrize('part', ['refine', 'compare'])
def test_weights_of_a_checkpoint_may_lack_a_correction(part, tmp_path, make_config):
    older = Trainer(make_config(architecture=SMALL), tmp_path / 'older', torch.device('cpu'))
    older.save(older.last)
    config = make_config(architecture=SMALL | {part: 4})
    check_initial_weights(replace(config, init=str(older.last)))
    trainer = Trainer(config, tmp_path / 'newer', torch.device('cpu'))
    trainer.start_from_checkpoint(older.last)
    volume = torch.randn(1, 2, 8, 8, 8)
    before, after = older.average.module.eval(), trainer.network.eval()
    torch.testing.assert_close(after(volume), before(volume))
    other = make_config(architecture=SMALL | {'filters': 4, part: 4})
    with refused(training.WEIGHTS_MISFIT, naming='differs'):
        check_initial_weights(replace(other, init=str(older.last)))


@pytest.mark.parametrize('name', ['dropout', 'compare_limit'])
def test_what_has_no_weights_may_differ(name):
    initial(SMALL | {name: 0.1}).check(SMALL | {name: 0.0})


@pytest.mark.parametrize('content', ['damaged', 'tensors'])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / 'weights.pt'
    path.write_bytes(b'PK') if content == 'damaged' else torch.save({'head.bias': torch.zeros(1)}, path)
    refusal = training.CHECKPOINT_UNREADABLE if content == 'damaged' else training.NO_CHECKPOINT
    with refused(refusal, naming='weights.pt'):
        read_initial_model(str(path))


@pytest.mark.parametrize(
    ('architecture', 'key'),
    [
        (SMALL | {'filters': 10**9}, 'architecture.filters'),
        (SMALL | {'levels': 10**6}, 'architecture.levels'),
        ({'name': 'other'}, 'architecture.name'),
        ({'name': 'joliot2021-autoencoder'}, 'architecture.name'),  # of pre-training
        ({}, 'architecture.name'),
    ],
)
def test_a_network_of_a_checkpoint_has_bounds(tmp_path, make_config, architecture, key):
    trainer = Trainer(make_config(architecture=SMALL), tmp_path, torch.device('cpu'))
    trainer.save(trainer.last)
    state = torch.load(trainer.last, weights_only=True)
    state['plan']['architecture'] = architecture
    torch.save(state, trainer.last)
    with refused(training.CHECKPOINT_WRONG, naming=key):
        read_initial_model(str(trainer.last))
