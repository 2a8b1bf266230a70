"""T1w or T2w by the image alone: on balls of brain, skull and ventricle, and on real scans."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from phantoms import ball

from pvs_bidsapp.anatomy.conform import load_scan
from pvs_bidsapp.anatomy.contrast import tell_contrast

DATA = Path(__file__).resolve().parents[4] / 'shared' / 'data'
SHAPE, CENTRE = (64, 72, 64), (32, 36, 32)
#: Brightness of brain, CSF and scalp.
LEVELS = {'T1w': (100, 30, 130), 'T2w': (60, 200, 40)}
REAL = {
    'bids-real/sub-stripped/anat/sub-stripped_T1w.nii.gz': 'T1w',
    'bids-real/sub-adi/**/sub-adi_T2w.nii.gz': 'T2w',
    'bids-t2w/sub-M2265/**/*_T2w.nii.gz': 'T2w',
    'bids-lesions/sub-*/**/*_T2w.nii.gz': 'T2w',
}


def head(contrast, rng, *, stripped):
    """A head of 3 mm: ventricles of a fortieth of the brain, CSF about it, noise, and a field."""
    brain, csf, scalp = LEVELS[contrast]
    image = np.zeros(SHAPE, np.float32)
    for radius, level in ((28, scalp), (24, csf), (22, brain), (6, csf)):
        image[ball(SHAPE, CENTRE, radius)] = level
    if stripped:
        image[~ball(SHAPE, CENTRE, 22)] = 0
    field = 1 + 0.2 * np.linspace(-1, 1, SHAPE[1])[:, None]
    noise = np.where(image > 0, rng.normal(0, 4, SHAPE), 0)
    return nib.Nifti1Image((image * field + noise).astype(np.float32), np.diag([3.0, 3, 3, 1]))


@pytest.mark.parametrize('stripped', [False, True])
@pytest.mark.parametrize('contrast', ['T1w', 'T2w'])
def test_it_is_told_by_the_ventricles(contrast, stripped, rng, tmp_path):
    nib.save(head(contrast, rng, stripped=stripped), tmp_path / 'scan.nii')
    assert tell_contrast(load_scan(tmp_path / 'scan.nii')) == contrast


@pytest.mark.parametrize(('pattern', 'contrast'), REAL.items())
def test_it_is_told_on_real_scans(pattern, contrast):
    path = next(iter(sorted(DATA.glob(pattern))), None)
    if path is None:
        pytest.skip('real scans are not there (../shared/data)')
    assert tell_contrast(load_scan(path)) == contrast
