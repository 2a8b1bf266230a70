"""What the viewer of a page is given."""

from __future__ import annotations

import gzip
from base64 import b64decode

import nibabel as nib
import numpy as np
import pytest
from finished_scans import AFFINE, head

from pvs_bidsapp.reports import viewer
from pvs_bidsapp.reports.viewer import IMAGES, niivue_module, write_images


@pytest.fixture
def arrays():
    return head()


def images(folder, arrays):
    scans = {'T1w': arrays.pop('t1w'), 'T2w': arrays.pop('t2w')}
    made = write_images(scans, AFFINE, folder=folder, **arrays)
    return {name: nib.load(path) for name, path in made.items()}


def test_niivue_comes_from_its_wheel_without_the_application_around_it():
    script = gzip.decompress(b64decode(niivue_module())).decode()
    assert script.rstrip().endswith('as Niivue };')
    assert 'DOMContentLoaded' not in script
    assert '</script' not in niivue_module()


def test_without_the_wheel_there_is_no_viewer(monkeypatch):
    niivue_module.cache_clear()
    monkeypatch.setattr(viewer, 'find_spec', lambda name: None)
    assert niivue_module() is None
    niivue_module.cache_clear()


def test_images_show_the_box_of_the_brain_at_their_place(tmp_path, arrays):
    clusters, brain = arrays['clusters'], arrays['brain'] > 0
    made = images(tmp_path, arrays)
    assert set(made) == set(IMAGES)
    shapes = {image.shape for image in made.values()}
    assert len(shapes) == 1
    assert np.prod(shapes.pop()) < brain.size
    for index in range(1, 5):
        centres = []
        for image in (nib.Nifti1Image(clusters, AFFINE), made['viewClusters']):
            voxel = np.argwhere(np.asarray(image.dataobj) == index).mean(0)
            centres.append(nib.affines.apply_affine(image.affine, voxel))
        np.testing.assert_allclose(*centres, atol=1e-3)


def test_nothing_outside_the_brain_is_shown(tmp_path, arrays):
    volume = int(arrays['brain'].sum())
    made = images(tmp_path, arrays)
    for name in ('viewT1w', 'viewT2w'):
        data = np.asarray(made[name].dataobj)
        assert data.dtype == np.uint8
        assert np.count_nonzero(data) == volume
        assert data.max() > 180  # most of the 255 levels are used


def test_a_scan_that_takes_much_room_has_fewer_levels(tmp_path, arrays, monkeypatch, rng):
    arrays['t1w'] = rng.uniform(0, 100, arrays['t1w'].shape).astype(np.float32)
    fine = np.asarray(images(tmp_path, dict(arrays))['viewT1w'].dataobj)
    monkeypatch.setattr(viewer, 'MOST_BYTES', 20_000)
    coarse = np.asarray(images(tmp_path, dict(arrays))['viewT1w'].dataobj)
    assert len(np.unique(coarse)) <= 64 < len(np.unique(fine))
    inside = coarse > 0
    assert np.abs(coarse[inside].astype(int) - fine[inside]).max() <= 5


def test_a_scan_without_a_brain_is_no_error(tmp_path, arrays):
    arrays['brain'] = np.zeros_like(arrays['brain'])
    made = images(tmp_path, arrays)
    assert not np.asarray(made['viewT1w'].dataobj).any()
