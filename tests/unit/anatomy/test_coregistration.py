"""Whether a T2w lies on its T1w; its registration is tested with whole scans."""

import tempfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from disguises import write
from phantoms import coarse_template
from refusals import refused

from pvs_bidsapp.anatomy.conform import load_scan
from pvs_bidsapp.anatomy.coregistration import check_alignment, contrast_correlation
from pvs_bidsapp.anatomy.registration import Transform
from pvs_bidsapp.messages import scans

IDENTITY = Transform((), ())


@pytest.fixture(scope='module')
def atlas():
    return coarse_template()


@pytest.fixture
def scan(tmp_path, atlas):
    """An image on the template's grid, or on a part of it, as it is read from a file."""

    def make(image, part=slice(None)):
        whole = nib.Nifti1Image(np.rint(20 * image).astype(np.int16), atlas.affine)
        return load_scan(write(whole.slicer[:, :, part], tmp_path / 'scan.nii'))

    return make


@pytest.fixture
def no_mirror(monkeypatch):
    """The mirror image is not registered, which takes most of the time."""
    monkeypatch.setattr('pvs_bidsapp.anatomy.coregistration._mirrored', lambda *_: 0.0)


def check(atlas, scan):
    with tempfile.TemporaryDirectory() as folder:
        return check_alignment(scan, IDENTITY, atlas.t1w, atlas.brain_mask, atlas.affine, Path(folder))


def test_a_t2w_on_its_t1w_covers_the_brain(atlas, scan):
    found = check(atlas, scan(atlas.t2w))
    assert (found.covered, found.moved) == (1, 0)
    assert found.correlation < -0.3
    assert not found.is_mirrored  # the template is symmetric


def test_a_bias_field_does_not_matter(atlas, scan, no_mirror):
    field = np.exp(np.linspace(-0.7, 0.7, len(atlas.t1w))).reshape(-1, 1, 1).astype(np.float32)
    both = contrast_correlation(atlas.t1w * field, atlas.t2w * field, atlas.brain_mask)
    assert both == pytest.approx(contrast_correlation(atlas.t1w, atlas.t2w, atlas.brain_mask), abs=0.05)
    assert check(atlas, scan(atlas.t2w * field)).covered == 1


def test_a_part_of_the_brain_is_told(atlas, scan, no_mirror):
    heights = np.flatnonzero(atlas.brain_mask.any((0, 1)))
    assert 0.75 < check(atlas, scan(atlas.t2w, slice(heights[0] + 15, None))).covered < 0.99


def test_a_slab_is_refused(atlas, scan):
    with refused(scans.T2W_NO_OVERLAP):
        check(atlas, scan(atlas.t2w, slice(35, 68)))


@pytest.mark.parametrize('wrong', ['moved', 'turned', 'a T1w'])
def test_what_does_not_lie_on_the_t1w_is_refused(atlas, scan, wrong):
    image = {'moved': np.roll(atlas.t2w, 6, 1), 'turned': atlas.t2w[:, ::-1], 'a T1w': atlas.t1w}[wrong]
    with refused(scans.T2W_NO_FIT):
        check(atlas, scan(image))


def test_an_exchange_of_left_and_right_is_told(atlas, scan):
    """Of a head with structures on one side that the other side lacks."""
    t1w, t2w = atlas.t1w.copy(), atlas.t2w.copy()
    white = np.median(atlas.t1w[atlas.wm > 0.9])
    for place in ((25, 45, 45), (28, 70, 50), (30, 55, 55), (23, 60, 40)):
        box = tuple(slice(at - 3, at + 4) for at in place)
        t1w[box], t2w[box] = 0.3 * white, 1.5 * t2w.max() / 2
    lopsided = replace(atlas, t1w=t1w)
    assert not check(lopsided, scan(t2w)).is_mirrored
    assert check(lopsided, scan(t2w[::-1])).is_mirrored
