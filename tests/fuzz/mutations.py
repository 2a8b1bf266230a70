"""Changes to valid inputs: bytes, JSON texts and tables, drawn by hypothesis."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import strategies as st

#: A draw of hypothesis.
Draw = Callable[[st.SearchStrategy[Any]], Any]

#: Texts that mean something to a terminal, a page, a shell, a spreadsheet, a path or a parser.
TEXTS = (
    '', ' ', 'n/a', 'nan', '-', '=cmd()', '@SUM(1)', '<script>alert(1)</script>', '&lt;', '{braces} {0}',
    '%s%n', '../../etc/passwd', '/etc/passwd', '~root', 'file:///etc', 'a\nb', 'a\r\nb', '\x1b[31mred\x1b[0m',
    '\x00', '\x7f', '\u202eevil', '\u2028', '\ufeff', '\U0001f9e0', 'e\u0301' * 20, 'x' * 3000, '"', "'",
    '`id`', '$(id)', '\\', '1e400', '-9' * 200, '__import__("os").system("id")', '٣', '1_000', '0x10', ' 1 ',
    'sub-01', '*', 'Query.ANY', 'null',
)  # fmt: skip
NUMBERS = (0, -0.0, 1, -1, 2, 0.5, 1e-320, 1e308, -1e308, 2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 10**30)
#: Literals that JSON's own writer does not write, or that make a parser work hard.
LITERALS = (
    'NaN', 'Infinity', '-Infinity', '1e999', '-1e999', '1' * 4000, '1' * 5000, '0.' + '1' * 3000,
    '[' * 500 + ']' * 500, '[' * 100_000, '{"a":' * 5000 + '1' + '}' * 5000, '"\\ud800"', '"\\u0000"', '01',
    'tru', '{"a": 1, "a": 2}', "'a'", '', '[1,]',
)  # fmt: skip


class _Literal:
    """A place in a JSON text at which a literal is to stand."""

    def __init__(self, text: str) -> None:
        self.text = text


def values() -> st.SearchStrategy[Any]:
    """Any value of JSON, and now and then a literal that is none."""
    plain = st.one_of(
        st.none(), st.booleans(), st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.text(max_size=8),
        st.integers(-3, 300), st.floats(-10, 10),
    )  # fmt: skip
    literals = st.sampled_from(LITERALS).map(_Literal)
    keys = st.one_of(st.sampled_from(TEXTS), st.text(max_size=4))
    lists, objects = st.lists(plain, max_size=4), st.dictionaries(keys, plain, max_size=3)
    return st.one_of(plain, plain, plain, plain, lists, objects, st.one_of(plain, plain, literals))


def mutated_json(draw: Draw, content: Any, *, texts: Iterable[str] = ()) -> bytes:
    """A JSON file with some of its entries changed, and now and then its bytes.

    Parameters
    ----------
    draw : callable
    content : object
    texts : iterable of str
        Further texts that mean something where the file is read.
    """
    content = copy.deepcopy(content)
    some = st.one_of(values(), st.sampled_from([*texts])) if texts else values()
    for _ in range(draw(st.integers(0, 3))):
        content = _change(draw, content, some)
    data = _write(content).encode('utf-8', 'surrogatepass')
    encoding = draw(st.sampled_from(['utf-8'] * 27 + ['utf-8-sig', 'utf-16', 'latin-1']))
    if encoding != 'utf-8':
        data = data.decode('utf-8', 'replace').encode(encoding, 'replace')
    return mutated_bytes(draw, data) if draw(st.integers(0, 9)) == 0 else data


def _change(draw: Draw, content: Any, some: st.SearchStrategy[Any]) -> Any:
    """Change one entry, at any depth."""
    places = list(_places(content))
    if not places or draw(st.integers(0, 15)) == 0:
        return draw(some)
    parent, key = draw(st.sampled_from(places))
    kind = draw(st.integers(0, 5))
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        name = draw(st.one_of(st.sampled_from(TEXTS), st.sampled_from(sorted(parent))))
        parent[name] = parent.pop(key)
    elif kind == 2 and isinstance(parent, dict):
        parent[draw(st.one_of(st.sampled_from(TEXTS), st.text(max_size=5)))] = draw(some)
    else:
        parent[key] = draw(some)
    return content


def _places(content: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(content, dict | list):
        keys = list(content) if isinstance(content, dict) else range(len(content))
        for key in keys:
            yield content, key
            yield from _places(content[key])


def _write(content: Any) -> str:
    """JSON with its literals put in as they are."""
    literals: list[str] = []

    def mark(value: Any) -> str:
        literals.append(value.text)
        return f'@literal{len(literals) - 1}@'

    text = json.dumps(content, default=mark, ensure_ascii=False)
    for number, literal in enumerate(literals):
        text = text.replace(f'"@literal{number}@"', literal, 1)
    return text


def mutated_bytes(draw: Draw, data: bytes, most: int = 3) -> bytes:
    """A file with bits turned over, and parts cut, repeated, left out, or replaced by other bytes."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, most))):
        place = draw(st.integers(0, max(0, len(changed) - 1)))
        size = draw(st.sampled_from((1, 2, 4, 8, 16, 348, 4096)))
        kind = draw(st.integers(0, 6))
        if kind == 0 and changed:
            changed[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            del changed[place : place + size]
        elif kind == 3:
            changed[place:place] = changed[place : place + size] * draw(st.integers(1, 4))
        elif kind == 4:
            changed[place : place + size] = bytes([draw(st.sampled_from((0, 255, 127, 10, 34, 9)))]) * size
        elif kind == 5:
            changed[place:place] = draw(st.binary(min_size=1, max_size=16))
        else:
            changed += draw(st.binary(min_size=1, max_size=64))
    return bytes(changed)


def compressed(draw: Draw, data: bytes) -> bytes:
    """A gzip file: mostly a good one, else cut, followed by other bytes, of many members, or damaged."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        half = len(data) // 2
        return _gzip(data[:half]) + _gzip(data[half:])
    good = _gzip(data)
    if kind == 1:
        return good[: draw(st.integers(0, len(good)))]
    if kind == 2:
        return good + draw(st.binary(min_size=1, max_size=64))
    if kind == 3:
        return good + BOMB
    if kind == 4:
        return mutated_bytes(draw, good)
    return good


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


#: Sixty-four megabytes of zeros, in sixty-five kilobytes.
BOMB = _gzip(bytes(64_000_000))

#: Names of columns that the group level has itself, or that mean something to a formula.
COLUMNS = (
    'ICV', 'count', 'region', 'hemisphere', 'scan', 'table', 'volume_mm3', 'session_id', 'participant_id',
    'dwm_count', 'count_0', 'count_p0.6', 'C(age)', 'Q("x")', 'age', 'Age', 'sex', 'site', 'rating', '1',
    'a b', 'index', 'Intercept', 'np', 'level_0',
)  # fmt: skip
#: Cells as people write them.
CELLS = (
    '', 'n/a', 'NA', '-', '--', '?', 'unknown', '-9', '-999', '999', '9', '1', '2', '0', '1.5', '1,5',
    '1.234,5', 'F', 'M', 'f', 'female', 's0', 's1', 'inf', '-inf', '1e400', '1e-400', '25', '1' * 400,
    'sub-00001', '00001', 'SUB-00001',
)  # fmt: skip


def mutated_table(draw: Draw, rows: list[list[str]]) -> bytes:
    """A table with other cells, columns, rows, separators, line ends and bytes."""
    rows = [list(row) for row in rows]
    cells = st.one_of(st.sampled_from(CELLS), st.sampled_from(TEXTS), st.text(max_size=6))
    for _ in range(draw(st.integers(0, 4))):
        _change_table(draw, rows, cells)
    separator = draw(st.sampled_from(['\t'] * 20 + [',', ';', ' ', '|']))
    end = draw(st.sampled_from(['\n'] * 20 + ['\r\n', '\r', '\n\n', '\x0b', '\u2028']))
    text = end.join(separator.join(row) for row in rows) + draw(st.sampled_from(('', end, '\x1a')))
    encoding = draw(
        st.sampled_from(['utf-8'] * 10 + ['utf-8-sig', 'utf-16', 'utf-16-le', 'utf-32', 'cp1252'])
    )
    data = text.encode(encoding, 'replace')
    return mutated_bytes(draw, data) if draw(st.integers(0, 5)) == 0 else data


def _change_table(draw: Draw, rows: list[list[str]], cells: st.SearchStrategy[str]) -> None:
    row = draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, max(0, len(rows[0]) - 1)))
    name = st.one_of(st.sampled_from(COLUMNS), cells)
    change = draw(
        st.sampled_from(('cell', 'name', 'add', 'fill', 'drop', 'repeat', 'leave out', 'shift', 'row'))
    )
    if change == 'cell':
        rows[row][column : column + 1] = [draw(cells)]
    elif change == 'name':
        rows[0][column : column + 1] = [draw(name)]
    elif change in ('add', 'fill', 'drop'):
        _change_column(draw, rows, cells, change, column)
    elif change == 'repeat':
        rows.insert(draw(st.integers(0, len(rows))), list(rows[row]))
    elif change == 'leave out' and len(rows) > 1:
        del rows[row]
    elif change == 'shift':
        del rows[row][column : column + 1]
    else:
        rows[row] = draw(st.lists(cells, max_size=8))


def _change_column(
    draw: Draw, rows: list[list[str]], cells: st.SearchStrategy[str], change: str, column: int
) -> None:
    """Add a column, drop one, or fill one with the same value."""
    if change == 'add':
        rows[0].append(draw(st.one_of(st.sampled_from(COLUMNS), cells)))
        for row in rows[1:]:
            row.append(draw(cells))
        return
    value = [] if change == 'drop' else [draw(cells)]
    for row in rows if change == 'drop' else rows[1:]:
        row[column : column + 1] = value
