"""The centre line of a cluster: its length, the places of its voxels along it, and its side branches.

The line joins the two voxels that are farthest apart along paths inside the cluster (the graph's diameter;
Dijkstra 1959). Voxels are gathered in layers along it, and the centres of the layers are its points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

#: Passes in which voxels are put into layers anew, at right angles to the line of the pass before.
_PASSES = 2


@dataclass(frozen=True, kw_only=True)
class CentreLine:
    """The centre line of one cluster.

    Attributes
    ----------
    points : ndarray, shape (k, 3)
        In mm; at least one.
    along : ndarray, shape (n,)
        Place of each voxel along the line, in mm from its beginning; those before it are negative.
    beside : ndarray, shape (n,)
        Distance of each voxel from the line, in mm.
    step : ndarray, shape (n,)
        Extent of a voxel along the line, in mm.
    """

    points: np.ndarray
    along: np.ndarray
    beside: np.ndarray
    step: np.ndarray

    @property
    def ends(self) -> tuple[float, float]:
        """Places of the two tips of the cluster along the line, in mm."""
        return float((self.along - self.step / 2).min()), float((self.along + self.step / 2).max())

    def volume_between(self, first: float, last: float, voxel_volume: float) -> float:
        """Volume of a cluster between two places along its line.

        Parameters
        ----------
        first, last : float
            In mm.
        voxel_volume : float
            In mm3.
        """
        low = np.maximum(self.along - self.step / 2, first)
        high = np.minimum(self.along + self.step / 2, last)
        return voxel_volume * float((np.maximum(high - low, 0) / self.step).sum())


def neighbours(voxels: np.ndarray, matrix: np.ndarray) -> coo_array:
    """Graph of a cluster: its 26-connected voxels, and the distances between their centres in mm.

    Parameters
    ----------
    voxels : ndarray of int, shape (n, 3)
    matrix : ndarray, shape (3, 3)
        From voxels to mm.
    """
    pairs = cKDTree(voxels).query_pairs(1.01, p=np.inf, output_type='ndarray')
    lengths = np.linalg.norm((voxels[pairs[:, 0]] - voxels[pairs[:, 1]]) @ matrix.T, axis=1)
    return coo_array((lengths, (pairs[:, 0], pairs[:, 1])), shape=(len(voxels), len(voxels)))


def trace(voxels: np.ndarray, matrix: np.ndarray, width: float) -> CentreLine:
    """Find the centre line of a cluster.

    Parameters
    ----------
    voxels : ndarray of int, shape (n, 3)
        26-connected.
    matrix : ndarray, shape (3, 3)
        From voxels to mm.
    width : float
        About the cluster's width in mm: layers are about as thick.
    """
    points = voxels @ matrix.T
    spacing = float(np.abs(np.linalg.det(matrix)) ** (1 / 3))
    along = _geodesic(points, neighbours(voxels, matrix))
    line = points.mean(0, keepdims=True)
    thickness = max(1.5 * spacing, min(width, 3.0))
    for _ in range(_PASSES):
        line = _layer_centres(points, along, thickness, spacing)
        along, beside, tangents = _project(points, line)
    return CentreLine(points=line, along=along, beside=beside, step=np.abs(tangents @ matrix).max(1))


def _geodesic(points: np.ndarray, graph: coo_array) -> np.ndarray:
    """A coordinate along the longest of the shortest paths, for each voxel."""
    if len(points) == 1:
        return np.zeros(1)
    start = int(np.linalg.norm(points - points.mean(0), axis=1).argmax())
    first = int(dijkstra(graph, directed=False, indices=start).argmax())
    from_first = dijkstra(graph, directed=False, indices=first)
    last = int(from_first.argmax())
    from_last = dijkstra(graph, directed=False, indices=last)
    along: np.ndarray = (from_first - from_last + from_first[last]) / 2
    return along


def _layer_centres(points: np.ndarray, along: np.ndarray, thickness: float, spacing: float) -> np.ndarray:
    """Centres of mass of the layers, in their order."""
    length = float(np.ptp(along)) + spacing
    number = max(1, round(length / thickness))
    layer = np.clip(((along - along.min() + spacing / 2) / length * number).astype(int), 0, number - 1)
    sizes = np.bincount(layer, minlength=number)
    sums = np.stack([np.bincount(layer, p, number) for p in points.T], 1)
    return sums[sizes > 0] / sizes[sizes > 0, None]


def _project(points: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place along a line, distance from it, and its direction there, of each point.

    The first and the last segment go on beyond their ends. A line of a single point takes the main axis.
    """
    if len(line) == 1:
        axis = np.linalg.svd(points - line, full_matrices=False)[2][0] if len(points) > 1 else np.eye(3)[2]
        line = np.concatenate([line - axis / 2, line + axis / 2])
    starts, segments = line[:-1], np.diff(line, axis=0)
    lengths = np.linalg.norm(segments, axis=1)
    tangents = segments / lengths[:, None]
    offsets = points[:, None] - starts
    t = (offsets * tangents).sum(2)
    low, high = np.zeros(len(lengths)), lengths.copy()
    low[0], high[-1] = -np.inf, np.inf
    t = np.clip(t, low, high)
    distance = np.linalg.norm(offsets - t[:, :, None] * tangents, axis=2)
    nearest = distance.argmin(1)
    rows = np.arange(len(points))
    before = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return before[nearest] + t[rows, nearest], distance[rows, nearest], tangents[nearest]


def count_branches(
    voxels: np.ndarray, matrix: np.ndarray, line: CentreLine, width: float, smallest: float
) -> int:
    """Pieces of a cluster beside its centre line that are as long as `smallest` (mm).

    Parameters
    ----------
    voxels : ndarray of int, shape (n, 3)
    matrix : ndarray, shape (3, 3)
        From voxels to mm.
    line : CentreLine
    width : float
        Width of the cluster in mm.
    smallest : float
        In mm.
    """
    beside = line.beside > width / 2 + 1.2 * np.abs(matrix).sum(1).max()
    if not beside.any():
        return 0
    rest = voxels[beside]
    number, labels = connected_components(neighbours(rest, matrix), directed=False)
    points = rest @ matrix.T
    extents = [np.linalg.norm(np.ptp(points[labels == k], axis=0)) for k in range(number)]
    return int(np.sum(np.array(extents) >= smallest))
