"""Comparison of cohorts by Kolmogorov-Smirnov tests at each cluster-size filter, after matching.

Joliot et al. 2021 (fig. 1C) compare two age- and sex-matched cohorts by the distribution of the
number of clusters of the deep white matter, with small clusters left out.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import linear_sum_assignment
from statsmodels.stats.multitest import multipletests

from .exclusions import level_text
from .measures import false_discovery

#: Largest difference between the two persons of a pair in a measurement, in its units (years for age).
CALIPER = 5.0
#: Different whole numbers up to which a column is taken to hold codes.
MOST_CODES = 10
#: Words in names of columns of codes, whatever number of them there are.
_CODE_NAMES = frozenset((
    'site', 'scanner', 'center', 'centre', 'sex', 'gender', 'group', 'cohort', 'diagnosis', 'dx', 'code',
    'id', 'handedness', 'race', 'ethnicity',
))  # fmt: skip
#: Columns of the comparison, with their descriptions.
COLUMNS = {
    'cohort_1': 'first cohort',
    'cohort_2': 'second cohort',
    'size_filter_mm3': 'smaller clusters are left out, in mm3',
    'n_1': 'number of people of the first cohort',
    'n_2': 'number of people of the second cohort',
    'median_1': 'median number of clusters in deep white matter of the first cohort',
    'median_2': 'that of the second cohort',
    'd': 'two-sample Kolmogorov-Smirnov statistic of the number of clusters in deep white matter',
    'p': 'two-sided',
    'p_holm': 'corrected over the pairs of cohorts at each size (Holm 1979)',
    'q': 'p, false-discovery corrected over pairs and sizes (Benjamini & Hochberg 1995)',
}


@dataclass(frozen=True, kw_only=True)
class MatchingRule:
    """How two persons are compared in one column.

    Attributes
    ----------
    is_measured : bool
        Whether values may differ by up to `CALIPER`; else they have to be equal.
    reason : str
        Why, for the page.
    """

    is_measured: bool
    reason: str

    def __str__(self) -> str:
        how = f'may differ by at most {CALIPER:g}' if self.is_measured else 'equal'
        return f'{how} ({self.reason})'


def matching_rule(
    name: str, values: Sequence[pd.Series], *, is_coded: bool = False, is_measured: bool = False
) -> MatchingRule:
    """Decide whether a column holds measurements or codes.

    Parameters
    ----------
    name : str
        Name of the column.
    values : sequence of Series
        The column in each cohort.
    is_coded, is_measured : bool
        What is known of it from elsewhere.

    Returns
    -------
    rule : MatchingRule
        Text, whole numbers with at most `MOST_CODES` different values, and whole numbers in columns called
        like one of codes are codes, unless `is_measured`.
    """
    if is_coded:
        return MatchingRule(is_measured=False, reason='codes, as participants.json has Levels')
    if not all(pd.api.types.is_numeric_dtype(v) for v in values):
        return MatchingRule(is_measured=False, reason='text')
    if is_measured:
        return MatchingRule(is_measured=True, reason='a measurement')
    known = pd.concat(values).dropna()
    if (known % 1 != 0).any():
        return MatchingRule(is_measured=True, reason='numbers with decimals')
    if words := _CODE_NAMES & set(re.split(r'[\W_]+', name.casefold())):
        return MatchingRule(is_measured=False, reason=f'whole numbers in a column called {min(words)}')
    number = known.nunique()
    if number <= MOST_CODES:
        return MatchingRule(is_measured=False, reason=f'{number} different whole numbers, taken as codes')
    return MatchingRule(is_measured=True, reason=f'{number} different whole numbers, taken as a measurement')


def match(
    first: pd.DataFrame, second: pd.DataFrame, by: Sequence[str] | Mapping[str, MatchingRule]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pair each row of the smaller cohort with a similar row of the other.

    Pairs are equal in columns of codes and differ by at most `CALIPER` in measurements; the sum of the
    differences is minimal (Hungarian method). Rows without a partner are left out.

    Parameters
    ----------
    first, second : DataFrame
        One row per person.
    by : sequence of str, or mapping of str to MatchingRule
        Columns to match on; without rules, `matching_rule` decides.

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
    rules = by if isinstance(by, Mapping) else {c: matching_rule(c, [first[c], second[c]]) for c in by}
    cost = np.zeros((len(first), len(second)))
    for name, rule in rules.items():
        one, two = first[name], second[name]
        if rule.is_measured:
            gap = np.abs(one.to_numpy(float)[:, None] - two.to_numpy(float)[None])
            cost += np.where(gap <= CALIPER, gap, np.inf)
        else:
            same = one.map(level_text).to_numpy()[:, None] == two.map(level_text).to_numpy()[None]
            cost += np.where(same, 0, np.inf)
    allowed = np.isfinite(cost)
    # a pair that is not allowed costs more than any complete assignment of allowed pairs
    prohibitive = 1e3 * (1 + (cost[allowed].max() if allowed.any() else 0)) * max(cost.shape)
    rows, columns = linear_sum_assignment(np.where(allowed, cost, prohibitive))
    kept = allowed[rows, columns]
    return first.iloc[rows[kept]].reset_index(drop=True), second.iloc[columns[kept]].reset_index(drop=True)


def pairs(
    cohorts: Mapping[str, pd.DataFrame], rules: Mapping[str, MatchingRule] | None = None
) -> dict[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]]:
    """All pairs of cohorts, matched if there are rules.

    Parameters
    ----------
    cohorts : mapping of str to DataFrame
        One row per person.
    rules : mapping of str to MatchingRule, optional
        How to match, by column.
    """
    return {
        (one, two): match(cohorts[one], cohorts[two], rules) if rules else (cohorts[one], cohorts[two])
        for one, two in itertools.combinations(cohorts, 2)
    }


def compare(
    cohorts: Mapping[str, pd.DataFrame],
    sizes: Sequence[float],
    *,
    matched: Mapping[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]] | None = None,
) -> pd.DataFrame:
    """Two-sample Kolmogorov-Smirnov tests of all pairs of cohorts at each size filter.

    Parameters
    ----------
    cohorts : mapping of str to DataFrame
        One row per person, with a column ``count_{size:g}`` for each size (see `column`).
    sizes : sequence of float
        Cluster-size filters in mm3.
    matched : mapping of (str, str) to (DataFrame, DataFrame), optional
        The people of each pair that are compared, from `pairs`; all people by default.

    Returns
    -------
    table : DataFrame
        Columns as `COLUMNS`. NaN where a cohort is empty.
    """
    rows = []
    for (one, two), (first, second) in (pairs(cohorts) if matched is None else matched).items():
        for size in sizes:
            a, b = (t[column(size)].dropna().to_numpy(float) for t in (first, second))
            d, p = _kolmogorov_smirnov(a, b)
            rows.append([one, two, size, len(a), len(b), _median(a), _median(b), d, p])
    table = pd.DataFrame(rows, columns=list(COLUMNS)[:-2])
    table['p_holm'] = table['p']
    for _, part in table.groupby('size_filter_mm3'):
        known = part['p'].dropna()
        if len(known) > 1:
            table.loc[known.index, 'p_holm'] = multipletests(known, method='holm')[1]
    return table.assign(q=false_discovery(table, []))


def column(size: float) -> str:
    """Name of the column that counts clusters of at least `size` mm3."""
    return f'count_{size:g}'


def _kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    if not len(a) or not len(b):
        return np.nan, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # that p is asymptotic where it cannot be exact
        result = stats.ks_2samp(a, b)
    return float(result.statistic), float(result.pvalue)


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan
