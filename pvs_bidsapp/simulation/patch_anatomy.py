"""The anatomy of a training patch: a deformed and aged part of a label map, on a grid of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import label_maps as codes
from .fields import control_points, smooth_field
from .label_maps import random_affine
from .patch_source import (
    BRAIN,
    COARSE,
    CORTEX,
    FLUID,
    LABEL,
    PUTAMEN,
    REGION,
    VENTRICLE,
    WHITE,
    PatchSource,
    millimetres,
)

#: Largest rotation about each axis in degrees, and largest relative scaling along each.
ROTATION, SCALING = 14.0, 0.10
#: Standard deviation of the smooth displacement and distance of its control points, both in mm.
DISPLACEMENTS = ((2.5, 32.0), (0.6, 11.0))
#: By how much ventricles (from slits to a large old brain) and sulci open, in mm; a negative number closes.
VENTRICLE_GROWTH, SULCAL_OPENING = (-1.0, 3.0), (-0.6, 1.0)


@dataclass(frozen=True, kw_only=True)
class PatchAnatomy:
    """A part of a deformed and aged label map.

    Attributes
    ----------
    labels : ndarray of int16, shape (x, y, z)
        FreeSurfer codes.
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    voxels : ndarray of uint8, shape (x, y, z, 8)
        The bytes of the label map, see `pvs_bidsapp.simulation.patch_source`.
    growth : ndarray of float32, shape (x, y, z)
        By how much the ventricles' walls have moved, in mm.
    source : PatchSource
    coordinates : ndarray of float32, shape (3, x, y, z)
        In voxels of the label map.
    matrix : ndarray, shape (3, 3)
        From mm of the patch to mm of the label map, without the displacement.
    """

    labels: np.ndarray
    spacing: np.ndarray
    voxels: np.ndarray
    growth: np.ndarray
    source: PatchSource
    coordinates: np.ndarray
    matrix: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid, (x, y, z)."""
        return self.labels.shape

    def select(self, *chosen: int) -> np.ndarray:
        """Boolean mask, shape (x, y, z), of the voxels with one of these FreeSurfer codes."""
        return _is_one_of(self.labels, chosen)

    @cached_property
    def white(self) -> np.ndarray:
        """White matter of the cerebrum."""
        return self.select(*codes.WHITE_MATTER)

    @cached_property
    def region(self) -> np.ndarray:
        """Number of the region with PVS, 0 elsewhere; see `pvs_bidsapp.simulation.patch_source.REGIONS`."""
        return self.voxels[..., REGION] * ~self.select(*codes.CSF, *codes.CORTEX)

    @cached_property
    def to_ventricle(self) -> np.ndarray:
        """Distance in mm to the surface of the ventricles, negative in them."""
        return millimetres(self.voxels[..., VENTRICLE]) - self.growth

    def distance_to(self, surface: int) -> np.ndarray:
        """Distance in mm to the surface of a structure before ageing, negative inside.

        Parameters
        ----------
        surface : int
            `CORTEX`, `FLUID`, `WHITE`, `BRAIN` or `PUTAMEN`.
        """
        return millimetres(self.voxels[..., surface])

    def voxel_of(self, points: np.ndarray) -> tuple[np.ndarray, ...]:
        """Indices of the voxels nearest to points, shape (n, 3), in mm; never beyond the patch."""
        voxels = np.clip(np.rint(points / self.spacing).astype(int), 0, np.array(self.shape) - 1)
        return tuple(voxels.T)

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Whether points, shape (n, 3), in mm, are in the patch."""
        last = (np.array(self.shape) - 0.5) * self.spacing
        return np.all((points > -0.5 * self.spacing) & (points < last), axis=1)

    def direction(self, points: np.ndarray) -> np.ndarray:
        """Directions of the vessels at points, both of shape (n, 3), along the axes of the patch."""
        directions = self.source.directions
        i, j, k = self.voxel_of(points)
        at = np.rint(self.coordinates[:, i, j, k] / COARSE).astype(int)
        at = np.clip(at.T, 0, np.array(directions.shape[:3]) - 1)
        return directions[tuple(at.T)].astype(float) @ np.linalg.inv(self.matrix).T


def draw_anatomy(
    source: PatchSource,
    centre: np.ndarray,
    shape: tuple[int, int, int],
    spacing: np.ndarray,
    rng: np.random.Generator,
) -> PatchAnatomy:
    """Deform and age a part of a label map at random.

    Parameters
    ----------
    source : PatchSource
    centre : ndarray, shape (3,)
        Centre of the patch, in voxels of the label map.
    shape : tuple of int
        Shape of the patch, (x, y, z).
    spacing : ndarray, shape (3,)
        Its voxel size in mm.
    rng : numpy.random.Generator
    """
    matrix = random_affine(rng, ROTATION, SCALING)
    coordinates = _coordinates(source, centre, shape, spacing, matrix, rng)
    flat = np.zeros(shape, np.int64)
    for axis, n in enumerate(source.voxels.shape[:3]):
        flat *= n
        flat += np.clip(np.rint(coordinates[axis]), 0, n - 1).astype(np.int64)
    # the eight bytes of a voxel are fetched as one number
    table = source.voxels.reshape(-1, 8).view(np.uint64)[:, 0]
    voxels = table[flat][..., None].view(np.uint8)
    growth = _uneven(rng.uniform(*VENTRICLE_GROWTH), 0.3, shape, spacing, rng)
    opening = _uneven(rng.uniform(*SULCAL_OPENING), 0.3, shape, spacing, rng)
    return PatchAnatomy(
        labels=_age(source.labels[voxels[..., LABEL]], voxels, growth, opening),
        spacing=spacing,
        voxels=voxels,
        growth=growth,
        source=source,
        coordinates=coordinates,
        matrix=matrix,
    )


def cut_anatomy(source: PatchSource, lines: Sequence[np.ndarray]) -> PatchAnatomy:
    """Cut a part out of a label map, as it is.

    Parameters
    ----------
    source : PatchSource
    lines : sequence of ndarray of int
        Voxels of the label map along each axis.
    """
    voxels = source.voxels[np.ix_(*lines)]
    labels = source.labels[voxels[..., LABEL]]
    return PatchAnatomy(
        labels=labels,
        spacing=source.spacing,
        voxels=voxels,
        growth=np.zeros(labels.shape, np.float32),
        source=source,
        coordinates=np.stack(np.meshgrid(*lines, indexing='ij')).astype(np.float32),
        matrix=np.eye(3),
    )


def _coordinates(
    source: PatchSource,
    centre: np.ndarray,
    shape: tuple[int, int, int],
    spacing: np.ndarray,
    matrix: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Where each voxel of a patch lies in the label map, in voxels, shape (3, x, y, z)."""
    lines = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, spacing, strict=True)]
    coordinates = np.empty((3, *shape), np.float32)
    for axis in range(3):
        scale = 1 / source.spacing[axis]
        x, y, z = (
            (matrix[axis, k] * line * scale)
            .astype(np.float32)
            .reshape([-1 if j == k else 1 for j in range(3)])
            for k, line in enumerate(lines)
        )
        coordinates[axis] = (x + y) + (z + np.float32(centre[axis]))
        for strength, gap in DISPLACEMENTS:
            field = smooth_field(shape, control_points(shape, spacing, gap), rng)
            coordinates[axis] += np.float32(strength * scale) * field
    return coordinates


