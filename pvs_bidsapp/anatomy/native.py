"""A scan and its anatomy on the scan's own grid.

Anatomy is found at 1 mm (`pvs_bidsapp.anatomy.conform`). Segmentation, training and the insertion of
simulated PVS use the scan's own voxels. All of them bring the anatomy back to the scan's grid by the
functions of this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import DTypeLike

from . import bias
from .bias import BiasField
from .conform import ScanImage
from .resampling import Grid, resample


@dataclass(frozen=True, kw_only=True)
class NativeScan:
    """A bias corrected scan with its anatomy.

    Attributes
    ----------
    grid : Grid
        The scan's own voxels, in the order nearest to RAS.
    image : ndarray of float32, shape (x, y, z)
        The scan divided by its bias field, in the units of `pvs_bidsapp.anatomy.conform.ScanImage`.
    brain : ndarray of bool, shape (x, y, z)
    tissues : ndarray of uint8, shape (x, y, z)
        1 CSF, 2 grey matter, 3 white matter, 0 elsewhere; not restricted to `brain`.
    """

    grid: Grid
    image: np.ndarray
    brain: np.ndarray
    tissues: np.ndarray


def grid_of(scan: nib.Nifti1Image) -> Grid:
    """The grid of an image."""
    return Grid(tuple(scan.shape), scan.affine)


def brain_to_native(brain: np.ndarray, affine: np.ndarray, grid: Grid) -> np.ndarray:
    """A brain mask on another grid: linear interpolation, thresholded at 0.5.

    Parameters
    ----------
    brain : ndarray of bool, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Affine of the mask.
    grid : Grid
        Grid of the result.

    Returns
    -------
    brain : ndarray of bool
        Of the grid's shape.
    """
    return resample(brain, affine, grid, order=1) > 0.5


def labels_to_native(
    labels: np.ndarray, affine: np.ndarray, grid: Grid, dtype: DTypeLike = np.uint8
) -> np.ndarray:
    """A label map on another grid, by the nearest voxel.

    Parameters
    ----------
    labels : ndarray of int or bool, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Affine of the label map.
    grid : Grid
        Grid of the result.
    dtype : dtype
        Type of the result; it has to hold all labels.

    Returns
    -------
    labels : ndarray of `dtype`
        Of the grid's shape; 0 outside the label map.
    """
    return np.rint(resample(labels, affine, grid, order=0)).astype(dtype)


def to_native(
    scan: ScanImage,
    brain: np.ndarray,
    tissues: np.ndarray,
    affine: np.ndarray,
    *,
    bias_field: BiasField | None,
) -> NativeScan:
    """Bring a scan's anatomy to the scan's own grid, and correct the scan's bias.

    Parameters
    ----------
    scan : ScanImage
    brain : ndarray of bool, shape (x, y, z)
        Brain mask on the grid on which the anatomy was found.
    tissues : ndarray of uint8, shape (x, y, z)
        Tissue classes on the same grid.
    affine : ndarray, shape (4, 4)
        Affine of that grid.
    bias_field : BiasField or None
        The field to divide by. None: N4 alone, estimated anew within the brain on the scan's own grid;
        training uses it.

    Returns
    -------
    native : NativeScan
    """
    grid = scan.grid
    own_brain = brain_to_native(brain, affine, grid)
    if bias_field is None:
        image = bias.correct(scan.image, grid.affine, own_brain)
    else:
        image = scan.image / bias_field.sample(grid.shape, grid.affine)
    return NativeScan(
        grid=grid, image=image, brain=own_brain, tissues=labels_to_native(tissues, affine, grid)
    )
