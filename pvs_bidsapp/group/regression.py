"""Regression of PVS volume, fraction and count on covariates, region by region."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.discrete.discrete_model import NegativeBinomial
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.diagnostic import het_breuschpagan
from statsmodels.tools.sm_exceptions import PerfectSeparationError

from ..errors import InputError
from .design import Design, objection, of_covariates
from .exclusions import Exclusion, without_missing
from .measures import (
    CONSTANT,
    EXPLAINED,
    REGION,
    STANDARD_VOLUME,
    by_known_rows,
    false_discovery,
    side_by_side,
    transformed,
)
from .permutation import freedman_lane

#: Model of each outcome.
OUTCOMES = {'volume_mm3': 'linear', 'volume_fraction': 'linear', 'count': 'negative binomial'}
#: A predicted count so small occurs only where a coefficient goes to minus infinity.
NO_COUNT = 1e-6
SEPARATED = 'no finite estimate: a level or range of the terms has no PVS'
#: Columns of the table, with their descriptions.
COLUMNS = {
    'region': 'name of the region',
    'hemisphere': 'left, right or both',
    'outcome': 'what is explained; the logarithm of 1 + volume, or of the fraction above the smallest',
    'model': 'linear (ordinary least squares) or negative binomial (logarithmic link)',
    'term': 'covariate',
    'n': 'number of scans',
    'estimate': 'coefficient',
    'standard_error': 'robust (HC3; HC1 for counts)',
    'ci_low': 'lower end of the 95 % interval',
    'ci_high': 'upper end of the 95 % interval',
    'p': 'two-sided',
    'q': 'false-discovery corrected over the regions (Benjamini & Hochberg 1995)',
    'r2': "coefficient of determination; for counts, McFadden's pseudo-R2",
    'p_heteroscedastic': 'of the test of Breusch & Pagan 1979; linear models only',
    'note': 'why there is no estimate',
    'beta': 'standardised estimate of linear models: standard deviations of the outcome by one of the term '
    '(of a level: between people with and without it)',
    'beta_low': 'lower end of the 95 % interval of beta',
    'beta_high': 'upper end of the 95 % interval of beta',
    'p_permutation': 'of the permutation test (Freedman & Lane 1983); linear models only',
    'q_permutation': 'p_permutation, false-discovery corrected over the regions',
}


def models_of(tidy: pd.DataFrame) -> dict[str, str]:
    """The model of each outcome, `OUTCOMES`, and of the volume at the reference quality if a table has it."""
    return OUTCOMES | ({STANDARD_VOLUME: 'linear'} if STANDARD_VOLUME in tidy else {})


def regress(tidy: pd.DataFrame, covariates: Sequence[str] | Design) -> pd.DataFrame:
    """Fit every outcome in every region.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region, with the outcomes and covariates as columns.
    covariates : sequence of str or Design
        Columns that are the terms of the model, of which those of text are categorical; or a design.

    Returns
    -------
    table : DataFrame
        Columns as `COLUMNS`.

    Raises
    ------
    KeyError
        If a covariate is not a column.
    """
    design = covariates if isinstance(covariates, Design) else of_covariates(covariates)
    missing = [c for c in design.columns if c not in tidy]
    if missing:
        raise KeyError(missing[0])
    rows: list[dict[str, object]] = []
    for (region, side), part in tidy.groupby(['region', 'hemisphere'], sort=False):
        for outcome, model in models_of(tidy).items():
            fitted = _fit(part, outcome, model, design)
            rows += [
                {'region': region, 'hemisphere': side, 'outcome': outcome, 'model': model} | r for r in fitted
            ]
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    tested = pd.concat([_permuted(tidy, outcome, design) for outcome in models_of(tidy)], ignore_index=True)
    table = table.drop(columns='p_permutation').merge(tested, 'left', [*REGION, 'outcome', 'term'])
    for p, q in (('p', 'q'), ('p_permutation', 'q_permutation')):
        table[q] = false_discovery(table, ['outcome', 'term'], p)
    return table[list(COLUMNS)]


def _permuted(tidy: pd.DataFrame, outcome: str, design: Design) -> pd.DataFrame:
    """P-values by permutation of all terms of linear models, one row for each region and term."""
    names = [*REGION, 'outcome', 'term', 'p_permutation']
    if models_of(tidy)[outcome] != 'linear' or outcome in design.columns:
        return pd.DataFrame(columns=names)
    varying = tidy.groupby('scan')[list(design.columns)].nunique().gt(1).any(axis=None)
    if varying:  # of a measure of the region among the covariates, each region has a design of its own
        parts = [_permuted(part, outcome, design) for _, part in tidy.groupby(REGION, sort=False)]
        return pd.concat(parts, ignore_index=True)
    values = side_by_side(tidy.dropna(subset=list(design.columns)), outcome)
    scans = tidy.drop_duplicates('scan').set_index('scan').loc[values.index].reset_index()
    rows: list[tuple[object, ...]] = []
    for known, part in by_known_rows(values):
        try:
            matrix = design.matrix(scans[known].reset_index(drop=True))
        except InputError:  # the table says so in `note`
            continue
        if objection(matrix):
            continue
        tested = [k for k, name in enumerate(matrix) if name != 'Intercept']
        logs = part.apply(lambda v: transformed(v, outcome)).to_numpy(float)
        p = freedman_lane(logs, matrix.to_numpy(float), tested)
        for k, term in enumerate(tested):
            rows += [
                (place[0], place[1], outcome, matrix.columns[term], value)
                for place, value in zip(part.columns.to_list(), p[k], strict=True)
            ]
    return pd.DataFrame(rows, columns=names)


def without_values(tidy: pd.DataFrame, design: Design) -> list[Exclusion]:
    """Scans that the regression of one outcome in one region lacks, since a value is missing there.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region, of the scans of the regression.
    design : Design
    """
    found: list[Exclusion] = []
    for outcome in models_of(tidy):
        names = list(dict.fromkeys((outcome, *design.columns)))
        lacking = tidy[tidy[names].isna().any(axis=1)]
        for (region, side), part in lacking.groupby(['region', 'hemisphere'], sort=False):
            _, why = without_missing(part, names, f'regression of {outcome} in {region} ({side})')
            found += why
    return found


def _fit(part: pd.DataFrame, outcome: str, model: str, design: Design) -> list[dict[str, object]]:
    if outcome in design.columns:
        return [{'term': '', 'n': len(part), 'note': 'the outcome is a covariate'}]
    values = transformed(part[outcome], outcome)
    known = values.notna() & part[list(design.columns)].notna().all(axis=1)
    part, values = part[known], values[known]
    if values.nunique() < 2:
        return [{'term': '', 'n': len(values), 'note': CONSTANT}]
    try:
        matrix = design.matrix(part.reset_index(drop=True))
    except InputError as error:
        reason = str(error)
    else:
        reason = objection(matrix)
    if reason:
        return [{'term': '', 'n': len(values), 'note': reason}]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            fit = _linear if model == 'linear' else _counts
            return fit(values.to_numpy(float), matrix)
    except (np.linalg.LinAlgError, PerfectSeparationError, ValueError) as error:
        reason = ' '.join(str(error).split())[:100] or type(error).__name__
        return [{'term': '', 'n': len(values), 'note': f'no estimate: {reason}'}]


def _linear(values: np.ndarray, matrix: pd.DataFrame) -> list[dict[str, object]]:
    plain = OLS(values, matrix).fit()
    if plain.ssr <= 1e-20 * (values**2).sum():  # residuals of rounding only
        return [{'term': '', 'n': len(values), 'note': EXPLAINED}]
    result = plain.get_robustcov_results('HC3')
    result.params = pd.Series(result.params, plain.params.index)
    # the test is of models with an intercept
    p_heteroscedastic = (
        float(het_breuschpagan(plain.resid, plain.model.exog)[1]) if 'Intercept' in matrix else np.nan
    )
    rows = _rows(result, float(plain.rsquared), p_heteroscedastic)
    spread = matrix.std().where(~matrix.isin((0, 1)).all(), 1.0) / values.std(ddof=1)
    names = {'estimate': 'beta', 'ci_low': 'beta_low', 'ci_high': 'beta_high'}
    return [row | {to: row[of] * spread[row['term']] for of, to in names.items()} for row in rows]


def _counts(values: np.ndarray, matrix: pd.DataFrame) -> list[dict[str, object]]:
    number, terms = matrix.shape
    if number - terms < 3:
        return [{'term': '', 'n': number, 'note': f'{number} scans are too few'}]
    # the optimizer does not converge if covariates differ by orders of magnitude (ICV: 1e6, sex: 1)
    spread, mean = matrix.std(ddof=0), matrix.mean()
    scale = spread.where(spread > 0, 1.0)
    # without an intercept, a shift would change the model
    shift = mean.where(spread > 0, 0.0) if 'Intercept' in matrix else 0.0 * mean
    scaled = (matrix - shift) / scale
    result = NegativeBinomial(values, scaled).fit(method='bfgs', maxiter=500, disp=0, cov_type='HC1')
    if np.min(result.predict()) < NO_COUNT:
        return [{'term': '', 'n': number, 'note': SEPARATED}]
    if not _has_converged(result):
        return [{'term': '', 'n': number, 'note': 'no estimate: the fit did not converge'}]
    # the model without covariates, for r2: where counts spread less than those of a Poisson distribution, the
    # start that it would have has no logarithm, and its search ends after seconds without a result
    result.set_null_options(start_params=[np.log(values.mean()), 0.1], method='bfgs')
    return _rows(result, float(result.prsquared), np.nan, np.append(scale.to_numpy(), 1.0))


def _has_converged(result: Any) -> bool:
    """Whether the coefficients of a negative binomial model are those of the largest likelihood.

    Where counts spread no more than those of a Poisson distribution, the overdispersion goes to its border,
    0, at which its score is not 0: the optimizer then reports a failure, although the coefficients are right.
    Their own scores by their information decide: about the step of each that is left to the optimum.
    """
    if not (np.isfinite(result.llf) and np.isfinite(np.asarray(result.bse)).all()):
        return False
    scores, mean = result.model.score(np.asarray(result.params))[:-1], np.asarray(result.predict())
    information = np.sum(mean / (1 + result.params['alpha'] * mean))
    return bool(result.mle_retvals['converged'] or np.abs(scores).max() < 1e-3 * information)


def _rows(
    result: Any, r2: float, p_heteroscedastic: float, scale: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """One row per term; estimates are divided by `scale`, by which their covariates were divided."""
    names = list(result.params.index)
    divisor = np.ones(len(names)) if scale is None else scale
    interval = np.asarray(result.conf_int()) / divisor[:, None]
    estimates, errors = np.asarray(result.params) / divisor, np.asarray(result.bse) / divisor
    rows = []
    for k, name in enumerate(names):
        if name in ('Intercept', 'alpha'):
            continue
        rows.append({
            'term': name, 'n': int(result.nobs),
            'estimate': float(estimates[k]),
            'standard_error': float(errors[k]),
            'ci_low': float(interval[k, 0]), 'ci_high': float(interval[k, 1]),
            'p': float(np.asarray(result.pvalues)[k]), 'r2': r2,
            'p_heteroscedastic': p_heteroscedastic, 'note': '',
        })  # fmt: skip
    return rows
