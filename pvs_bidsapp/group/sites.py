"""Effect sizes by site, as meta-analyses of consortia such as ENIGMA take them, and pooled over sites."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from .design import Design, objection
from .effects import (
    NORMAL,
    Adjustment,
    adjust,
    describe_cohorts,
    fit_term,
    with_cohort,
    without_variance,
)
from .exclusions import level_text
from .measures import REGION, by_known_rows, logarithm, outcomes_in, side_by_side

#: Name of the only site where none are named, and of the rows of all sites.
ONE, POOLED = 'all', 'pooled'
HEDGES, FISHER = 'hedges_g', 'fisher_z'
#: Columns of the table, with their descriptions.
COLUMNS = {
    'region': 'name of the region',
    'hemisphere': 'left, right or both',
    'outcome': 'count, volume_mm3, volume_fraction or standard_volume_mm3, each on a logarithmic scale',
    'contrast': 'COHORT - COHORT, or a covariate',
    'measure': 'hedges_g: difference of cohorts in standard deviations; fisher_z: artanh of the partial '
    'correlation with the covariate',
    'site': 'site; pooled: random-effects mean of all sites (DerSimonian & Laird 1986)',
    'adjusted_for': 'confounders in the model, of which those that a site shares are left out there',
    'n': 'number of people; of pooled, of the sites that enter',
    'n_1': 'people of the cohort after the minus of the contrast',
    'n_2': 'people of the cohort before it',
    'effect': 'effect size',
    'standard_error': 'of the effect size',
    'ci_low': 'lower end of the 95 % interval',
    'ci_high': 'upper end of the 95 % interval',
    'p': 'two-sided',
    'i2': 'of pooled: share of the variance of the effects that is due to differences of sites '
    '(Higgins & Thompson 2002), 0 to 1',
    'note': 'why there is no effect',
}
_KEYS = [*REGION, 'outcome', 'contrast', 'measure']


def site_effects(
    tidy: pd.DataFrame,
    people: pd.DataFrame,
    design: Design | None,
    *,
    site: str | None = None,
    cohorts: Mapping[str, pd.DataFrame] | None = None,
    column: str | None = None,
) -> pd.DataFrame:
    """Effects of cohorts and of numeric covariates at each site, and pooled where there are several sites.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region.
    people : DataFrame
        One row per person, with a column ``scan``.
    design : Design or None
        Confounders; those that are plain numbers, also as terms of a formula, have effects of their own.
    site : str, optional
        Column that names the sites; people without a value are left out.
    cohorts : mapping of str to DataFrame, optional
        People of each cohort, of which all pairs are compared.
    column : str, optional
        Column that names the cohorts, which is no confounder.

    Returns
    -------
    table : DataFrame
        Columns as `COLUMNS`.

    Notes
    -----
    r = t / sqrt(t² + df), z = artanh(r), with the standard error 1 / sqrt(n - 3 - c) for c further terms
    (Fisher 1924).
    """
    sites = {ONE: people}
    if site:
        sites = {
            str(name): part for name, part in people.groupby(people[site].map(level_text, na_action='ignore'))
        }
    omitted = tuple(name for name in (site, column) if name)
    parts = []
    measures = {outcome: side_by_side(tidy, outcome) for outcome in outcomes_in(tidy)}
    for name, here in sites.items():
        parts += [
            part.assign(site=name) for part in _cohorts_at(measures, here, design, cohorts or {}, omitted)
        ]
        parts += [part.assign(site=name) for part in _covariates_at(measures, here, design, omitted)]
    table = pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS)) if parts else _empty()
    return pd.concat([table, _pooled(table)], ignore_index=True) if len(sites) > 1 else table


def _empty() -> pd.DataFrame:
    return pd.DataFrame(columns=list(COLUMNS))


def _cohorts_at(
    measures: Mapping[str, pd.DataFrame],
    here: pd.DataFrame,
    design: Design | None,
    cohorts: Mapping[str, pd.DataFrame],
    omitted: tuple[str, ...],
) -> Iterator[pd.DataFrame]:
    """Hedges' g of all pairs of cohorts at one site."""
    for one, two in itertools.combinations(cohorts, 2):
        both = pd.concat([cohorts[one], cohorts[two]], ignore_index=True)
        is_second = pd.Series(both['scan'].isin(cohorts[two]['scan']).to_numpy(float), both['scan'])
        adjustment = adjust(both[both['scan'].isin(here['scan'])], design, omitted)
        for outcome, values in measures.items():
            found = _effects(values, outcome, adjustment, is_second)
            yield found.assign(contrast=f'{two} - {one}', measure=HEDGES, outcome=outcome)


