"""Reading ``participants.tsv``, with what ``participants.json`` says about its columns."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..messages import people
from ..messages.message import Caution, Finding
from ..messages.people import listed
from .tsv import TextTable, read_text_table

LOG = logging.getLogger(__name__)
#: What people write where a value is missing, in lower case.
MISSING = frozenset((
    '', 'n/a', 'na', 'nan', 'n.a.', 'none', 'null', 'nil', '#n/a', '<na>', '-', '--', '---', '–', '—', '.',
    '?', '??', 'unknown', 'unk', 'missing', 'not available', 'not applicable', 'not known', 'not recorded',
))  # fmt: skip
#: Those of them that are not worth a word: `n/a` of BIDS, an empty cell, and what R and pandas write.
_PLAINLY_MISSING = frozenset(('', 'n/a', 'na', 'nan'))
#: Meanings of levels that stand for a missing value (`none` and `-` may be the mildest grade).
_MEANS_MISSING = frozenset((
    'n/a', 'na', 'nan', 'unknown', 'unk', 'missing', 'missing data', 'missing value', 'not available',
    'not applicable', 'not known', 'not recorded', 'not reported', 'no data',
))  # fmt: skip
#: Numbers that stand for a missing value where no other number of the column is negative.
_MISSING_CODE = re.compile(r'-9+(\.0*)?')
#: Numbers that may stand for one: these where no other number is negative, ...
_NEGATIVE_CODE = re.compile(r'-(1|7+|8+)(\.0*)?')
#: ... and these where they are more than twice as large as all others.
_POSITIVE_CODE = re.compile(r'(9+|88+|77+)(\.0*)?')
_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?', re.ASCII)
_COMMA_NUMBER = re.compile(r'[+-]?\d+,\d+', re.ASCII)
_INFINITE = re.compile(r'[+-]?inf(inity)?', re.IGNORECASE)
#: Columns that BIDS defines as measurements.
_MEASUREMENTS = ('age',)
#: What the column of participants is called in other tables, without signs and in lower case.
_OTHER_NAMES = (
    'participantid', 'participant', 'participants', 'subjectid', 'subject', 'subjects', 'subid', 'sub',
    'subjid', 'subj', 'id', 'ids', 'bidsid', 'ptid', 'patientid', 'patient',
)  # fmt: skip
#: Types of files that people may have in place of the table.
_TABLES = ('.tsv', '.csv', '.txt', '.xls', '.xlsx', '.ods')
#: Largest ``participants.json`` that is read, in bytes.
_MAX_SIDECAR = 5_000_000
#: Different values up to which a column of text is searched for spellings of the same.
_MOST_LEVELS = 100


@dataclass(frozen=True, kw_only=True)
class Participants:
    """The people of a dataset.

    Attributes
    ----------
    path : Path
        The table.
    table : DataFrame or None
        One row for each person, with a column ``participant_id`` (``sub-LABEL``). Columns of numbers are
        float or int; all others hold text and NaN. Columns of codes (`coded`) hold text. None if there is no
        table, nobody in it, or no column ``participant_id``.
    coded : frozenset of str
        Columns whose values are codes, according to ``Levels`` in ``participants.json``.
    measured : frozenset of str
        Columns that hold measurements: those with ``Units`` in ``participants.json``, and ``age``.
    findings : tuple of Finding
        What was found and is worth a word; already logged.
    """

    path: Path
    table: pd.DataFrame | None = None
    coded: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Column:
    """What ``participants.json`` says about a column: its levels with their meanings, and its unit."""

    levels: Mapping[str, str] = field(default_factory=dict)
    has_units: bool = False


def read_participants(bids_dir: Path) -> Participants:
    """Read ``participants.tsv`` of a dataset.

    Encodings, separators, quotation marks and ragged rows are those of `pvs_bidsapp.bids.tsv`.
    Identifiers may lack ``sub-``. Missing values are recognised by the words in `MISSING`, by ``Levels``
    whose meaning is such a word, and by codes such as -999 in columns without other negative numbers.
    Whatever is ignored, converted or unclear is logged, and returned as a finding.

    Parameters
    ----------
    bids_dir : Path

    Returns
    -------
    people : Participants

    Raises
    ------
    InputError
        If the file is no table, is too large, or has two columns of one name with different values.
    """
    path = bids_dir / 'participants.tsv'
    findings: list[Finding] = []
    if (cells := _read_cells(path, findings)) is None:
        return Participants(path=path, findings=tuple(findings))
    described = _read_sidecar(path.with_suffix('.json'), findings)
    table = _one_row_each(path, cells, findings)
    coded, measured = set(), {c for c in cells.columns if c.lower() in _MEASUREMENTS}
    for name in table.columns.drop('participant_id'):
        reader = _ColumnReader(path, name, described.get(name, _Column()), findings)
        table[name] = reader.read(table[name])
        if reader.is_coded:
            coded.add(name)
            measured.discard(name)
        elif reader.about.has_units:
            measured.add(name)
    return Participants(
        path=path, table=table, coded=frozenset(coded), measured=frozenset(measured), findings=tuple(findings)
    )


def read_column(path: Path, name: str, values: pd.Series, findings: list[Finding]) -> pd.Series:
    """The values of a column of another table, read as those of ``participants.tsv`` are.

    Parameters
    ----------
    path : Path
        For messages.
    name : str
    values : Series of str
    findings : list of Finding
        What is found is added to it.

    Returns
    -------
    values : Series
        Float or int if it holds numbers, else text and NaN.
    """
    return _ColumnReader(path, name, _Column(), findings).read(values)


def _read_cells(path: Path, findings: list[Finding]) -> TextTable | None:
    """The cells of the table; None if there is nobody in it."""
    if not os.path.isfile(path) and not os.path.islink(path):
        others = sorted(p.name for p in path.parent.glob('[Pp]articipants*') if p.suffix in _TABLES)
        instead = f' (there is {listed(others)})' if others else ''
        findings.append(people.NO_TABLE.log(LOG, path, instead=instead))
        return None
    try:
        cells = read_text_table(path)
    except OSError as error:
        findings.append(people.TABLE_UNREADABLE.log(LOG, path, reason=error.strerror or type(error).__name__))
        return None
    findings += cells.findings
    if 'participant_id' not in cells.columns and cells.columns:
        columns, mend = listed(cells.columns, most=20), _which_to_rename(cells)
        findings.append(people.NO_ID_COLUMN.log(LOG, path, columns=columns, mend=mend))
        return None
    if not cells.rows:
        findings.append(people.TABLE_EMPTY.log(LOG, path))
        return None
    return cells


def similar_labels(listed_ids: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Identifiers of a table that would match but for case, zeros in front, or signs.

    Parameters
    ----------
    listed_ids, wanted : iterable of str
        Identifiers ``sub-LABEL`` of the table, and of the people with results.

    Returns
    -------
    pairs : dict of str to str
        Identifiers of the table by those that are wanted.
    """

    def bare(label: str) -> str:
        letters = re.sub(r'[\W_]', '', label.removeprefix('sub-').casefold())
        return letters.removeprefix('sub').lstrip('0')

    by_bare = {bare(label): label for label in listed_ids}
    by_bare.pop('', None)
    return {label: by_bare[bare(label)] for label in wanted if bare(label) in by_bare}


