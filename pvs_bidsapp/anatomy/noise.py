"""How noisy a scan is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Smallest number of differences from which the noise is measured.
FEWEST = 10
#: What an image without noise is given: others divide by it.
SMALLEST = 1e-6
#: Standard deviation of a normal variable by its median absolute deviation.
_SD_BY_MAD = 1.4826


def noise_level(
    image: np.ndarray, mask: np.ndarray, *, apart: int = 2, axes: Sequence[int] = (0, 1, 2)
) -> float:
    """Standard deviation of the noise of an image.

    Along each axis, that of the differences of voxels over the root of 2, by their median absolute deviation,
    which edges hardly change; the mean of all axes. In scans that were filtered or interpolated, the noise of
    neighbours is alike, that of voxels two apart hardly is.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    mask : ndarray of bool, shape (x, y, z)
        Where the image has little structure. A difference counts if both voxels and those between are in it.
    apart : int
        Distance of the voxels. 1 where their noise is independent: structure then changes the least.
    axes : sequence of int

    Returns
    -------
    level : float
        In the units of the image, above 0; NaN if there are too few differences.
    """
    levels = []
    for axis in axes:
        values, inside = np.moveaxis(image, axis, 0), np.moveaxis(mask, axis, 0)
        size = max(len(values) - apart, 0)
        both = np.logical_and.reduce([inside[k : k + size] for k in range(apart + 1)])
        steps = (values[apart:] - values[:size])[both]
        if steps.size >= FEWEST:
            levels.append(_SD_BY_MAD * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))
    return max(float(np.mean(levels)), SMALLEST) if levels else float('nan')
