"""Results of participant are read whole, or refused by the name of the file."""

from __future__ import annotations

import json
import math

import pytest
from refusals import refused

from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.clusters.visual_grades import GRADES
from pvs_bidsapp.messages import people
from pvs_bidsapp.outputs import result_tables

COLUMNS = ('region', 'hemisphere', 'count', 'volume_mm3')
TABLE = 'region\themisphere\tcount\tvolume_mm3\textra\nall\tboth\t3\t12.5\tn/a\ndeep\tboth\t2\t10\t1\n'


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f'sub-0{k}_desc-pvs_stats.tsv' for k in range(3)]
    for path in paths:
        path.write_text(TABLE)
    return paths


def test_tables_are_joined_with_the_number_of_their_file(files):
    table, lengths = result_tables.read_tables(files, COLUMNS)
    assert lengths.tolist() == [2, 2, 2]
    assert table['table'].tolist() == [0, 0, 1, 1, 2, 2]
    assert table['count'].tolist() == [3, 2] * 3
    assert 'extra' in table
    only, _ = result_tables.read_tables(files, COLUMNS, only=True)
    assert 'extra' not in only


def test_line_ends_of_windows_and_quotes_do_not_matter(files):
    files[1].write_bytes(TABLE.replace('\n', '\r\n').encode())
    files[2].write_text(TABLE.replace('deep', '"deep'))
    table, lengths = result_tables.read_tables(files, COLUMNS)
    assert lengths.tolist() == [2, 2, 2]
    assert table['region'].tolist() == ['all', 'deep', 'all', 'deep', 'all', '"deep']


@pytest.mark.parametrize(
    ('content', 'word'),
    [
        (b'', 'it is empty'),
        (b'\n', 'it is empty'),
        (b'region\themisphere\n', 'it has no column count'),
        (TABLE.encode()[:-1], 'a row of it is incomplete'),
        (TABLE.encode()[:-4], 'a row of it is incomplete'),
        (TABLE.replace('\t10\t1', '\t10').encode(), 'a row of it is incomplete'),
        (TABLE.replace('\t10\t1', '\t10\t1\t1').encode(), 'a row of it is incomplete'),
        (TABLE.replace('all\t', '\n\nall\t').encode(), 'a row of it is incomplete'),
        (TABLE.replace('12.5', '\x00').encode(), 'a row of it is incomplete'),
        (TABLE.replace('12.5', '12\r5').encode(), 'a row of it is incomplete'),
        (TABLE.replace('\n', '\r', 2).encode(), 'a row of it is incomplete'),
        (TABLE.replace('12.5', 'many').encode(), "column volume_mm3 holds 'many'"),
        (TABLE.replace('12.5', '-12.5').encode(), 'column volume_mm3 holds'),
        (TABLE.replace('12.5', '1e999').encode(), 'column volume_mm3 holds'),
        (TABLE.replace('deep', 'n/a').encode(), 'column region holds'),
        (TABLE.replace('extra', 'other').encode(), 'its columns are not those of sub-00_desc-pvs_stats.tsv'),
        (b'\x93\xfe\x00\x11' * 50, 'it is no text'),
    ],
)
def test_a_damaged_table_is_refused_by_name(files, content, word):
    files[1].write_bytes(content)
    with refused(people.RESULT_DAMAGED, naming=f'{files[1]}: is damaged ({word}'):
        result_tables.read_tables(files, COLUMNS)


def test_the_first_table_is_not_trusted_more_than_the_others(files):
    files[0].write_text('region\n')
    with refused(people.RESULT_DAMAGED, naming='sub-00_desc-pvs'):
        result_tables.read_tables(files, COLUMNS)


def test_a_missing_table_is_refused_by_name(files):
    files[2].unlink()
    with refused(people.RESULT_MISSING, naming='sub-02_desc-pvs'):
        result_tables.read_tables(files, COLUMNS)
    files[2].mkdir()
    with refused(people.RESULT_MISSING, naming='sub-02_desc-pvs'):
        result_tables.read_tables(files, COLUMNS)


def test_a_huge_table_is_not_read(files, monkeypatch):
    monkeypatch.setattr(result_tables, 'MAX_TABLE', 50)
    with refused(people.RESULT_DAMAGED, naming='more than'):
        result_tables.read_tables(files, COLUMNS)


@pytest.mark.parametrize(
    ('old', 'new', 'word'),
    [
        ('deep\tboth', 'deep\tleft', 'no values for deep'),
        ('all\tboth\t3', 'all\tboth\tn/a', 'no values for all'),
        ('all\tboth', 'deep\tboth', 'two rows for deep (both)'),
    ],
)
def test_totals_have_to_be_there_once(files, old, new, word):
    files[1].write_text(TABLE.replace(old, new))
    table, _ = result_tables.read_tables(files, COLUMNS)
    with refused(people.RESULT_DAMAGED, naming=word):
        result_tables.check_totals(table, files, ('all', 'deep'))


SIDECAR = {
    'ModelName': 'm',
    'ModelSHA256': '0',
    'ModelUse': 'a',
    'ExcludedFromLesionShare': None,
    'Precision': 'fp32',
    'Threshold': 0.5,
    'MinimumClusterSize': 0,
    'BrainMaskVolume': 1e6,
}
VALUES = dict(zip(GRADES, (0, 1, 1, 3, 4), strict=True))
MADE_GRADES = {name: {'Value': value, 'Count': 7} for name, value in VALUES.items()}


def test_a_sidecar_gives_numbers(tmp_path):
    path = tmp_path / 'sub-01_desc-pvs_stats.json'
    path.write_text(json.dumps(SIDECAR | {'Other': 'x' * 1000, 'EstimatedVisualGrades': MADE_GRADES}))
    assert result_tables.read_sidecar(path) == SIDECAR | {'grades': VALUES}
    path.write_text(json.dumps({k: v for k, v in SIDECAR.items() if k != 'BrainMaskVolume'}))
    volume = result_tables.read_sidecar(path)['BrainMaskVolume']
    assert volume != volume  # NaN


@pytest.mark.parametrize('entry', [None, [], {}, {'zhu_basal_ganglia': 3}, {'zhu_basal_ganglia': {}}])
def test_grades_that_are_not_there_are_missing(tmp_path, entry):
    path = tmp_path / 'sub-01_desc-pvs_stats.json'
    path.write_text(json.dumps(SIDECAR | {'EstimatedVisualGrades': entry}))
    assert all(math.isnan(value) for value in result_tables.read_sidecar(path)['grades'].values())


@pytest.mark.parametrize(
    'content',
    [
        b'', b'{', b'[]', b'null', b'\x00\xff\x93', b'[' * 100000, b'{}',
        *(json.dumps(SIDECAR | change).encode() for change in (
            {'Threshold': None}, {'Threshold': 'high'}, {'Threshold': 1.5}, {'Threshold': float('nan')},
            {'Threshold': True}, {'MinimumClusterSize': -1}, {'BrainMaskVolume': []},
            *(
                {'EstimatedVisualGrades': {'zhu_basal_ganglia': {'Value': value}}}
                for value in (5, -1, True, '1', 1.5)
            ),
        )),
    ],
)  # fmt: skip
def test_a_damaged_sidecar_is_refused_by_name(tmp_path, content):
    path = tmp_path / 'sub-01_desc-pvs_stats.json'
    path.write_bytes(content)
    with refused(people.RESULT_DAMAGED, naming='sub-01_desc-pvs_stats.json'):
        result_tables.read_sidecar(path)


def test_a_sidecar_of_100_mb_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / 'sub-01_desc-pvs_stats.json'
    path.write_text(json.dumps(SIDECAR | {'x': 'x' * 200}))
    monkeypatch.setattr(result_tables, 'MAX_SIDECAR', 100)
    with refused(people.RESULT_DAMAGED, naming='more than'):
        result_tables.read_sidecar(path)


def test_only_files_that_participant_writes_are_results(tmp_path):
    good = [
        tmp_path / 'sub-01/anat/sub-01_desc-pvs_stats.tsv',
        tmp_path / 'sub-02/ses-1/anat/sub-02_ses-1_run-2_desc-pvs_stats.tsv',
    ]
    stray = [
        'sub-01/anat/sub-01 copy_desc-pvs_stats.tsv', 'sub-03/anat/sub-01_desc-pvs_stats.tsv',
        'sub-01_old/anat/sub-01_desc-pvs_stats.tsv', 'sub-01/old/anat/sub-01_desc-pvs_stats.tsv',
    ]  # fmt: skip
    hidden = ['sub-01/anat/.123.sub-01_desc-pvs_stats.tsv', 'sub-01/anat/._sub-01_desc-pvs_stats.tsv',
              'sub-01/.trash/anat/sub-01_desc-pvs_stats.tsv']  # fmt: skip
    for path in (*good, *(tmp_path / name for name in stray + hidden)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files, findings = result_tables.find_results(tmp_path)
    assert list(files.values()) == good
    assert list(files) == [
        Naming(tmp_path, (('sub', '01'),)), Naming(tmp_path, (('sub', '02'), ('ses', '1'), ('run', '2'))),
    ]  # fmt: skip
    assert sorted(f.file for f in findings) == sorted(str(tmp_path / name) for name in stray)