def _which_to_rename(cells: TextTable) -> str:
    bare = {re.sub(r'[\W_]', '', c.casefold()): c for c in reversed(cells.columns)}
    candidates = [bare[name] for name in _OTHER_NAMES if name in bare]
    candidates += [c for c, v in zip(cells.columns, cells.rows[0] if cells.rows else (), strict=False)
                   if v.casefold().startswith('sub-')]  # fmt: skip
    return (
        f'rename its column {listed(candidates[:1])} to participant_id'
        if candidates
        else 'give the column with the labels of the folders (sub-01) the name participant_id'
    )


def _one_row_each(path: Path, cells: TextTable, findings: list[Finding]) -> pd.DataFrame:
    """Identifiers with ``sub-``, and the first row of each; values as they are."""
    table = pd.DataFrame(cells.rows, columns=cells.columns, dtype=object)
    ids = table['participant_id']
    without = ids.str.lower().isin(MISSING).to_numpy(bool)
    if without.any():
        lines = listed(n for n, k in zip(cells.lines, without, strict=True) if k)
        findings.append(people.NO_IDS.log(LOG, path, lines=lines))
    table['participant_id'] = 'sub-' + ids.str.replace(r'^[sS][uU][bB]-', '', regex=True)
    table = table[~without]
    repeated = table['participant_id'].duplicated()
    if repeated.any():
        twice = table.loc[repeated, 'participant_id'].unique()
        again = table[table['participant_id'].isin(twice)].groupby('participant_id').nunique()
        columns = again.columns[(again > 1).any()]
        differ = f', with different values in {listed(columns)}' if len(columns) else ''
        findings.append(people.REPEATED.log(LOG, path, people=listed(twice), differ=differ))
    return table[~repeated].reset_index(drop=True)


