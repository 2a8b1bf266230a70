"""A brain mask and a segmentation of another program are used as they are, on whatever grid they lie."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from pvs_bidsapp.anatomy import template, tissues
from pvs_bidsapp.anatomy.morphology import bounding_box
from pvs_bidsapp.interfaces.anatomy import ExtractBrain


@pytest.fixture(scope='module')
def scan(tmp_path_factory):
    """The template's brain as a stripped scan, cut out and made smaller so that it registers quickly."""
    folder = tmp_path_factory.mktemp('ready')
    atlas = template.load()
    box = bounding_box(atlas.brain_mask, 6)
    affine = atlas.affine.copy()
    affine[:3, 3] += [s.start for s in box]
    affine[:3] *= 0.75
    brain = atlas.brain_mask[box]
    classes = np.select([atlas.wm[box] > 0.5, atlas.gm[box] > 0.5], [2, 1], 3) * brain  # fMRIPrep's codes

    def save(name, data, affine):
        nib.save(nib.Nifti1Image(data, affine), folder / name)
        return str(folder / name)

    half = affine @ np.diag([2, 2, 2, 1])  # the mask and the segmentation have grids of their own
    return {
        'in_file': save('t1w.nii', atlas.t1w[box] * brain, affine),
        'brain_mask': save('mask.nii', brain[::2, ::2, ::2].astype(np.uint8), half),
        'segmentation': save('dseg.nii', classes.astype(np.uint8), affine),
    }


@pytest.fixture(scope='module')
def outputs(scan, tmp_path_factory):
    node = ExtractBrain(seed=1, source=scan['in_file'], **scan)
    return node.run(cwd=str(tmp_path_factory.mktemp('node'))).outputs


def load(path):
    return np.asarray(nib.load(path).dataobj)


def test_the_mask_is_used_as_it_is(scan, outputs):
    given, brain = load(scan['brain_mask']) > 0, load(outputs.brain) > 0
    inner = np.zeros(brain.shape, bool)
    inner[::2, ::2, ::2] = given
    assert brain[inner].all()  # every voxel of the mask's own grid
    assert brain.sum() == pytest.approx(8 * given.sum(), rel=0.05)
    assert outputs.stripped


def test_the_segmentation_is_used_as_it_is(scan, outputs):
    classes, given, brain = load(outputs.tissues), load(scan['segmentation']), load(outputs.brain) > 0
    for code, tissue in ((1, tissues.GM), (2, tissues.WM)):
        np.testing.assert_array_equal(classes[brain & (given == code)], tissue)
    assert (classes[brain] > 0).all()
    assert not classes[~brain].any()
