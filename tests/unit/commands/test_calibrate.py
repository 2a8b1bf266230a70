"""``pvs calibrate``: what it fits, what it writes, and what it refuses."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from model_cards import SMALL, card
from refusals import refused

from pvs_bidsapp.anatomy.regions import REGIONS
from pvs_bidsapp.cli.main import main
from pvs_bidsapp.commands.calibrate import measure, run
from pvs_bidsapp.messages import masks, models
from pvs_bidsapp.outputs.evaluation import find_mask_pairs
from pvs_bidsapp.segmentation.model import load_model, write_model
from pvs_bidsapp.segmentation.networks import build

SHAPE = (24, 20, 12)
SHARE = 0.5  # of the spaces that the mask and the probabilities hold


def put(root: Path, label: str, name: str, data: np.ndarray) -> Path:
    path = root / f'sub-{label}' / 'anat' / f'sub-{label}_{name}.nii.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path


def put_scan(root: Path, label: str, sha256: str, rng: np.random.Generator) -> None:
    """Spaces of one voxel, some of them found, in two regions."""
    regions = np.full(SHAPE, REGIONS[0].index, np.uint8)
    regions[12:] = REGIONS[1].index
    truth = np.zeros(SHAPE, np.uint8)
    truth[::2, ::2, ::2] = rng.random((12, 10, 6)) < rng.uniform(0.05, 0.3)
    found = truth * (rng.random(SHAPE) < SHARE)
    put(root / 'labels', label, 'label-PVS_mask', truth)
    mask = put(root / 'out', label, 'label-PVS_mask', found.astype(np.uint8))
    put(root / 'out', label, 'label-PVS_probseg', (0.8 * found).astype(np.float32))
    put(root / 'out', label, 'seg-regions_dseg', regions)
    sidecar = {'ModelName': 'mine', 'ModelSHA256': sha256, 'Threshold': 0.5, 'MinimumClusterSize': 0.0}
    mask.with_name(f'sub-{label}_label-PVS_mask.json').write_text(json.dumps(sidecar))


@pytest.fixture
def labelled(tmp_path) -> Path:
    """A model, and ten scans that it was used on, with references."""
    sha256 = write_model(tmp_path / 'model', build(SMALL), card()).sha256
    rng = np.random.default_rng(3)
    for k in range(10):
        put_scan(tmp_path, f'{k:02d}', sha256, rng)
    return tmp_path


def calibrate(root: Path):
    return run(root / 'out', root / 'labels', root / 'model')


def test_the_card_gets_what_was_fitted_and_the_weights_stay(labelled, caplog):
    weights = (labelled / 'model' / 'model.safetensors').read_bytes()
    with caplog.at_level(logging.WARNING):
        outcome = calibrate(labelled)
    assert outcome.burden.n_scans == 10
    assert outcome.burden.count.scale == pytest.approx(1 / (SHARE * 0.8), rel=0.15)
    assert outcome.burden.volume.scale == pytest.approx(1 / (SHARE * 0.8), rel=0.15)
    assert load_model(labelled / 'model').card.burden == outcome.burden.entry()
    assert (labelled / 'model' / 'model.safetensors').read_bytes() == weights
    assert outcome.covered['count'] >= 7  # the extremes of nine hold eight of ten
    assert masks.NARROW_CALIBRATION.text.format(count=10) in caplog.text


def test_the_command_prints_what_it_found_and_fails_for_a_damaged_file(labelled, capsys, caplog):
    put_scan(labelled, 'bad', load_model(labelled / 'model').card.sha256, np.random.default_rng(4))
    bad = labelled / 'labels/sub-bad/anat/sub-bad_label-PVS_mask.nii.gz'
    bad.write_bytes(bad.read_bytes()[:60])
    status = main(['calibrate', *(str(labelled / name) for name in ('out', 'labels', 'model'))])
    assert status == 1
    assert str(bad) in caplog.text
    printed = capsys.readouterr().out
    assert '10 scans' in printed
    assert f'written to {(labelled / "model" / "model.json").resolve()}' in printed


def test_the_name_of_a_bundled_model_is_refused_and_its_card_stays(labelled, monkeypatch):
    (labelled / 'model').rename(labelled / 'ours')
    monkeypatch.setattr('pvs_bidsapp.segmentation.model.BUNDLED', labelled)
    before = (labelled / 'ours' / 'model.json').read_bytes()
    with refused(models.BUNDLED, naming='MODEL_DIR ours', status=2):
        run(labelled / 'out', labelled / 'labels', Path('ours'))
    assert main(['calibrate', str(labelled / 'out'), str(labelled / 'labels'), './ours']) == 2
    assert (labelled / 'ours' / 'model.json').read_bytes() == before
    assert run(labelled / 'out', labelled / 'labels', labelled / 'ours').card.parent.name == 'ours'


def test_too_few_scans_are_refused_and_the_card_stays(labelled):
    (labelled / 'labels/sub-09/anat/sub-09_label-PVS_mask.nii.gz').unlink()
    with refused(masks.FEW_FOR_CALIBRATION, naming=str(labelled / 'out')):
        calibrate(labelled)
    assert load_model(labelled / 'model').card.burden is None


def test_masks_of_another_model_are_refused(labelled):
    put_scan(labelled, '03', '1' * 64, np.random.default_rng(3))
    with refused(masks.OTHER_MODEL, naming='sub-03_label-PVS_mask.json'):
        calibrate(labelled)


def test_a_scan_without_its_maps_is_named(labelled):
    next((labelled / 'out/sub-04/anat').glob('*regions*')).unlink()
    pairs = {pair.scan: pair for pair in find_mask_pairs(labelled / 'out', labelled / 'labels').pairs}
    with refused(masks.NOTHING_TO_CALIBRATE, naming='sub-04_label-PVS_mask.nii.gz'):
        measure(pairs['sub-04'])
