"""Clusters of a probability map."""

from __future__ import annotations

import cc3d
import numpy as np


def label_clusters(
    probability: np.ndarray,
    regions: np.ndarray,
    *,
    threshold: float,
    minimum: float,
    voxel_volume: float,
) -> np.ndarray:
    """Number the clusters (26-connected) of what reaches the threshold within the regions.

    Parameters
    ----------
    probability : ndarray, shape (x, y, z)
    regions : ndarray of int
        Perivascular spaces are only looked for where it is above 0.
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
    found = (probability >= threshold) & (regions > 0)
    labels, number = cc3d.connected_components(found, connectivity=26, return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    sizes[0] = 0
    order = np.argsort(-sizes, kind='stable')
    kept = [k for k in order if k and sizes[k] * voxel_volume >= minimum - 1e-6]
    lookup = np.zeros(number + 1, np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    return lookup[labels]
