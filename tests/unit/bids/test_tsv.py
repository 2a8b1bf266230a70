"""Tables of text as people have them: encodings, line ends, separators, quotes, ragged rows."""

from __future__ import annotations

import pytest
from refusals import refused

from pvs_bidsapp.bids import tsv
from pvs_bidsapp.messages import people

TEXT = 'id\tname\n1\tJürgen\n2\tZoë\n'


@pytest.fixture
def read(tmp_path):
    def reader(content):
        path = tmp_path / 'table.tsv'
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tsv.read_text_table(path)

    return reader


def codes(table):
    return [f.code for f in table.findings]


@pytest.mark.parametrize(
    ('encoding', 'word'),
    [
        ('utf-8', None), ('utf-8-sig', None), ('utf-16', 'utf-16'), ('utf-32', 'utf-32'),
        ('utf-16-le', 'utf-16-le'), ('utf-16-be', 'utf-16-be'), ('latin-1', 'Windows-1252'),
    ],
)  # fmt: skip
def test_letters_are_the_same_in_every_encoding(read, encoding, word):
    table = read(TEXT.encode(encoding))
    assert table.columns == ['id', 'name']
    assert table.rows == [['1', 'Jürgen'], ['2', 'Zoë']]
    assert codes(table) == ([] if word is None else ['people-encoding'])
    assert word is None or word in str(table.findings[0])


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('last', [True, False])
def test_line_ends_of_all_systems(read, end, last):
    text = TEXT.replace('\n', end)
    table = read(text if last else text.removesuffix(end))
    assert table.rows == [['1', 'Jürgen'], ['2', 'Zoë']]
    assert table.lines == [2, 3]


@pytest.mark.parametrize(('separator', 'word'), [(',', 'commas'), (';', 'semicolons')])
def test_other_separators_are_read_with_a_word(read, separator, word):
    table = read(f'id{separator}name\n1{separator}"a{separator} b"\n2{separator}c\n')
    assert table.rows == [['1', f'a{separator} b'], ['2', 'c']]
    assert codes(table) == ['people-separator']
    assert word in str(table.findings[0])


def test_a_comma_in_a_tabbed_table_is_a_letter(read):
    assert read('id\ta, b\n1\tc, d\n').rows == [['1', 'c, d']]


def test_spaces_do_not_separate(read):
    with refused(people.TABLE_NOT_TABBED, naming='table.tsv'):
        read('id age\n1 34\n')


@pytest.mark.parametrize('separator', ['\t', ','])
def test_a_stray_quote_swallows_nobody(read, separator):
    rows = [['1', '"M'], ['2', 'F'], ['3', 'M"'], ['4', 'F']]
    table = read('\n'.join(separator.join(r) for r in [['id', 'sex'], *rows]))
    assert [r[0] for r in table.rows] == ['1', '2', '3', '4']
    assert 'people-stray-quotes' in codes(table) or separator == ','
    if separator == '\t':
        assert [r[1] for r in table.rows] == ['M', 'F', 'M', 'F']
        assert 'line 2, 4' in str(table.findings[0])


def test_quotes_around_every_cell_are_those_of_r(read):
    table = read('"id"\t"name"\n"1"\t"a ""b"""\n')
    assert (table.columns, table.rows, table.findings) == (['id', 'name'], [['1', 'a "b"']], [])


def test_empty_lines_and_trailing_tabs_are_no_rows_and_no_columns(read):
    table = read('\n\nid\tage\t\t\n1\t30\t\t\n\n\t\t\t\n2\t31\n\n')
    assert table.columns == ['id', 'age']
    assert table.rows == [['1', '30'], ['2', '31']]
    assert table.lines == [4, 7]
    assert table.findings == []


def test_short_rows_are_filled_and_long_ones_not_believed(read):
    table = read('id\tage\tsex\n1\t30\n2\t31\tM\tx\n3\t32\tF\n4\t33\tF\n')
    assert table.rows == [['1', '30', ''], ['2', '', ''], ['3', '32', 'F'], ['4', '33', 'F']]
    assert codes(table) == ['people-short-rows', 'people-long-rows']
    assert 'line 2 ' in str(table.findings[0])
    assert 'line 3 ' in str(table.findings[1])


def test_names_of_rows_without_a_column_are_refused(read):
    with refused(people.TABLE_SHIFTED, naming='2 of 2 rows'):
        read('id\tage\n1\tsub-01\t30\n2\tsub-02\t31\n')


def test_columns_of_one_name(read):
    table = read('id\tage\tage\n1\t30\t30\n')
    assert (table.columns, table.rows) == (['id', 'age'], [['1', '30']])
    assert codes(table) == ['people-same-columns']
    with refused(people.COLUMNS_DIFFER, naming='age'):
        read('id\tage\tage\n1\t30\t31\n')


def test_a_column_without_a_name_gets_one(read):
    table = read('id\t\tage\n1\tx\t30\n')
    assert table.columns == ['id', 'column_2', 'age']
    assert codes(table) == ['people-unnamed-column']


@pytest.mark.parametrize('content', [b'', b'\n\n', b'\t\t\n', b'\xef\xbb\xbf'])
def test_an_empty_file_has_no_columns(read, content):
    table = read(content)
    assert (table.columns, table.rows) == ([], [])


@pytest.mark.parametrize(
    ('content', 'word'),
    [
        (b'id\tage\n1\t\x00\n', 'NUL bytes, the first in line 2'),
        (b'PK\x03\x04\x14\x00\x06\x00', 'spreadsheet'),
        (b'\x1f\x8b\x08\x00', 'gzip'),
        (b'id\tage\n1\t\x81\x8d\n', 'no letter'),
        (b'\xff\xfei\x00d', 'not utf-16'),
        (b'id\tage\n' + bytes(range(1, 9)) * 50, 'invisible'),
    ],
)
def test_what_is_no_text_is_refused(read, content, word):
    with refused(people.TABLE_DAMAGED, naming=word):
        read(content)


def test_invisible_signs_are_ignored_with_a_word(read):
    table = read('id\tname\n' + '1\ta long name, for the rest\n' * 20 + '\u200b2\t\u202eevil\x1b\n\x1a')
    assert table.rows[-1] == ['2', 'evil']
    assert codes(table) == ['people-invisible']
    assert '3 invisible' in str(table.findings[0])


def test_memory_is_bounded(read, monkeypatch):
    monkeypatch.setattr(tsv, 'MAX_BYTES', 2000)
    monkeypatch.setattr(tsv, 'MAX_LINES', 50)
    monkeypatch.setattr(tsv, 'MAX_COLUMNS', 100)
    for content in ('x' * 2001, '\n' * 51, 'a\t' * 101):
        with refused(people.TABLE_LARGE, naming='more than'):
            read(content)
    with refused(people.TABLE_SHIFTED):
        read('a\tb\n' + 'x\t' * 500 + 'x')
