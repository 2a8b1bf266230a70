"""Clusters of a probability map."""

from __future__ import annotations

import cc3d
import numpy as np
from scipy import ndimage

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


def without_edges(probability: np.ndarray, edge: float) -> np.ndarray:
    """Probabilities without those about surer voxels; a threshold then gives what counts as spaces.

    The threshold that maximises an expected Dice is half of that Dice (Lipton et al. 2014,
    doi:10.1007/978-3-662-44851-9_15): low where noise nearly hides the spaces, high where they are plain to
    see. One threshold for both either misses faint spaces or draws clear ones too wide. How plain a space is
    to see is told by the largest probability m among a voxel and its 26 neighbours: voxels below
    ``edge * m ** 2`` are left out.

    Parameters
    ----------
    probability : ndarray of float, shape (x, y, z)
        In [0, 1].
    edge : float
        Smallest probability beside a voxel of probability 1, in [0, 1]; 0: the threshold decides alone.
        Thresholds from `edge` on give the same with and without it.

    Returns
    -------
    probability : ndarray of float, shape (x, y, z)
        0 where it is below that.
    """
    if not edge:
        return probability
    largest = ndimage.maximum_filter(probability, 3, mode='constant')
    return np.where(probability >= edge * largest**2, probability, 0)


def lower_edges(probability: np.ndarray, threshold: float, edge: float) -> np.ndarray:
    """Lower what `without_edges` leaves out to just below a threshold, which then gives what is marked.

    Parameters
    ----------
    probability : ndarray of float32, shape (x, y, z)
        In [0, 1], multiples of `PROBABILITY_STEP`.
    threshold : float
        Smallest probability of a voxel of a cluster.
    edge : float
        As `without_edges`.

    Returns
    -------
    probability : ndarray of float32, shape (x, y, z)
        Such multiples, too.
    """
    is_left_out = (probability >= threshold) & (without_edges(probability, edge) < threshold)
    below = (np.ceil(threshold / PROBABILITY_STEP) - 1) * PROBABILITY_STEP
    return np.where(is_left_out, np.float32(below), probability)


def within_regions(
    probability: np.ndarray, regions: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Restrict a probability map to the regions, keeping clusters whole.

    Clusters (26-connected) of voxels that reach the threshold are kept or removed as a whole. A cluster of
    which at least half is inside the regions is kept, including its voxels outside: where PVS reach the
    cortex, they are dark and classified as grey matter, which is not part of a region. Other clusters are
    removed.

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
    kept = 2 * by_region.sum(1) >= sizes
    outside = mask & ~inside & kept[labels]
    regions = np.where(outside, by_region.argmax(1)[labels], regions).astype(regions.dtype)
    return np.where(np.where(mask, kept[labels], inside), probability, 0), regions


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
    kept = [k for k in order if k and sizes[k] * voxel_volume >= minimum - 1e-6]
    lookup = np.zeros(number + 1, np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    return lookup[labels]
