"""participants.tsv: who is in it, which values are missing, and which columns hold codes."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from refusals import refused

from pvs_bidsapp.bids.participants import read_participants, similar_labels
from pvs_bidsapp.messages import people


@pytest.fixture
def read(tmp_path):
    def reader(text, described=None):
        (tmp_path / 'participants.tsv').write_text(text, encoding='utf-8')
        if described is not None:
            content = described if isinstance(described, str) else json.dumps(described)
            (tmp_path / 'participants.json').write_text(content, encoding='utf-8')
        return read_participants(tmp_path)

    return reader


def column(read, values, described=None, name='x'):
    """One column of a table of as many people, and the codes of the findings."""
    rows = '\n'.join(f'sub-{k}\t{v}' for k, v in enumerate(values))
    listing = read(f'participant_id\t{name}\n{rows}\n', described)
    return listing.table[name], [f.code for f in listing.findings], listing


MISSING = [
    '', 'n/a', 'N/A', 'NA', 'nan', 'NaN', 'none', 'None', 'null', 'NULL', '-', '--', '.', '?', 'unknown',
    'Unknown', 'MISSING', 'not available',
]  # fmt: skip


@pytest.mark.parametrize('word', MISSING)
def test_words_for_missing_values(read, word):
    text, _, _ = column(read, ['M', 'F', word, 'M'])
    assert text.isna().tolist() == [False, False, True, False]
    numbers, found, _ = column(read, ['30', '41.5', word, '52'])
    assert numbers.dtype == float
    assert np.array_equal(numbers, [30, 41.5, np.nan, 52], equal_nan=True)
    assert ('people-missing-words' in found) == (word.lower() not in ('', 'n/a', 'na', 'nan'))


def test_a_word_that_is_described_as_a_value_is_one(read):
    described = {'x': {'Levels': {'none': 'no lesion', 'mild': 'some'}}}
    values, found, _ = column(read, ['none', 'mild', 'none'], described)
    assert values.tolist() == ['none', 'mild', 'none']
    assert found == []


def test_a_code_that_is_described_as_missing_is_missing(read):
    described = {'x': {'Levels': {'1': 'male', '2': 'female', '9': 'unknown'}}}
    values, found, listing = column(read, ['1', '2', '9', '1.0'], described)
    assert values.isna().tolist() == [False, False, True, False]
    assert values.dropna().tolist() == ['1', '2', '1']
    assert found == ['people-missing-words']
    assert listing.coded == {'x'}


def test_the_mildest_grade_may_be_called_none(read):
    values, _, _ = column(read, ['0', '1', '0'], {'x': {'Levels': {'0': 'none', '1': 'mild'}}})
    assert values.tolist() == ['0', '1', '0']


@pytest.mark.parametrize('code', ['-9', '-99', '-999', '-9999', '-999.0'])
def test_negative_codes_are_missing_where_nothing_else_is_negative(read, code):
    numbers, found, listing = column(read, ['30', code, '41', '52'], name='age')
    assert numbers.isna().tolist() == [False, True, False, False]
    assert found == ['people-missing-codes']
    assert code in str(listing.findings[0])
    text, found, _ = column(read, ['M', 'F', code, 'M'], name='sex')
    assert text.isna().sum() == 1
    assert found == ['people-missing-codes']
    scores, found, _ = column(read, ['-1.5', code, '0.3', '2'], name='z')
    assert scores[1] == float(code)
    assert 'people-missing-codes' not in found


@pytest.mark.parametrize('code', ['999', '9999', '99', '777', '-1', '-8'])
def test_what_may_be_a_code_stays_a_number_with_a_word(read, code):
    numbers, found, _ = column(read, ['30', code, '31', '12'])
    assert numbers[1] == float(code)
    assert found == ['people-possible-codes']


@pytest.mark.parametrize('values', [['80', '99', '75'], ['1', '2', '0'], ['700', '999', '850']])
def test_plain_numbers_are_no_codes(read, values):
    numbers, found, _ = column(read, values)
    assert numbers.tolist() == [float(v) for v in values]
    assert found == []


def test_whole_numbers_keep_all_digits(read):
    values, _, _ = column(read, ['1412345', '1398761', '9007199254740991'])
    assert values.dtype == np.int64
    assert values[2] == 9007199254740991


@pytest.mark.parametrize('word', ['inf', '-Infinity', '1e999'])
def test_infinite_values_are_missing(read, word):
    numbers, found, _ = column(read, ['1.5', word, '2.5'])
    assert numbers.isna().tolist() == [False, True, False]
    assert found == ['people-infinite']


@pytest.mark.parametrize('word', ['old', '>89', '34y', '0x10', '1_000', '٣'])
def test_what_is_no_number_is_missing_in_a_column_of_numbers(read, word):
    numbers, found, listing = column(read, ['30', '40', word, '50'])
    assert numbers.isna().tolist() == [False, False, True, False]
    assert found == ['people-not-numbers']
    assert repr(word) in str(listing.findings[0])


def test_decimal_commas(read):
    numbers, found, _ = column(read, ['34,5', '40', '51,25'])
    assert numbers.tolist() == [34.5, 40, 51.25]
    assert found == ['people-decimal-comma']
    numbers, found, _ = column(read, ['1,400', '1,350', '1200'])
    assert numbers.isna().tolist() == [True, True, False]
    assert found == ['people-ambiguous-comma']
    numbers, found, _ = column(read, ['34,5', '40.5', '41.5'])
    assert found == ['people-ambiguous-comma']
    text, found, _ = column(read, ['a,b', '1,5', 'c,d'])
    assert text.tolist() == ['a,b', '1,5', 'c,d']
    assert found == []


def test_spellings_of_one_value_are_told(read):
    values, found, listing = column(read, ['M', 'm', 'F'])
    assert values.tolist() == ['M', 'm', 'F']
    assert found == ['people-similar-levels']
    assert "'M', 'm'" in str(listing.findings[0])


def test_levels_make_codes_and_units_make_measurements(read):
    described = {
        'site': {'Levels': {'1': 'A', '2': 'B'}}, 'kind': {'Levels': ['1', '2']}, 'score': {'Units': 'm'},
        'both': {'Units': 'years', 'Levels': {'89': '89 and older'}}, 'few': {'Levels': {'89': 'top'}},
    }  # fmt: skip
    text = (
        'participant_id\tage\tsite\tscore\tkind\tboth\tfew\n1\t30\t1\t5\t1\t50\t20\n2\t31\t02\t6\t2\t89\t21\n'
    )
    listing = read(text, described)
    assert listing.coded == {'site', 'kind'}
    assert listing.measured == {'age', 'score', 'both'}
    assert listing.table['site'].tolist() == ['1', '2']
    assert listing.table['few'].tolist() == [20, 21]


def test_a_value_that_is_not_among_the_levels_is_told(read):
    values, found, _ = column(read, ['1', '2', '3', '-9'], {'x': {'Levels': {'1': 'a', '2': 'b'}}})
    assert values.dropna().tolist() == ['1', '2', '3']
    assert found == ['people-missing-codes', 'people-undeclared-levels']
    assert values.isna().tolist() == [False, False, False, True]


@pytest.mark.parametrize('content', ['[1]', '{', '{"x": 3}', '{"x": {"Levels": 3}}', '[' * 100000, ''])
def test_a_damaged_description_is_ignored(read, content):
    values, found, _ = column(read, ['1', '2'], content)
    assert values.tolist() == [1, 2]
    assert found in ([], ['people-sidecar-unreadable'])


def test_identifiers_with_and_without_prefix(read):
    listing = read('participant_id\tage\nsub-01\t1\n02\t2\nSUB-03\t3\nSub-x\t4\n')
    assert listing.table['participant_id'].tolist() == ['sub-01', 'sub-02', 'sub-03', 'sub-x']


def test_rows_without_a_person_and_persons_of_several_rows(read):
    listing = read('participant_id\tage\tsex\n1\t30\tM\nn/a\t31\tF\n1\t32\tM\n\t33\tF\n')
    assert listing.table['participant_id'].tolist() == ['sub-1']
    assert listing.table['age'].tolist() == [30]
    lines = {f.code: str(f) for f in listing.findings}
    assert 'line 3, 5' in lines['people-no-ids']
    assert 'different values in age;' in lines['people-repeated']


@pytest.mark.parametrize(
    'name',
    ['participant', 'subject_id', 'sub', 'Participant_ID', 'participant id', 'ID', 'Subject', 'subjID'],
)
def test_the_column_to_rename_is_named(read, name):
    listing = read(f'{name}\tage\nsub-01\t30\n')
    assert listing.table is None
    assert f'rename its column {name} to participant_id' in str(listing.findings[-1])


def test_without_identifiers_the_table_is_not_used(read):
    listing = read('code\tage\nsub-01\t30\n')
    assert 'rename its column code' in str(listing.findings[-1])
    listing = read('code\tage\nx\t30\n')
    assert (listing.table, [f.code for f in listing.findings]) == (None, ['people-no-id-column'])


def test_without_people_or_without_a_table(read, tmp_path):
    assert [f.code for f in read_participants(tmp_path).findings] == ['people-no-table']
    (tmp_path / 'participants.csv').write_text('participant_id,age\n1,2\n')
    assert 'there is participants.csv' in str(read_participants(tmp_path).findings[0])
    for text in ('', 'participant_id\tage\n'):
        listing = read(text)
        assert (listing.table, [f.code for f in listing.findings]) == (None, ['people-table-empty'])
    (tmp_path / 'participants.tsv').unlink()
    (tmp_path / 'participants.tsv').symlink_to('.git/annex/objects/gone')
    listing = read_participants(tmp_path)
    assert (listing.table, [f.code for f in listing.findings]) == (None, ['people-table-unreadable'])


def test_a_damaged_table_is_refused_by_name(read):
    with refused(people.TABLE_DAMAGED, naming='participants.tsv'):
        read('participant_id\tage\n1\t\0\n')


def test_labels_that_nearly_match():
    listed_ids = ['sub-1', 'sub-ABC', 'sub-sub03', 'sub-x_4', 'sub-9']
    wanted = ['sub-01', 'sub-abc', 'sub-03', 'sub-x4', 'sub-5', 'sub-0']
    assert similar_labels(listed_ids, wanted) == {
        'sub-01': 'sub-1', 'sub-abc': 'sub-ABC', 'sub-03': 'sub-sub03', 'sub-x4': 'sub-x_4',
    }  # fmt: skip


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_a_link_to_something_that_is_no_file_is_not_waited_for(tmp_path, make):
    make(tmp_path / 'other')
    (tmp_path / 'participants.tsv').symlink_to('other')
    listing = read_participants(tmp_path)
    assert (listing.table, [f.code for f in listing.findings]) == (None, ['people-table-unreadable'])
