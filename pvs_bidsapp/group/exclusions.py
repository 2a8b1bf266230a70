"""Scans and people that an analysis leaves out, each with the reason."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import pandas as pd

#: Columns of the table of exclusions, with their descriptions.
COLUMNS = {
    'scan': 'name of the scan; n/a for a person without any',
    'participant_id': 'label of the person',
    'analysis': 'what leaves the scan out: all, or one of the analyses',
    'reason': 'why',
}
#: Name of an exclusion from everything, since there are no results.
ALL = 'all'


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """One scan or person that an analysis leaves out.

    Attributes
    ----------
    scan : str or None
        None for a person without any.
    participant_id : str
    analysis : str
    reason : str
    """

    scan: str | None
    participant_id: str
    analysis: str
    reason: str


def exclude(scans: pd.DataFrame, analysis: str, reason: str | Sequence[str]) -> list[Exclusion]:
    """Exclusions of several scans.

    Parameters
    ----------
    scans : DataFrame
        With columns ``scan`` and ``participant_id``.
    analysis : str
    reason : str or sequence of str
        One for all scans, or one for each.
    """
    reasons = [reason] * len(scans) if isinstance(reason, str) else reason
    return [
        Exclusion(scan=str(scan), participant_id=str(person), analysis=analysis, reason=why)
        for scan, person, why in zip(scans['scan'], scans['participant_id'], reasons, strict=True)
    ]


def exclusion_table(exclusions: Iterable[Exclusion]) -> pd.DataFrame:
    """A table with one row for each exclusion, with `COLUMNS`, in the order of the analyses."""
    names = [f.name for f in fields(Exclusion)]
    return pd.DataFrame([astuple(e) for e in exclusions], columns=names, dtype=object)[list(COLUMNS)]


def without_missing(
    scans: pd.DataFrame, columns: Iterable[str], analysis: str, unlisted: Collection[str] = ()
) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Leave out scans without a value in one of the columns.

    Parameters
    ----------
    scans : DataFrame
        One row per scan.
    columns : iterable of str
    analysis : str
        For the exclusions.
    unlisted : collection of str
        ``participant_id`` of people who are not in ``participants.tsv``, for the reasons.

    Returns
    -------
    kept : DataFrame
    exclusions : list of Exclusion
    """
    missing = scans[list(dict.fromkeys(columns))].isna()
    lacks = missing.any(axis=1)
    reasons = [
        f'no {" and no ".join(missing.columns[row])}'
        + (' (not in participants.tsv)' if who in unlisted else '')
        for row, who in zip(missing[lacks].to_numpy(bool), scans.loc[lacks, 'participant_id'], strict=True)
    ]
    return scans[~lacks], exclude(scans[lacks], analysis, reasons)


def without_single_levels(
    scans: pd.DataFrame, columns: Iterable[str], analysis: str
) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Leave out scans that are the only ones with their value in a column of text.

    The effect of a level that one person holds cannot be told from that person. What is left out may leave
    another scan alone; this is repeated until no level has one scan.

    Parameters
    ----------
    scans : DataFrame
        One row per person.
    columns : iterable of str
        Columns of text.
    analysis : str
        For the exclusions.

    Returns
    -------
    kept : DataFrame
    exclusions : list of Exclusion
    """
    exclusions: list[Exclusion] = []
    kept, left = scans, -1
    while left != len(kept):
        left = len(kept)
        for name in columns:
            levels = kept[name].map(level_text)
            alone = levels.map(levels.value_counts()) == 1
            reasons = [f'the only one with {name} {level}' for level in levels[alone]]
            exclusions += exclude(kept[alone], analysis, reasons)
            kept = kept[~alone]
    return kept, exclusions


def level_text(value: object) -> str:
    """A value as the name of a level: whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
