"""Linear mixed models of all scans where people have several: terms, and change with time."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from ..errors import InputError
from ..messages import people
from .collect import in_years
from .design import Design, constant_terms, dependent_terms, with_intercept
from .measures import CONSTANT, REGION, by_known_rows, false_discovery, logarithm, outcomes_in, side_by_side

#: Outcomes of the models.
OUTCOMES = ('count', 'volume_mm3')
#: Name of the term of time, and of the column with the years since the first scan.
YEARS = 'years_since_first_scan'
#: Years that nobody lives.
_LONGEST_LIFE = 120
#: Columns of the table, with their descriptions.
COLUMNS = {
    'region': 'name of the region',
    'hemisphere': 'both',
    'outcome': 'logarithm of 1 + count, or of 1 + volume in mm3 (of the scan, or at the reference quality)',
    'term': 'covariate; with :COHORT, how much more that cohort changes in a year than the first one',
    'n_scans': 'number of scans',
    'n_people': 'number of people',
    'estimate': 'coefficient',
    'standard_error': 'of the estimate',
    'ci_low': 'lower end of the 95 % interval',
    'ci_high': 'upper end of the 95 % interval',
    'percent': 'the estimate as a change in percent, 100 (exp(estimate) - 1), by unit of the term',
    'p': 'two-sided, of the Wald test',
    'q': 'false-discovery corrected over the regions (Benjamini & Hochberg 1995)',
    'icc': 'share of the variance between people in that between and within people',
    'note': 'why there is no estimate',
}


def years_since_first(times: pd.Series, who: pd.Series) -> pd.Series:
    """Years since the first scan of each person.

    Parameters
    ----------
    times : Series
        Of each scan, as `pvs_bidsapp.group.collect.in_years` takes them.
    who : Series
        ``participant_id``, with the same index.

    Returns
    -------
    years : Series of float
        NaN where a time is missing or no date.

    Raises
    ------
    InputError
        If scans of one person lie more than a life apart: the numbers are no years.
    """
    years = in_years(times)
    since = years - years.groupby(who).transform('min')
    if (longest := since.max()) > _LONGEST_LIFE:
        raise people.TIME_UNIT.error(column=times.name, longest=f'{longest:.0f}')
    return since


def mixed_models(
    tidy: pd.DataFrame,
    design: Design | None,
    *,
    time: bool = False,
    cohort: str | None = None,
    scans: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Fit each region and outcome by restricted maximum likelihood, with an intercept for each person.

    Only regions over both hemispheres are modelled, as a model takes up to a second.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region.
    design : Design or None
        Covariates.
    time : bool
        Whether the column `YEARS` is a term.
    cohort : str, optional
        Column whose levels are terms, and change differently with time.
    scans : DataFrame, optional
        One row per scan, with ``scan``, ``participant_id``, and a value in all columns that are used; by
        default from `tidy`.

    Returns
    -------
    table : DataFrame
        Columns as `COLUMNS`.

    References
    ----------
    Laird & Ware 1982, doi:10.2307/2529876; Lindstrom & Bates 1988, doi:10.2307/2290128, as statsmodels
    has them.
    """
    tidy = tidy[tidy['hemisphere'] == 'both']
    scans = (tidy if scans is None else scans).drop_duplicates('scan').set_index('scan')
    own = design.without([cohort]) if design is not None and cohort else design
    matrix, reason = pd.DataFrame({'Intercept': 1.0}, scans.index), ''
    try:
        matrix = _matrix(scans, own, time=time, cohort=cohort)
    except InputError as error:
        reason = str(error)
    if design is not None and own is None:
        reason = people.FORMULA_COHORTS.finding(columns=cohort).finding
    rows: list[dict[str, Any]] = []
    for outcome in outcomes_in(tidy, OUTCOMES):
        values = side_by_side(tidy, outcome).reindex(scans.index)
        for known, part in by_known_rows(values):
            terms, who = matrix[known], scans.loc[known, 'participant_id']
            about = {'n_scans': len(terms), 'n_people': who.nunique()}
            note = reason or _objection(terms, who)
            if design is not None and outcome in design.columns:
                note = 'the outcome is a covariate'
            for place in part:
                logs = logarithm(part[place], outcome)
                fitted = _fit(logs, terms, who) if not note else [{'term': '', 'note': note}]
                rows += [{'place': place, 'outcome': outcome} | about | row for row in fitted]
    table = pd.DataFrame(rows)
    table[REGION] = table.pop('place').tolist()
    table = table.reindex(columns=list(COLUMNS))
    return table.assign(q=false_discovery(table, ['outcome', 'term']))


def _matrix(scans: pd.DataFrame, design: Design | None, *, time: bool, cohort: str | None) -> pd.DataFrame:
    """Covariates, cohorts against the first one, time, and cohorts by time."""
    matrix = pd.DataFrame({'Intercept': 1.0}, scans.index)
    if design is not None and design.columns:
        matrix = design.matrix(scans.reset_index()).set_axis(scans.index)
        matrix = with_intercept(matrix) if cohort else matrix
    levels = pd.get_dummies(scans[cohort], dtype=float).iloc[:, 1:] if cohort else pd.DataFrame()
    for name in levels:
        matrix[f'{cohort}[{name}]'] = levels[name]
    if time:
        matrix[YEARS] = scans[YEARS]
        for name in levels:
            matrix[f'{YEARS}:{name}'] = levels[name] * scans[YEARS]
    return matrix


def _objection(matrix: pd.DataFrame, who: pd.Series) -> str:
    number = who.nunique()
    if len(matrix) == number:
        return 'nobody has several scans'
    if number <= matrix.shape[1] + 1:
        return f'{number} people are too few'
    if constant := constant_terms(matrix):
        return f'{", ".join(constant)} has the same value for all scans'
    if dependent := dependent_terms(matrix):
        return f'{", ".join(dependent)} cannot be told apart'
    return ''


def _fit(logs: pd.Series, matrix: pd.DataFrame, who: pd.Series) -> list[dict[str, Any]]:
    spread = float(logs.std())
    if not spread > 0:
        return [{'term': '', 'note': CONSTANT}]
    if logs.groupby(who).nunique().max() == 1:
        return [{'term': '', 'note': 'the scans of each person are the same'}]
    # the optimizer needs numbers of one size, which covariates (ICV: 1e6, sex: 1) do not have
    scale = matrix.std(ddof=0).where(lambda s: s > 0, 1.0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            model = MixedLM(logs.to_numpy(float) / spread, (matrix / scale).to_numpy(float), who.to_numpy())
            result = model.fit(reml=True, method='bfgs')
    except (np.linalg.LinAlgError, ValueError) as error:
        return [{'term': '', 'note': f'no estimate: {" ".join(str(error).split())[:100]}'}]
    between, within = float(result.cov_re[0, 0]), float(result.scale)
    factor = spread / scale.to_numpy()
    estimates, errors = np.asarray(result.fe_params) * factor, np.asarray(result.bse_fe) * factor
    if not (result.converged and np.isfinite(errors).all()):
        return [{'term': '', 'note': 'no estimate: the fit did not converge'}]
    half = stats.norm.ppf(0.975) * errors
    tests = 2 * stats.norm.sf(np.abs(estimates / errors))
    return [
        {
            'term': name, 'estimate': estimates[k], 'standard_error': errors[k],
            'ci_low': estimates[k] - half[k], 'ci_high': estimates[k] + half[k],
            'percent': 100 * np.expm1(estimates[k]), 'p': tests[k], 'icc': between / (between + within),
            'note': '',
        }
        for k, name in enumerate(matrix) if name != 'Intercept'
    ]  # fmt: skip
