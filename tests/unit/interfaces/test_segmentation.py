"""The step of segmentation: what it refuses, and that its masks can be repeated."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from model_cards import card
from refusals import refused

from pvs_bidsapp.interfaces.segmentation import ReadMask, Segment
from pvs_bidsapp.messages import models
from pvs_bidsapp.runtime.files import save_image
from pvs_bidsapp.segmentation.model import write_model
from pvs_bidsapp.segmentation.networks import build


def test_a_model_of_two_channels_needs_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    architecture = {'name': 'm2ss', 'in_channels': 2, 'filters': 2, 'side_filters': 2, 'levels': 2}
    two = card(name='two', channels=('T1w', 'T2w'), architecture=architecture)
    write_model(tmp_path / 'two', build(architecture), two)
    scan = tmp_path / 'scan.nii'
    save_image(scan, np.ones((4, 4, 4), np.float32), np.eye(4))
    images = dict.fromkeys(('anat', 'brain', 'tissues', 'regions'), str(scan))
    step = Segment(**images, model=str(tmp_path / 'two'))
    with refused(models.NEEDS_CHANNEL, naming='the model two needs a T2w'):
        step.run()


@pytest.fixture
def images(rng, tmp_path):
    """A small head: images of the step by the names of its inputs."""
    shape = (44, 40, 36)
    brain, tissues, regions = (np.zeros(shape, np.uint8) for _ in range(3))
    brain[2:42, 2:38, 2:34], tissues[2:42, 2:38, 2:34] = 1, 3
    tissues[10:14, 10:14, 10:14], regions[8:36, 8:30, 8:28] = 1, 1
    t1w = np.where(tissues == 1, 0.3, 1.0) * rng.uniform(0.8, 1.2, shape)
    arrays = {'anat': t1w.astype(np.float32), 'brain': brain, 'tissues': tissues, 'regions': regions}
    for name, array in arrays.items():
        save_image(tmp_path / f'{name}.nii', array, np.eye(4), array.dtype)
    return {name: str(tmp_path / f'{name}.nii') for name in arrays}


def test_a_map_is_the_same_bit_by_bit_again_and_on_two_threads(images, tmp_path, monkeypatch):
    maps, told = [], []
    for number, threads in enumerate((1, 1, 2)):
        (folder := tmp_path / str(number)).mkdir()
        monkeypatch.chdir(folder)
        step = Segment(**images, model='joliot2021-t1', num_threads=threads)
        outputs = step.run(cwd=str(folder)).outputs
        maps.append(nib.load(outputs.probability).get_fdata(dtype=np.float32))
        told.append(outputs.inference)
    assert 0 < maps[0].max() <= 1
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])
    assert told[0]['Precision'] == 'fp32'
    assert told[0]['Engine'].startswith('OpenVINO')


def test_a_ready_made_mask_is_certain_wherever_it_lies(tmp_path, monkeypatch):
    """It is given in voxels of 1 mm in another order, and taken to a grid of 1 mm that begins elsewhere."""
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((60, 62, 64), np.uint8)
    mask[20:23, 30:31, 40:44] = 1
    save_image(tmp_path / 'mask.nii', mask, np.diag([-1.0, 1, 1, 1]))
    shift = np.eye(4)
    shift[:3, 3] = -59, 2, 0
    for name in ('anat', 'source'):
        save_image(tmp_path / f'{name}.nii', np.ones((60, 62, 64), np.float32), shift)
    step = ReadMask(**{name: str(tmp_path / f'{name}.nii') for name in ('mask', 'anat', 'source')})
    found = nib.load(step.run(cwd=str(tmp_path)).outputs.probability)
    expected = np.zeros(mask.shape)
    expected[37:40, 28:29, 40:44] = 1
    np.testing.assert_array_equal(found.get_fdata(), expected)
    np.testing.assert_array_equal(found.affine, shift)
