"""A T2w that cannot be used ends a scan only if the model needs it."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nipype.interfaces.base import isdefined
from phantoms import ball
from refusals import refused

from pvs_bidsapp.interfaces.anatomy import Coregister
from pvs_bidsapp.messages import scans


@pytest.fixture
def inputs(tmp_path):
    """A slab of a T2w beside a T1w."""
    shape = (70, 70, 70)
    data = np.where(ball(shape, (35, 35, 35), 25), 100, 5).astype(np.int16)

    def save(name, image):
        nib.save(nib.Nifti1Image(image, np.eye(4)), tmp_path / name)
        return str(tmp_path / name)

    return {
        't2w': save('sub-01_T2w.nii', data[:, :, :20]),
        't1w': save('t1w.nii', data),
        'reference': save('native.nii', data),
        'brain': save('brain.nii', (data > 50).astype(np.uint8)),
        'seed': 1,
    }


def test_it_is_left_out_with_a_finding(inputs, tmp_path):
    outputs = Coregister(is_channel=False, **inputs).run(cwd=str(tmp_path)).outputs
    assert not isdefined(outputs.out_file)
    (finding,) = json.loads(Path(outputs.quality).read_text())['findings']
    assert finding['code'] == scans.T2W_LEFT_OUT.code
    assert 'whole head' in finding['finding']
    assert str(tmp_path) not in finding['finding']


def test_a_scan_whose_model_needs_it_is_refused(inputs, tmp_path):
    with refused(scans.T2W_UNUSABLE, naming='whole head'):
        Coregister(is_channel=True, **inputs).run(cwd=str(tmp_path))
