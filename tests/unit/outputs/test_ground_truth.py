"""Reading the ground truth of simulated heads back."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from refusals import refused

from pvs_bidsapp.bids.labelled_scans import LabelledScan
from pvs_bidsapp.messages import options, scans
from pvs_bidsapp.outputs.ground_truth import read_head_geometry

FILES = {
    'seg-aseg_dseg': np.int16, 'label-PVS_probseg': np.float32, 'desc-pvs_dseg': np.int16,
    'desc-mimics_dseg': np.uint8, 'desc-brain_mask': np.uint8,
}  # fmt: skip


@pytest.fixture
def head(tmp_path):
    """A head of 20 voxels, whose voxel order is not RAS."""
    scan = LabelledScan(
        name='sub-01', anat=tmp_path / 'sub-01_T1w.nii.gz', t2w=None, label=None, brain=None, tissues=None,
        labels_dir=tmp_path,
    )  # fmt: skip
    data = np.zeros((20, 20, 20))
    data[4:16, 5:15, 6:14] = 1
    for name, dtype in FILES.items():
        save(file(scan, name), data.astype(dtype))
    return scan


def file(scan: LabelledScan, name: str) -> Path:
    return scan.labels_dir / 'sub-01' / 'anat' / f'sub-01_{name}.nii.gz'


def save(path, data, size=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.diag([-size, size, size, 1])), path)


def test_a_head_in_its_own_order(head):
    labels = np.zeros((20, 20, 20), np.int16)
    labels[4, 5, 6] = 41
    save(file(head, 'seg-aseg_dseg'), labels)
    geometry = read_head_geometry(head, (0.8, 1.2))
    assert geometry.spacing == 1.0
    assert np.argwhere(geometry.labels == 41).tolist() == [[4, 5, 6]]
    assert (geometry.brain.sum(), geometry.occupancy.max()) == (12 * 10 * 8, 255)


def test_heads_that_cannot_be_used(head):
    with refused(options.PAINT_VOXEL_SIZE, naming='1 mm'):
        read_head_geometry(head, (0.5, 0.6))
    brain = file(head, 'desc-brain_mask')
    save(brain, np.zeros((20, 20, 20), np.uint8))
    with refused(options.PAINT_NO_BRAIN, naming=brain.name):
        read_head_geometry(head, (0.8, 1.2))
    save(brain, np.ones((20, 20, 21), np.uint8))
    with refused(options.PAINT_PARTS_DIFFER, naming=brain.name):
        read_head_geometry(head, (0.8, 1.2))
    brain.write_bytes(brain.read_bytes()[:60])
    with refused(scans.DAMAGED, naming=brain.name):
        read_head_geometry(head, (0.8, 1.2))
    brain.unlink()
    with refused(options.PAINT_NO_HEAD, naming=brain.name):
        read_head_geometry(head, (0.8, 1.2))
