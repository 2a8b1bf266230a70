"""The table of the suites: heads whose T2w has thick slices by themselves."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope='module')
def suites(script):
    with script('suites') as module:
        yield module


def test_heads_with_thick_slices_are_given_by_themselves(suites, tmp_path):
    for label, voxel in (('01', 1.0), ('02', 2.5), ('03', 0.8)):
        path = tmp_path / f'sub-{label}' / 'anat' / f'sub-{label}_T2w.nii.gz'
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.diag([0.8, 0.8, voxel, 1])), path)
    rows = [('sub-01', 'all', 0, 0.8), ('sub-02', 'all', 0, 0.4), ('sub-03', 'all', 0, 0.6),
            ('sub-01', 'all', 5, 0.1), ('sub-02', 'DWM', 0, 0.1)]  # fmt: skip
    table = pd.DataFrame(rows, columns=['scan', 'region', 'min_size_mm3', 'dice'])
    table.to_csv(tmp_path / 'evaluation.tsv', sep='\t', index=False)
    assert suites.dice_by_slices(tmp_path, tmp_path) == ['0.700 (2)', '0.400 (1)']


def test_dice_and_volume_by_threshold(suites, tmp_path):
    def write(folder: str, name: str, values: list[float]) -> None:
        path = tmp_path / folder / 'sub-01' / 'anat' / f'sub-01_label-PVS_{name}.nii.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.array(values, np.float32).reshape(5, 1, 1), np.eye(4)), path)

    write('out', 'mask', [1, 1, 0, 0, 0])
    write('out', 'probseg', [0.9, 0.5, 0.25, 0.0, 0.0])
    write('references', 'mask', [1, 1, 0, 0, 0])
    cells = suites.dice_by_threshold(tmp_path / 'out', tmp_path / 'references')
    assert cells == ['0.800 (50 %)', '1.000 (0 %)', '1.000 (0 %)', '1.000 (0 %)', '0.667 (50 %)']


def test_the_mean_of_one_head_has_no_interval(script):
    with script('experiment') as experiment:
        assert experiment.interval(0.5, 0.4, 0.6) == '0.50 [0.40, 0.60]'
        assert experiment.interval(12.0, float('nan'), float('nan'), 0) == '12 [n/a]'
        assert experiment.summary({'mean': 0.5, 'ci_low': None, 'ci_high': None}) == '0.50 [n/a]'
