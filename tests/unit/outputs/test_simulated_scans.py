import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from pvs_bidsapp.anatomy.conform import load_scan
from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.outputs.simulated_scans import write_changed_scan, write_participants, write_sessions


@pytest.mark.parametrize(
    ('dtype', 'slope', 'expected'),
    [
        (np.uint8, None, np.uint8),
        (np.float32, None, np.float32),
        (np.int16, 0.5, np.float32),
    ],
)
def test_a_changed_scan_keeps_its_type_unless_values_are_scaled(tmp_path, rng, dtype, slope, expected):
    """Voxels that were not changed keep their value; the change is in the units of the file."""
    values = rng.integers(1, 250, (30, 31, 32))
    source = nib.Nifti1Image(values.astype(dtype), np.diag([-3.0, 3, 3, 1]))
    if slope:
        source.header.set_slope_inter(slope, 0)
    path = tmp_path / 'sub-01_T1w.nii.gz'
    nib.save(source, path)
    scan = load_scan(path)
    image = scan.image.copy()
    image[20, 10, 10] += 300.4 / scan.unit
    names = Naming.of(tmp_path / 'out', path)
    write_changed_scan(names, path, 'T1w', scan, image)
    before, written = nib.load(path).get_fdata(), nib.load(names.anat('T1w'))
    assert written.get_data_dtype() == expected
    change = written.get_fdata() - before
    assert (change != 0).sum() == 1
    place = (9, 10, 10)  # the file runs from right to left
    wanted = 255 if expected == np.uint8 else before[place] + 300.4
    assert written.get_fdata()[place] == pytest.approx(wanted)


def test_earlier_participants_are_kept(tmp_path):
    row = {'age': 40.0, 'sex': 'F', 'site': 'n/a', 'rating': 1}
    write_participants(tmp_path, [{'participant_id': 'sub-0002', **row}])
    write_participants(tmp_path, [{'participant_id': f'sub-{k:04d}', **row, 'rating': 3} for k in (1, 3)])
    table = pd.read_csv(tmp_path / 'participants.tsv', sep='\t')
    assert table['participant_id'].tolist() == ['sub-0001', 'sub-0002', 'sub-0003']
    assert table['rating'].tolist() == [3, 1, 3]
    assert (tmp_path / 'participants.json').exists()


def test_sessions(tmp_path):
    write_sessions(tmp_path, 'sub-0001', (40.0, 42.0))
    table = pd.read_csv(tmp_path / 'sub-0001' / 'sub-0001_sessions.tsv', sep='\t')
    assert table['session_id'].tolist() == ['ses-1', 'ses-2']
    assert table['age'].tolist() == [40.0, 42.0]
