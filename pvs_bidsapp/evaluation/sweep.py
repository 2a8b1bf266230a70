"""Scores over prediction thresholds and cluster-size filters (fig. 1A of Joliot et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import cc3d
import numpy as np
import pandas as pd

from .metrics import harmonic_mean, hit_share, keep_large, score_labels

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SIZES = (0.0, 5.0, 10.0, 15.0)


def sweep(
    probability: np.ndarray,
    truth: np.ndarray,
    voxel_volume: float,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    sizes: Sequence[float] = SIZES,
) -> pd.DataFrame:
    """Voxel and cluster Dice of one scan at each threshold and size filter.

    Definitions are those of `pvs_bidsapp.evaluation.metrics`; the filter drops smaller clusters
    from both masks.  Worked out on the few voxels that hold anything.

    Parameters
    ----------
    probability : ndarray of float, shape (x, y, z)
    truth : ndarray of bool
    voxel_volume : float
        In mm3.
    thresholds : sequence of float
    sizes : sequence of float
        In mm3.

    Returns
    -------
    table : DataFrame
        ``threshold min_size_mm3 dice recall precision avd cluster_dice cluster_recall
        cluster_precision large_dice``. In the last, clusters of that size or more are hit by
        clusters of any size; in the others, smaller clusters are left out of both masks.
    """
    where = np.flatnonzero((probability >= min(thresholds)) | truth)
    true_labels = cc3d.connected_components(truth, connectivity=26).ravel()[where]
    rows = []
    for threshold in thresholds:
        labels = cc3d.connected_components(probability >= threshold, connectivity=26).ravel()[where]
        for size in sizes:
            found, true = (keep_large(part, size, voxel_volume) for part in (labels, true_labels))
            large = harmonic_mean(hit_share(true, labels), hit_share(found, true_labels))
            setting = {'threshold': threshold, 'min_size_mm3': size}
            rows.append(setting | asdict(score_labels(found, true)) | {'large_dice': large})
    return pd.DataFrame(rows)


def bootstrap(values: np.ndarray, *, rounds: int = 2000, seed: int = 1) -> tuple[float, float, float]:
    """Mean over scans with its 95 % percentile interval (Efron 1979); NaN and infinity left out.

    Parameters
    ----------
    values : ndarray, shape (n,)
    rounds : int
        Resamplings.
    seed : int
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return np.nan, np.nan, np.nan
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(rounds, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(values.mean()), float(low), float(high)
