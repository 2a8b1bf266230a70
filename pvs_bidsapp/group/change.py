"""Change per year of people who were scanned several times."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from .cohort import name_of_everybody
from .measures import REGION, false_discovery, outcomes_in, side_by_side
from .mixed import YEARS
from .permutation import SEED, number_of_permutations

#: Columns of the table, with their descriptions.
COLUMNS = {
    'region': 'name of the region',
    'hemisphere': 'left, right or both',
    'outcome': 'count, volume_mm3, volume_fraction or standard_volume_mm3',
    'cohort': 'group of people; all (all people, if a cohort is called all): everybody',
    'n_people': 'number of people with scans at two or more times',
    'n_scans': 'number of their scans',
    'mean_years': 'mean time from the first to the last scan, in years',
    'change_per_year': "mean of the people's slopes (least squares of each person), in units of the outcome",
    'standard_error': 'of the mean',
    'ci_low': 'lower end of the 95 % interval (t)',
    'ci_high': 'upper end of the 95 % interval (t)',
    'percent_per_year': 'change_per_year in percent of the mean of the first scans',
    'p': 'two-sided, of the t-test of one sample',
    'p_permutation': 'of the permutation test that flips signs of slopes',
    'q': 'p_permutation, false-discovery corrected over the regions (Benjamini & Hochberg 1995)',
    'note': 'why there is no estimate',
}


def change_per_year(tidy: pd.DataFrame, cohorts: Mapping[str, pd.Series] | None = None) -> pd.DataFrame:
    """Mean change per year of each outcome in each region.

    Each person counts once, with the slope of own least squares (summary measures, Matthews et al. 1990,
    doi:10.1136/bmj.300.6719.230), so that the interval holds whatever the scans of one person have in common.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region, with ``participant_id`` and `pvs_bidsapp.group.mixed.YEARS`.
    cohorts : mapping of str to Series, optional
        The ``participant_id`` of the people of each cohort.

    Returns
    -------
    table : DataFrame
        Columns as `COLUMNS`.
    """
    scans = tidy.drop_duplicates('scan').set_index('scan')[['participant_id', YEARS]].dropna()
    groups = {name_of_everybody(cohorts or {}): scans['participant_id']} | dict(cohorts or {})
    parts = []
    for outcome in outcomes_in(tidy):
        values = side_by_side(tidy, outcome).reindex(scans.index)
        first, slopes, spans = _slopes(values, scans)
        for name, people in groups.items():
            own = slopes.index.isin(set(people))
            found = _summary(slopes[own], first[own])
            # of the people with a slope there: not every region has a fraction in every scan
            known, number = slopes[own].notna(), scans['participant_id'].value_counts()
            found['n_scans'] = [int(number[known.index[known[region]]].sum()) for region in known]
            found['mean_years'] = [float(spans[own][known[region]].mean()) for region in known]
            parts.append(found.rename_axis(REGION).reset_index().assign(outcome=outcome, cohort=name))
    table = pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS))
    return table.assign(q=false_discovery(table, ['outcome', 'cohort'], 'p_permutation'))


def _slopes(values: pd.DataFrame, scans: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """First value and slope of each person with two times, and the time between first and last scan."""
    first, slopes, spans = {}, {}, {}
    for who, part in scans.sort_values(YEARS).groupby('participant_id'):
        years = part[YEARS].to_numpy(float)
        if np.ptp(years) > 0:
            own = values.loc[part.index]
            centred = years - years.mean()
            first[who] = own.iloc[0]
            slopes[who] = pd.Series(centred @ own.to_numpy(float) / (centred**2).sum(), values.columns)
            spans[who] = np.ptp(years)
    table = pd.DataFrame(slopes, index=values.columns, dtype=float).T
    return pd.DataFrame(first, index=values.columns, dtype=float).T, table, pd.Series(spans, dtype=float)


def _summary(slopes: pd.DataFrame, first: pd.DataFrame) -> pd.DataFrame:
    """Mean of the slopes with its interval and tests, one row for each region."""
    rows = []
    for region in slopes:
        known = slopes[region].dropna().to_numpy(float)
        row: dict[str, object] = {'n_people': len(known), 'note': ''}
        if len(known) < 2:
            row['note'] = f'{len(known)} people are too few'
        elif np.ptp(known) == 0:
            row |= {'change_per_year': known[0], 'note': 'nobody differs'}
        else:
            mean, error = known.mean(), stats.sem(known)
            half = stats.t.ppf(0.975, len(known) - 1) * error
            baseline = first[region][slopes[region].notna()].mean()
            row |= {
                'change_per_year': mean, 'standard_error': error, 'ci_low': mean - half,
                'ci_high': mean + half, 'percent_per_year': 100 * mean / baseline if baseline else np.nan,
                'p': stats.ttest_1samp(known, 0).pvalue, 'p_permutation': _flipped(known),
            }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows, slopes.columns)


def _flipped(values: np.ndarray) -> float:
    """P-value of the mean against 0, by flips of signs; exact for few people."""
    test = stats.permutation_test(
        (values,), lambda v, axis: np.mean(v, axis), permutation_type='samples', vectorized=True,
        n_resamples=number_of_permutations(len(values)), rng=SEED,
    )  # fmt: skip
    return float(test.pvalue)
