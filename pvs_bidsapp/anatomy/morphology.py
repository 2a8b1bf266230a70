"""Binary morphology by balls in millimetres, through distance maps."""

from __future__ import annotations

from collections.abc import Sequence

import edt
import numpy as np
from scipy import ndimage


def close(
    mask: np.ndarray, radius: float, spacing: Sequence[float] = (1.0, 1.0, 1.0), *, fill: bool = True
) -> np.ndarray:
    """Closing by a ball of `radius` mm.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
    radius : float
        In mm.
    spacing : sequence of float
        Voxel size in mm.
    fill : bool
        Fill holes as well.
    """
    pad = int(np.ceil(radius / min(spacing))) + 2
    anisotropy = tuple(float(s) for s in spacing)
    grown = edt.edt(~np.pad(mask, pad), anisotropy=anisotropy) <= radius
    closed = edt.edt(grown, anisotropy=anisotropy) > radius
    closed = closed[(slice(pad, -pad),) * 3] | mask
    return ndimage.binary_fill_holes(closed) if fill else closed


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, ...]:
    """Slices about the True voxels of a mask that holds some, and `margin` voxels more on each side."""
    found = np.argwhere(mask)
    return tuple(
        slice(max(a - margin, 0), b + margin + 1) for a, b in zip(found.min(0), found.max(0), strict=True)
    )
