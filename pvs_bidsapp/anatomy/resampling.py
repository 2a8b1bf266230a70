"""Voxel grids, and resampling of images to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel import orientations
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage


@dataclass(frozen=True)
class Grid:
    """A voxel grid.

    Attributes
    ----------
    shape : tuple of int
        (x, y, z).
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.
    """

    shape: tuple[int, ...]
    affine: np.ndarray


def canonical_affine(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Affine of the same voxels, with axes reordered and flipped to be nearest to RAS.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
    shape : tuple of int
        Shape of the image before reordering.

    Returns
    -------
    affine : ndarray, shape (4, 4)
    """
    return affine @ orientations.inv_ornt_aff(orientations.io_orientation(affine), shape)


def isotropic_grid(affine: np.ndarray, shape: tuple[int, ...], spacing: float) -> Grid:
    """A grid of isotropic voxels over a scan, along its own axes in the order nearest to RAS.

    The voxels of a scan that has this spacing already are only reordered.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Affine of the scan.
    shape : tuple of int
        Shape of the scan.
    spacing : float
        Voxel size of the grid in mm.
    """
    canonical = canonical_affine(affine, shape)
    codes = orientations.io_orientation(affine)
    extent = np.array(shape)[np.argsort(codes[:, 0])]
    ratio = spacing_ratio(canonical, spacing)
    size = np.maximum(np.rint(extent / ratio).astype(int), 1)
    step = np.diag([*ratio, 1.0])
    step[:3, 3] = np.where(ratio == 1.0, 0, (extent - 1) / 2 - (size - 1) / 2 * ratio)
    return Grid(tuple(int(n) for n in size), canonical @ step)


def crop(grid: Grid, box: tuple[slice, ...]) -> Grid:
    """The part of a grid within a box of voxels.

    Parameters
    ----------
    grid : Grid
    box : tuple of slice
        By axis; without a step.
    """
    bounds = [part.indices(n)[:2] for part, n in zip(box, grid.shape, strict=True)]
    affine = grid.affine.copy()
    affine[:3, 3] = (grid.affine @ [*(start for start, _ in bounds), 1])[:3]
    return Grid(tuple(stop - start for start, stop in bounds), affine)


def box_on(grid: Grid, box: tuple[slice, ...], source: Grid) -> tuple[slice, ...]:
    """The box of voxels of a grid that holds a box of another grid with the same axes.

    Parameters
    ----------
    grid : Grid
        Grid of the result.
    box : tuple of slice
        On `source`, with a start and a stop.
    source : Grid

    Returns
    -------
    box : tuple of slice
        As far as `grid` goes.
    """
    edges = np.array([[part.start - 0.5 for part in box], [part.stop - 0.5 for part in box]])
    low, high = apply_affine(np.linalg.inv(grid.affine) @ source.affine, edges)
    # half a voxel less on either side: a voxel belongs to the box if its centre does
    first = np.ceil(np.round(low, 3)).astype(int)
    last = np.floor(np.round(high, 3)).astype(int) + 1
    return tuple(
        slice(max(int(a), 0), min(int(b), n)) for a, b, n in zip(first, last, grid.shape, strict=True)
    )


def are_inside(places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Whether places lie in a voxel of an image.

    Parameters
    ----------
    places : ndarray, shape (n, 3)
        In voxels, whose centres are whole numbers.
    shape : tuple of int
        Of the image, (x, y, z).

    Returns
    -------
    inside : ndarray of bool, shape (n,)
    """
    return np.all((places > -0.5) & (places < np.array(shape) - 0.5), axis=1)


def spacing_ratio(affine: np.ndarray, spacing: float | np.ndarray) -> np.ndarray:
    """Ratio of a target spacing to the voxel size of a grid.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Affine of the grid.
    spacing : float or ndarray, shape (3,)
        Target spacing in mm.

    Returns
    -------
    ratio : ndarray, shape (3,)
        By axis; exactly 1 where both agree within 0.1 %.
    """
    ratio = spacing / voxel_sizes(affine)
    ratio[np.abs(ratio - 1) < 1e-3] = 1.0
    return ratio


def resample(
    image: np.ndarray, affine: np.ndarray, grid: Grid, *, order: int, outside: float = 0.0
) -> np.ndarray:
    """Resample an image to a grid.

    If the voxel centres of both grids coincide and no axis becomes coarser, values are copied. Otherwise they
    are interpolated by a spline, after a Gaussian filter against aliasing along axes that become coarser.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Affine of the image.
    grid : Grid
        Grid of the result.
    order : int
        Order of the spline: 0 (nearest voxel, for labels), 1 or 3.
    outside : float
        Value beyond the image.

    Returns
    -------
    resampled : ndarray of float32
        Of the grid's shape; within the range of the image if ``order`` is 3.
    """
    matrix = np.linalg.inv(affine) @ grid.affine
    rounded = np.rint(matrix)
    data = np.asarray(image, np.float32)
    coincide = np.allclose(matrix, rounded, atol=1e-3)
    matrix = rounded if coincide else matrix
    step = np.abs(matrix[:3, :3]).max(1)
    if coincide and step.max() <= 1:
        order = 0
    elif order > 0:
        sigma = 0.4 * np.sqrt(np.maximum(step**2 - 1, 0))
        data = ndimage.gaussian_filter(data, sigma) if sigma.any() else data
    out = ndimage.affine_transform(
        data, matrix[:3, :3], matrix[:3, 3], output_shape=grid.shape,
        order=order, mode='constant', cval=outside,
    )  # fmt: skip
    if order > 1:  # cubic splines overshoot
        np.clip(out, data.min(), data.max(), out=out)
    return out
