"""Binary morphology with balls in millimetres, by distance maps."""

from __future__ import annotations

from collections.abc import Sequence

import edt
import numpy as np
from scipy import ndimage


def close(
    mask: np.ndarray, radius: float, spacing: Sequence[float] = (1.0, 1.0, 1.0), *, fill: bool = True
) -> np.ndarray:
    """Close a mask by a ball.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
    radius : float
        Radius of the ball in mm.
    spacing : sequence of float
        Voxel size in mm.
    fill : bool
        Fill holes as well.

    Returns
    -------
    closed : ndarray of bool, shape (x, y, z)
    """
    pad = int(np.ceil(radius / min(spacing))) + 2
    anisotropy = tuple(float(s) for s in spacing)
    dilated = edt.edt(~np.pad(mask, pad), anisotropy=anisotropy) <= radius
    closed = edt.edt(dilated, anisotropy=anisotropy) > radius
    closed = closed[(slice(pad, -pad),) * 3] | mask
    return ndimage.binary_fill_holes(closed) if fill else closed


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, ...]:
    """The smallest box that holds all True voxels of a mask.

    Parameters
    ----------
    mask : ndarray of bool
        With at least one True voxel.
    margin : int
        Voxels that are added on each side, as far as the array goes.

    Returns
    -------
    box : tuple of slice
    """
    voxels = np.argwhere(mask)
    return tuple(
        slice(max(a - margin, 0), b + margin + 1) for a, b in zip(voxels.min(0), voxels.max(0), strict=True)
    )
