from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from model_cards import SMALL, card
from refusals import refused
from safetensors.torch import load_file, save_file

from pvs_bidsapp.messages import models
from pvs_bidsapp.segmentation.model import (
    CARD,
    HEADER_BYTES,
    WEIGHTS,
    WEIGHTS_BYTES,
    bundled_names,
    file_sha256,
    load_model,
    write_model,
)
from pvs_bidsapp.segmentation.networks import build


@pytest.fixture
def folder(tmp_path) -> Path:
    """A model folder."""
    write_model(tmp_path / 'mine', build(SMALL), card())
    return tmp_path / 'mine'


def change_card(folder: Path, **changes: Any) -> None:
    """Change entries of a card; the checksum is then that of the weights, unless it is one of them."""
    weights = folder / WEIGHTS
    current = {'sha256': file_sha256(weights)} if weights.is_file() else {}
    content = json.loads((folder / CARD).read_text()) | current | changes
    (folder / CARD).write_text(json.dumps(content))


def change_weights(folder: Path, change) -> None:
    """Change the tensors of a model, and its checksum with them."""
    state = load_file(folder / WEIGHTS)
    save_file(change(state), folder / WEIGHTS)
    change_card(folder)


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
    with refused(models.WEIGHTS_CHANGED, naming='checksum'):
        model.network()
    model.weights.unlink()
    with refused(models.WEIGHTS_ABSENT, naming=WEIGHTS):
        model.verify()


def test_an_ensemble_and_its_members_are_compared_with_the_card(tmp_path):
    architecture = {'name': 'ensemble', 'members': 2, 'of': SMALL}
    write_model(tmp_path, build(architecture), card(architecture=architecture))
    assert len(load_model(tmp_path).network().members) == 2
    change_card(tmp_path, architecture=architecture | {'members': 3})
    with refused(models.WEIGHTS_MISFIT, naming='lacks'):
        load_model(tmp_path).network()


@pytest.mark.parametrize('name', ['nowhere', '', 'a\nb', 'x' * 200, '../..'])
def test_a_folder_without_a_card(tmp_path, name):
    with refused(models.ABSENT, naming='joliot2021-t1'):
        load_model(str(tmp_path / name))


@pytest.mark.parametrize('name', ['x' * 5000])
def test_a_name_that_the_system_does_not_take(tmp_path, name):
    with refused(models.CARD_UNREADABLE, naming='too long'):
        load_model(tmp_path / name)


def test_a_name_with_a_zero_byte(tmp_path):
    with refused(models.ABSENT):
        load_model(str(tmp_path / 'a\0b'))


def test_links_that_lead_in_a_circle(folder):
    for name in (WEIGHTS, CARD):
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)
    with refused(models.ABSENT):
        load_model(folder)
    (folder / CARD).unlink()
    write_model(folder.with_name('other'), build(SMALL), card())
    (folder / CARD).write_bytes((folder.with_name('other') / CARD).read_bytes())
    with refused(models.WEIGHTS_ABSENT):
        load_model(folder).network()


def test_folders_in_place_of_files(folder):
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()
    with refused(models.WEIGHTS_ABSENT):
        load_model(folder).verify()
    (folder / CARD).unlink()
    (folder / CARD).mkdir()
    with refused(models.ABSENT):
        load_model(folder)


def test_weights_that_may_not_be_read(folder, monkeypatch):
    def deny(path: Path, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, 'Permission denied', str(path))

    model = load_model(folder)
    monkeypatch.setattr(Path, 'open', deny)  # root may read everything
    with refused(models.WEIGHTS_UNREADABLE, naming='Permission denied'):
        model.verify()


@pytest.mark.parametrize('sha256', ['0' * 64, 'f' * 64])
def test_another_checksum(folder, sha256):
    change_card(folder, sha256=sha256)
    with refused(models.WEIGHTS_CHANGED, naming=sha256[:12]):
        load_model(folder).network()


def test_a_file_that_is_larger_than_any_network_is_not_read(folder):
    with (folder / WEIGHTS).open('wb') as stream:
        stream.truncate(WEIGHTS_BYTES + 1)
    started = time.process_time()
    with refused(models.WEIGHTS_TOO_LARGE):
        load_model(folder).verify()
    assert time.process_time() - started < 10


def _header(content: Any, length: int | None = None, data: bytes = b'') -> bytes:
    text = json.dumps(content).encode()
    return struct.pack('<Q', len(text) if length is None else length) + text + data


ENTRY = {'head.bias': {'dtype': 'F16', 'shape': [1], 'data_offsets': [0, 2]}}


@pytest.mark.parametrize(
    'data',
    [
        b'', b'abc', pickle.dumps({'head.bias': [0.0]}), b'PK\x03\x04' + bytes(100), bytes(200),
        _header(ENTRY), _header(ENTRY, 10**6), _header(ENTRY, HEADER_BYTES + 1), _header(ENTRY, 2**63),
        _header({'head.bias': ENTRY['head.bias'] | {'data_offsets': [0, 10**12]}}, data=bytes(2)),
        _header({'head.bias': ENTRY['head.bias'] | {'shape': [10**12]}}, data=bytes(2)),
        _header({'head.bias': ENTRY['head.bias'] | {'data_offsets': [2, 0]}}, data=bytes(2)),
        _header({'head.bias': 3}), _header([]), struct.pack('<Q', 4) + b'\xff\xfe\xfd\xfc',
    ],
)  # fmt: skip
def test_files_that_are_no_safetensors(folder, data):
    (folder / WEIGHTS).write_bytes(data)
    change_card(folder)
    with refused(models.WEIGHTS_DAMAGED, naming=WEIGHTS):
        load_model(folder).network()


