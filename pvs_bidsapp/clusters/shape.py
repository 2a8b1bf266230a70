"""Size and shape of clusters.

Length is the extent along the cluster's main axis plus one voxel. Width is the diameter of a cylinder of the
same volume and length. Linearity is (l1 - l2) / l1 of the eigenvalues of the covariance (Westin et al. 2002,
doi:10.1016/S1361-8415(02)00053-1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Size and shape of one cluster.

    Attributes
    ----------
    index : int
        Number of the cluster.
    voxels : ndarray of int, shape (n, 3)
        Indices of its voxels.
    volume : float
        In mm3.
    length, width : float
        In mm.
    linearity : float
        From 0 (round) to 1 (a line).
    direction : ndarray, shape (3,)
        Unit vector of the main axis in scanner RAS+, pointing up.
    centre : ndarray, shape (3,)
        Centre of mass in scanner RAS+ mm.
    """

    index: int
    voxels: np.ndarray
    volume: float
    length: float
    width: float
    linearity: float
    direction: np.ndarray
    centre: np.ndarray


def measure(clusters: np.ndarray, affine: np.ndarray) -> list[Shape]:
    """Measure all clusters.

    Parameters
    ----------
    clusters : ndarray of int, shape (x, y, z)
        Numbered clusters, 0 elsewhere.
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.

    Returns
    -------
    shapes : list of Shape
        By index.
    """
    volume = abs(float(np.linalg.det(affine[:3, :3])))
    shapes = []
    for index, box in enumerate(ndimage.find_objects(clusters), start=1):
        if box is None:
            continue
        voxels = np.argwhere(clusters[box] == index) + [s.start for s in box]
        shapes.append(_shape(index, voxels, affine, volume))
    return shapes


def _shape(index: int, voxels: np.ndarray, affine: np.ndarray, voxel_volume: float) -> Shape:
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    centre = points.mean(0)
    matrix = affine[:3, :3]
    # a voxel is a box, not a point: its own covariance is added
    covariance = (points - centre).T @ (points - centre) / len(points) + matrix @ matrix.T / 12
    values, vectors = np.linalg.eigh(covariance)
    main = vectors[:, -1] * (1 if vectors[2, -1] >= 0 else -1)
    along = (points - centre) @ main
    step = float(np.abs(matrix.T @ main).max())
    length = float(np.ptp(along)) + step
    volume = len(points) * voxel_volume
    return Shape(
        index=index,
        voxels=voxels,
        volume=volume,
        length=length,
        width=float(2 * np.sqrt(volume / (np.pi * length))),
        linearity=float((values[2] - values[1]) / values[2]),
        direction=main,
        centre=centre,
    )
