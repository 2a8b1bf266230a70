"""Table 1 of a paper: who the people of each cohort are, and their burden."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from .exclusions import level_text
from .measures import false_discovery

#: Levels up to which a column of text is listed.
MOST_LEVELS = 12
#: Measures of the results, with the name and the factor of the unit that is shown.
MEASURES = {
    'ICV': ('ICV (ml)', 1e-3), 'count': ('PVS: number', 1.0), 'volume_mm3': ('PVS: volume (mm3)', 1.0),
    'dwm_count': ('PVS of deep white matter: number', 1.0),
    'dwm_volume_mm3': ('PVS of deep white matter: volume (mm3)', 1.0),
}  # fmt: skip
#: Measures that are shown by median and quartiles, as they are skewed.
_SKEWED = frozenset(('count', 'volume_mm3', 'dwm_count', 'dwm_volume_mm3'))
#: Columns of the table that do not depend on the cohorts, with their descriptions.
COLUMNS = {
    'characteristic': 'what is described',
    'level': 'level of a column of text or codes; n/a for numbers',
    'statistic': 'what the cells hold',
    'all': 'everybody',
    'smd': 'standardised mean difference of numbers: difference of the means of two cohorts by the root of '
    'the mean of their variances (Austin 2009), without sign; with more cohorts the largest',
    'test': 'Kruskal-Wallis for numbers (of two cohorts: Mann-Whitney), chi-squared for levels, Fisher for '
    'two by two levels with an expected number below 5',
    'p': 'of the test',
    'q': 'false-discovery corrected over the characteristics (Benjamini & Hochberg 1995)',
}
_COUNT, _MEAN, _MEDIAN = 'n (%)', 'mean (SD)', 'median [quartiles]'


def cohort_column(name: str) -> str:
    """Column of a cohort: its name, which may be that of a column of the table, after ``cohort_``."""
    return f'cohort_{name}'


def table_one(
    cohorts: Mapping[str, pd.DataFrame],
    everybody: pd.DataFrame,
    columns: Sequence[str],
    scans: Mapping[str | None, int] | None = None,
) -> pd.DataFrame:
    """Describe the people of all cohorts side by side.

    Parameters
    ----------
    cohorts : mapping of str to DataFrame
        One row per person, with the measures of the first scan. With one cohort there is only ``all``.
    everybody : DataFrame
        The people of all cohorts, and those who are in none.
    columns : sequence of str
        Columns that describe people.
    scans : mapping of str to int, optional
        Numbers of scans by cohort; None: of everybody, as no cohort can be called.

    Returns
    -------
    table : DataFrame
        `COLUMNS`, and after ``all`` one column for each cohort (`cohort_column`). Cells are text.
    """
    several = {cohort_column(n): part for n, part in cohorts.items()} if len(cohorts) > 1 else {}
    groups = {'all': everybody} | several
    rows = [_row('people', 'n', {name: str(len(part)) for name, part in groups.items()})]
    if scans:
        keys: dict[str, str | None] = {'all': None, **{cohort_column(n): n for n in cohorts}}
        rows.append(_row('scans', 'n', {name: str(scans[keys[name]]) for name in groups}))
    for name in [c for c in dict.fromkeys((*columns, *MEASURES)) if c in everybody]:
        rows += _describe(name, groups)
    table = pd.DataFrame(rows)
    for name in ('level', 'smd', 'test', 'p'):
        if name not in table:
            table[name] = np.nan
    before, after = ('characteristic', 'level', 'statistic'), ('smd', 'test', 'p', 'q')
    return table.assign(q=false_discovery(table, [])).reindex(columns=[*before, *groups, *after])


def _row(characteristic: str, statistic: str, cells: Mapping[str, str]) -> dict[str, object]:
    return {'characteristic': characteristic, 'statistic': statistic, **cells}


def _describe(name: str, groups: Mapping[str, pd.DataFrame]) -> Iterator[dict[str, object]]:
    title, factor = MEASURES.get(name, (name, 1.0))
    values = {
        group: part[name].dropna() if name in part else pd.Series(dtype=float)
        for group, part in groups.items()
    }
    if not len(values['all']):
        return
    if pd.api.types.is_numeric_dtype(values['all']) and not pd.api.types.is_bool_dtype(values['all']):
        numbers = {group: v.to_numpy(float) * factor for group, v in values.items()}
        statistic, show = (_MEDIAN, _median) if name in _SKEWED else (_MEAN, _mean)
        cells = {group: show(v) for group, v in numbers.items()}
        compared = [v for group, v in numbers.items() if group != 'all']
        yield _row(title, statistic, cells) | _compare_numbers(compared)
    else:
        texts = {group: v.map(level_text) for group, v in values.items()}
        yield from _levels(title, texts)
    missing = {group: len(part) - len(values[group]) for group, part in groups.items()}
    if any(missing.values()):
        yield _row(title, 'n missing', {group: str(n) for group, n in missing.items()})


def _levels(title: str, texts: Mapping[str, pd.Series]) -> Iterator[dict[str, object]]:
    levels = sorted(texts['all'].unique())
    if len(levels) > MOST_LEVELS:
        return
    counts = pd.DataFrame({g: t.value_counts().reindex(levels, fill_value=0) for g, t in texts.items()})
    test = _compare_levels(counts.drop(columns='all').to_numpy())
    for level in levels:
        cells = {g: f'{n} ({100 * n / max(counts[g].sum(), 1):.0f} %)' for g, n in counts.loc[level].items()}
        # one test is of all levels, and stands beside the first
        yield _row(title, _COUNT, cells) | {'level': level} | (test if level == levels[0] else {})


def _mean(values: np.ndarray) -> str:
    if not len(values):
        return 'n/a'
    return f'{values.mean():.1f}' + (f' ({values.std(ddof=1):.1f})' if len(values) > 1 else '')


def _median(values: np.ndarray) -> str:
    if not len(values):
        return 'n/a'
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f'{middle:.0f} [{low:.0f}, {high:.0f}]'


def _compare_numbers(groups: Sequence[np.ndarray]) -> dict[str, object]:
    """Test and standardised difference of numbers; nothing where a cohort has fewer than two."""
    if len(groups) < 2 or min(map(len, groups)) < 2 or np.ptp(np.concatenate(groups)) == 0:
        return {}
    gaps = []
    for a, b in itertools.combinations(groups, 2):
        spread = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
        gaps.append(abs(a.mean() - b.mean()) / spread if spread else np.nan)
    return {'smd': max(gaps), 'test': 'Kruskal-Wallis', 'p': float(stats.kruskal(*groups).pvalue)}


def _compare_levels(counts: np.ndarray) -> dict[str, object]:
    """Test of counts, of shape (levels, cohorts)."""
    counts = counts[counts.sum(1) > 0]
    if counts.shape[1] < 2 or len(counts) < 2 or (counts.sum(0) == 0).any():
        return {}
    expected = stats.contingency.expected_freq(counts)
    if counts.shape == (2, 2) and expected.min() < 5:
        return {'test': 'Fisher', 'p': float(stats.fisher_exact(counts).pvalue)}
    return {'test': 'chi-squared', 'p': float(stats.chi2_contingency(counts, correction=False).pvalue)}
