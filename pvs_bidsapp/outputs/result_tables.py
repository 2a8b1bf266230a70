"""Finding and reading the tables that ``participant`` has written, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..bids.naming import Naming, parse_entities
from ..clusters.visual_grades import GRADES, MOST_GRADE
from ..errors import InputError
from ..messages import people
from ..messages.message import Finding

LOG = logging.getLogger(__name__)
SUFFIX = '_desc-pvs_stats.tsv'
#: Largest table and sidecar of one scan that are read, in bytes.
MAX_TABLE = 100_000_000
MAX_SIDECAR = 5_000_000
_TEXT_COLUMNS = ('region', 'hemisphere', 'name')
_NOT_NEGATIVE = frozenset((
    'count', 'volume_mm3', 'region_volume_mm3', 'volume_fraction', 'max_probability', 'length_mm',
))  # fmt: skip


def find_results(out_dir: Path) -> tuple[dict[Naming, Path], list[Finding]]:
    """Region statistics of all scans in an output folder, sorted by path.

    Hidden files are skipped. Files of other names, and in other places, than those that ``participant``
    writes are left out with a word.

    Parameters
    ----------
    out_dir : Path

    Returns
    -------
    files : dict of Naming to Path
    findings : list of Finding
    """
    files: dict[Naming, Path] = {}
    findings: list[Finding] = []
    for path in sorted(out_dir.glob(f'sub-*/**/*{SUFFIX}')):
        if any(part.startswith('.') for part in path.relative_to(out_dir).parts):
            continue
        try:
            names = Naming(out_dir, tuple((k, v) for k, v in parse_entities(path.name) if k != 'desc'))
            is_own = names.anat('stats', '.tsv', desc='pvs') == path
        except InputError:
            is_own = False
        if is_own:
            files[names] = path
        else:
            findings.append(people.RESULT_STRAY.log(LOG, path))
    return files, findings


def read_tables(
    files: Sequence[Path], columns: Sequence[str], *, only: bool = False
) -> tuple[pd.DataFrame, np.ndarray]:
    """Read many small tables with the same columns as one: a hundred times faster than one by one.

    Parameters
    ----------
    files : sequence of Path
    columns : sequence of str
        Columns that each of them must have.
    only : bool
        Whether to read these columns only.

    Returns
    -------
    table : DataFrame
        With a column ``table``: the index of the file in `files`.
    lengths : ndarray of int
        Rows of each file.

    Raises
    ------
    InputError
        If a file is missing or damaged, or its columns differ from the first one's.
    """
    parts, lengths, header = [], [], b''
    for path in files:
        first, rows = _split_table(path, columns)
        header = header or first
        if first != header:
            reason = f'its columns are not those of {files[0].name}'
            raise people.RESULT_DAMAGED.error(path, reason=reason)
        parts.append(rows)
        lengths.append(rows.count(b'\n'))
    stream = io.BytesIO(b'\n'.join([header, b''.join(parts)]))
    table = pd.read_csv(
        stream, sep='\t', usecols=list(columns) if only else None, na_values='n/a', low_memory=False,
        quoting=csv.QUOTE_NONE,
    )  # fmt: skip
    table['table'] = np.repeat(np.arange(len(files)), lengths)
    _check_numbers(table, files, columns)
    return table, np.array(lengths)


def with_other_columns(files: Sequence[Path]) -> list[Path]:
    """Tables whose columns are not those of most.

    Parameters
    ----------
    files : sequence of Path
    """
    headers = []
    for path in files:
        with path.open('rb') as stream:
            headers.append(stream.readline(MAX_SIDECAR).rstrip(b'\r\n'))
    most = Counter(headers).most_common(1)[0][0] if headers else b''
    return [path for path, header in zip(files, headers, strict=True) if header != most]


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read one table as text.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Columns that it must have.

    Returns
    -------
    rows : list of dict
        Cells by column.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    header, rows = (part.decode('utf-8') for part in _split_table(path, columns))
    names = header.split('\t')
    return [dict(zip(names, line.split('\t'), strict=True)) for line in rows.split('\n')[:-1]]


def _split_table(path: Path, columns: Sequence[str]) -> tuple[bytes, bytes]:
    """Header and rows of a table; every row ends in a line break and has all cells."""
    data = read_bytes(path, MAX_TABLE).replace(b'\r\n', b'\n')
    header, _, rows = data.partition(b'\n')
    try:
        names = header.decode('utf-8').split('\t')
        rows.decode('utf-8')
    except UnicodeDecodeError as error:
        raise people.RESULT_DAMAGED.error(path, reason='it is no text') from error
    if lacking := [c for c in columns if c not in names]:
        reason = f'it has no column {lacking[0]}' if header else 'it is empty'
        raise people.RESULT_DAMAGED.error(path, reason=reason)
    lines = rows.split(b'\n')
    is_odd = b'\0' in data or b'\r' in data  # which the parser takes for an end
    if is_odd or lines.pop() or any(line.count(b'\t') != len(names) - 1 for line in lines):
        raise people.RESULT_DAMAGED.error(path, reason='a row of it is incomplete')
    return header, rows


def _check_numbers(table: pd.DataFrame, files: Sequence[Path], columns: Iterable[str]) -> None:
    """Whether all columns that should hold numbers do so."""
    for name in columns:
        if name in _TEXT_COLUMNS:
            bad = table[name].isna()
        elif pd.api.types.is_numeric_dtype(table[name]):
            bad = np.isinf(table[name]) | ((table[name] < 0) & (name in _NOT_NEGATIVE))
        else:
            bad = pd.to_numeric(table[name], errors='coerce').isna() & table[name].notna()
        if bad.any():
            first = table[bad].iloc[0]
            reason = f'column {name} holds {str(first[name])[:40]!r}'
            raise people.RESULT_DAMAGED.error(files[int(first['table'])], reason=reason)


def check_totals(table: pd.DataFrame, files: Sequence[Path], totals: Sequence[str]) -> None:
    """Check that each file has one row for each region, and the rows of the totals.

    Parameters
    ----------
    table : DataFrame
        Region statistics, from `read_tables`.
    files : sequence of Path
    totals : sequence of str
        Regions that each file must have, over both hemispheres, with a count and a volume.

    Raises
    ------
    InputError
        If one of them has not.
    """
    twice = table.duplicated(['table', 'region', 'hemisphere'])
    if twice.any():
        first = table[twice].iloc[0]
        reason = f'two rows for {first["region"]} ({first["hemisphere"]})'
        raise people.RESULT_DAMAGED.error(files[int(first['table'])], reason=reason)
    known = table[table[['count', 'volume_mm3']].notna().all(axis=1) & (table['hemisphere'] == 'both')]
    for region in totals:
        there = set(known.loc[known['region'] == region, 'table'])
        for k in range(len(files)):
            if k not in there:
                raise people.RESULT_DAMAGED.error(files[k], reason=f'it has no values for {region}')


def read_bytes(path: Path, limit: int) -> bytes:
    """Content of a file of results.

    Parameters
    ----------
    path : Path
    limit : int
        Largest size in bytes.

    Raises
    ------
    InputError
        If it cannot be read or is larger.
    """
    try:
        with path.open('rb') as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise people.RESULT_MISSING.error(path, reason=error.strerror or type(error).__name__) from error
    if len(data) > limit:
        raise people.RESULT_DAMAGED.error(path, reason=f'it has more than {limit / 1e6:.0f} MB')
    return data


def read_sidecar(path: Path) -> dict[str, Any]:
    """What the group level needs of the sidecar of a scan's region statistics.

    Parameters
    ----------
    path : Path

    Returns
    -------
    content : dict
        ``ModelName ModelSHA256 ModelUse ExcludedFromLesionShare Precision``, None where they are not there,
        ``Threshold MinimumClusterSize BrainMaskVolume``, of which the last is NaN if it is not there, and
        ``grades``: the value of each of `pvs_bidsapp.clusters.visual_grades.GRADES`, or NaN.

    Raises
    ------
    InputError
        If it is missing or damaged, or a value is not possible.
    """
    try:
        content = json.loads(read_bytes(path, MAX_SIDECAR).decode('utf-8'))
    except (ValueError, RecursionError) as error:
        raise people.RESULT_DAMAGED.error(path, reason='it is no JSON') from error
    if not isinstance(content, dict):
        raise people.RESULT_DAMAGED.error(path, reason='it is no object')
    limits = {'Threshold': 1.0, 'MinimumClusterSize': math.inf, 'BrainMaskVolume': math.inf}
    for key, most in limits.items():
        value = content.get(key)
        if value is None and key == 'BrainMaskVolume':
            content[key] = math.nan
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise people.RESULT_DAMAGED.error(path, reason=f'{key} is {str(value)[:40]!r}')
        else:
            content[key] = float(value)
    others = ('ModelName', 'ModelSHA256', 'ModelUse', 'ExcludedFromLesionShare', 'Precision')
    kept = {key: content.get(key) for key in (*others, *limits)}
    return kept | {'grades': _grades(content.get('EstimatedVisualGrades'), path)}


def _grades(entry: Any, path: Path) -> dict[str, float]:
    """The estimated visual grades of a sidecar; NaN where they are not there."""
    grades = {}
    for name in GRADES:
        grade = entry.get(name) if isinstance(entry, dict) else None
        value = grade.get('Value') if isinstance(grade, dict) else None
        if value is not None and (type(value) is not int or not 0 <= value <= MOST_GRADE):
            raise people.RESULT_DAMAGED.error(path, reason=f'{name} is {str(value)[:40]!r}')
        grades[name] = math.nan if value is None else float(value)
    return grades
