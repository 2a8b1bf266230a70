"""Scores over thresholds and size filters (fig. 1A of Joliot et al. 2021), and intervals over scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import cc3d
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from .metrics import harmonic_mean, hit_fraction, keep_large, score_clusters

#: Default thresholds.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: Default size filters, in mm3.
SIZES = (0.0, 5.0, 10.0, 15.0)


def sweep(
    probability: np.ndarray,
    reference: np.ndarray,
    voxel_volume: float,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    sizes: Sequence[float] = SIZES,
) -> pd.DataFrame:
    """Scores of one scan at each threshold and size filter.

    Definitions are those of `pvs_bidsapp.evaluation.metrics`. Size filters remove smaller clusters from both
    masks. Only voxels in any of the masks are used, to save time.

    Parameters
    ----------
    probability : ndarray of float, shape (x, y, z)
        In [0, 1].
    reference : ndarray of bool, shape (x, y, z)
    voxel_volume : float
        In mm3.
    thresholds : sequence of float
        A voxel is predicted if its probability is at least the threshold.
    sizes : sequence of float
        Smallest volume of a cluster that is kept, in mm3.

    Returns
    -------
    table : DataFrame
        Columns ``threshold min_size_mm3 dice recall precision avd cluster_dice cluster_recall
        cluster_precision large_dice``. ``large_dice`` is the Dice of clusters of this size or more, which may
        be hit by clusters of any size. For the other scores, smaller clusters are removed from both masks.
    """
    voxels = np.flatnonzero((probability >= min(thresholds)) | reference)
    reference_clusters = cc3d.connected_components(reference, connectivity=26).ravel()[voxels]
    rows = []
    for threshold in thresholds:
        clusters = cc3d.connected_components(probability >= threshold, connectivity=26).ravel()[voxels]
        for size in sizes:
            large, large_reference = (
                keep_large(part, size, voxel_volume) for part in (clusters, reference_clusters)
            )
            large_dice = harmonic_mean(
                hit_fraction(large_reference, clusters), hit_fraction(large, reference_clusters)
            )
            setting = {'threshold': threshold, 'min_size_mm3': size}
            scores = asdict(score_clusters(large, large_reference))
            rows.append(setting | scores | {'large_dice': large_dice})
    return pd.DataFrame(rows)


def average_precision(probability: np.ndarray, reference: np.ndarray, inside: np.ndarray | None) -> float:
    """Area under the precision-recall curve of the voxels (AUPRC), as average precision.

    Parameters
    ----------
    probability : ndarray of float, shape (x, y, z)
        In [0, 1].
    reference : ndarray of bool, shape (x, y, z)
    inside : ndarray of bool, shape (x, y, z), or None
        Voxels that count, those of the brain; None: all.

    Returns
    -------
    area : float
        In [0, 1]; NaN if the reference is empty there.
    """
    counted = np.ones(reference.shape, bool) if inside is None else inside
    if not reference[counted].any():
        return np.nan
    return float(average_precision_score(reference[counted], probability[counted]))


def bootstrap(values: np.ndarray, *, rounds: int = 2000, seed: int = 1) -> tuple[float, float, float]:
    """Mean with its 95 % bootstrap percentile interval (Efron 1979).

    Parameters
    ----------
    values : ndarray, shape (n,)
        One value per scan; NaN and infinite values are left out.
    rounds : int
        Number of resamplings.
    seed : int
        Seed of the resamplings.

    Returns
    -------
    mean, low, high : float
        NaN if no value is finite; of fewer than two, there is no interval: the ends are NaN.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return (float(values[0]) if len(values) else np.nan), np.nan, np.nan
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(rounds, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def bootstrap_ratio(
    parts: np.ndarray, wholes: np.ndarray, *, rounds: int = 2000, seed: int = 1
) -> tuple[float, float, float]:
    """Ratio of two sums over scans with its 95 % bootstrap percentile interval; scans are resampled.

    Parameters
    ----------
    parts, wholes : ndarray, shape (n,)
        One value per scan, for example spaces that are found and all spaces.
    rounds : int
        Number of resamplings.
    seed : int
        Seed of the resamplings.

    Returns
    -------
    ratio, low, high : float
        NaN if the wholes are 0; of fewer than two scans with a whole, there is no interval: the ends are NaN.
    """
    if not np.sum(wholes):
        return np.nan, np.nan, np.nan
    if np.count_nonzero(wholes) < 2:
        return float(np.sum(parts) / np.sum(wholes)), np.nan, np.nan
    chosen = np.random.default_rng(seed).integers(len(wholes), size=(rounds, len(wholes)))
    totals = wholes[chosen].sum(1)
    low, high = np.percentile(parts[chosen].sum(1)[totals > 0] / totals[totals > 0], (2.5, 97.5))
    return float(parts.sum() / wholes.sum()), float(low), float(high)
