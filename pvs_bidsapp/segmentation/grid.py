"""The network's grid: a fixed box about the brain.

It has the scan's own axes, in the order and direction nearest to RAS, and the network's spacing.
A scan that has this spacing already is moved by whole voxels only, so that nothing is blurred.
"""

from __future__ import annotations

import numpy as np
from nibabel import orientations

from ..anatomy.resampling import Grid, canonical_affine, spacing_ratio

#: Box of Joliot et al. 2021, in voxels of 1 mm.
BOX = (160, 214, 176)


def network_grid(
    brain: np.ndarray,
    affine: np.ndarray,
    *,
    spacing: float = 1.0,
    box: tuple[int, int, int] = BOX,
) -> Grid:
    """The network's grid about a brain; the box grows where the brain does not fit.

    Parameters
    ----------
    brain : ndarray of bool, shape (x, y, z)
    affine : ndarray, shape (4, 4)
    spacing : float
        Voxel size in mm.
    box : tuple of int
        Shape of the grid.
    """
    canonical = canonical_affine(affine, brain.shape)
    mask = orientations.apply_orientation(brain, orientations.io_orientation(affine))
    found = np.argwhere(mask)
    low, high = (found.min(0), found.max(0)) if len(found) else (np.zeros(3), np.array(mask.shape))
    ratio = spacing_ratio(canonical, spacing)
    needed = np.ceil((high - low + 1) / ratio).astype(int) + 2
    shape = np.maximum(box, needed)
    start = (low + high) / 2 - (shape - 1) / 2 * ratio
    start = np.where(ratio == 1.0, np.rint(start), start)
    step = np.diag([*ratio, 1.0])
    step[:3, 3] = start
    return Grid(tuple(int(n) for n in shape), canonical @ step)
