"""Voxel and cluster agreement of two masks.

Cluster scores count a cluster as hit where it overlaps the other mask in at least one voxel
(26-connectivity), and their Dice is the harmonic mean of recall and precision, as in Joliot et
al. 2021. Two empty masks agree wholly: every score is 1 and the volume difference 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np


@dataclass(frozen=True)
class Scores:
    """Agreement of a found with a true mask.

    Attributes
    ----------
    dice, recall, precision : float
        Over voxels, in [0, 1].
    avd : float
        Absolute volume difference in percent of the true volume.
    cluster_dice, cluster_recall, cluster_precision : float
        Over clusters, in [0, 1].
    """

    dice: float
    recall: float
    precision: float
    avd: float
    cluster_dice: float
    cluster_recall: float
    cluster_precision: float


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient of two boolean arrays; 1 if both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def share(part: float, whole: float) -> float:
    """`part` of `whole`; 1 where there is no whole."""
    return part / whole if whole else 1.0


def harmonic_mean(recall: float, precision: float) -> float:
    """Of recall and precision, 0 where both are."""
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def hit_share(labels: np.ndarray, other: np.ndarray) -> float:
    """Share of the clusters numbered in `labels` (0 outside) that touch where `other` is not 0."""
    inside = labels > 0
    return share(len(np.unique(labels[inside & (other > 0)])), len(np.unique(labels[inside])))


def keep_large(labels: np.ndarray, minimum: float, voxel_volume: float) -> np.ndarray:
    """Labels of the clusters of at least `minimum` mm3, 0 elsewhere."""
    large = np.bincount(labels.ravel(), minlength=1) * voxel_volume >= minimum
    large[0] = False
    return np.where(large[labels], labels, 0)


def remove_small(mask: np.ndarray, minimum: float, voxel_volume: float) -> np.ndarray:
    """Drop clusters of less than `minimum` mm3."""
    if minimum <= voxel_volume or not mask.any():
        return mask
    return keep_large(cc3d.connected_components(mask, connectivity=26), minimum, voxel_volume) > 0


def score(found: np.ndarray, truth: np.ndarray) -> Scores:
    """All scores of a found against a true mask (boolean arrays of one shape)."""
    return score_labels(*(cc3d.connected_components(mask, connectivity=26) for mask in (found, truth)))


def score_labels(found: np.ndarray, truth: np.ndarray) -> Scores:
    """All scores from the numbered clusters of both masks (integers, of one shape, 0 outside)."""
    both = (found > 0) & (truth > 0)
    n_found, n_truth, n_both = (int((m > 0).sum()) for m in (found, truth, both))
    recall, precision = hit_share(truth, found), hit_share(found, truth)
    if n_truth:
        avd = 100 * abs(n_found - n_truth) / n_truth
    else:
        avd = 0.0 if not n_found else float('inf')
    return Scores(
        dice=share(2 * n_both, n_found + n_truth),
        recall=share(n_both, n_truth),
        precision=share(n_both, n_found),
        avd=avd,
        cluster_dice=harmonic_mean(recall, precision),
        cluster_recall=recall,
        cluster_precision=precision,
    )


def cluster_scores(
    found: np.ndarray, truth: np.ndarray, minimum: float, voxel_volume: float
) -> tuple[float, float]:
    """Recall and precision of clusters of at least `minimum` mm3.

    Recall is of the large true clusters (found at any size), precision of the large found ones.
    """
    numbered, true = (cc3d.connected_components(mask, connectivity=26) for mask in (found, truth))
    recall = hit_share(keep_large(true, minimum, voxel_volume), numbered)
    precision = hit_share(keep_large(numbered, minimum, voxel_volume), true)
    return recall, precision
