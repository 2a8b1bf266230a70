from __future__ import annotations

import json

import pytest
import torch
from model_cards import SMALL, card

from pvs_bidsapp.errors import ModelError
from pvs_bidsapp.segmentation.model import bundled_names, load_model, write_model
from pvs_bidsapp.segmentation.networks import build


@pytest.mark.parametrize('spacing', [0.8, (0.6, 1.2)])
def test_a_card_keeps_one_voxel_size_or_a_range(tmp_path, spacing):
    write_model(tmp_path / 'm', build(SMALL), card(spacing=spacing))
    assert load_model(tmp_path / 'm').card.spacing == spacing


def test_a_model_is_read_back_and_a_changed_one_is_refused(tmp_path):
    network = build(SMALL).eval()
    write_model(tmp_path, network, card())
    model = load_model(tmp_path)
    again = model.network()
    image = torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(network(image), again(image), atol=2e-2, rtol=2e-2)  # half precision
    data = bytearray(model.weights.read_bytes())
    data[-1] ^= 1
    model.weights.write_bytes(data)
    with pytest.raises(ModelError, match='checksum'):
        model.network()
    model.weights.unlink()
    with pytest.raises(ModelError, match='missing'):
        model.verify()


def test_bad_cards(tmp_path):
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        load_model('nowhere')
    (tmp_path / 'model.json').write_text('{"name": 1}')
    with pytest.raises(ModelError, match=r'model\.json'):
        load_model(tmp_path)
    write_model(tmp_path, build(SMALL), card(architecture={'name': 'other'}))
    with pytest.raises(ModelError, match='unknown architecture'):
        load_model(tmp_path).network()
    write_model(tmp_path, build(SMALL), card(architecture=SMALL | {'filters': 4}))
    with pytest.raises(ModelError, match='does not fit'):
        load_model(tmp_path).network()


def test_bundled_models_match_their_cards():
    names = bundled_names()
    assert 'joliot2021-t1' in names
    for name in names:
        model = load_model(name)
        model.verify()
        assert model.weights.stat().st_size < 50e6
        assert 'simulated' in model.card.trained_on
        assert json.loads((model.folder / 'model.json').read_text())['licence']
