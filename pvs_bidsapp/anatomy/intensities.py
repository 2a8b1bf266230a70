"""Values of a scan on a scale of their own: 0 is the lowest, and a whole number stays a whole number.

The same scan may come as integers, as integers with a scale factor, or standardised (z-scores, most of them
negative). On the scale of this module all of these are the same array, bit by bit, so that they give the same
results.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cc3d
import numpy as np
from scipy import ndimage

from ..messages import scans
from ..messages.message import Finding

#: Largest fraction of NaN or infinite voxels inside the scan that are filled from their neighbours.
MAX_NAN_FRACTION = 1e-3
#: Values beyond this count as infinite, and a range below this as none: no scanner measures them, and the
#: arithmetic of floats would overflow.
LARGEST, SMALLEST_RANGE = 1e30, 1e-30
#: Fraction of the valid voxels that have to be in one piece where the background is NaN.
ONE_PIECE = 0.95
#: Largest number of different values that are looked at for a common step.
MAX_LEVELS = 2**17
#: Largest deviation from a multiple of the step, in steps; rounding to 16 bits or float32 stays far below.
MAX_DEVIATION = 0.25
#: Largest number of steps above the lowest value: larger whole numbers are rounded in float32.
MAX_STEPS = 2**24
#: If the 0.5th percentile lies below 0 by no more than this fraction of the 99.5th, negative values are those
#: that interpolation leaves.
RINGING = 0.1
#: Fraction of the voxels that have one value, which then is that of a masked background.
BACKGROUND = 0.2
#: Fraction of the voxels that has to lie below that value: otherwise it is the air around a head.
FILLED = 0.02
#: A value counts as damage if it is farther from the bulk (0.1st to 99.9th percentile) than this many times
#: the width of the bulk.
FAR = 20.0
#: Range of a scan without a step in its values, after which its scale is changed.
USUAL_RANGE = (16.0, 65536.0)


@dataclass(frozen=True, kw_only=True)
class Intensities:
    """Values of a scan on their own scale.

    Attributes
    ----------
    image : ndarray of float32, shape (x, y, z)
        Not negative.
    unit : float
        Size of one unit of `image` in the values of the file.
    findings : tuple of Finding
        What was changed.
    """

    image: np.ndarray
    unit: float
    findings: tuple[Finding, ...] = ()


def normalise(data: np.ndarray, path: Path) -> Intensities:
    """Bring the values of a scan to their own scale.

    Parameters
    ----------
    data : ndarray, shape (x, y, z)
        As stored in the file.
    path : Path
        For messages.

    Raises
    ------
    ImageError
        If the image is empty, constant, or has many NaN inside.
    """
    findings: list[Finding] = []
    if not np.issubdtype(data.dtype, np.integer) or not -(2**53) <= data.min() <= data.max() <= 2**53:
        with np.errstate(all='ignore'):  # of NaN that are marked as errors, and of long doubles
            data = np.asarray(data, np.float64)
        data, found = fill_nan(data, path)
        findings += found
    low, high = float(data.min()), float(data.max())
    if high - low < SMALLEST_RANGE:
        raise scans.EMPTY.error(path) if low == high == 0 else scans.CONSTANT.error(path, value=low)
    data, found = _cut_outliers(data, path)
    findings += found
    background, low, found = _find_floor(data, path)
    findings += found
    image, unit = _in_steps(data, low)
    if background is not None:
        image[_touching_border(data == background)] = 0  # a voxel of the brain may have this value, too
    return Intensities(
        image=np.maximum(image, 0, out=image).astype(np.float32), unit=unit, findings=tuple(findings)
    )


def fill_nan(data: np.ndarray, path: Path) -> tuple[np.ndarray, list[Finding]]:
    """Fill NaN and infinite voxels: those of the background by the lowest value, others by their neighbours.

    Values beyond `LARGEST` count as infinite.

    Parameters
    ----------
    data : ndarray of float, shape (x, y, z)
    path : Path
        For messages.

    Raises
    ------
    ImageError
        If there are too many of them inside the scan.
    """
    bad = ~((data >= -LARGEST) & (data <= LARGEST))
    if not bad.any():
        return data, []
    if bad.all():
        raise scans.MANY_NAN.error(path, percent=100.0)
    findings = []
    inside = bad
    if bad.mean() > MAX_NAN_FRACTION:
        outside = _touching_border(bad)
        inside = bad & ~outside
        largest = cc3d.largest_k(~bad, k=1, connectivity=6) > 0
        if largest.sum() < ONE_PIECE * (~bad).sum() or inside.mean() > MAX_NAN_FRACTION:
            raise scans.MANY_NAN.error(path, percent=100 * bad.mean())
        findings.append(scans.NAN_BACKGROUND.finding(path, percent=100 * outside.mean()))
        data = np.where(outside, data[~bad].min(), data)
    if inside.any():
        findings.append(scans.NAN_FILLED.finding(path, count=int(inside.sum())))
        data = _from_neighbours(data, inside)
    return data, findings


def _touching_border(mask: np.ndarray) -> np.ndarray:
    """The components of a mask that reach the border of the image."""
    labels = cc3d.connected_components(mask, connectivity=6)
    faces = [labels.take(k, axis) for axis in range(3) for k in (0, -1)]
    reaching = np.unique(np.concatenate([f.ravel() for f in faces]))
    return np.isin(labels, reaching[reaching > 0])


def _from_neighbours(data: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Replace missing voxels by the mean of their 26 neighbours, from the edge of a hole inwards."""
    known = ~missing
    data = np.where(known, data, 0.0)
    while not known.all():
        weight = ndimage.uniform_filter(known.astype(np.float64), 3, mode='constant')
        mean = ndimage.uniform_filter(data, 3, mode='constant')
        edge = ~known & (weight > 1e-3)
        data[edge] = mean[edge] / weight[edge]
        known |= edge
    return data


