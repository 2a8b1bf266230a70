"""``pvs models``: cards and weights of any folder, each error in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from labelled_data import make_person
from model_cards import SMALL, card

from pvs_bidsapp.cli.main import main
from pvs_bidsapp.segmentation.model import CARD, WEIGHTS, bundled_names, write_model
from pvs_bidsapp.segmentation.networks import build


@pytest.fixture
def folder(tmp_path) -> Path:
    write_model(tmp_path / 'mine', build(SMALL), card(trained_on='two\nlines'))
    return tmp_path / 'mine'


def test_a_folder_is_listed_shown_and_verified(folder, capsys):
    assert main(['models', 'list', str(folder)]) == 0
    assert capsys.readouterr().out == f'{folder}\t1\tT1w\t1 mm\ttwo lines\n'
    assert main(['models', 'show', str(folder)]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / CARD).read_text())
    assert main(['models', 'verify', str(folder)]) == 0
    assert '\tok\t' in capsys.readouterr().out


@pytest.mark.parametrize('action', ['list', 'show', 'verify'])
@pytest.mark.parametrize('data', ['', '[]', '{"name": 1}', '{"name": NaN}', '[' * 9999, '\x00', '{}'])
def test_a_card_that_cannot_be_used_is_an_error_of_one_line(folder, capsys, action, data):
    (folder / CARD).write_text(data)
    assert main(['models', action, str(folder)]) == 3
    out, err = capsys.readouterr()
    assert (out, err.count('\n')) == ('', 1)
    assert err.startswith(f'pvs: error: {folder / CARD}: ')


@pytest.mark.parametrize('action', ['list', 'show'])
def test_weights_are_not_needed_to_look_at_a_card(folder, capsys, action):
    (folder / WEIGHTS).unlink()
    assert main(['models', action, str(folder)]) == 0


def test_verify_looks_at_weights_and_network(folder, capsys):
    data = (folder / CARD).read_text()
    (folder / CARD).write_text(data.replace('"filters": 2', '"filters": 3'))
    assert main(['models', 'verify', str(folder)]) == 3
    assert 'does not fit its card' in capsys.readouterr().err
    (folder / CARD).write_text(data)
    (folder / WEIGHTS).write_bytes(b'')
    assert main(['models', 'verify', str(folder)]) == 3
    assert 'checksum' in capsys.readouterr().err
    (folder / WEIGHTS).unlink()
    assert main(['models', 'verify', str(folder)]) == 3
    assert 'missing' in capsys.readouterr().err


def test_one_damaged_model_does_not_hide_the_others(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.setattr('pvs_bidsapp.segmentation.model.BUNDLED', tmp_path)
    shutil.copytree(folder, tmp_path / 'other')
    (tmp_path / 'other' / WEIGHTS).write_bytes(b'damaged')
    shutil.copytree(folder, tmp_path / 'third')
    assert bundled_names() == ['mine', 'other', 'third']
    assert main(['models', 'verify']) == 3
    out, err = capsys.readouterr()
    assert [line.split('\t')[0] for line in out.splitlines()] == ['mine', 'third']
    assert 'other' in err
    assert err.count('\n') == 1


def test_show_needs_a_name(capsys):
    assert main(['models', 'show']) == 2
    assert 'joliot2021-t1' in capsys.readouterr().err


def test_a_model_that_cannot_be_used_ends_a_run_before_its_work(folder, tmp_path, capsys):
    make_person(tmp_path / 'bids', 'sub-01', 1)
    (tmp_path / 'bids' / 'dataset_description.json').write_text('{"Name": "one", "BIDSVersion": "1.10.0"}')
    (folder / CARD).write_text((folder / CARD).read_text().replace('"filters": 2', '"filters": 3'))
    arguments = [tmp_path / 'bids', tmp_path / 'out', 'participant', '--model', folder, '--device', 'cpu']
    assert main([*map(str, arguments)]) == 3
    assert f'pvs: error: {folder / WEIGHTS}: does not fit its card' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
