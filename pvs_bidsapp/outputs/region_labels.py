"""The table beside a region map, which says what its numbers mean."""

from __future__ import annotations

from pathlib import Path

from ..anatomy.regions import REGIONS
from ..errors import InputError
from .result_tables import read_rows

NONE = 'no region'
#: Description and unit of the column that BIDS has no description of.
LABEL_COLUMNS: dict[str, tuple[str, str | None]] = {'hemisphere': ('left, right or both', None)}


def region_labels() -> str:
    """Text of the table: one row per region, with its number, name and hemisphere."""
    rows = [f'{r.index}\t{r.name} {r.hemisphere}\t{r.hemisphere}' for r in REGIONS]
    return '\n'.join(['index\tname\themisphere', *rows]) + '\n'


def differing_label(table: Path) -> str:
    """In what the table of a region map differs from the regions of this version.

    Numbers are given to other regions when regions are added, so that a map of another version cannot be
    read by the numbers of this one.

    Parameters
    ----------
    table : Path

    Returns
    -------
    difference : str
        The first one, or why the table cannot be read; empty if the regions are the same.
    """
    try:
        rows = read_rows(table, ('index', 'name'))
    except InputError as error:
        return error.finding.finding
    theirs = {row['index']: row['name'] for row in rows}
    ours = {str(r.index): f'{r.name} {r.hemisphere}' for r in REGIONS}
    for index in sorted(theirs.keys() | ours.keys(), key=lambda text: (len(text), text)):
        if (there := theirs.get(index, NONE)) != (here := ours.get(index, NONE)):
            return f'{index} is {there} in it, and {here} in this version'
    return ''
