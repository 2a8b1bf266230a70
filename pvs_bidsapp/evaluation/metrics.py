"""Voxel and cluster agreement of a predicted and a reference mask.

A cluster (26-connectivity) is a hit if it overlaps the other mask in at least one voxel. Cluster Dice is the
harmonic mean of cluster recall and precision, as in Joliot et al. 2021. Two empty masks agree perfectly:
every score is 1, and the volume difference is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np

from ..clusters.label import reaches


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Agreement of a predicted with a reference mask.

    Attributes
    ----------
    dice, recall, precision : float
        Of voxels, in [0, 1].
    avd : float
        Absolute volume difference in percent of the reference volume; infinite if only the reference is
        empty.
    cluster_dice, cluster_recall, cluster_precision : float
        Of clusters, in [0, 1].
    """

    dice: float
    recall: float
    precision: float
    avd: float
    cluster_dice: float
    cluster_recall: float
    cluster_precision: float


def dice(predicted: np.ndarray, reference: np.ndarray) -> float:
    """Dice coefficient of two masks.

    Parameters
    ----------
    predicted, reference : ndarray of bool
        Of the same shape.

    Returns
    -------
    dice : float
        In [0, 1]; 1 if both masks are empty.
    """
    total = int(predicted.sum()) + int(reference.sum())
    return 2 * int((predicted & reference).sum()) / total if total else 1.0


def ratio(part: float, whole: float) -> float:
    """Ratio of `part` to `whole`; 1 if `whole` is 0."""
    return part / whole if whole else 1.0


def harmonic_mean(recall: float, precision: float) -> float:
    """Harmonic mean of `recall` and `precision`; 0 if both are 0."""
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def hit_fraction(clusters: np.ndarray, other: np.ndarray) -> float:
    """Fraction of clusters that overlap another mask.

    Parameters
    ----------
    clusters : ndarray of int
        Numbered clusters, 0 elsewhere.
    other : ndarray of int or bool
        Of the same shape; above 0 in the other mask.

    Returns
    -------
    fraction : float
        In [0, 1]; 1 if there is no cluster.
    """
    inside = clusters > 0
    return ratio(len(np.unique(clusters[inside & (other > 0)])), len(np.unique(clusters[inside])))


def count_false(clusters: np.ndarray, reference: np.ndarray, minimum: float, voxel_volume: float) -> int:
    """Number of large predicted clusters that hit no reference.

    Parameters
    ----------
    clusters : ndarray of int, shape (x, y, z)
        Numbered clusters of the prediction, 0 elsewhere.
    reference, minimum, voxel_volume
        As for `cluster_scores`.
    """
    large = keep_large(clusters, minimum, voxel_volume)
    return len(np.setdiff1d(large[large > 0], clusters[reference]))


def keep_large(clusters: np.ndarray, minimum: float, voxel_volume: float) -> np.ndarray:
    """Remove small clusters.

    Parameters
    ----------
    clusters : ndarray of int
        Numbered clusters, 0 elsewhere.
    minimum : float
        Smallest volume that is kept, in mm3.
    voxel_volume : float
        In mm3.

    Returns
    -------
    clusters : ndarray of int
        With unchanged numbers.
    """
    large = reaches(np.bincount(clusters.ravel(), minlength=1) * voxel_volume, minimum)
    large[0] = False
    return np.where(large[clusters], clusters, 0)


def remove_small(mask: np.ndarray, minimum: float, voxel_volume: float) -> np.ndarray:
    """Remove the small clusters of a mask; parameters as `keep_large`.

    Returns
    -------
    mask : ndarray of bool
    """
    if minimum <= voxel_volume or not mask.any():
        return mask
    return keep_large(cc3d.connected_components(mask, connectivity=26), minimum, voxel_volume) > 0


def score(predicted: np.ndarray, reference: np.ndarray) -> Scores:
    """All scores of a predicted mask.

    Parameters
    ----------
    predicted, reference : ndarray of bool, shape (x, y, z)

    Returns
    -------
    scores : Scores
    """
    return score_clusters(
        *(cc3d.connected_components(mask, connectivity=26) for mask in (predicted, reference))
    )


def score_clusters(predicted: np.ndarray, reference: np.ndarray) -> Scores:
    """All scores of a predicted mask whose clusters are numbered already.

    Parameters
    ----------
    predicted, reference : ndarray of int
        Numbered clusters, 0 elsewhere; of the same shape.

    Returns
    -------
    scores : Scores
    """
    both = (predicted > 0) & (reference > 0)
    n_predicted, n_reference, n_both = (int((m > 0).sum()) for m in (predicted, reference, both))
    recall, precision = hit_fraction(reference, predicted), hit_fraction(predicted, reference)
    if n_reference:
        avd = 100 * abs(n_predicted - n_reference) / n_reference
    else:
        avd = 0.0 if not n_predicted else float('inf')
    return Scores(
        dice=ratio(2 * n_both, n_predicted + n_reference),
        recall=ratio(n_both, n_reference),
        precision=ratio(n_both, n_predicted),
        avd=avd,
        cluster_dice=harmonic_mean(recall, precision),
        cluster_recall=recall,
        cluster_precision=precision,
    )


def cluster_scores(
    predicted: np.ndarray, reference: np.ndarray, minimum: float, voxel_volume: float
) -> tuple[float, float]:
    """Recall and precision of large clusters, which may be hit by clusters of any size.

    Parameters
    ----------
    predicted, reference : ndarray of bool, shape (x, y, z)
    minimum : float
        Smallest volume of a large cluster, in mm3.
    voxel_volume : float
        In mm3.

    Returns
    -------
    recall : float
        Fraction of the large reference clusters that are hit.
    precision : float
        Fraction of the large predicted clusters that are hit.
    """
    clusters, reference_clusters = (
        cc3d.connected_components(mask, connectivity=26) for mask in (predicted, reference)
    )
    recall = hit_fraction(keep_large(reference_clusters, minimum, voxel_volume), clusters)
    precision = hit_fraction(keep_large(clusters, minimum, voxel_volume), reference_clusters)
    return recall, precision
