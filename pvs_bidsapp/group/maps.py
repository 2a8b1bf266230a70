"""Where in the template's space perivascular spaces are frequent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

#: Voxel size of the map in mm.
SPACING = 2.0
#: Full width at half maximum of the smoothing in mm: registration is no better than this.
SMOOTHING = 4.0
#: Points along each cluster.
POINTS = 7
COLUMNS = ('mni_x_mm', 'mni_y_mm', 'mni_z_mm', 'direction_x', 'direction_y', 'direction_z', 'length_mm')


def coarse_grid(shape: tuple[int, ...], affine: np.ndarray) -> tuple[tuple[int, int, int], np.ndarray]:
    """Grid of `SPACING` mm over the template's.

    Parameters
    ----------
    shape : tuple of int
        Of the template.
    affine : ndarray, shape (4, 4)

    Returns
    -------
    shape, affine
    """
    x, y, z = (int(np.ceil(n / SPACING)) for n in shape)
    coarse = affine.copy()
    coarse[:3, :3] *= SPACING
    coarse[:3, 3] += affine[:3, :3] @ np.full(3, (SPACING - 1) / 2)
    return (x, y, z), coarse


def voxels_of(
    clusters: pd.DataFrame, scan: np.ndarray, number: int, shape: tuple[int, int, int], affine: np.ndarray
) -> list[np.ndarray]:
    """Voxels that the clusters of each scan pass through, each once.

    Each cluster is taken as a straight line of its length along its main axis through its centre
    in the template; the head's tilt against the template is left out of account.

    Parameters
    ----------
    clusters : DataFrame
        With `COLUMNS`.
    scan : ndarray of int
        Number of the scan of each cluster.
    number : int
        Of scans.
    shape, affine
        Of the map.

    Returns
    -------
    flat : list of ndarray of int32
        Flat indices, by scan.
    """
    values = clusters[list(COLUMNS)].to_numpy(np.float32)
    whole = np.isfinite(values).all(1)
    values, scan = values[whole], scan[whole]
    centre, direction, length = values[:, :3], values[:, 3:6], values[:, 6]
    steps = np.linspace(-0.5, 0.5, POINTS, dtype=np.float32)
    points = centre[:, None] + steps[None, :, None] * (direction * length[:, None])[:, None]
    inverse = np.linalg.inv(affine).astype(np.float32)
    voxels = np.rint(points.reshape(-1, 3) @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
    inside = ((voxels >= 0) & (voxels < shape)).all(1)
    flat = np.ravel_multi_index(tuple(voxels[inside].T), shape)
    size = int(np.prod(shape))
    each = np.unique(np.repeat(scan, POINTS)[inside].astype(np.int64) * size + flat)
    owner, flat = np.divmod(each, size)
    return np.split(flat.astype(np.int32), np.searchsorted(owner, np.arange(1, number)))


def frequency(
    scans: Sequence[np.ndarray], shape: tuple[int, int, int], mask: np.ndarray | None = None
) -> np.ndarray:
    """Share of scans with a perivascular space at (about) each voxel, smoothed.

    Parameters
    ----------
    scans : sequence of ndarray
        From `voxels_of`, one a scan.
    shape : tuple of int
    mask : ndarray of bool, optional
        Outside it the map is 0.

    Returns
    -------
    fraction : ndarray of float32, in [0, 1]
    """
    counts = np.zeros(int(np.prod(shape)), np.float32)
    for flat in scans:
        counts[flat] += 1
    fraction = ndimage.gaussian_filter(counts.reshape(shape), SMOOTHING / 2.3548 / SPACING)
    fraction /= max(1, len(scans))
    return fraction if mask is None else fraction * mask