def _cut_outliers(data: np.ndarray, path: Path) -> tuple[np.ndarray, list[Finding]]:
    """Cut single values that lie far from all others, such as those of damaged voxels."""
    low, high = (float(v) for v in np.percentile(data, (0.1, 99.9)))
    width = high - low
    floor, ceiling = low - FAR * width, high + FAR * width
    if width == 0 or (data.min() >= floor and data.max() <= ceiling):
        return data, []
    far = (data < floor) | (data > ceiling)
    found = scans.OUTLIERS.finding(
        path, count=int(far.sum()), low=float(data[far].min()), high=float(data[far].max())
    )
    kept = data[~far]
    return np.clip(data, kept.min(), kept.max()), [found]


def _find_floor(data: np.ndarray, path: Path) -> tuple[float | None, float, list[Finding]]:
    """The value that becomes 0, and the value of a masked background above it, if there is one."""
    low = float(data.min())
    if low >= 0:
        return None, low, []
    negative = 100 * float((data < 0).mean())
    bottom, top = (float(v) for v in np.percentile(data, (0.5, 99.5)))
    if -bottom <= RINGING * top:
        return None, 0.0, [scans.NEGATIVE_CLIPPED.finding(path, percent=negative, low=low)]
    found = [scans.NEGATIVE_SHIFTED.finding(path, percent=negative, low=low)]
    values, counts = np.unique(data[:: max(1, data.shape[0] // 32)], return_counts=True)
    common = float(values[counts.argmax()])
    if counts.max() > BACKGROUND * counts.sum() and (data < common).mean() > FILLED:
        return common, low, found
    return None, low, found


def _in_steps(data: np.ndarray, low: float) -> tuple[np.ndarray, float]:
    """The values above `low` in units of their common step, and that step; else in a power of two."""
    levels = _levels(data)
    shifted = data - np.float64(low)
    top = float(shifted.max())
    if levels is not None and (step := common_step(levels)) is not None and top / step <= MAX_STEPS:
        return np.rint(shifted / step), step
    if USUAL_RANGE[0] <= top <= USUAL_RANGE[1]:
        return shifted, 1.0
    unit = float(2.0 ** np.floor(np.log2(top / 4096)))  # a power of two loses no digit
    return shifted / unit, unit


def _levels(data: np.ndarray) -> np.ndarray | None:
    """The different values of an image, ascending; None if there are too many for a common step."""
    if np.issubdtype(data.dtype, np.integer):
        low, high = int(data.min()), int(data.max())
        if high - low < 2**22:  # as int64, in which the difference cannot overflow
            return low + np.flatnonzero(np.bincount(data.ravel().astype(np.int64) - low))
    sample = data.ravel()[:: max(1, data.size // 50_000)]
    if len(np.unique(sample)) > 0.9 * len(sample) and len(sample) > 1000:
        return None
    levels = np.unique(data)
    return levels if len(levels) <= MAX_LEVELS else None


def common_step(levels: np.ndarray) -> float | None:
    """The step of which the differences of all values are multiples, but for rounding.

    Parameters
    ----------
    levels : ndarray, shape (n,)
        Ascending.

    Returns
    -------
    step : float or None
        None if there is none.
    """
    gaps = np.diff(levels.astype(np.float64))
    if not len(gaps):
        return None
    step = float(np.quantile(gaps, 0.1))
    if step <= 0:
        return None
    near = gaps < 1.5 * step
    step = float(gaps[near].mean())
    offsets = levels.astype(np.float64) - float(levels[0])
    if np.issubdtype(levels.dtype, np.integer):
        return float(np.gcd.reduce(np.diff(levels)))
    with np.errstate(all='ignore'):  # NaN, where a gap is 1e300 times another one, is no step
        for _ in range(3):  # a better step counts the steps better, which gives a better step
            numbers = np.concatenate([[0], np.cumsum(np.rint(gaps / step))])
            if not numbers[-1]:
                return None
            step = float(offsets @ numbers / (numbers @ numbers))
        numbers = np.rint(offsets / step)
        deviation = np.abs(offsets / step - numbers).max()
    return step if deviation < MAX_DEVIATION and (np.diff(numbers) > 0).all() else None
