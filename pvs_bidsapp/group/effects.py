"""Standardised differences between cohorts, region by region, with and without confounders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import gammaln

from ..errors import InputError
from ..messages import people as messages
from ..messages.people import listed
from .design import Design, is_constant, objection, with_intercept
from .measures import (
    CONSTANT,
    EXPLAINED,
    REGION,
    by_known_rows,
    false_discovery,
    logarithm,
    outcomes_in,
    side_by_side,
)
from .permutation import freedman_lane

#: Pairs of cohorts up to which there are permutation tests, which take most of the time.
MOST_PAIRS = 10
#: Standard errors to both sides of an effect size, between which its 95 % interval lies.
NORMAL = float(stats.norm.ppf(0.975))
#: What stands in ``adjusted_for`` without confounders.
NOTHING = 'nothing'
#: Columns of the table, with their descriptions.
COLUMNS = {
    'region': 'name of the region',
    'hemisphere': 'left, right or both',
    'outcome': 'count, volume_mm3, volume_fraction or standard_volume_mm3, each on a logarithmic scale',
    'cohort_1': 'first cohort',
    'cohort_2': 'second cohort',
    'adjusted_for': 'confounders in the model',
    'n_1': 'number of people of the first cohort',
    'n_2': 'number of people of the second cohort',
    'median_1': 'median of the outcome in the first cohort, in its own unit',
    'median_2': 'median of the outcome in the second cohort, in its own unit',
    'ratio': 'geometric mean of the second cohort by that of the first, with confounders held',
    'g': "Hedges' g: difference (second minus first cohort) in residual standard deviations, corrected for "
    'small samples (Hedges 1981)',
    'standard_error': 'of g (Hedges & Olkin 1985)',
    'ci_low': 'lower end of the 95 % interval of g',
    'ci_high': 'upper end of the 95 % interval of g',
    'p': 'two-sided, of the t-test of the difference',
    'p_permutation': 'of the permutation test (Freedman & Lane 1983)',
    'q': 'p_permutation, or p without it, false-discovery corrected over the regions '
    '(Benjamini & Hochberg 1995)',
    'note': 'why there is no estimate',
}
_GROUPS = ['outcome', 'cohort_1', 'cohort_2', 'adjusted_for']


@dataclass(frozen=True, kw_only=True)
class TermFit:
    """One term of ordinary least squares of several outcomes; all arrays have shape (outcomes,).

    Attributes
    ----------
    estimate, standard_error : ndarray
        Coefficient of the term.
    deviation : ndarray
        Residual standard deviation.
    degrees : int
        Residual degrees of freedom.
    variance : float
        Variance of the coefficient by that of the residuals.
    is_constant : ndarray of bool
        Whether the outcome is the same for all.
    """

    estimate: np.ndarray
    standard_error: np.ndarray
    deviation: np.ndarray
    degrees: int
    variance: float
    is_constant: np.ndarray

    @property
    def t(self) -> np.ndarray:
        """The coefficient by its standard error."""
        return self.estimate / self.standard_error

    @property
    def p(self) -> np.ndarray:
        """Two-sided p-value of the t-test."""
        return 2 * stats.t.sf(np.abs(self.t), self.degrees)

    def hedges(self, people: int) -> tuple[np.ndarray, np.ndarray]:
        """Hedges' g of an indicator of a cohort, and its standard error.

        Parameters
        ----------
        people : int
            Number of both cohorts together.

        Notes
        -----
        g = J b / s, with J = gamma(df / 2) / (sqrt(df / 2) gamma((df - 1) / 2)) (Hedges 1981,
        doi:10.3102/10769986006002107); its variance is v + g² / (2 n) (Hedges & Olkin 1985), where v is
        1 / n_1 + 1 / n_2 without confounders, and more with confounders that differ between cohorts.
        """
        half = self.degrees / 2
        correction = np.exp(gammaln(half) - gammaln(half - 0.5)) / np.sqrt(half)
        g = correction * self.estimate / self.deviation
        return g, np.sqrt(self.variance + g**2 / (2 * people))


def fit_term(outcomes: np.ndarray, matrix: np.ndarray, column: int) -> TermFit:
    """Ordinary least squares of several outcomes on one design matrix.

    Parameters
    ----------
    outcomes : ndarray, shape (people, outcomes)
    matrix : ndarray, shape (people, terms)
        Of full rank, with fewer terms than people.
    column : int
        The term.
    """
    inverse = np.linalg.pinv(matrix)
    coefficients = inverse @ outcomes
    degrees = matrix.shape[0] - matrix.shape[1]
    deviation = np.sqrt(((outcomes - matrix @ coefficients) ** 2).sum(0) / degrees)
    variance = float((inverse[column] ** 2).sum())
    # outcomes that are constant, or that the terms explain exactly, have residuals of rounding only
    rounding = 1e-12 * np.abs(outcomes).max(0, initial=0)
    deviation = np.where(deviation > rounding, deviation, np.nan)
    is_constant = np.abs(outcomes - outcomes[:1]).max(0, initial=0) <= rounding
    return TermFit(
        estimate=coefficients[column], standard_error=deviation * np.sqrt(variance), deviation=deviation,
        degrees=degrees, variance=variance, is_constant=is_constant,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """Confounders of a comparison, for the people who have all of them.

    Attributes
    ----------
    names : str
        The confounders, for tables.
    matrix : DataFrame
        Design matrix of the confounders with an intercept, indexed by scan.
    note : str
        Why it cannot be made; empty if it can.
    """

    names: str
    matrix: pd.DataFrame
    note: str = ''


def adjust(people: pd.DataFrame, design: Design | None, without: tuple[str, ...] = ()) -> Adjustment:
    """Design matrix of the confounders of some people.

    Parameters
    ----------
    people : DataFrame
        One row per person, with a column ``scan``. People who lack a confounder are left out.
    design : Design or None
        The confounders; None: the intercept only.
    without : tuple of str
        Columns that are no confounders here, such as that of the cohorts.

    Returns
    -------
    adjustment : Adjustment
        Without confounders that all of these people share.
    """
    plain = pd.DataFrame({'Intercept': 1.0}, people['scan'])
    if design is None:
        return Adjustment(names=NOTHING, matrix=plain)
    if lacking := [c for c in design.columns if c not in people]:
        return Adjustment(names=design.label, matrix=plain, note=f'no column {listed(lacking)}')
    known = people.dropna(subset=list(design.columns)).reset_index(drop=True)
    shared = [c for c in design.columns if c in without or (len(known) and is_constant(known[c]))]
    own = design.without(shared)
    if own is None:
        note = messages.FORMULA_COHORTS.finding(columns=listed(shared)).finding
        return Adjustment(names=design.label, matrix=plain, note=note)
    if not own.columns:
        return Adjustment(names=NOTHING, matrix=plain)
    if known.empty:
        return Adjustment(names=own.label, matrix=plain, note='nobody has all confounders')
    try:
        matrix = with_intercept(own.matrix(known))  # also of a formula that takes it away
    except InputError as error:
        return Adjustment(names=own.label, matrix=plain, note=str(error))
    matrix.index = pd.Index(known['scan'])
    return Adjustment(names=own.label, matrix=matrix)


def cohort_effects(
    tidy: pd.DataFrame,
    pairs: Mapping[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]],
    design: Design | None = None,
    column: str | None = None,
) -> pd.DataFrame:
    """Standardised difference of each pair of cohorts, in each region.

    Outcomes are logarithms, as PVS burden is skewed: of 1 + count, of 1 + volume in mm3, and of the fraction.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region.
    pairs : mapping of (str, str) to (DataFrame, DataFrame)
        The people of each pair, from `pvs_bidsapp.group.distributions.pairs`.
    design : Design, optional
        Confounders. There are rows with and without them.
    column : str, optional
        Column that names the cohorts, which is no confounder.

    Returns
    -------
    table : DataFrame
        Columns as `COLUMNS`.
    """
    parts, measures = [], {outcome: side_by_side(tidy, outcome) for outcome in outcomes_in(tidy)}
    for (one, two), (first, second) in pairs.items():
        people = pd.concat([first, second], ignore_index=True)
        is_second = pd.Series(np.repeat([0.0, 1.0], [len(first), len(second)]), people['scan'])
        plain = adjust(people, None)
        full = adjust(people, design, (column,) if column else ())
        for adjustment in [plain] if full.names == NOTHING else [plain, full]:
            for outcome, values in measures.items():
                is_covariate = design is not None and outcome in design.columns and adjustment is full
                used = replace(full, note='the outcome is a covariate') if is_covariate else adjustment
                part = _differences(values, outcome, is_second, used, len(pairs) <= MOST_PAIRS)
                parts.append(part.assign(
                    outcome=outcome, cohort_1=one, cohort_2=two, adjusted_for=adjustment.names
                ))  # fmt: skip
    table = pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS))
    best = table.assign(best=table['p_permutation'].fillna(table['p']))
    return table.assign(q=false_discovery(best, _GROUPS, 'best'))


def _differences(
    values: pd.DataFrame, outcome: str, is_second: pd.Series, adjustment: Adjustment, permute: bool
) -> pd.DataFrame:
    """Rows of one outcome and pair of cohorts."""
    values = values.reindex(adjustment.matrix.index)
    rows = []
    for known, raw in by_known_rows(values):
        matrix = with_cohort(adjustment.matrix[known], is_second)
        cohort = matrix.iloc[:, -1].to_numpy(bool)
        found = describe_cohorts(raw, cohort)
        if note := adjustment.note or objection(matrix):
            rows.append(found.assign(note=note))
            continue
        logs = raw.apply(lambda v: logarithm(v, outcome)).to_numpy(float)
        tested = standardised_difference(logs, matrix.to_numpy(float), permute=permute)
        rows.append(found.join(tested.set_axis(raw.columns)))
    return pd.concat(rows).reindex(values.columns).rename_axis(REGION).reset_index()


def with_cohort(matrix: pd.DataFrame, is_second: pd.Series) -> pd.DataFrame:
    """A design matrix with the indicator of the second cohort as its last term.

    Parameters
    ----------
    matrix : DataFrame
        Confounders, indexed by scan; one of them may be called ``cohort``.
    is_second : Series of float
        1 or 0, by scan.
    """
    name = 'cohort'
    while name in matrix:
        name += ' '
    return matrix.assign(**{name: is_second[matrix.index]})


def describe_cohorts(raw: pd.DataFrame, is_second: np.ndarray) -> pd.DataFrame:
    """Numbers of people and medians of both cohorts, one row for each region.

    Parameters
    ----------
    raw : DataFrame
        One row per person, one column for each region.
    is_second : ndarray of bool, shape (people,)
    """
    first, second = raw[~is_second], raw[is_second]
    return pd.DataFrame({
        'n_1': len(first), 'n_2': len(second), 'median_1': first.median(), 'median_2': second.median(),
    }, raw.columns)  # fmt: skip


def standardised_difference(logs: np.ndarray, matrix: np.ndarray, *, permute: bool) -> pd.DataFrame:
    """Hedges' g of the last term of a design matrix, with interval and tests; one row for each outcome.

    Parameters
    ----------
    logs : ndarray, shape (people, outcomes)
        Outcomes on a logarithmic scale.
    matrix : ndarray, shape (people, terms)
        The last term is 1 for the second cohort.
    permute : bool
        Whether to make the permutation test.
    """
    fit = fit_term(logs, matrix, -1)
    g, error = fit.hedges(len(logs))
    table = pd.DataFrame({
        'ratio': np.exp(fit.estimate), 'g': g, 'standard_error': error,
        'ci_low': g - NORMAL * error, 'ci_high': g + NORMAL * error, 'p': fit.p,
        'p_permutation': freedman_lane(logs, matrix, [matrix.shape[1] - 1])[0] if permute else np.nan,
    })  # fmt: skip
    return without_variance(table, fit)


def without_variance(table: pd.DataFrame, fit: TermFit) -> pd.DataFrame:
    """Rows of outcomes, of which those without variance beside the terms have a note in place of numbers.

    Parameters
    ----------
    table : DataFrame
        One row for each outcome of `fit`.
    fit : TermFit
    """
    lacking = np.isnan(fit.deviation)
    table = table.astype(float)
    table.loc[lacking] = np.nan
    return table.assign(note=np.where(lacking, np.where(fit.is_constant, CONSTANT, EXPLAINED), ''))
