"""Clusters of a probability map."""

from __future__ import annotations

import cc3d
import numpy as np

#: Fraction of a cluster that has to lie inside the regions. Wide spaces are classified as CSF or grey matter,
#: which no region holds: if it had to be half, the largest clusters would be lost.
INSIDE = 1 / 3
#: Probabilities are multiples of this step, which 16 bits hold without a rest.
PROBABILITY_STEP = 2.0**-14


def rounded(probability: np.ndarray) -> np.ndarray:
    """Probabilities rounded to `PROBABILITY_STEP`, as they are stored.

    All that is measured is measured on these, so that the files say the same as the tables at any threshold.

    Parameters
    ----------
    probability : ndarray of float32, shape (x, y, z)
        In [0, 1].
    """
    step = np.float32(PROBABILITY_STEP)
    return np.rint(probability / step) * step


def within_regions(
    probability: np.ndarray, regions: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Restrict a probability map to the regions, keeping clusters whole.

    Clusters (26-connected) of voxels that reach the threshold are kept or removed as a whole. A cluster of
    which at least `INSIDE` is inside the regions is kept, including its voxels outside: PVS are dark and may
    be classified as grey matter or CSF, which are not part of a region. Other clusters are removed.

    Parameters
    ----------
    probability : ndarray of float, shape (x, y, z)
        In [0, 1].
    regions : ndarray of int, shape (x, y, z)
        Region map, 0 outside.
    threshold : float
        Smallest probability of a voxel of a cluster.

    Returns
    -------
    probability : ndarray of float, shape (x, y, z)
        0 outside the regions and in removed clusters.
    regions : ndarray of int, shape (x, y, z)
        Extended by voxels of kept clusters, which are added to the region that holds most of the cluster.
    """
    mask = probability >= threshold
    labels, number = cc3d.connected_components(mask, connectivity=26, return_N=True)
    inside = regions > 0
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    by_region = np.zeros((number + 1, int(regions.max(initial=0)) + 1), int)
    np.add.at(by_region, (labels[mask & inside], regions[mask & inside].astype(int)), 1)
    kept = by_region.sum(1) >= INSIDE * sizes - 1e-6  # a third of six is two
    outside = mask & ~inside & kept[labels]
    regions = np.where(outside, by_region.argmax(1)[labels], regions).astype(regions.dtype)
    return np.where(np.where(mask, kept[labels], inside), probability, 0), regions


def reaches(volumes: np.ndarray, minimum: float) -> np.ndarray:
    """Whether volumes are at least a minimum, but for rounding, as of a voxel of an oblique grid.

    Parameters
    ----------
    volumes : ndarray of float
        In mm3.
    minimum : float
        In mm3.
    """
    return volumes >= minimum - 1e-6


def label_clusters(
    probability: np.ndarray,
    *,
    threshold: float,
    minimum: float,
    voxel_volume: float,
) -> np.ndarray:
    """Number the clusters (26-connected) of voxels that reach the threshold.

    Parameters
    ----------
    probability : ndarray, shape (x, y, z)
        Probability within the regions, from `within_regions`.
    threshold : float
        Smallest probability of a voxel of a cluster.
    minimum : float
        Smallest volume of a cluster in mm3; smaller ones are removed.
    voxel_volume : float
        In mm3.

    Returns
    -------
    clusters : ndarray of int32, shape (x, y, z)
        1, 2, ... by descending size (ties by position), 0 elsewhere.
    """
    mask = probability >= threshold
    labels, number = cc3d.connected_components(mask, connectivity=26, return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    sizes[0] = 0
    order = np.argsort(-sizes, kind='stable')
    large = reaches(sizes * voxel_volume, minimum)
    kept = [k for k in order if k and large[k]]
    lookup = np.zeros(number + 1, np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    return lookup[labels]
