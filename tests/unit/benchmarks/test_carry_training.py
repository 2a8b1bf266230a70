"""A training is carried in pieces, whole or not at all; label maps are cropped, and give the same patches."""

from __future__ import annotations

import importlib.util
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from pvs_bidsapp.simulation.label_maps import load_label_map
from pvs_bidsapp.simulation.patch_source import prepare_source
from pvs_bidsapp.training.checkpoint import read_checkpoint, write_checkpoint
from pvs_bidsapp.training.config import TrainingConfig
from pvs_bidsapp.training.recipes import M2SS

SCRIPT = Path(__file__).resolve().parents[3] / 'benchmarks' / 'carry_training.py'


@pytest.fixture(scope='module')
def carry():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trained(tmp_path) -> Path:
    """The folder of a training with checkpoints of 40 kB."""
    folder = tmp_path / 'model'
    weights = {'w': torch.arange(1000.0)}
    state = {
        'network': weights, 'average': weights, 'optimizer': {'state': {0: weights}}, 'schedule': {},
        'scaler': {}, 'step': 7, 'best': 0.5, 'best_step': 4, 'losses': [1.0], 'minutes': 2.0,
    }  # fmt: skip
    (folder / 'checkpoints').mkdir(parents=True)
    for name in ('last.pt', 'best.pt'):
        write_checkpoint(folder / 'checkpoints' / name, state, TrainingConfig(recipe=M2SS))
    (folder / 'checkpoints' / 'log.csv').write_text('step\n')
    (folder / 'split.json').write_text('{}')
    (folder / 'cache').mkdir()
    (folder / 'cache' / 'large.npz').write_bytes(bytes(10**6))
    return folder


def test_a_training_comes_back_from_its_pieces(carry, trained, tmp_path):
    pieces = carry.split(trained, tmp_path / 'pieces', 5000)
    assert len(pieces) > 2
    assert all(path.stat().st_size <= 5000 for path in pieces)
    assert sum(path.stat().st_size for path in pieces) < 60_000  # without the cache
    carry.join(tmp_path / 'pieces', tmp_path / 'back')
    for name in ('checkpoints/last.pt', 'checkpoints/log.csv', 'split.json'):
        assert (tmp_path / 'back' / name).read_bytes() == (trained / name).read_bytes()
    best, whole = (read_checkpoint(f / 'checkpoints' / 'best.pt') for f in (tmp_path / 'back', trained))
    assert best.keys() == {'average', 'plan', 'step', 'best', 'best_step', 'minutes'}
    torch.testing.assert_close(best['average'], whole['average'])
    assert best['plan'] == whole['plan']


def test_pieces_of_an_earlier_slice_do_not_stay(carry, trained, tmp_path):
    carry.split(trained, tmp_path / 'pieces', 5000)
    (last,) = carry.split(trained, tmp_path / 'pieces', 10**6)
    assert {p.name for p in (tmp_path / 'pieces').iterdir()} == {last.name, 'pieces.json'}


@pytest.mark.parametrize(
    ('damage', 'named'),
    [
        (lambda p: p.unlink(), 'piece-001: not there'),
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), 'piece-001: damaged (4999 of 5000 bytes'),
        (lambda p: p.write_bytes(bytes(5000)), 'piece-001: damaged'),
        (lambda p: p.with_name('pieces.json').unlink(), 'pieces.json: not there'),
    ],
)
def test_nothing_is_written_from_damaged_pieces(carry, trained, tmp_path, damage, named):
    damage(carry.split(trained, tmp_path / 'pieces', 5000)[1])
    with pytest.raises(SystemExit, match=named.replace('(', r'\(')):
        carry.join(tmp_path / 'pieces', tmp_path / 'back')
    assert not (tmp_path / 'back').exists()


def test_without_a_checkpoint_there_is_nothing_to_carry(carry, tmp_path):
    with pytest.raises(SystemExit, match='no checkpoint'):
        carry.split(tmp_path, tmp_path / 'pieces', 5000)


def test_cropped_label_maps_give_the_same_patches(carry, tmp_path):
    shape = np.array([70, 80, 75])
    grid = np.stack(np.indices(shape), -1) - shape / 2
    distance = np.linalg.norm(grid, axis=-1)
    labels = np.where(distance < 34, 506, 0)
    labels[distance < 15], labels[distance < 14] = 24, 3
    white = distance < 11
    labels[white] = np.where(grid[white][:, 0] < 0, 2, 41)
    labels[distance < 3] = 4
    (tmp_path / 'maps').mkdir()
    whole = tmp_path / 'maps' / 'one.nii.gz'
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    nib.save(nib.Nifti1Image(np.pad(labels, 20).astype(np.float32), affine), whole)
    with tarfile.open(carry.pack_maps(tmp_path / 'maps', tmp_path / 'kit', 12)) as tar:
        tar.extractall(tmp_path / 'kit', filter='data')
    cropped = tmp_path / 'kit' / 'label-maps' / 'one.nii'
    assert nib.load(cropped).shape < nib.load(whole).shape
    one, two = (prepare_source(load_label_map(path)) for path in (whole, cropped))
    for name in ('voxels', 'labels', 'directions', 'spacing', 'name'):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_an_empty_folder_is_told(carry, tmp_path, monkeypatch):
    (tmp_path / '._hidden.nii').touch()
    monkeypatch.setattr('sys.argv', ['carry_training.py', 'maps', str(tmp_path), str(tmp_path / 'kit')])
    with pytest.raises(SystemExit, match=f'LABEL_MAPS {tmp_path}'):
        carry.main()
    assert not (tmp_path / 'kit').exists()
