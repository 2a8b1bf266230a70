"""Frequency of perivascular spaces in the template's space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

#: Voxel size of the map in mm.
SPACING = 2.0
#: Full width at half maximum of the smoothing in mm, about the accuracy of the registration.
SMOOTHING = 4.0
#: Number of points along each cluster.
POINTS = 7
#: Columns of the cluster table that are used.
COLUMNS = ('mni_x_mm', 'mni_y_mm', 'mni_z_mm', 'direction_x', 'direction_y', 'direction_z', 'length_mm')


def coarse_grid(shape: tuple[int, ...], affine: np.ndarray) -> tuple[tuple[int, int, int], np.ndarray]:
    """Grid with voxels of `SPACING` mm over the template's grid.

    Parameters
    ----------
    shape : tuple of int
        Shape of the template, (x, y, z).
    affine : ndarray, shape (4, 4)
        Affine of the template, with voxels of 1 mm.

    Returns
    -------
    shape : tuple of int
    affine : ndarray, shape (4, 4)
        Voxel to RAS+ mm of the template.
    """
    x, y, z = (int(np.ceil(n / SPACING)) for n in shape)
    coarse = affine.copy()
    coarse[:3, :3] *= SPACING
    coarse[:3, 3] += affine[:3, :3] @ np.full(3, (SPACING - 1) / 2)
    return (x, y, z), coarse


def voxels_of(
    clusters: pd.DataFrame, scan: np.ndarray, number: int, shape: tuple[int, int, int], affine: np.ndarray
) -> list[np.ndarray]:
    """Voxels that the clusters of each scan pass through, without repetition.

    Each cluster is taken as a straight line of its length along its main axis through its centre
    in the template. The rotation of the head relative to the template is neglected.

    Parameters
    ----------
    clusters : DataFrame
        Clusters of all scans, with `COLUMNS`.
    scan : ndarray of int, shape (n,)
        Number of each cluster's scan, from 0.
    number : int
        Number of scans.
    shape : tuple of int
        Shape of the map, (x, y, z).
    affine : ndarray, shape (4, 4)
        Affine of the map.

    Returns
    -------
    flat : list of ndarray of int32
        Flat indices, by scan.
    """
    values = clusters[list(COLUMNS)].to_numpy(np.float32)
    finite = np.isfinite(values).all(1)
    values, scan = values[finite], scan[finite]
    centre, direction, length = values[:, :3], values[:, 3:6], values[:, 6]
    steps = np.linspace(-0.5, 0.5, POINTS, dtype=np.float32)
    points = centre[:, None] + steps[None, :, None] * (direction * length[:, None])[:, None]
    inverse = np.linalg.inv(affine).astype(np.float32)
    flat, inside = _flat_indices(points.reshape(-1, 3), inverse, shape)
    size = int(np.prod(shape))
    unique = np.unique(np.repeat(scan, POINTS)[inside].astype(np.int64) * size + flat)
    owner, flat = np.divmod(unique, size)
    return np.split(flat.astype(np.int32), np.searchsorted(owner, np.arange(1, number)))


def voxels_of_mask(
    mask: np.ndarray, mask_affine: np.ndarray, shape: tuple[int, int, int], affine: np.ndarray
) -> np.ndarray:
    """Voxels of the map that a mask in the template's space touches.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
    mask_affine : ndarray, shape (4, 4)
        Affine of the mask.
    shape : tuple of int
        Shape of the map, (x, y, z).
    affine : ndarray, shape (4, 4)
        Affine of the map.

    Returns
    -------
    flat : ndarray of int32
        Flat indices, without repetition.
    """
    matrix = np.linalg.inv(affine) @ mask_affine
    flat, _ = _flat_indices(np.argwhere(mask), matrix, shape)
    return np.unique(flat).astype(np.int32)


def _flat_indices(
    points: np.ndarray, matrix: np.ndarray, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of the voxels that hold points inside the map, and which points these are."""
    voxels = np.rint(points @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.int64)
    inside = ((voxels >= 0) & (voxels < shape)).all(1)
    return np.ravel_multi_index(tuple(voxels[inside].T), shape), inside


def frequency(
    scans: Sequence[np.ndarray], shape: tuple[int, int, int], mask: np.ndarray | None = None
) -> np.ndarray:
    """Fraction of scans with a perivascular space at each voxel, smoothed.

    Parameters
    ----------
    scans : sequence of ndarray
        Flat indices of voxels, one array per scan, from `voxels_of`.
    shape : tuple of int
        Shape of the map, (x, y, z).
    mask : ndarray of bool, shape (x, y, z), optional
        The map is 0 outside of this mask.

    Returns
    -------
    fraction : ndarray of float32, shape (x, y, z)
        In [0, 1].
    """
    counts = np.zeros(int(np.prod(shape)), np.float32)
    for flat in scans:
        counts[flat] += 1
    fraction = ndimage.gaussian_filter(counts.reshape(shape), SMOOTHING / 2.3548 / SPACING)
    fraction /= max(1, len(scans))
    return fraction if mask is None else fraction * mask
