"""The challenge's contract: one scan in, two images out; no step of the workflow is run."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from layouts import put, put_images, put_results
from refusals import refused

from pvs_bidsapp.cli.main import main
from pvs_bidsapp.commands.challenge import find_input, options_for
from pvs_bidsapp.messages import datasets
from pvs_bidsapp.runtime.files import save_image
from pvs_bidsapp.segmentation.model import load_model
from pvs_bidsapp.workflows import engine

SHAPE = (60, 60, 60)
AFFINE = np.array([[0, 3.0, 0, -80], [-3.0, 0, 0, 90], [0, 0, 3.0, -70], [0, 0, 0, 1]])


@pytest.fixture
def found(rng):
    """Probabilities in steps of their file, and the mask at 0.5."""
    probability = (rng.integers(0, 2**15, SHAPE) / 2**15).astype(np.float32)
    return probability, probability >= 0.5


@pytest.fixture
def worked_on(monkeypatch, found):
    """Finish every scan at once with these results; returns the settings."""
    given = []

    def run_scans(scans, settings, failures, *, total, on_end):
        for scan in scans:
            given.append(settings)
            put_results(scan, settings)
            anat = settings.out_dir / scan.anat.parent.relative_to(settings.bids_dir)
            stem = scan.anat.name.split('_T1w')[0]
            save_image(anat / f'{stem}_label-PVS_probseg.nii.gz', found[0], AFFINE, np.int16, step=2.0**-15)
            save_image(anat / f'{stem}_label-PVS_mask.nii.gz', found[1], AFFINE, np.uint8)
            on_end(scan)

    monkeypatch.setattr(engine, 'run_scans', run_scans)
    return given


@pytest.fixture
def folder(tmp_path):
    """A folder with one scan of odd name, and files that are no scans."""
    put(tmp_path, 'in/.hidden.nii', 'in/readme.txt')
    save_image(tmp_path / 'in' / 'sub-1_x.T1w.nii.gz', np.ones(SHAPE, np.uint8), AFFINE)
    return tmp_path / 'in'


def test_posterior_and_mask_lie_on_the_grid_of_the_scan(folder, tmp_path, worked_on, found):
    output = tmp_path / 'out'
    options = ('--modality', 'T1w', '--device', 'cpu', '--threshold', '0.5', '-w', str(tmp_path))
    assert main(['challenge', str(folder), str(output), *options]) == 0
    assert sorted(p.name for p in output.iterdir()) == [
        'sub-1_x.T1w_pvs_mask.nii.gz', 'sub-1_x.T1w_pvs_posterior.nii.gz',
    ]  # fmt: skip
    posterior = nib.load(output / 'sub-1_x.T1w_pvs_posterior.nii.gz')
    mask = nib.load(output / 'sub-1_x.T1w_pvs_mask.nii.gz')
    assert (posterior.get_data_dtype(), mask.get_data_dtype()) == (np.float64, np.uint8)
    np.testing.assert_array_equal(posterior.get_fdata(), found[0])
    np.testing.assert_array_equal(np.asarray(mask.dataobj), found[1])
    for image in (posterior, mask):
        np.testing.assert_array_equal(image.affine, AFFINE)
    assert worked_on[0].analysis.threshold == 0.5
    assert sorted(p.name for p in tmp_path.iterdir()) == ['in', 'out']


def test_a_scan_whose_name_begins_like_an_option(folder, tmp_path, worked_on, monkeypatch):
    next(folder.glob('*.nii.gz')).rename(folder / '-T1w.nii.gz')
    monkeypatch.chdir(folder)
    assert main(['challenge', '.', str(tmp_path / 'out'), '--modality', 'T1w', '--device', 'cpu']) == 0
    assert (tmp_path / 'out' / '-T1w_pvs_mask.nii.gz').exists()


def test_nothing_is_written_if_the_scan_fails(folder, tmp_path, monkeypatch, capsys):
    def run_scans(scans, settings, failures, *, total, on_end):
        for scan in scans:
            on_end(scan)

    monkeypatch.setattr(engine, 'run_scans', run_scans)
    output = tmp_path / 'out'
    assert main(['challenge', str(folder), str(output), '--modality', 'T1w', '--device', 'cpu']) == 1
    assert 'sub-1_x.T1w.nii.gz: not finished' in capsys.readouterr().err
    assert not list(output.iterdir())


@pytest.mark.parametrize('names', [[], ['a.nii', 'b.nii.gz'], ['a.mgz']])
def test_there_has_to_be_one_image(tmp_path, names):
    (tmp_path / 'in').mkdir()
    put_images(tmp_path / 'in', *names)
    with refused(datasets.ONE_IMAGE, naming=str(tmp_path / 'in'), status=2):
        find_input(tmp_path / 'in')


@pytest.mark.parametrize('contrast', ['T1w', 'T2w'])
def test_each_contrast_has_a_bundled_model_of_its_own(folder, contrast):
    _, model, *rest = options_for(find_input(folder), contrast)
    assert load_model(model).card.channels == (contrast,)
    assert rest == ['--modality', contrast]
