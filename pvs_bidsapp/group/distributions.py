"""Comparison of cohorts by Kolmogorov-Smirnov tests at each cluster-size filter, after matching.

Joliot et al. 2021 (fig. 1C) compare two age- and sex-matched cohorts by the distribution of the
number of clusters of the deep white matter, with small clusters left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import linear_sum_assignment
from statsmodels.stats.multitest import multipletests

#: Largest difference between the two persons of a pair in a numeric column, in its units (years for age).
CALIPER = 5.0
#: Columns that Joliot et al. 2021 match cohorts on.


def match(first: pd.DataFrame, second: pd.DataFrame, by: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pair each row of the smaller cohort with a similar row of the other.

    Pairs are equal in all columns of text and differ by at most `CALIPER` in numeric columns; the sum of the
    differences is minimal (Hungarian method). Rows without a partner are left out.

    Parameters
    ----------
    first, second : DataFrame
        One row per person.
    by : sequence of str
        Columns to match on.

    Returns
    -------
    first, second : DataFrame
        Of equal length; rows of the same number are a pair.

    Raises
    ------
    KeyError
        If a column is missing.
    """
    first, second = (t.dropna(subset=list(by)).reset_index(drop=True) for t in (first, second))
    if first.empty or second.empty:
        return first.iloc[:0], second.iloc[:0]
    cost = np.zeros((len(first), len(second)))
    for column in by:
        one, two = first[column], second[column]
        if pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(two):
            gap = np.abs(one.to_numpy(float)[:, None] - two.to_numpy(float)[None])
            cost += np.where(gap <= CALIPER, gap, np.inf)
        else:
            same = one.astype(str).to_numpy()[:, None] == two.astype(str).to_numpy()[None]
            cost += np.where(same, 0, np.inf)
    allowed = np.isfinite(cost)
    # a pair that is not allowed costs more than any complete assignment of allowed pairs
    prohibitive = 1e3 * (1 + (cost[allowed].max() if allowed.any() else 0)) * max(cost.shape)
    rows, columns = linear_sum_assignment(np.where(allowed, cost, prohibitive))
    kept = allowed[rows, columns]
    return first.iloc[rows[kept]].reset_index(drop=True), second.iloc[columns[kept]].reset_index(drop=True)


def compare(
    cohorts: Mapping[str, pd.DataFrame], sizes: Sequence[float], *, matched_by: Sequence[str] = ()
) -> pd.DataFrame:
    """Two-sample Kolmogorov-Smirnov tests of all pairs of cohorts at each size filter.

    Parameters
    ----------
    cohorts : mapping of str to DataFrame
        One row per scan, with a column ``count_{size:g}`` for each size (see `column`).
    sizes : sequence of float
        Cluster-size filters in mm3.
    matched_by : sequence of str
        Columns to match each pair on.

    Returns
    -------
    table : DataFrame
        Columns ``cohort_1 cohort_2 size_filter_mm3 n_1 n_2 median_1 median_2 d p p_holm``. ``p_holm`` is
        corrected over the pairs of cohorts at each size (Holm 1979). NaN where a cohort is empty.
    """
    rows = []
    for one, two in itertools.combinations(cohorts, 2):
        first, second = cohorts[one], cohorts[two]
        if matched_by:
            first, second = match(first, second, matched_by)
        for size in sizes:
            a, b = (t[column(size)].dropna().to_numpy(float) for t in (first, second))
            d, p = _kolmogorov_smirnov(a, b)
            rows.append([one, two, size, len(a), len(b), _median(a), _median(b), d, p])
    names = ['cohort_1', 'cohort_2', 'size_filter_mm3', 'n_1', 'n_2', 'median_1', 'median_2', 'd', 'p']
    table = pd.DataFrame(rows, columns=names)
    table['p_holm'] = table['p']
    for _, part in table.groupby('size_filter_mm3'):
        known = part['p'].dropna()
        if len(known) > 1:
            table.loc[known.index, 'p_holm'] = multipletests(known, method='holm')[1]
    return table


def column(size: float) -> str:
    """Name of the column that counts clusters of at least `size` mm3."""
    return f'count_{size:g}'


def _kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    if not len(a) or not len(b):
        return np.nan, np.nan
    result = stats.ks_2samp(a, b)
    return float(result.statistic), float(result.pvalue)


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan
