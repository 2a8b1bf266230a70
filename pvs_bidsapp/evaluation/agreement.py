"""Agreement of two measurements of the same people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Agreement:
    """Two measurements of the same people.

    Attributes
    ----------
    n : int
        People.
    icc, icc_low, icc_high : float
        ICC(2,1), absolute agreement, of Shrout & Fleiss 1979 with its 95 % interval (McGraw &
        Wong 1996).
    bias, limit_low, limit_high : float
        Mean difference and limits of agreement (Bland & Altman 1986), in the measure's unit.
    """

    n: int
    icc: float
    icc_low: float
    icc_high: float
    bias: float
    limit_low: float
    limit_high: float


def agreement(first: np.ndarray, second: np.ndarray) -> Agreement:
    """ICC(2,1) and Bland-Altman limits of paired measurements; n/a below three pairs.

    Parameters
    ----------
    first, second : ndarray, shape (n,)
    """
    pairs = np.column_stack([first, second]).astype(float)
    pairs = pairs[np.isfinite(pairs).all(1)]
    n, k = pairs.shape
    if n < 3:
        return Agreement(n, *[np.nan] * 6)
    difference = pairs[:, 1] - pairs[:, 0]
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    grand = pairs.mean()
    rows = k * ((pairs.mean(1) - grand) ** 2).sum() / (n - 1)
    columns = n * ((pairs.mean(0) - grand) ** 2).sum() / (k - 1)
    total = ((pairs - grand) ** 2).sum()
    error = (total - rows * (n - 1) - columns * (k - 1)) / ((n - 1) * (k - 1))
    whole = rows + (k - 1) * error + k * (columns - error) / n
    icc = (rows - error) / whole if whole > 0 else np.nan
    low, high = _interval(icc, rows, columns, error, n, k)
    return Agreement(n, float(icc), low, high, bias, bias - spread, bias + spread)


def _interval(icc: float, rows: float, columns: float, error: float, n: int, k: int) -> tuple[float, float]:
    """95 % interval of ICC(2,1), McGraw & Wong 1996, table 7."""
    if not np.isfinite(icc) or error <= 0 or icc >= 1:
        return icc, icc
    a = k * icc / (n * (1 - icc))
    b = 1 + k * icc * (n - 1) / (n * (1 - icc))
    freedom = (a * columns + b * error) ** 2 / (
        (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    )
    lower = stats.f.ppf(0.975, n - 1, freedom)
    upper = stats.f.ppf(0.975, freedom, n - 1)
    between = k * columns + (k * n - k - n) * error
    low = n * (rows - lower * error) / (lower * between + n * rows)
    high = n * (upper * rows - error) / (between + n * upper * rows)
    return float(low), float(high)