class _ColumnReader:
    """The values of one column, as numbers or text.

    Parameters
    ----------
    path : Path
        The table, for messages.
    name : str
    about : _Column
    findings : list of Finding
        What is found is added to it.
    """

    def __init__(self, path: Path, name: str, about: _Column, findings: list[Finding]) -> None:
        self.path, self.name, self.about, self.findings = path, name, about, findings
        self.levels = {_canonical(k): v for k, v in about.levels.items()}
        self.is_coded = False

    def read(self, values: pd.Series) -> pd.Series:
        """The column: float or int if it holds numbers, else text and NaN; sets `is_coded`."""
        values = self._without_words(values)
        codes = values.map(_canonical, na_action='ignore')
        declared = codes.isin(self.levels).sum()
        self.is_coded = not self.about.has_units and bool(
            declared > 0 and declared >= codes.notna().sum() / 2
        )
        if self.is_coded:
            return self._codes(codes)
        values = self._without_commas(values)
        numbers = values.map(_as_number).astype(float)
        infinite = np.isinf(numbers)
        self._say(people.INFINITE, values[infinite])
        values, numbers = values.where(~infinite, np.nan), numbers.where(~infinite, np.nan)
        if numbers.notna().sum() > values.notna().sum() / 2:
            self._say(people.NOT_NUMBERS, values[numbers.isna() & values.notna()])
            return self._numbers(values, numbers)
        values = self._without_codes(values, _matching(values, _MISSING_CODE))
        self._say(people.POSSIBLE_CODES, values[_matching(values, _POSITIVE_CODE)])
        self._say_similar(values)
        return values

    def _without_words(self, values: pd.Series) -> pd.Series:
        lower = values.str.casefold()
        # a word that is described as a value is one; a code that is described as missing is missing
        meaning = values.map(lambda v: self.levels.get(_canonical(v), '').casefold())
        described = meaning.isin(_MEANS_MISSING)
        words = lower.isin(MISSING) & ((meaning == '') | (lower == ''))
        self._say(people.MISSING_WORDS, values[(words & ~lower.isin(_PLAINLY_MISSING)) | described])
        return values.where(~(words | described), np.nan)

    def _codes(self, values: pd.Series) -> pd.Series:
        undeclared = values.notna() & ~values.isin(self.levels)
        values = self._without_codes(values, undeclared & _matching(values, _MISSING_CODE))
        self._say(people.UNDECLARED_LEVELS, values[undeclared & values.notna()])
        return values.astype(object)

    def _without_commas(self, values: pd.Series) -> pd.Series:
        """Numbers with a decimal comma get a point, where no comma can be one between thousands."""
        commas = _matching(values, _COMMA_NUMBER)
        plain = values.map(_as_number).notna()
        if not commas.any() or (commas | plain).sum() <= values.notna().sum() / 2:
            return values
        pointed = plain & values.str.contains('.', regex=False, na=False)
        if pointed.any() or values[commas].map(lambda v: len(v.rpartition(',')[2]) == 3).all():
            self._say(people.AMBIGUOUS_COMMA, values[commas])
            return values.where(~commas, np.nan)
        self._say(people.DECIMAL_COMMA, values[commas])
        return values.where(~commas, values.str.replace(',', '.', regex=False))

    def _without_codes(self, values: pd.Series, codes: pd.Series) -> pd.Series:
        self._say(people.MISSING_CODES, values[codes])
        return values.where(~codes, np.nan)

    def _numbers(self, values: pd.Series, numbers: pd.Series) -> pd.Series:
        """Numbers without codes of missing values; int if all are known and whole."""
        sure, negative = _matching(values, _MISSING_CODE), _matching(values, _NEGATIVE_CODE)
        if (numbers[~sure & ~negative] >= 0).any() and not (numbers[~sure & ~negative] < 0).any():
            numbers = numbers.where(self._without_codes(values, sure).notna(), np.nan)
            self._say(people.POSSIBLE_CODES, values[negative])
        positive = _matching(values, _POSITIVE_CODE)
        positive &= numbers > 2 * numbers[~positive].abs().max()
        self._say(people.POSSIBLE_CODES, values[positive])
        is_whole = numbers.notna().all() and (numbers % 1 == 0).all() and (numbers.abs() < 2**53).all()
        return numbers.astype('int64') if is_whole else numbers

    def _say(self, caution: Caution, values: pd.Series) -> None:
        """Log a message that names the most frequent of these values, if there are any."""
        if len(values):
            words = listed(repr(word) for word, _ in Counter(values).most_common())
            self._log(caution, words=words, codes=words, count=len(values))

    def _say_similar(self, values: pd.Series) -> None:
        levels = values.dropna().unique()
        if len(levels) > _MOST_LEVELS:
            return
        spellings: dict[str, list[str]] = {}
        for level in levels:
            spellings.setdefault(' '.join(level.casefold().split()), []).append(level)
        for alike in spellings.values():
            if len(alike) > 1:
                self._log(people.SIMILAR_LEVELS, words=listed(map(repr, alike)))

    def _log(self, caution: Caution, **values: Any) -> None:
        self.findings.append(caution.log(LOG, self.path, column=self.name, **values))


