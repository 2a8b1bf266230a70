"""Tubes as fractional occupancy of voxels, by supersampling near the centre line."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from .vessels import Vessel

#: Per axis, at least, and as many to the mean radius of thin tubes that a straight one's volume is right within 2 % (see
#: the tests).
SUBSAMPLES = 6
SUBSAMPLES_TO_RADIUS = 3.2


@dataclass(frozen=True)
class Rendering:
    """What was drawn.

    Attributes
    ----------
    occupancy : ndarray of float32, shape (x, y, z)
        Share of each voxel inside a perivascular space, in [0, 1].
    index : ndarray of int32
        Number (1, 2, ...) of the vessel that fills most of the voxel; 0 where there is none.
    """

    occupancy: np.ndarray
    index: np.ndarray


def render(vessels: Sequence[Vessel], shape: tuple[int, ...], spacing: np.ndarray) -> Rendering:
    """Occupancy of all vessels on a grid; where two meet, the fuller one counts.

    Parameters
    ----------
    vessels : sequence of Vessel
    shape : tuple of int
        Grid, (x, y, z).
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    """
    occupancy = np.zeros(shape, np.float32)
    index = np.zeros(shape, np.int32)
    for number, vessel in enumerate(vessels, start=1):
        for tube in vessel.tubes:
            voxels, share = tube_occupancy(tube.points, tube.radii, shape, spacing)
            where = tuple(voxels.T)
            fuller = share > occupancy[where]
            index[tuple(voxels[fuller].T)] = number
            occupancy[where] = np.maximum(occupancy[where], share)
    return Rendering(occupancy, index)


def tube_occupancy(
    points: np.ndarray, radii: np.ndarray, shape: tuple[int, ...], spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Voxels that a tube touches and the share of each that lies in it.

    The tube is the set of points nearer to its centre line than the radius there, cut flat at
    both ends.

    Returns
    -------
    voxels : ndarray of int, shape (n, 3)
    share : ndarray of float32, shape (n,)
    """
    reach = float(radii.max()) + float(np.linalg.norm(spacing)) / 2
    low = np.maximum(np.floor((points.min(0) - reach) / spacing).astype(int), 0)
    high = np.minimum(np.ceil((points.max(0) + reach) / spacing).astype(int) + 1, shape)
    if (low >= high).any():
        return np.empty((0, 3), int), np.empty(0, np.float32)
    grid = np.stack(np.meshgrid(*map(np.arange, low, high), indexing='ij'), -1).reshape(-1, 3)
    # a voxel whose centre is farther than this from both ends of a piece cannot be touched by it
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    near = cdist(grid * spacing, points) <= reach + steps.max() / 2
    touched = near.any(1)
    grid, near = grid[touched], near[touched]
    number = max(SUBSAMPLES, int(np.ceil(SUBSAMPLES_TO_RADIUS * spacing.max() / radii.mean())))
    ticks = (np.arange(number) + 0.5) / number - 0.5
    offsets = np.stack(np.meshgrid(ticks, ticks, ticks, indexing='ij'), -1).reshape(-1, 3)
    samples = ((grid[:, None] + offsets) * spacing).astype(np.float32)
    filled = _filled(samples, near, points.astype(np.float32), radii.astype(np.float32), spacing / number)
    share = filled.mean(1, dtype=np.float32)
    touched = share > 0
    return grid[touched], share[touched]


def _filled(
    samples: np.ndarray, near: np.ndarray, points: np.ndarray, radii: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Share of the small box about each sample that lies in the tube (flat ends).

    Each sample belongs to the nearest piece of the centre line.  Walls and ends are taken as
    flat within a box, so the share falls linearly over the box's width across them.  That alone
    would make a round tube of radius r too large by width^2 / 12 in r^2.

    Parameters
    ----------
    samples : ndarray, shape (voxels, samples, 3)
    near : ndarray of bool, shape (voxels, points)
        Which points of the line each voxel may have to do with.
    points : ndarray, shape (points, 3)
    radii : ndarray, shape (points,)
    size : ndarray, shape (3,)
        Edges of a sample's box in mm.
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
        mine = gap < nearest[voxels]
        along, on_line, offset = along[mine], on_line[mine], offset[mine]
        # beyond the tube's ends what counts is the distance from the prolonged line
        foot = np.clip(along, -np.inf if k == 0 else 0, np.inf if k == last else length)
        radius = radii[k] + on_line / length * (radii[k + 1] - radii[k])
        share = _wall_share(offset - foot[:, None] * axis, radius, size)
        thickness = float(np.linalg.norm(axis * size))
        if k == 0:
            share *= np.clip(0.5 + along / thickness, 0, 1)
        if k == last:
            share *= np.clip(0.5 + (length - along) / thickness, 0, 1)
        rows, columns = np.nonzero(mine)
        nearest[voxels[rows], columns] = gap[mine]
        filled[voxels[rows], columns] = share
    return filled


def _norm(vectors: np.ndarray) -> np.ndarray:
    """Length of the vectors in the last axis; faster than `numpy.linalg.norm` on many short ones."""
    return np.sqrt(np.einsum('...i,...i->...', vectors, vectors))


def _wall_share(across: np.ndarray, radius: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Share of a box at `across` from the centre line within `radius` of it."""
    distance = np.maximum(_norm(across), 1e-6)
    width = np.maximum(_norm(across * size) / distance, size.min())
    wall = np.sqrt(np.maximum(radius**2 - width**2 / 12, 0))
    return np.clip(0.5 + (wall - distance) / width, 0, 1)
