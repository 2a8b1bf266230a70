import gzip

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from pvs_bidsapp.anatomy.conform import load_scan
from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.outputs.simulated_scans import (
    write_changed_scan,
    write_participants,
    write_people,
    write_sessions,
)


@pytest.mark.parametrize(
    ('dtype', 'slope', 'expected'),
    [
        (np.uint8, None, np.uint8),
        (np.float32, None, np.float32),
        (np.int16, 0.5, np.float32),
        ('>i2', None, np.int16),
        (np.int64, None, np.int32),
    ],
)
def test_a_changed_scan_keeps_its_type_unless_values_are_scaled(tmp_path, rng, dtype, slope, expected):
    """Voxels that were not changed keep their value; the change is in the units of the file."""
    values = rng.integers(1, 250, (30, 31, 32))
    source = nib.Nifti1Image(values.astype(dtype), np.diag([-3.0, 3, 3, 1]), dtype=dtype)
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
    tolerance = 1e-3 if expected == np.float32 else 0.5
    assert written.get_fdata()[place] == pytest.approx(wanted, abs=tolerance)


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


def test_a_changed_scan_bears_nothing_that_the_header_of_the_original_says_of_a_person(tmp_path, rng):
    source = nib.Nifti1Image(rng.integers(1, 250, (30, 31, 32)).astype(np.int16), np.diag([3.0, 3, 3, 1]))
    secret = b'Doe^Jane'
    source.header['descrip'] = source.header['aux_file'] = source.header['db_name'] = secret
    source.header['intent_name'] = secret
    source.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'PatientName=Doe^Jane'))
    path = tmp_path / 'sub-01_T1w.nii'
    nib.save(source, path)
    path.with_suffix('.json').write_text('{"PatientName": "Doe^Jane", "PatientBirthDate": "19700101"}')
    assert secret in path.read_bytes()
    scan, names = load_scan(path), Naming.of(tmp_path / 'out', path)
    write_changed_scan(names, path, 'T1w', scan, scan.image)
    written = [p for p in (tmp_path / 'out').rglob('*') if p.is_file()]
    assert {p.name for p in written} == {'sub-01_T1w.nii.gz', 'sub-01_T1w.json'}
    for file in written:
        content = gzip.decompress(file.read_bytes()) if file.suffix == '.gz' else file.read_bytes()
        assert b'Jane' not in content
        assert b'Patient' not in content


def test_of_people_only_age_and_sex_are_taken_over(tmp_path):
    people = pd.DataFrame({
        'participant_id': ['sub-01', 'sub-02', 'sub-03', 'sub-04'],
        'age': [40, 41.5, 'Jane', 400],
        'sex': ['F', 'male', 'Doe', np.nan],
        'PatientName': ['Doe^Jane'] * 4,
        'birth_date': ['1970-01-01'] * 4,
    })  # fmt: skip
    write_people(tmp_path, people, ['sub-03', 'sub-01', 'sub-02', 'sub-05'])
    rows = [line.split('\t') for line in (tmp_path / 'participants.tsv').read_text().splitlines()]
    assert rows[:3] == [['participant_id', 'age', 'sex'], ['sub-01', '40', 'F'], ['sub-02', '41.5', 'M']]
    assert rows[3:] == [['sub-03', 'n/a', 'n/a'], ['sub-05', 'n/a', 'n/a']]
    assert 'Jane' not in (tmp_path / 'participants.json').read_text()


def test_without_a_table_there_are_the_identifiers(tmp_path):
    write_people(tmp_path, None, ['sub-02', 'sub-01'])
    assert (tmp_path / 'participants.tsv').read_text() == 'participant_id\nsub-01\nsub-02\n'
    assert (tmp_path / 'participants.json').read_text() == '{}\n'
