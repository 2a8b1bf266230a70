"""Ordinal logistic regression of a visual rating on the number of clusters.

Joliot et al. 2021 (fig. 1B) regress a four-level rating on the number of clusters in deep white
matter at each probability threshold.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit
from statsmodels.discrete.discrete_model import Logit
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.tools.sm_exceptions import PerfectSeparationError

from ..messages import people
from ..messages.people import listed
from .measures import false_discovery

#: Largest number of grades: those of five levels, averaged over four readers.
MOST_GRADES = 20

#: Gradient of the mean log-likelihood up to which a fit is at its optimum.
MOST_GRADIENT = 1e-6


@dataclass(frozen=True, kw_only=True)
class RatingFit:
    """Ordinal logistic regression of a rating on one number.

    Attributes
    ----------
    n : int
        Number of scans.
    levels : tuple of int or str
        Levels that occur, in order.
    coefficient, standard_error, p : float
        Change of the log-odds of a higher grade per cluster, its standard error and two-sided p-value.
    r2_nagelkerke, r2_mcfadden, r2_cox_snell : float
        Pseudo-R2 of Nagelkerke 1991, McFadden 1974, Cox & Snell 1989.
    p_proportional : float
        P-value of the check of proportional odds (Brant 1990); small if one slope does not fit all cuts.
    confusion : DataFrame or None
        Number of scans by assigned grade (rows) and predicted grade (columns). The most probable grade is
        predicted.
    note : str
        Reason why there are no estimates; empty if there are.
    cuts : tuple of float
        Log-odds of a grade of at most each level but the last, for a scan without clusters.
    """

    n: int
    levels: tuple[object, ...]
    coefficient: float = np.nan
    standard_error: float = np.nan
    p: float = np.nan
    r2_nagelkerke: float = np.nan
    r2_mcfadden: float = np.nan
    r2_cox_snell: float = np.nan
    p_proportional: float = np.nan
    confusion: pd.DataFrame | None = None
    note: str = ''
    cuts: tuple[float, ...] = ()

    def probabilities(self, number: np.ndarray) -> np.ndarray:
        """Probability of each grade by the fitted model.

        Parameters
        ----------
        number : ndarray, shape (n,)
            Numbers of clusters.

        Returns
        -------
        probabilities : ndarray, shape (n, levels)
            Rows sum to 1.
        """
        below = expit(np.array(self.cuts) - self.coefficient * np.asarray(number, float)[:, None])
        ends = np.zeros((len(below), 1)), np.ones((len(below), 1))
        return np.diff(np.hstack([ends[0], below, ends[1]]), axis=1)


def as_grades(values: pd.Series, column: str) -> pd.Series:
    """The grades of a rating as numbers.

    Parameters
    ----------
    values : Series
        Numbers, or text that holds numbers; NaN where there is no grade.
    column : str
        Name of the column, for messages.

    Raises
    ------
    InputError
        If grades are words, whose order is not known, or are too many.
    """
    grades = pd.to_numeric(values, errors='coerce').astype(float)
    words = values[grades.isna() & values.notna()]
    if len(words):
        raise people.RATING_WORDS.error(column=column, values=listed(sorted(set(map(str, words)))))
    if grades.nunique() > MOST_GRADES:
        raise people.RATING_MANY.error(column=column, count=grades.nunique(), limit=MOST_GRADES)
    return grades


def fit(number: pd.Series, rating: pd.Series) -> RatingFit:
    """Regress a rating on a number.

    A rating that is constant, or whose grades do not overlap in the number (the estimate would be infinite),
    gives a result without estimates and with a note.

    Parameters
    ----------
    number, rating : Series
        One value per scan, with the same index; scans without a value are left out.

    Returns
    -------
    fit : RatingFit
    """
    known = number.notna() & rating.notna()
    x, y = number[known].to_numpy(float), rating[known]
    levels = tuple(sorted(y.unique()))
    codes = np.searchsorted(np.array(levels), y.to_numpy()) if len(levels) else np.array([], int)
    if len(levels) < 2:
        return RatingFit(n=len(x), levels=levels, note='the rating has one level only')
    if np.ptp(x) == 0:
        return RatingFit(n=len(x), levels=levels, note='all scans have the same number of clusters')
    if _separated(x, codes):
        return RatingFit(
            n=len(x),
            levels=levels,
            note='the number of clusters separates the grades: no finite estimate',
        )
    scale = float(x.std())
    ordered = pd.Series(pd.Categorical(codes, ordered=True))
    model = OrderedModel(ordered, pd.DataFrame({'number': x / scale}), distr='logit')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            result = model.fit(method='bfgs', maxiter=500, gtol=1e-9, disp=False)
    except (np.linalg.LinAlgError, ValueError):
        return RatingFit(n=len(x), levels=levels, note='the fit did not converge')
    is_finite = np.isfinite([result.llf, *np.asarray(result.bse)]).all()
    # not the optimizer's own flag: it asks for more than rounding allows, and fails at the optimum
    if not is_finite or np.abs(result.mle_retvals['gopt']).max() > MOST_GRADIENT:
        return RatingFit(n=len(x), levels=levels, note='the fit did not converge')
    null = _null_likelihood(codes)
    r2 = pseudo_r2(float(result.llf), null, len(x))
    predicted = np.asarray(result.predict()).argmax(1)
    confusion = pd.crosstab(
        pd.Categorical(codes, range(len(levels))), pd.Categorical(predicted, range(len(levels))), dropna=False
    )
    confusion.index, confusion.columns = list(levels), list(levels)
    nagelkerke, mcfadden, cox_snell = r2
    return RatingFit(
        n=len(x),
        levels=levels,
        coefficient=float(result.params['number']) / scale,
        standard_error=float(result.bse['number']) / scale,
        p=float(result.pvalues['number']),
        r2_nagelkerke=nagelkerke,
        r2_mcfadden=mcfadden,
        r2_cox_snell=cox_snell,
        p_proportional=_proportional(x / scale, codes, float(result.llf)),
        confusion=confusion,
        cuts=tuple(float(v) for v in model.transform_threshold_params(result.params)[1:-1]),
    )


def pseudo_r2(fitted: float, null: float, n: int) -> tuple[float, float, float]:
    """Pseudo-R2 of Nagelkerke, McFadden, and Cox & Snell.

    Parameters
    ----------
    fitted, null : float
        Log-likelihood with and without the explanatory variable.
    n : int
        Number of scans.

    Returns
    -------
    nagelkerke, mcfadden, cox_snell : float
    """
    cox_snell = 1 - np.exp(2 * (null - fitted) / n)
    return float(cox_snell / (1 - np.exp(2 * null / n))), float(1 - fitted / null), float(cox_snell)


def by_threshold(
    counts: Mapping[float, pd.Series], rating: pd.Series
) -> tuple[pd.DataFrame, dict[float, RatingFit]]:
    """Fit a rating at each probability threshold.

    Parameters
    ----------
    counts : mapping of float to Series
        Number of clusters of each scan, by threshold.
    rating : Series
        Rating of each scan.

    Returns
    -------
    table : DataFrame
        One row per threshold.
    fits : dict of float to RatingFit
        By threshold.
    """
    fits = {threshold: fit(number, rating) for threshold, number in counts.items()}
    names = (
        'n', 'coefficient', 'standard_error', 'p', 'r2_nagelkerke', 'r2_mcfadden', 'r2_cox_snell',
        'p_proportional', 'note',
    )  # fmt: skip
    rows = [{'threshold': t} | {name: getattr(f, name) for name in names} for t, f in fits.items()]
    table = pd.DataFrame(rows)
    return table.assign(q=false_discovery(table, [])), fits


def _null_likelihood(codes: np.ndarray) -> float:
    """Log-likelihood of a model with an intercept only, from the frequencies of the grades."""
    sizes = np.bincount(codes)
    sizes = sizes[sizes > 0]
    return float((sizes * np.log(sizes / sizes.sum())).sum())


def _separated(x: np.ndarray, codes: np.ndarray) -> bool:
    """Whether no two neighbouring grades overlap in the number.

    A tie of their ends is no overlap: the likelihood still rises with the slope without limit, as only the
    scans at the tie are not told apart (quasi-complete separation, Albert & Anderson 1984).
    """
    low = [x[codes == k].min() for k in range(codes.max() + 1)]
    high = [x[codes == k].max() for k in range(codes.max() + 1)]
    rising = all(h <= low_ for h, low_ in zip(high[:-1], low[1:], strict=True))
    falling = all(low_ >= h for low_, h in zip(low[:-1], high[1:], strict=True))
    return rising or falling


def _proportional(x: np.ndarray, codes: np.ndarray, fitted: float) -> float:
    """P-value of the check of proportional odds by Brant 1990, doi:10.2307/2532457.

    Separate logistic regressions of "above grade k" give slopes and their joint covariance. A Wald test
    compares the slopes.
    """
    cuts = codes.max()
    if cuts < 2:
        return np.nan
    design = np.column_stack([np.ones_like(x), x])
    slopes, inverses, probabilities = [], [], []
    for k in range(cuts):
        above = (codes > k).astype(float)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                result = Logit(above, design).fit(disp=0)
                probability = result.predict(design)
        except (np.linalg.LinAlgError, PerfectSeparationError):  # separation at one cut: no check
            return np.nan
        if not result.mle_retvals['converged']:
            return np.nan
        weight = probability * (1 - probability)
        slopes.append(result.params[1])
        inverses.append(np.linalg.pinv(design.T @ (weight[:, None] * design)))
        probabilities.append(probability)
    covariance = np.empty((cuts, cuts))
    for j in range(cuts):
        for k in range(cuts):
            low, high = min(j, k), max(j, k)
            joint = probabilities[high] - probabilities[low] * probabilities[high]
            middle = design.T @ (joint[:, None] * design)
            covariance[j, k] = (inverses[j] @ middle @ inverses[k])[1, 1]
    contrast = np.eye(cuts)[:-1] - np.eye(cuts)[1:]
    gap = contrast @ np.array(slopes)
    wald = float(gap @ np.linalg.pinv(contrast @ covariance @ contrast.T) @ gap)
    return float(stats.chi2.sf(wald, cuts - 1))
