"""Reading what differs between the scans of a person: ``sub-*_sessions.tsv`` and ``*_scans.tsv``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..messages import people
from ..messages.message import Finding
from ..messages.people import listed
from .naming import Naming, SimulationNaming
from .participants import MISSING, read_column
from .tsv import read_text_table

LOG = logging.getLogger(__name__)
#: The column of ``*_scans.tsv`` that is read: when a scan was made.
TIME = 'acq_time'


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """What is known of single scans.

    Attributes
    ----------
    table : DataFrame
        Indexed by the name of the scan; no columns if there is nothing. Numbers are float, all else is text.
    findings : tuple of Finding
        What was found and is worth a word; already logged.
    """

    table: pd.DataFrame
    findings: tuple[Finding, ...] = ()


def read_sessions(bids_dir: Path, scans: Sequence[Naming]) -> Sessions:
    """Read the tables of the sessions of all scans.

    Parameters
    ----------
    bids_dir : Path
    scans : sequence of Naming

    Returns
    -------
    sessions : Sessions
        Columns of ``sub-*_sessions.tsv``, and `TIME` of ``*_scans.tsv`` where the former has none. A table
        that cannot be read is left out with a word.
    """
    findings: list[Finding] = []
    rows = {names.stem: _times(bids_dir, names, findings) for names in scans}
    for subject, own in _by_subject(scans).items():
        path = SimulationNaming(bids_dir).sessions(subject)
        sessions: dict[str, dict[str, str]] = {}
        for label, row in _read(path, 'session_id', findings).items():
            sessions.setdefault(_label(label), row)
        for names in own:
            known = sessions.get(str(names.session), {})
            rows[names.stem] |= {name: value for name, value in known.items() if not _is_missing(value)}
        without = sorted({str(names.session) for names in own} - set(sessions))
        if sessions and without:
            findings.append(
                people.SESSIONS_LACKING.log(LOG, path, lacking=listed(without), there=listed(sessions))
            )
    cells = pd.DataFrame(list(rows.values()), index=list(rows), dtype=object).fillna('n/a')
    table = pd.DataFrame(index=cells.index)
    for name in cells:
        values = read_column(bids_dir, str(name), cells[name], findings)
        if values.notna().any():
            table[name] = values
    return Sessions(table=table, findings=tuple(findings))


def _by_subject(scans: Iterable[Naming]) -> dict[str, list[Naming]]:
    """Scans with a session, by their subject."""
    found: dict[str, list[Naming]] = {}
    for names in scans:
        if names.session:
            found.setdefault(names.subject, []).append(names)
    return found


def _label(session: str) -> str:
    return f'ses-{session.removeprefix("ses-")}'


def _times(bids_dir: Path, names: Naming, findings: list[Finding]) -> dict[str, str]:
    """When a scan was made, from the table of scans of its session."""
    folder = Naming(bids_dir, names.entities).folder
    label = '_'.join(part for part in (names.subject, names.session) if part)
    files = _read(folder / f'{label}_scans.tsv', 'filename', findings)
    for file, row in files.items():
        if Path(file).name.startswith((f'{names.stem}_T1w.', f'{names.stem}_T2w.')) and row.get(TIME):
            return {TIME: row[TIME]}
    return {}


def _read(path: Path, key: str, findings: list[Finding]) -> dict[str, dict[str, str]]:
    """Rows of a small table by the value of one column."""
    if not path.is_file():
        return {}
    try:
        table = read_text_table(path)
    except (OSError, InputError) as error:
        findings.append(people.SESSIONS_UNREADABLE.log(LOG, path, reason=' '.join(str(error).split())))
        return {}
    if key not in table.columns:
        findings.append(people.SESSIONS_UNREADABLE.log(LOG, path, reason=f'it has no column {key}'))
        return {}
    place = list(table.columns).index(key)
    rows: dict[str, dict[str, str]] = {}
    for row in table.rows:
        if row[place] in rows:
            findings.append(people.SESSIONS_REPEATED.log(LOG, path, name=row[place]))
            continue
        rows[row[place]] = {c: v for c, v in zip(table.columns, row, strict=True) if c != key}
    return rows


def _is_missing(value: str) -> bool:
    return value.strip().lower() in MISSING
