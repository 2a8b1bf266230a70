"""Reading a table of text as people have it: encodings, line ends, separators, stray quotes, ragged rows."""

from __future__ import annotations

import codecs
import csv
import errno
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..messages import people
from ..messages.message import Finding
from ..messages.people import listed

LOG = logging.getLogger(__name__)
#: Largest file that is read, in bytes; its cells take up to 25 times as much memory.
MAX_BYTES = 20_000_000
MAX_COLUMNS = 2_000
MAX_LINES = 1_000_000
#: Characters that are not shown: control characters, zero-width spaces, soft hyphens, marks of direction.
_INVISIBLE = re.compile(
    '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]'
)
#: Invisible characters in a thousand, above which a file is no text.
_INVISIBLE_SHARE = 20
_BOMS = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)
#: Beginnings of files that are mistaken for tables.
_OTHER_FILES = {
    b'PK\x03\x04': 'a spreadsheet or zip file',
    b'\x1f\x8b': 'a gzip file',
    b'\xd0\xcf\x11\xe0': 'a spreadsheet',
}
_SEPARATORS = {',': 'commas', ';': 'semicolons'}


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Cells of a table, as text without spaces and quotes around them.

    Attributes
    ----------
    columns : list of str
        Names, each once.
    rows : list of list of str
        As long as `columns`.
    lines : list of int
        Number of each row's line in the file, from 1.
    findings : list of Finding
        What was found and is worth a word; already logged.
    """

    columns: list[str]
    rows: list[list[str]]
    lines: list[int]
    findings: list[Finding]


def read_text_table(path: Path) -> TextTable:
    """Read a table whose first line names the columns.

    Quotation marks do not join lines or cells. Empty lines, and empty cells beyond the last column, are
    skipped.

    Parameters
    ----------
    path : Path

    Raises
    ------
    OSError
        If the file cannot be read.
    InputError
        If it is too large, or no table.
    """
    findings: list[Finding] = []
    text = _visible(path, _decode(path, _read_bytes(path), findings), findings)
    split = re.split('\r\n|\r|\n', text)
    if len(split) > MAX_LINES:
        raise people.TABLE_LARGE.error(path, size=f'{len(split)} lines', limit=MAX_LINES)
    lines = [(k, line) for k, line in enumerate(split, 1) if line.strip(' \t"')]
    if not lines:
        return TextTable(columns=[], rows=[], lines=[], findings=findings)
    cells, stray = _split(path, [line for _, line in lines], findings)
    numbers = [k for k, _ in lines]
    if stray:
        findings.append(people.STRAY_QUOTES.log(LOG, path, lines=listed(numbers[k] for k in stray)))
    rows = _square(path, cells, numbers, findings)
    kept = [k for k, row in enumerate(rows) if k == 0 or any(row)]
    rows, numbers = [rows[k] for k in kept], [numbers[k] for k in kept]
    columns, rows = _unique_columns(path, rows[0], rows[1:], findings)
    return TextTable(columns=columns, rows=rows, lines=numbers[1:], findings=findings)


def _read_bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise OSError(errno.EINVAL, 'it is no file')
    with path.open('rb') as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        size, limit = (f'{n / 1e6:.0f} MB' for n in (path.stat().st_size, MAX_BYTES))
        raise people.TABLE_LARGE.error(path, size=size, limit=limit)
    return data


def _decode(path: Path, data: bytes, findings: list[Finding]) -> str:
    for start, name in _OTHER_FILES.items():
        if data.startswith(start):
            raise people.TABLE_DAMAGED.error(path, reason=f'it is {name}')
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), '') or _utf16_without_mark(data)
    try:
        text = data.decode(encoding or 'utf-8')
    except UnicodeDecodeError as error:
        if encoding:
            raise people.TABLE_DAMAGED.error(path, reason=f'byte {error.start} is not {encoding}') from error
        try:
            encoding, text = 'Windows-1252', data.decode('cp1252')
        except UnicodeDecodeError:
            raise people.TABLE_DAMAGED.error(path, reason=f'byte {error.start} is no letter') from error
    if encoding not in ('', 'utf-8-sig'):
        findings.append(people.ENCODING.log(LOG, path, encoding=encoding))
    if '\0' in text:
        line = text.count('\n', 0, text.index('\0')) + 1
        raise people.TABLE_DAMAGED.error(path, reason=f'NUL bytes, the first in line {line}')
    return text


def _utf16_without_mark(data: bytes) -> str:
    """UTF-16 of mostly ASCII letters has a NUL in every second byte."""
    head = data[:4096]
    for first, name in ((1, 'utf-16-le'), (0, 'utf-16-be')):
        if head[first::2].count(0) > 0.8 * len(head[first::2]) and not head[1 - first :: 2].count(0):
            return name
    return ''


def _visible(path: Path, text: str, findings: list[Finding]) -> str:
    text = text.rstrip('\x1a')  # end-of-file mark of DOS
    shown, count = _INVISIBLE.subn('', text)
    if 1000 * count > _INVISIBLE_SHARE * len(text):
        raise people.TABLE_DAMAGED.error(path, reason=f'{count} of {len(text)} characters are invisible')
    if count:
        findings.append(people.INVISIBLE.log(LOG, path, count=count))
    return shown


def _split(path: Path, lines: Sequence[str], findings: list[Finding]) -> tuple[list[list[str]], list[int]]:
    """Cells of each line, and the places of lines with a quotation mark that has no partner."""
    separator = _separator(path, lines[0], findings)
    if lines[0].count(separator) >= MAX_COLUMNS:
        size = f'{lines[0].count(separator) + 1} columns'
        raise people.TABLE_LARGE.error(path, size=size, limit=MAX_COLUMNS)
    rows, stray = [], []
    for k, line in enumerate(lines):
        try:
            # one line at a time, so that a quotation mark cannot swallow the next
            cells = line.split('\t') if separator == '\t' else next(csv.reader([line], delimiter=separator))
        except csv.Error as error:
            raise people.TABLE_DAMAGED.error(path, reason=f'{error}, in row {k + 1}') from error
        pairs = [_unquote(cell) for cell in cells[: MAX_COLUMNS + 1]]
        rows.append([cell for cell, _ in pairs])
        if any(is_stray for _, is_stray in pairs):
            stray.append(k)
    return rows, stray


def _separator(path: Path, header: str, findings: list[Finding]) -> str:
    if '\t' in header:
        return '\t'
    separator = max(_SEPARATORS, key=header.count)
    if separator in header:
        findings.append(people.SEPARATOR.log(LOG, path, separator=_SEPARATORS[separator]))
        return separator
    if len(header.split()) > 1:
        raise people.TABLE_NOT_TABBED.error(path)
    return '\t'


def _unquote(cell: str) -> tuple[str, bool]:
    """A cell without spaces and quotation marks around it, and whether such a mark had no partner."""
    cell = cell.replace('\t', ' ').strip()  # of a table with commas
    if '"' not in cell:
        return cell, False
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"').strip(), False
    bare = cell.strip('"').strip()
    return bare, bare != cell


def _square(
    path: Path, rows: list[list[str]], numbers: Sequence[int], findings: list[Finding]
) -> list[list[str]]:
    """Rows of equal length: short ones are filled up, of long ones only the first cell is believed."""
    width = len(rows[0])
    while width > 1 and not any(row[width - 1] for row in rows if len(row) >= width):
        width -= 1
    short, long, square = [], [], []
    for number, row in zip(numbers, rows, strict=True):
        if len(row) < width:
            short.append(number)
        elif any(row[width:]):
            long.append(number)
            row = row[:1]
        square.append(row[:width] + [''] * (width - len(row)))
    if len(long) > (len(rows) - 1) / 2:
        raise people.TABLE_SHIFTED.error(path, count=len(long), rows=len(rows) - 1)
    if short:
        findings.append(people.SHORT_ROWS.log(LOG, path, lines=listed(short)))
    if long:
        findings.append(people.LONG_ROWS.log(LOG, path, lines=listed(long)))
    return square


def _unique_columns(
    path: Path, header: Sequence[str], rows: list[list[str]], findings: list[Finding]
) -> tuple[list[str], list[list[str]]]:
    """Every column has a name of its own; empty columns without a name are left out."""
    kept: dict[str, int] = {}
    for k, cell in enumerate(header):
        name = ' '.join(cell.split())
        if not name:
            if not any(row[k] for row in rows):
                continue
            name = f'column_{k + 1}'
            findings.append(people.UNNAMED_COLUMN.log(LOG, path, number=k + 1, name=name))
        if name not in kept:
            kept[name] = k
        elif any(row[k] != row[kept[name]] for row in rows):
            raise people.COLUMNS_DIFFER.error(path, column=name)
        else:
            findings.append(people.SAME_COLUMNS.log(LOG, path, column=name))
    return list(kept), [[row[k] for k in kept.values()] for row in rows]