def _covariates_at(
    measures: Mapping[str, pd.DataFrame],
    here: pd.DataFrame,
    design: Design | None,
    omitted: tuple[str, ...],
) -> Iterator[pd.DataFrame]:
    """Fisher's z of the numeric covariates at one site."""
    adjustment = adjust(here, design, omitted)
    if design is None:
        return
    numeric = [c for c in design.plain if c in here and pd.api.types.is_numeric_dtype(here[c])]
    for name in [c for c in numeric if c not in omitted]:
        for outcome in [o for o in measures if o not in design.columns]:
            yield _effects(measures[outcome], outcome, adjustment, name).assign(
                contrast=name, measure=FISHER, outcome=outcome
            )


def _effects(values: pd.DataFrame, outcome: str, adjustment: Adjustment, of: pd.Series | str) -> pd.DataFrame:
    """One row for each region: the effect of a cohort (1 or 0 by scan), or of a covariate."""
    values = values.reindex(adjustment.matrix.index)
    rows = []
    for known, raw in by_known_rows(values):
        matrix = adjustment.matrix[known]
        found = pd.DataFrame({'n': len(matrix)}, raw.columns)
        if isinstance(of, pd.Series):
            matrix = with_cohort(matrix, of)
            counts = describe_cohorts(raw, matrix.iloc[:, -1].to_numpy(bool))
            found = found.join(counts[['n_1', 'n_2']])
        note = adjustment.note or objection(matrix)
        if not note and isinstance(of, str) and of not in matrix:
            note = f'{of} has the same value for all {len(matrix)} people'
        if note:
            rows.append(found.assign(note=note))
            continue
        logs = raw.apply(lambda v: logarithm(v, outcome)).to_numpy(float)
        rows.append(found.join(_effect_sizes(logs, matrix, of).set_axis(raw.columns)))
    table = pd.concat(rows) if rows else pd.DataFrame(index=values.columns)
    adjusted = adjustment.names
    return table.reindex(values.columns).rename_axis(REGION).reset_index().assign(adjusted_for=adjusted)


def _effect_sizes(logs: np.ndarray, matrix: pd.DataFrame, of: pd.Series | str) -> pd.DataFrame:
    place = list(matrix).index(of) if isinstance(of, str) else -1
    fit = fit_term(logs, matrix.to_numpy(float), place)
    if isinstance(of, str):
        effect = np.arctanh(fit.t / np.sqrt(fit.t**2 + fit.degrees))
        # without the intercept and the covariate itself
        left = len(matrix) - 3 - (matrix.shape[1] - 2)
        error = np.full(len(effect), 1 / np.sqrt(left) if left > 0 else np.nan)
    else:
        effect, error = fit.hedges(len(matrix))
    table = pd.DataFrame({
        'effect': effect, 'standard_error': error, 'ci_low': effect - NORMAL * error,
        'ci_high': effect + NORMAL * error, 'p': fit.p,
    })  # fmt: skip
    return without_variance(table, fit)


def _pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Random-effects means of the sites, one row for each effect that two sites or more have."""
    rows = []
    for key, part in table.groupby(_KEYS, sort=False):
        known = part[part['effect'].notna() & (part['standard_error'] > 0)]
        row = dict(zip(_KEYS, key, strict=True)) | {
            'site': POOLED, 'n': known['n'].sum(), 'note': f'{len(known)} sites have an effect',
        }  # fmt: skip
        if len(known) > 1:
            effects, errors = (known[c].to_numpy(float) for c in ('effect', 'standard_error'))
            mean, error, i2 = _random_effects(effects, errors)
            row |= {
                'effect': mean, 'standard_error': error, 'ci_low': mean - NORMAL * error,
                'ci_high': mean + NORMAL * error, 'p': float(2 * stats.norm.sf(abs(mean) / error)),
                'i2': i2, 'note': '',
                'adjusted_for': known['adjusted_for'].iloc[0],
                'n_1': known['n_1'].sum(min_count=1), 'n_2': known['n_2'].sum(min_count=1),
            }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def _random_effects(effects: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """Mean of effects, its standard error, and I2 (DerSimonian & Laird 1986)."""
    with np.errstate(invalid='ignore', divide='ignore'):
        found = combine_effects(effects, errors**2, method_re='dl')
    if found.tau2 <= 0:  # the method takes a negative variance of the sites as 0, statsmodels as it is
        return float(found.mean_effect_fe), float(found.sd_eff_w_fe), max(0.0, float(found.i2))
    return float(found.mean_effect_re), float(found.sd_eff_w_re), float(found.i2)
