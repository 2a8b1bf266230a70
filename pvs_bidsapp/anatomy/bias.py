"""Bias field correction: N4 (Tustison et al. 2010, doi:10.1109/TMI.2010.2046908) by ANTs.

The field is smooth, so it is estimated on a 4 mm grid and interpolated: the same as ANTs' shrink
factor of 4, without its evaluation of B-splines at every voxel of a full-size image. N4 knows of no
tissue; what it leaves of a strong field is found from the white matter (Wells et al. 1996,
doi:10.1109/42.511747).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

from .ants_images import array_to_ants
from .resampling import Grid, isotropic_grid, resample

COARSE = 4.0  # mm
#: Standard deviation in mm of what white matter still tells of the field: lesions and spaces are narrower.
REACH = 15.0
#: White matter this much brighter or darker (natural logarithm) is something else.
LIMIT = 0.3


@dataclass(frozen=True)
class BiasField:
    """A multiplicative field on a coarse grid.

    Attributes
    ----------
    logarithm : ndarray of float32
    grid : Grid
    """

    logarithm: np.ndarray
    grid: Grid

    def on(self, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
        """The field (> 0) at the voxels of another grid; float32."""
        matrix = np.linalg.inv(self.grid.affine) @ affine
        field = ndimage.affine_transform(
            self.logarithm, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=1, mode='nearest'
        )
        return np.exp(field, out=field)


def estimate(image: np.ndarray, affine: np.ndarray, mask: np.ndarray, spacing: float = COARSE) -> BiasField:
    """The bias field of a scan.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
    mask : ndarray of bool
        Where tissue is; the field is extrapolated elsewhere.
    spacing : float
        Of the grid that it is estimated on, in mm.
    """
    import ants

    grid = isotropic_grid(affine, image.shape, spacing)
    coarse = resample(np.where(mask, image, 0), affine, grid, order=1)
    share = resample(mask.astype(np.float32), affine, grid, order=1)
    inside = share > 0.75
    if inside.sum() < 200:
        return BiasField(np.zeros(grid.shape, np.float32), grid)
    level = max(float(np.median(image[mask])), 1e-6)
    coarse = np.where(inside, coarse / np.maximum(share, 1e-3) / level, 0)  # N4 wants values near 1
    field = ants.n4_bias_field_correction(
        array_to_ants(coarse, grid.affine),
        mask=array_to_ants(inside.astype(np.float32), grid.affine),
        shrink_factor=1, return_bias_field=True, convergence={'iters': [25, 25, 25], 'tol': 1e-4},
    ).numpy()  # fmt: skip
    logarithm = np.log(np.clip(field, 0.1, 10)).astype(np.float32)
    return BiasField(logarithm - logarithm[inside].mean(), grid)


def correct_with_white_matter(
    field: BiasField, image: np.ndarray, affine: np.ndarray, white: np.ndarray
) -> BiasField:
    """The field with that added which it leaves of the unevenness of white matter.

    The logarithm of white matter over its median, low-passed (Wells et al. 1996), here for one class:
    grey matter is not of one level.

    Parameters
    ----------
    field : BiasField
    image : ndarray, shape (x, y, z)
        Not corrected yet.
    affine : ndarray, shape (4, 4)
    white : ndarray of bool
        White matter, without voxels that are partly something else.

    Returns
    -------
    field : BiasField
        On the same grid.
    """
    if not white.any():
        return field
    level = np.log(np.maximum(image / field.on(image.shape, affine), 1e-6))
    residual = np.where(white, np.clip(level - np.median(level[white]), -LIMIT, LIMIT), 0)
    reach = REACH / voxel_sizes(field.grid.affine)
    rest, share = (
        ndimage.gaussian_filter(resample(v, affine, field.grid, order=1), reach)
        for v in (residual, white.astype(np.float32))
    )
    # where no white matter is within reach the field stays as it was
    return BiasField(field.logarithm + (rest / (share + 0.01)).astype(np.float32), field.grid)


def correct(image: np.ndarray, affine: np.ndarray, mask: np.ndarray, spacing: float = COARSE) -> np.ndarray:
    """Divide a scan by the bias field estimated within `mask` (see `estimate`); float32."""
    field = estimate(image, affine, mask, spacing).on(image.shape, affine)
    return (image / field).astype(np.float32)
