"""Measures of all scans and regions as the models take them: on a logarithmic scale, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from .standard import COLUMNS

#: Measures that are compared, in the order of the tables.
OUTCOMES = ('count', 'volume_mm3', 'volume_fraction')
#: The volume at the reference quality, which the results of some models have.
STANDARD_VOLUME = COLUMNS['volume_mm3']
#: How a region is named in tables with one row for each region.
REGION = ['region', 'hemisphere']
#: Notes of outcomes without variance, and of those whose terms (cohorts, covariates) leave none of it.
CONSTANT = 'the outcome is constant'
EXPLAINED = 'no variance is left within the cohorts or beside the covariates'


def outcomes_in(tidy: pd.DataFrame, outcomes: Iterable[str] = OUTCOMES) -> tuple[str, ...]:
    """The measures that are compared, and `STANDARD_VOLUME` if a table has it.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region.
    outcomes : iterable of str
    """
    return (*outcomes, *([STANDARD_VOLUME] if STANDARD_VOLUME in tidy else []))


def transformed(values: pd.Series, outcome: str) -> pd.Series:
    """Transform an outcome for a linear model.

    Parameters
    ----------
    values : Series
    outcome : str
        One of `outcomes_in`.

    Returns
    -------
    values : Series
        log(1 + volume in mm3), or the logarithm of the fraction, of which 0 is replaced by half of the
        smallest positive one; counts are not changed.
    """
    if outcome in ('volume_mm3', STANDARD_VOLUME):
        return np.log1p(values)
    if outcome == 'volume_fraction':
        positive = values[values > 0]
        floor = float(positive.min()) / 2 if len(positive) else 1.0
        return np.log(values.clip(lower=floor))
    return values


def logarithm(values: pd.Series, outcome: str) -> pd.Series:
    """An outcome on a logarithmic scale: as `transformed`, and log(1 + count).

    Parameters
    ----------
    values : Series
    outcome : str
        One of `outcomes_in`.
    """
    return np.log1p(values) if outcome == 'count' else transformed(values, outcome)


def side_by_side(tidy: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """One row for each scan, one column for each region.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region, as `pvs_bidsapp.group.collect.collect` makes it.
    outcome : str
        One of `outcomes_in`.

    Returns
    -------
    values : DataFrame
        Indexed by ``scan``; the columns are pairs of region and hemisphere, in the order of `tidy`.
    """
    order = pd.MultiIndex.from_frame(tidy[REGION].drop_duplicates())
    wide = tidy.pivot_table(outcome, 'scan', REGION, dropna=False, observed=True)
    return wide.reindex(columns=order)


def by_known_rows(values: pd.DataFrame) -> Iterator[tuple[np.ndarray, pd.DataFrame]]:
    """Columns that have values in the same rows, so that one design matrix serves all of them.

    Parameters
    ----------
    values : DataFrame
        From `side_by_side`.

    Yields
    ------
    known : ndarray of bool, shape (rows,)
    part : DataFrame
        Those rows of those columns.
    """
    keys = [values[c].notna().to_numpy().tobytes() for c in values]
    for key in dict.fromkeys(keys):
        known = np.frombuffer(key, dtype=bool)
        yield known, values.loc[known, [k == key for k in keys]]


def false_discovery(table: pd.DataFrame, groups: Sequence[str], p: str = 'p') -> pd.Series:
    """P-values corrected over the rows of each group (Benjamini & Hochberg 1995).

    Parameters
    ----------
    table : DataFrame
    groups : sequence of str
        Columns that name the groups; none: all rows are one.
    p : str
        Column of p-values; NaN stays NaN.
    """
    q = pd.Series(np.nan, index=table.index)
    parts = [part for _, part in table.groupby(list(groups), sort=False)] if groups else [table]
    for part in parts:
        known = part[p].dropna()
        if len(known):
            q[known.index] = multipletests(known.astype(float), method='fdr_bh')[1]
    return q
