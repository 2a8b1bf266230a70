"""Many tubes at once: their centre lines, and how much of each voxel they fill.

`pvs_bidsapp.simulation.vessels` and `rendering` do the same for one tube after the other, more exactly. Here
all tubes of a patch are traced together, step by step, and filled with points of known volume, which are
counted by voxel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine

from .vessels import STEP

#: Distance between the points that fill a tube, as a fraction of the smallest voxel edge.
POINT_DISTANCE = 0.25
#: Smallest and largest number of points of a cross-section.
POINTS = (5, 250)
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))

Look = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Tubes:
    """Tubes as a list of short straight pieces.

    Attributes
    ----------
    starts, ends : ndarray, shape (n, 3)
        In mm from the centre of voxel (0, 0, 0), along the voxel axes.
    radii : ndarray, shape (n,)
        In mm.
    numbers : ndarray of int, shape (n,)
        Number of the tube that each piece belongs to, from 0.
    """

    starts: np.ndarray
    ends: np.ndarray
    radii: np.ndarray
    numbers: np.ndarray

    def moved(self, matrix: np.ndarray) -> Tubes:
        """The tubes along the axes of another grid.

        Parameters
        ----------
        matrix : ndarray, shape (4, 4)
            From mm along the axes of this grid to those of the other one.
        """
        scale = float(np.cbrt(abs(np.linalg.det(matrix[:3, :3]))))
        starts, ends = apply_affine(matrix, self.starts), apply_affine(matrix, self.ends)
        return Tubes(starts=starts, ends=ends, radii=scale * self.radii, numbers=self.numbers)


def trace_tubes(
    starts: np.ndarray,
    lengths: np.ndarray,
    radii: np.ndarray,
    rng: np.random.Generator,
    *,
    direction: Look,
    is_allowed: Look,
    tilt: float = 0.25,
    bend: float = 0.06,
) -> Tubes:
    """Trace tubes through given points, forward and backward along a field of directions.

    Tubes end where they would leave what is allowed. They deviate from the field, bend, taper to one end, and
    a third of them are beaded.

    Parameters
    ----------
    starts : ndarray, shape (n, 3)
        In mm along the voxel axes.
    lengths, radii : ndarray, shape (n,)
        Lengths and mean radii in mm.
    rng : numpy.random.Generator
    direction : callable
        Directions, shape (m, 3), of any length, at points of shape (m, 3).
    is_allowed : callable
        Whether a tube may run there, shape (m,), at points of shape (m, 3).
    tilt : float
        Standard deviation of a tube's constant deviation from the field, along each axis.
    bend : float
        Standard deviation of the change of its direction in a step.
    """
    n = len(starts)
    radius = _profiles(lengths, radii, rng)
    offset = np.tile(rng.normal(0, tilt, (n, 3)), (2, 1))
    sign = np.repeat([1.0, -1.0], n)[:, None]
    fraction = rng.uniform(0.3, 0.7, n)
    steps = np.concatenate([lengths * fraction, lengths * (1 - fraction)]) / STEP
    points, wander = np.tile(starts, (2, 1)), np.zeros((2 * n, 3))
    heading, tube = np.zeros((2 * n, 3)), np.tile(np.arange(n), 2)
    alive = np.arange(2 * n)
    pieces = []
    for k in range(int(steps.max(initial=0))):
        alive = alive[steps[alive] >= k + 1]
        if not alive.size:
            break
        wander[alive] = 0.9 * wander[alive] + rng.normal(0, bend, (len(alive), 3))
        wanted = _unit(_unit(direction(points[alive])) + offset[alive] + wander[alive])
        if k:  # stiffness: no kinks where the field changes
            wanted = _unit(0.6 * heading[alive] + 0.4 * wanted)
        after = points[alive] + sign[alive] * STEP * wanted
        inside = is_allowed(after)
        alive, after = alive[inside], after[inside]
        along = sign[alive, 0] * (k + 0.5) * STEP
        pieces.append((points[alive], after, radius(tube[alive], along), tube[alive]))
        points[alive], heading[alive] = after, wanted[inside]
    if not pieces:
        return Tubes(
            starts=np.empty((0, 3)), ends=np.empty((0, 3)), radii=np.empty(0), numbers=np.empty(0, int)
        )
    begin, end, widths, numbers = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return Tubes(starts=begin, ends=end, radii=widths, numbers=numbers)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt(np.einsum('ij,ij->i', vectors, vectors))[:, None], 1e-6)


def _profiles(
    lengths: np.ndarray, radii: np.ndarray, rng: np.random.Generator
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Radius of tube number i at a distance in mm from its starting point."""
    n = len(lengths)
    taper = rng.uniform(-0.5, 0.5, n) / np.maximum(lengths, STEP)
    beads = np.where(rng.random(n) < 0.33, rng.uniform(0.1, 0.35, n), 0.0)
    period, phase = rng.uniform(3, 6, n), rng.uniform(0, 2 * np.pi, n)

    def radius(tube: np.ndarray, along: np.ndarray) -> np.ndarray:
        wave = beads[tube] * np.sin(2 * np.pi * along / period[tube] + phase[tube])
        return radii[tube] * np.clip(1 + taper[tube] * along, 0.4, 1.6) * (1 + wave)

    return radius