def _matching(values: pd.Series, pattern: re.Pattern[str]) -> pd.Series:
    """Which values are text that a pattern matches."""
    return values.map(lambda v: isinstance(v, str) and pattern.fullmatch(v) is not None).astype(bool)


def _as_number(text: object) -> float:
    """The number that a text holds; NaN if it holds none."""
    if not isinstance(text, str):
        return math.nan
    return float(text) if _NUMBER.fullmatch(text) or _INFINITE.fullmatch(text) else math.nan


def _canonical(text: str) -> str:
    """A code as it is compared: 1, 1.0 and 01 are the same."""
    number = _as_number(text)
    return str(int(number)) if math.isfinite(number) and number % 1 == 0 else text


def _read_sidecar(path: Path, findings: list[Finding]) -> dict[str, _Column]:
    """What ``participants.json`` says about the columns; nothing if it is not there or damaged."""
    if not os.path.isfile(path):
        return {}
    try:
        with path.open('rb') as stream:
            data = stream.read(_MAX_SIDECAR + 1)
        if len(data) > _MAX_SIDECAR:
            raise ValueError(f'more than {_MAX_SIDECAR / 1e6:.0f} MB')
        content = json.loads(data.decode('utf-8-sig'))
        if not isinstance(content, dict):
            raise ValueError('it is no object')
    except (OSError, ValueError, RecursionError) as error:
        findings.append(people.SIDECAR_UNREADABLE.log(LOG, path, reason=str(error)[:100]))
        return {}
    described = {' '.join(name.split()): about for name, about in content.items() if isinstance(about, dict)}
    return {
        name: _Column(levels=_levels(about.get('Levels')), has_units=bool(about.get('Units')))
        for name, about in described.items()
    }


def _levels(entry: object) -> dict[str, str]:
    """``Levels`` as a mapping of values to meanings; a list of values is understood, too."""
    if isinstance(entry, dict):
        return {str(k).strip(): _meaning(v) for k, v in entry.items()}
    if isinstance(entry, list):
        return {str(v).strip(): str(v) for v in entry if isinstance(v, str | int | float)}
    return {}


def _meaning(value: object) -> str:
    """The meaning of a level: its text, or the description in an object (BIDS 1.9 and later)."""
    if isinstance(value, dict):
        value = value.get('Description', value.get('LongName', ''))
    return value.strip() if isinstance(value, str) and value.strip() else 'described'
