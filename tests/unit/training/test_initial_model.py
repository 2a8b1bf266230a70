"""What a training starts from says how its network was made, and is refused where that is another one."""

from __future__ import annotations

import pytest
import torch

from pvs_bidsapp.errors import InputError
from pvs_bidsapp.segmentation.model import load_model
from pvs_bidsapp.training.initial_model import InitialModel, read_initial_model
from pvs_bidsapp.training.recipes import M2SS
from pvs_bidsapp.training.trainer import Plan, Trainer

SMALL = M2SS.architecture | {'filters': 2, 'side_filters': 2, 'levels': 2}


def checkpoint(folder, **extra) -> str:
    trainer = Trainer(Plan(architecture=SMALL, epochs=1, extra=extra), folder, torch.device('cpu'))
    trainer.save(trainer.last)
    return str(trainer.last)


def test_a_checkpoint_knows_its_network_and_its_grid(tmp_path):
    start = read_initial_model(checkpoint(tmp_path, spacing=(0.6, 1.2), patch_size=64))
    assert start == InitialModel(SMALL, (0.6, 1.2), 64)
    assert read_initial_model(checkpoint(tmp_path)) == InitialModel(
        SMALL, None, None
    )  # of an earlier version


def test_a_bundled_model_does_so_by_its_card():
    card = load_model('m2ss-t1t2').card
    assert read_initial_model('m2ss-t1t2') == InitialModel(card.architecture, card.spacing, card.patch_size)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({'filters': 4}, 'filters 2 instead of 4'),
        ({'name': 'joliot2021', 'in_channels': 1}, 'name m2ss instead of joliot2021, in_channels 2'),
    ],
)
def test_another_network_is_refused_by_what_differs(change, said):
    with pytest.raises(InputError, match=said) as refused:
        InitialModel(SMALL, 1.0, None).check('mine', SMALL | change)
    assert '\n' not in str(refused.value)
    assert 'mine' in str(refused.value)


def test_several_networks_in_one_model_cannot_be_trained_further():
    with pytest.raises(InputError, match='2 networks'):
        InitialModel({'name': 'ensemble', 'members': 2, 'of': SMALL}, 1.0, None).check('mine', SMALL)


def test_dropout_may_differ():
    InitialModel(SMALL | {'dropout': 0.1}, 1.0, None).check('mine', SMALL | {'dropout': 0.0})


@pytest.mark.parametrize('content', ['damaged', 'tensors'])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / 'weights.pt'
    path.write_bytes(b'PK') if content == 'damaged' else torch.save({'head.bias': torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r'weights\.pt.*checkpoint') as refused:
        read_initial_model(str(path))
    assert '\n' not in str(refused.value)