def _uneven(
    level: float, variation: float, shape: tuple[int, ...], spacing: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A level that varies smoothly over a patch, with this standard deviation in mm."""
    return level + variation * smooth_field(shape, control_points(shape, spacing, 25.0), rng)


def _is_one_of(labels: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Where labels are one of some codes; four times as fast as `numpy.isin`."""
    table = np.zeros(codes.FIRST_UNKNOWN_CODE, bool)
    table[list(chosen)] = True
    return table[labels]


def _age(labels: np.ndarray, voxels: np.ndarray, growth: np.ndarray, opening: np.ndarray) -> np.ndarray:
    """Move the walls of the lateral ventricles, and open or close the sulci."""
    labels = labels.copy()
    depth = millimetres(voxels[..., VENTRICLE])
    around = _is_one_of(labels, (*codes.WHITE_MATTER, *codes.VESSEL_SPACES))
    inside = _is_one_of(labels, codes.LATERAL_VENTRICLES)
    labels[around & (depth < growth)] = codes.LATERAL_VENTRICLES[0]
    labels[inside & (depth > growth)] = codes.WHITE_MATTER[0]
    cortex, sulci = _is_one_of(labels, codes.CORTEX), labels == 24
    labels[cortex & (millimetres(voxels[..., FLUID]) < opening)] = 24
    labels[sulci & (millimetres(voxels[..., CORTEX]) < -opening)] = codes.CORTEX[0]
    return labels


__all__ = ['BRAIN', 'CORTEX', 'FLUID', 'PUTAMEN', 'WHITE', 'PatchAnatomy', 'cut_anatomy', 'draw_anatomy']
