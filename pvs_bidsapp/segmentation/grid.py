"""The network's grid: a box about the brain.

It has the scan's own axes, in the order and direction nearest to RAS, and the network's spacing: one
voxel size, or a range within which a scan keeps its own. A scan that keeps its voxels is moved by
whole voxels only, so that nothing is blurred. Perivascular spaces are one or two voxels wide;
resampling a mask of them to 1 mm and back loses a quarter or more of it (the voxel Dice of a reference mask
with itself is then 0.62 to 0.75 for voxels of 0.6 to 1.1 mm).
"""

from __future__ import annotations

import numpy as np
from nibabel import orientations
from nibabel.affines import voxel_sizes

from ..anatomy.resampling import Grid, canonical_affine, spacing_ratio

#: Box of Joliot et al. 2021, in voxels of 1 mm.
BOX = (160, 214, 176)

#: Voxel size in mm; or the smallest and the largest, between which each axis of a scan keeps its own.
Spacing = float | tuple[float, float]


def spacing_range(spacing: Spacing) -> tuple[float, float]:
    """Smallest and largest voxel size in mm; both are the same if a network has a single voxel size."""
    return spacing if isinstance(spacing, tuple) else (spacing, spacing)


def network_grid(
    brain: np.ndarray,
    affine: np.ndarray,
    *,
    spacing: Spacing = 1.0,
    box: tuple[int, int, int] = BOX,
) -> Grid:
    """Place the network's grid about a brain.

    Parameters
    ----------
    brain : ndarray of bool, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Of `brain`.
    spacing : float or tuple of float
        Voxel size in mm, or the smallest and the largest. An axis whose voxel size is in the range keeps it.
    box : tuple of int
        Shape of the grid in voxels. It grows along the axes on which the brain does not fit.

    Returns
    -------
    grid : Grid
    """
    canonical = canonical_affine(affine, brain.shape)
    mask = orientations.apply_orientation(brain, orientations.io_orientation(affine))
    voxels = np.argwhere(mask)
    low, high = (voxels.min(0), voxels.max(0)) if len(voxels) else (np.zeros(3), np.array(mask.shape))
    ratio = spacing_ratio(canonical, np.clip(voxel_sizes(canonical), *spacing_range(spacing)))
    needed = np.ceil((high - low + 1) / ratio).astype(int) + 2
    shape = np.maximum(box, needed)
    start = (low + high) / 2 - (shape - 1) / 2 * ratio
    start = np.where(ratio == 1.0, np.rint(start), start)
    step = np.diag([*ratio, 1.0])
    step[:3, 3] = start
    return Grid(tuple(int(n) for n in shape), canonical @ step)
