"""Clusters of a probability map."""

from __future__ import annotations

import cc3d
import numpy as np


def within_regions(
    probability: np.ndarray, regions: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """The probability map where perivascular spaces are looked for, and the regions with what they were lacking.

    What reaches the threshold counts as whole clusters (26-connected): one that lies at least half
    within the regions is kept to its end, since spaces are dark where they reach the cortex and the
    tissue map takes their last voxels for grey matter; one that lies mostly outside is left out.

    Parameters
    ----------
    probability : ndarray of float, shape (x, y, z)
    regions : ndarray of int
        Above 0 where spaces are looked for.
    threshold : float
        A voxel counts from this probability on.

    Returns
    -------
    probability : ndarray of float, shape (x, y, z)
        0 outside the regions and in clusters that were left out.
    regions : ndarray of int, shape (x, y, z)
        With the kept clusters' voxels beyond them, as part of the region that holds most of the cluster.
    """
    found = probability >= threshold
    labels, number = cc3d.connected_components(found, connectivity=26, return_N=True)
    inside = regions > 0
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    held = np.zeros((number + 1, int(regions.max(initial=0)) + 1), int)
    np.add.at(held, (labels[found & inside], regions[found & inside].astype(int)), 1)
    kept = 2 * held.sum(1) >= sizes
    beyond = found & ~inside & kept[labels]
    regions = np.where(beyond, held.argmax(1)[labels], regions).astype(regions.dtype)
    return np.where(np.where(found, kept[labels], inside), probability, 0), regions


def label_clusters(
    probability: np.ndarray,
    *,
    threshold: float,
    minimum: float,
    voxel_volume: float,
) -> np.ndarray:
    """Number the clusters (26-connected) of what reaches the threshold.

    Parameters
    ----------
    probability : ndarray, shape (x, y, z)
        From `within_regions`.
    threshold : float
        A voxel counts from this probability on.
    minimum : float
        Clusters of less than this volume (mm3) are dropped.
    voxel_volume : float
        In mm3.

    Returns
    -------
    clusters : ndarray of int32
        1, 2, ... by falling size (ties by position); 0 elsewhere.
    """
    found = probability >= threshold
    labels, number = cc3d.connected_components(found, connectivity=26, return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    sizes[0] = 0
    order = np.argsort(-sizes, kind='stable')
    kept = [k for k in order if k and sizes[k] * voxel_volume >= minimum - 1e-6]
    lookup = np.zeros(number + 1, np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    return lookup[labels]