def test_weights_that_were_cut_short(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])
    change_card(folder)
    with refused(models.WEIGHTS_DAMAGED):
        load_model(folder).network()


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda s: {k: v for k, v in s.items() if k != 'head.bias'}, "lacks 'head.bias'"),
        (lambda s: s | {'extra': torch.zeros(1)}, "has 'extra'"),
        (lambda s: s | {'a\n\x1b[2Jb': torch.zeros(1)}, 'has '),
        (lambda s: s | {'head.bias': torch.zeros(2)}, 'head.bias has the shape (2,) instead of (1,)'),
        (lambda s: s | {'head.bias': torch.zeros(1, 1)}, 'shape'),
        (lambda s: s | {'head.bias': torch.zeros(1, dtype=torch.int64)}, 'type I64'),
        (lambda s: s | {'head.bias': torch.zeros(1, dtype=torch.float64)}, 'type F64'),
        (lambda s: s | {k: v.float() for k, v in s.items() if 'num_batches' in k}, 'type F32'),
        (lambda s: {'head.bias': s['head.bias']}, 'tensors differ'),
    ],
)  # fmt: skip
def test_tensors_that_are_not_those_of_the_card(folder, change, words):
    change_weights(folder, change)
    with refused(models.WEIGHTS_MISFIT, naming=words):
        load_model(folder).network()


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_no_numbers(folder, value):
    change_weights(folder, lambda s: s | {'head.bias': torch.full((1,), value)})
    with refused(models.WEIGHTS_IMPOSSIBLE, naming='head.bias'):
        load_model(folder).network()
    network = build(SMALL)
    with torch.no_grad():
        network.head.bias.fill_(value)
    before = (folder / CARD).read_bytes()
    with refused(models.WEIGHTS_IMPOSSIBLE, naming='head.bias'):
        write_model(folder, network, card())
    assert (folder / CARD).read_bytes() == before


def test_a_variance_below_0_is_refused(folder):
    change_weights(folder, lambda s: s | {'encoder.0.1.running_var': torch.full((2,), -1.0)})
    with refused(models.WEIGHTS_IMPOSSIBLE, naming='encoder.0.1.running_var holds negative'):
        load_model(folder).network()


def test_large_weights_keep_their_value(tmp_path):
    network = build(SMALL)
    with torch.no_grad():
        network.encoder[0][1].running_var.fill_(1e6)  # infinite in half precision
    write_model(tmp_path, network, card())
    assert float(load_model(tmp_path).network().encoder[0][1].running_var[0]) == 1e6


@pytest.mark.parametrize(
    'architecture',
    [
        {'name': 'joliot2021', 'blocks': 8, 'filters': 256},
        {'name': 'ensemble', 'members': 100, 'of': {'name': 'joliot2021'}},
    ],
)
def test_a_huge_network_is_refused_before_it_takes_memory(folder, architecture):
    change_card(folder, architecture=architecture)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with refused(models.TOO_MANY_PARAMETERS, naming=CARD):
        load_model(folder).network()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_a_network_that_the_file_does_not_hold_takes_no_memory(folder):
    change_card(folder, architecture={'name': 'joliot2021', 'filters': 32})  # 1.5 GB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with refused(models.WEIGHTS_MISFIT):
        load_model(folder).network()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_an_architecture_that_cannot_be_built():
    with refused(models.ARCHITECTURE, naming='other'):
        build({'name': 'other'})
    with refused(models.ARCHITECTURE, naming='depth'):
        build(SMALL | {'depth': 3})


def test_a_card_that_could_not_be_read_is_not_written(tmp_path):
    with refused(models.CARD_WRONG, naming='threshold'):
        write_model(tmp_path, build(SMALL), card(threshold=float('nan')))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('fails', [WEIGHTS, CARD])
def test_a_write_that_fails_leaves_the_earlier_model(folder, monkeypatch, fails):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    write = 'write_bytes' if fails == WEIGHTS else 'write_text'

    def fill_disk(path: Path, data: Any, **kwargs: Any) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, write, fill_disk)
    with pytest.raises(OSError, match='No space'):
        write_model(folder, build(SMALL), card())
    monkeypatch.undo()
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    load_model(folder).network()


def test_the_weights_of_a_model_may_be_read_by_others(folder):
    mask = os.umask(0)
    os.umask(mask)
    assert (folder / WEIGHTS).stat().st_mode & 0o777 == 0o666 & ~mask


def test_bundled_models_match_their_cards():
    names = bundled_names()
    assert 'joliot2021-t1' in names
    for name in names:
        model = load_model(name)
        model.verify()
        assert model.weights.stat().st_size < 50e6
        assert 'simulated' in model.card.trained_on
        assert json.loads((model.folder / 'model.json').read_text())['licence']


def test_what_is_written_is_what_was_given(tmp_path):
    written = write_model(tmp_path, build(SMALL), card(metrics={'a': [1, 2]}))
    assert asdict(load_model(tmp_path).card) == asdict(written)
