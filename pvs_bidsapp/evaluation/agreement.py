"""Agreement of two measurements of the same subjects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Share of the sum of squares up to which a variation is that of rounding.
ROUNDING = 1e-20


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of two measurements of the same subjects.

    Attributes
    ----------
    n : int
        Number of subjects.
    icc, icc_low, icc_high : float
        Intraclass correlation ICC(2,1) for absolute agreement (Shrout & Fleiss 1979) with its 95 % interval
        (McGraw & Wong 1996).
    bias, limit_low, limit_high : float
        Mean difference and limits of agreement (Bland & Altman 1986), in the unit of the measurements.
    """

    n: int
    icc: float
    icc_low: float
    icc_high: float
    bias: float
    limit_low: float
    limit_high: float


def agreement(first: np.ndarray, second: np.ndarray) -> Agreement:
    """ICC(2,1) and Bland-Altman limits of agreement of paired measurements.

    Parameters
    ----------
    first, second : ndarray, shape (n,)
        Pairs with NaN or infinite values are left out.

    Returns
    -------
    agreement : Agreement
        All NaN if there are fewer than three pairs; the differences are ``second - first``.
    """
    pairs = np.column_stack([first, second]).astype(float)
    pairs = pairs[np.isfinite(pairs).all(1)]
    n = len(pairs)
    if n < 3:
        missing = dict.fromkeys(('icc', 'icc_low', 'icc_high', 'bias', 'limit_low', 'limit_high'), np.nan)
        return Agreement(n=n, **missing)
    difference = pairs[:, 1] - pairs[:, 0]
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    icc, low, high = intraclass_correlation(pairs)
    return Agreement(
        n=n,
        icc=icc,
        icc_low=low,
        icc_high=high,
        bias=bias,
        limit_low=bias - spread,
        limit_high=bias + spread,
    )


def intraclass_correlation(values: np.ndarray) -> tuple[float, float, float]:
    """ICC(2,1), two-way random effects, single measurement, absolute agreement, with its 95 % interval.

    Shrout & Fleiss 1979 (doi:10.1037/0033-2909.86.2.420), and for the interval McGraw & Wong 1996, table 7
    (doi:10.1037/1082-989X.1.1.30).

    Parameters
    ----------
    values : ndarray, shape (n, k)
        One row per subject, one column per rater, scanner or method; at least two of each, all finite.

    Returns
    -------
    icc, low, high : float
        NaN if all values are the same. Columns that differ by constants only have the interval that ever
        smaller errors tend to.
    """
    n, k = values.shape
    grand = values.mean()
    rows = k * ((values.mean(1) - grand) ** 2).sum() / (n - 1)
    columns = n * ((values.mean(0) - grand) ** 2).sum() / (k - 1)
    total = ((values - grand) ** 2).sum()
    if total <= ROUNDING * (values**2).sum():
        return np.nan, np.nan, np.nan
    # a mean square is no less than 0 but for rounding
    error = max((total - rows * (n - 1) - columns * (k - 1)) / ((n - 1) * (k - 1)), 0.0)
    whole = rows + (k - 1) * error + k * (columns - error) / n
    icc = float((rows - error) / whole) if whole > 0 else np.nan
    return icc, *_interval(icc, rows, columns, error, n, k)


def _interval(icc: float, rows: float, columns: float, error: float, n: int, k: int) -> tuple[float, float]:
    """95 % interval of ICC(2,1), McGraw & Wong 1996, table 7."""
    if not np.isfinite(icc) or icc >= 1:
        return icc, icc
    a = k * icc / (n * (1 - icc))
    b = 1 + k * icc * (n - 1) / (n * (1 - icc))
    parts = (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    if parts == 0:  # subjects do not differ at all: nothing tells the degrees of freedom
        return np.nan, np.nan
    freedom = (a * columns + b * error) ** 2 / parts
    lower = stats.f.ppf(0.975, n - 1, freedom)
    upper = stats.f.ppf(0.975, freedom, n - 1)
    between = k * columns + (k * n - k - n) * error
    low = n * (rows - lower * error) / (lower * between + n * rows)
    high = n * (upper * rows - error) / (between + n * upper * rows)
    return float(low), float(high)
