"""From a probability map to the clusters of a scan."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np

from .burden import CANDIDATE
from .label import label_clusters, rounded, within_regions


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found in a scan; arrays of shape (x, y, z).

    Attributes
    ----------
    probability : ndarray of float32
        In [0, 1]; 0 outside the regions.
    regions : ndarray of int
        Region map, extended by the ends of clusters that reach beyond it.
    clusters : ndarray of int32
        Numbered clusters by descending size, 0 elsewhere.
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.
    """

    probability: np.ndarray
    regions: np.ndarray
    clusters: np.ndarray
    affine: np.ndarray


def find_clusters(
    probability: np.ndarray,
    regions: np.ndarray,
    affine: np.ndarray,
    *,
    threshold: float,
    minimum: float,
    lesions: np.ndarray | None = None,
    most_in_lesions: float | None = None,
) -> Found:
    """Find the clusters of a scan.

    Parameters
    ----------
    probability : ndarray of float, shape (x, y, z)
        In [0, 1].
    regions : ndarray of int, shape (x, y, z)
        Region map, 0 outside.
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.
    threshold : float
        Smallest probability of a voxel of a cluster.
    minimum : float
        Smallest volume of a cluster in mm3.
    lesions : ndarray of bool, shape (x, y, z), or None
        White matter hyperintensities.
    most_in_lesions : float or None
        Clusters of which this share and more lies in `lesions` are left out. Their probability is, too, with
        that of what may be a space about them in the lesions.

    Returns
    -------
    found : Found
    """
    given = regions
    probability, regions = within_regions(rounded(probability), regions, threshold)
    voxel = abs(float(np.linalg.det(affine[:3, :3])))

    def label(probability: np.ndarray) -> np.ndarray:
        return label_clusters(probability, threshold=threshold, minimum=minimum, voxel_volume=voxel)

    clusters = label(probability)
    if lesions is not None and most_in_lesions is not None:
        sizes = np.bincount(clusters.ravel())
        inside = np.bincount(clusters[lesions], minlength=len(sizes))
        is_out = inside >= most_in_lesions * sizes
        is_out[0] = False
        left_out = is_out[clusters]
        about = cc3d.connected_components(probability >= CANDIDATE, connectivity=26)
        left_out |= lesions & np.isin(about, np.unique(about[left_out])) & (clusters == 0) & (about > 0)
        probability = np.where(left_out, 0, probability)
        regions = np.where(left_out, given, regions)
        clusters = label(probability)
    return Found(probability=probability, regions=regions, clusters=clusters, affine=affine)