def fill_tubes(
    tubes: Tubes, values: np.ndarray, shape: tuple[int, ...], spacing: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Fill tubes with points, and count by voxel how much of it they fill.

    Parameters
    ----------
    tubes : Tubes
    values : ndarray, shape (n,)
        A property of each tube, for example its contrast.
    shape : tuple of int
        Shape of the grid, (x, y, z).
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    rng : numpy.random.Generator

    Returns
    -------
    occupancy : ndarray of float32, shape (x, y, z)
        Fraction of each voxel inside a tube, in [0, 1]. Its expected sum is the volume of the tubes, overlaps
        aside.
    value : ndarray of float32, shape (x, y, z)
        Mean property of the tubes in a voxel; 0 without any.
    """
    total, weighted = np.zeros((2, int(np.prod(shape))))
    if len(tubes.numbers):
        points, volume, owner = _points(tubes, POINT_DISTANCE * float(spacing.min()), rng)
        voxels = np.rint(points / spacing.astype(np.float32)).astype(np.int32)
        inside = np.all((voxels >= 0) & (voxels < np.array(shape, np.int32)), axis=1)
        flat = np.ravel_multi_index(tuple(voxels[inside].T), shape)
        fraction = volume[inside] / float(np.prod(spacing))
        if flat.size:
            total += np.bincount(flat, fraction, total.size)
            weighted += np.bincount(flat, fraction * values[owner[inside]], total.size)
    mean = np.divide(weighted, total, out=np.zeros_like(weighted), where=total > 0)
    occupancy = np.minimum(total, 1)
    return occupancy.reshape(shape).astype(np.float32), mean.reshape(shape).astype(np.float32)


def _points(
    tubes: Tubes, distance: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points in the tubes, the volume in mm³ that each stands for, and the number of its tube."""
    slices = max(1, int(np.ceil(STEP / distance)))
    count = np.clip(np.ceil(np.pi * tubes.radii**2 / distance**2), *POINTS).astype(int)
    piece = np.repeat(np.arange(len(count)), count * slices)
    first = np.cumsum(count * slices) - count * slices
    rank = np.arange(len(piece)) - first[piece]
    layer, rank = np.divmod(rank, count[piece])
    axis = tubes.ends - tubes.starts
    length = np.sqrt(np.einsum('ij,ij->i', axis, axis))
    one, other = _frames(axis)
    # a sunflower's spiral covers a disc evenly with any number of points
    turn = rng.uniform(0, 2 * np.pi, len(count))[piece] + rank * _GOLDEN_ANGLE + 2.4 * layer
    radius = tubes.radii[piece] * np.sqrt((rank + 0.5) / count[piece])
    along = (layer + rng.random(len(piece), dtype=np.float32)) / slices
    points = tubes.starts[piece] + along[:, None] * axis[piece]
    points += (radius * np.cos(turn))[:, None] * one[piece]
    points += (radius * np.sin(turn))[:, None] * other[piece]
    volume = (np.pi * tubes.radii**2 * length / (count * slices))[piece]
    return points.astype(np.float32), volume, tubes.numbers[piece]


def _frames(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors perpendicular to each axis and to each other."""
    helper = np.eye(3)[np.abs(axis).argmin(1)]
    one = _unit(np.cross(axis, helper))
    return one, _unit(np.cross(axis, one))
