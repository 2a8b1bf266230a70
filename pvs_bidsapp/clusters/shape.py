"""Size and shape of clusters.

Length is that of the centre line (`pvs_bidsapp.clusters.centreline`), also of curved clusters. A tube with
round ends reaches beyond the ends of its centre line by half its width w, one with flat ends does not. Which
of them a cluster is like is told from its volume V, its extent E along the line, and the area A of its
cross-section halfway: E - V / A is w / 3 for round ends, 0 for flat ones.

Width is the diameter of a circle of area A. Linearity is (l1 - l2) / l1 of the eigenvalues of the covariance
(Westin et al. 2002, doi:10.1016/S1361-8415(02)00053-1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .centreline import CentreLine, count_branches, trace

#: Times E - V / A by which the ends reach beyond the centre line. 3 suits round ends; a mask of voxels makes
#: flat ends look rounder than they are, so that less suits both.
ROUNDNESS = 2.5
#: Length (mm) from which a side branch counts as a space of its own.
BRANCH = 3.0


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
    length : float
        Along the centre line, in mm; not below the smaller of `width` and the extent of the cluster.
    width, max_width : float
        Halfway, and at the widest place, in mm.
    n_spaces : int
        PVS of which the cluster seems to consist: one, and its side branches.
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
    max_width: float
    n_spaces: int
    linearity: float
    direction: np.ndarray
    centre: np.ndarray


def measure(clusters: np.ndarray, affine: np.ndarray) -> list[Shape]:
    """Measure all clusters.

    Parameters
    ----------
    clusters : ndarray of int, shape (x, y, z)
        Numbered clusters, each 26-connected; 0 elsewhere.
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.

    Returns
    -------
    shapes : list of Shape
        By index.
    """
    shapes = []
    for index, box in enumerate(ndimage.find_objects(clusters), start=1):
        if box is None:
            continue
        voxels = np.argwhere(clusters[box] == index) + [s.start for s in box]
        shapes.append(_shape(index, voxels, affine))
    return shapes


def _shape(index: int, voxels: np.ndarray, affine: np.ndarray) -> Shape:
    matrix = affine[:3, :3]
    voxel_volume = abs(float(np.linalg.det(matrix)))
    points = voxels @ matrix.T + affine[:3, 3]
    centre = points.mean(0)
    # a voxel is a box, not a point: its own covariance is added
    covariance = (points - centre).T @ (points - centre) / len(points) + matrix @ matrix.T / 12
    values, vectors = np.linalg.eigh(covariance)
    extent = float(np.sqrt(12 * values[2]))
    volume = len(points) * voxel_volume
    line = trace(voxels, matrix, _diameter(volume / extent))
    length, width, max_width = _length_and_widths(line, voxel_volume)
    return Shape(
        index=index,
        voxels=voxels,
        volume=volume,
        length=length,
        width=width,
        max_width=max_width,
        n_spaces=1 + count_branches(voxels, matrix, line, width, BRANCH),
        linearity=float((values[2] - values[1]) / values[2]),
        direction=vectors[:, -1] * (1 if vectors[2, -1] >= 0 else -1),
        centre=centre,
    )


def _length_and_widths(line: CentreLine, voxel_volume: float) -> tuple[float, float, float]:
    """Length, width halfway, and width at the widest place of a cluster, in mm."""
    first, last = line.ends
    extent, volume = last - first, len(line.along) * voxel_volume
    tip = min(extent / 4, _diameter(volume / extent) / 2)
    area = line.volume_between(first + tip, last - tip, voxel_volume) / (extent - 2 * tip)
    width = _diameter(area)
    beyond = float(np.clip(ROUNDNESS * (extent - volume / area), 0, width))
    length = max(extent - beyond, min(extent, width))
    window = min(extent, max(width, 2 * float(line.step.max())))
    places = np.linspace(first, last - window, max(1, round(2 * (extent - window) / window) + 1))
    areas = [line.volume_between(place, place + window, voxel_volume) / window for place in places]
    return length, width, max(width, _diameter(max(areas)))


def _diameter(area: float) -> float:
    """Diameter of a circle."""
    return float(2 * np.sqrt(area / np.pi))
