"""Occupancy of voxels by tubes, computed by supersampling near the centre line."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from .vessels import Vessel

#: Smallest number of samples of a voxel per axis.
SUBSAMPLES = 6
#: Smallest number of samples per mean radius of a tube; the volume of a straight one is then within 2 % (see
#: the tests).
SUBSAMPLES_PER_RADIUS = 3.2


@dataclass(frozen=True)
class Rendering:
    """PVS on a voxel grid.

    Attributes
    ----------
    occupancy : ndarray of float32, shape (x, y, z)
        Fraction of each voxel inside a PVS, in [0, 1].
    index : ndarray of int32, shape (x, y, z)
        Number (1, 2, ...) of the PVS that fills most of the voxel; 0 where there is none.
    """

    occupancy: np.ndarray
    index: np.ndarray


def render(vessels: Sequence[Vessel], shape: tuple[int, ...], spacing: np.ndarray) -> Rendering:
    """Render PVS on a voxel grid; in a voxel that several touch, the one that fills most of it counts.

    Parameters
    ----------
    vessels : sequence of Vessel
    shape : tuple of int
        Shape of the grid, (x, y, z).
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    """
    occupancy = np.zeros(shape, np.float32)
    index = np.zeros(shape, np.int32)
    for number, vessel in enumerate(vessels, start=1):
        for tube in vessel.tubes:
            voxels, fraction = tube_occupancy(tube.points, tube.radii, shape, spacing)
            touched = tuple(voxels.T)
            fuller = fraction > occupancy[touched]
            index[tuple(voxels[fuller].T)] = number
            occupancy[touched] = np.maximum(occupancy[touched], fraction)
    return Rendering(occupancy, index)


def tube_occupancy(
    points: np.ndarray, radii: np.ndarray, shape: tuple[int, ...], spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Voxels that a tube touches, and the fraction of each that is inside.

    The tube is the set of points whose distance from the centre line is below the radius there. Both ends are
    flat.

    Parameters
    ----------
    points : ndarray, shape (m, 3)
        Centre line in mm from the centre of voxel (0, 0, 0), along the voxel axes.
    radii : ndarray, shape (m,)
        Radius in mm at each point.
    shape : tuple of int
        Shape of the grid, (x, y, z).
    spacing : ndarray, shape (3,)
        Voxel size in mm.

    Returns
    -------
    voxels : ndarray of int, shape (n, 3)
        Indices of the voxels on the grid.
    fraction : ndarray of float32, shape (n,)
        In (0, 1].
    """
    reach = float(radii.max()) + float(np.linalg.norm(spacing)) / 2
    low = np.maximum(np.floor((points.min(0) - reach) / spacing).astype(int), 0)
    high = np.minimum(np.ceil((points.max(0) + reach) / spacing).astype(int) + 1, shape)
    if (low >= high).any():
        return np.empty((0, 3), int), np.empty(0, np.float32)
    grid = np.stack(np.meshgrid(*map(np.arange, low, high), indexing='ij'), -1).reshape(-1, 3)
    # a segment cannot touch a voxel whose centre is farther than this from both of its ends
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    near = cdist(grid * spacing, points) <= reach + steps.max() / 2
    touched = near.any(1)
    grid, near = grid[touched], near[touched]
    number = np.maximum(SUBSAMPLES, np.ceil(SUBSAMPLES_PER_RADIUS * spacing / radii.mean())).astype(int)
    ticks = [(np.arange(n) + 0.5) / n - 0.5 for n in number]
    offsets = np.stack(np.meshgrid(*ticks, indexing='ij'), -1).reshape(-1, 3)
    samples = ((grid[:, None] + offsets) * spacing).astype(np.float32)
    filled = _filled(samples, near, points.astype(np.float32), radii.astype(np.float32), spacing / number)
    fraction = filled.mean(1, dtype=np.float32)
    touched = fraction > 0
    return grid[touched], fraction[touched]


def _filled(
    samples: np.ndarray, near: np.ndarray, points: np.ndarray, radii: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Fraction of the small box around each sample that is inside the tube.

    Each sample belongs to the nearest segment of the centre line. Walls and ends are taken as flat within a
    box, so the fraction falls linearly over the box's width across them. Without correction, r^2 of a round
    tube of radius r would be too large by width^2 / 12.

    Parameters
    ----------
    samples : ndarray, shape (voxels, samples, 3)
        In mm.
    near : ndarray of bool, shape (voxels, points)
        For each voxel, the points of the line whose segments may touch it.
    points : ndarray, shape (points, 3)
        In mm.
    radii : ndarray, shape (points,)
        In mm.
    size : ndarray, shape (3,)
        Edges of a sample's box in mm.

    Returns
    -------
    filled : ndarray of float32, shape (voxels, samples)
    """
    size = size.astype(np.float32)
    nearest = np.full(samples.shape[:2], np.inf, np.float32)
    filled = np.zeros(samples.shape[:2], np.float32)
    last = len(points) - 2
    for k, (start, stop) in enumerate(itertools.pairwise(points)):
        axis = stop - start
        length = max(float(np.linalg.norm(axis)), 1e-6)
        axis = axis / length
        voxels = np.flatnonzero(near[:, k] | near[:, k + 1])
        offset = samples[voxels] - start
        along = offset @ axis
        on_line = np.clip(along, 0, length)
        gap = _norm(offset - on_line[..., None] * axis)
        closer = gap < nearest[voxels]
        along, on_line, offset = along[closer], on_line[closer], offset[closer]
        # beyond the tube's ends, the distance is that from the extended line
        foot = np.clip(along, -np.inf if k == 0 else 0, np.inf if k == last else length)
        radius = radii[k] + on_line / length * (radii[k + 1] - radii[k])
        fraction = _wall_fraction(offset - foot[:, None] * axis, radius, size)
        thickness = float(np.linalg.norm(axis * size))
        if k == 0:
            fraction *= np.clip(0.5 + along / thickness, 0, 1)
        if k == last:
            fraction *= np.clip(0.5 + (length - along) / thickness, 0, 1)
        rows, columns = np.nonzero(closer)
        nearest[voxels[rows], columns] = gap[closer]
        filled[voxels[rows], columns] = fraction
    return filled


def _norm(vectors: np.ndarray) -> np.ndarray:
    """Length of the vectors in the last axis; faster than `numpy.linalg.norm` on many short ones."""
    return np.sqrt(np.einsum('...i,...i->...', vectors, vectors))


def _wall_fraction(across: np.ndarray, radius: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Fraction within `radius` of the centre line of a box whose centre is `across` away from it."""
    distance = np.maximum(_norm(across), 1e-6)
    width = np.maximum(_norm(across * size) / distance, size.min())
    wall = np.sqrt(np.maximum(radius**2 - width**2 / 12, 0))
    return np.clip(0.5 + (wall - distance) / width, 0, 1)
