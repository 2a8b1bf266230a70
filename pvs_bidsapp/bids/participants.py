"""Reading ``participants.tsv``."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError

LOG = logging.getLogger(__name__)
#: What people write where a value is missing.
_MISSING = ('', 'n/a', 'N/A', 'NA', 'nan', 'NaN')


def read_participants(bids_dir: Path) -> pd.DataFrame | None:
    """Read ``participants.tsv`` of a dataset.

    Byte-order marks, Windows line ends, identifiers without ``sub-`` and repeated rows are accepted.
    Whatever is ignored or unclear is logged.

    Parameters
    ----------
    bids_dir : Path

    Returns
    -------
    people : DataFrame or None
        One row for each person; columns of numbers are numeric. None if there is no table, or no column
        ``participant_id`` in it.

    Raises
    ------
    InputError
        If the file is not a tab-separated table in UTF-8.
    """
    path = bids_dir / 'participants.tsv'
    if not path.exists():
        LOG.warning('%s: not found; tables will lack age and sex', path)
        return None
    try:
        table = pd.read_csv(path, sep='\t', dtype=str, encoding='utf-8-sig', keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f'{path}: not a tab-separated table in UTF-8 ({str(error)[:100]})') from error
    table.columns = table.columns.str.strip()
    if 'participant_id' not in table:
        LOG.warning('%s: no column participant_id (there are: %s); not used', path, ', '.join(table.columns))
        return None
    table = table.map(lambda v: v.strip() if isinstance(v, str) else v)
    table = table.replace(dict.fromkeys(_MISSING, np.nan))
    return _numeric_columns(path, _one_row_each(path, table.dropna(subset=['participant_id'])))


def _one_row_each(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Identifiers with ``sub-``, and the first row of each."""
    table = table.copy()
    bare = ~table['participant_id'].str.startswith('sub-')
    table.loc[bare, 'participant_id'] = 'sub-' + table.loc[bare, 'participant_id']
    repeated = table['participant_id'].duplicated()
    if repeated.any():
        LOG.warning(
            '%s: %s listed more than once; the first row counts',
            path,
            ', '.join(table.loc[repeated, 'participant_id'].unique()),
        )
    return table[~repeated].reset_index(drop=True)


def _numeric_columns(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Columns in which most values are numbers, as numbers."""
    for name in table.columns.drop('participant_id'):
        numbers = pd.to_numeric(table[name], errors='coerce')
        if numbers.notna().sum() == table[name].notna().sum() and numbers.notna().any():
            table[name] = numbers
        elif numbers.notna().mean() > 0.5:
            odd = table.loc[numbers.isna() & table[name].notna(), name].unique()
            LOG.warning(
                '%s: column %s: %s is not a number and counts as missing',
                path, name, ', '.join(map(repr, odd[:5])),
            )  # fmt: skip
            table[name] = numbers
    return table
