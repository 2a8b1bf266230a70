"""Grids of voxels, and images brought from one to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel import orientations
from nibabel.affines import voxel_sizes
from scipy import ndimage


@dataclass(frozen=True)
class Grid:
    """A box of voxels.

    Attributes
    ----------
    shape : tuple of int
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ millimetres.
    """

    shape: tuple[int, ...]
    affine: np.ndarray


def canonical_affine(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Affine of the same voxels in the order and direction nearest to RAS."""
    return affine @ orientations.inv_ornt_aff(orientations.io_orientation(affine), shape)


def isotropic_grid(affine: np.ndarray, shape: tuple[int, ...], spacing: float) -> Grid:
    """A grid of isotropic voxels along the scan's own axes (nearest to RAS), over all of it.

    A scan that has this spacing already keeps its voxels; they are only reordered.
    """
    canonical = canonical_affine(affine, shape)
    codes = orientations.io_orientation(affine)
    extent = np.array(shape)[np.argsort(codes[:, 0])]
    ratio = spacing_ratio(canonical, spacing)
    size = np.maximum(np.rint(extent / ratio).astype(int), 1)
    step = np.diag([*ratio, 1.0])
    step[:3, 3] = np.where(ratio == 1.0, 0, (extent - 1) / 2 - (size - 1) / 2 * ratio)
    return Grid(tuple(int(n) for n in size), canonical @ step)


def spacing_ratio(affine: np.ndarray, spacing: float | np.ndarray) -> np.ndarray:
    """Wanted over present voxel size, by axis; exactly 1 where they agree within 0.1 %."""
    ratio = spacing / voxel_sizes(affine)
    ratio[np.abs(ratio - 1) < 1e-3] = 1.0
    return ratio


def resample(
    image: np.ndarray, affine: np.ndarray, grid: Grid, *, order: int, outside: float = 0.0
) -> np.ndarray:
    """Values of an image at the voxels of a grid.

    Where the two share their lattice, values are copied exactly; elsewhere a spline of the given
    order is used, after a Gaussian against aliasing along axes that become coarser.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
    grid : Grid
    order : int
        0 (labels), 1 or 3.
    outside : float
        Value where the image ends.
    """
    matrix = np.linalg.inv(affine) @ grid.affine
    rounded = np.rint(matrix)
    data = np.asarray(image, np.float32)
    if np.allclose(matrix, rounded, atol=1e-3):
        matrix, order = rounded, 0
    elif order > 0:
        step = np.abs(matrix[:3, :3]).max(1)
        sigma = 0.4 * np.sqrt(np.maximum(step**2 - 1, 0))
        data = ndimage.gaussian_filter(data, sigma) if sigma.any() else data
    out = ndimage.affine_transform(
        data, matrix[:3, :3], matrix[:3, 3], output_shape=grid.shape,
        order=order, mode='constant', cval=outside,
    )  # fmt: skip
    if order > 1:  # a spline overshoots
        np.clip(out, data.min(), data.max(), out=out)
    return out
