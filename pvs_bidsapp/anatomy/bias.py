"""Bias field correction: N4 (Tustison et al. 2010, doi:10.1109/TMI.2010.2046908) by ANTs.

The field is smooth, so it is estimated on a 4 mm grid and interpolated. This is equivalent to ANTs' shrink
factor of 4, but does not evaluate B-splines at every voxel of a full-size image. N4 takes no account of
tissues; what remains of a strong field is estimated from the white matter (Wells et al. 1996,
doi:10.1109/42.511747).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

from .ants_images import array_to_ants
from .resampling import Grid, isotropic_grid, resample

#: Voxel size of the grid on which fields are estimated, in mm.
FIELD_SPACING = 4.0
#: Standard deviation of the smoothing of white matter intensities, in mm: much wider than lesions and PVS.
SMOOTHING = 15.0
#: Limit of the difference between the logarithm of white matter intensities and its median; larger
#: differences have other causes than the field and are clipped.
MAX_RESIDUAL = 0.3


@dataclass(frozen=True)
class BiasField:
    """A multiplicative field on a coarse grid.

    Attributes
    ----------
    logarithm : ndarray of float32, shape (x, y, z)
        Natural logarithm of the field.
    grid : Grid
        Grid of ``logarithm``.
    """

    logarithm: np.ndarray
    grid: Grid

    def sample(self, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
        """The field at the voxels of another grid.

        Parameters
        ----------
        shape : tuple of int
            Shape of the other grid, (x, y, z).
        affine : ndarray, shape (4, 4)
            Affine of the other grid.

        Returns
        -------
        field : ndarray of float32
            Above 0.
        """
        matrix = np.linalg.inv(self.grid.affine) @ affine
        field = ndimage.affine_transform(
            self.logarithm, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=1, mode='nearest'
        )
        return np.exp(field, out=field)


def estimate(
    image: np.ndarray, affine: np.ndarray, mask: np.ndarray, spacing: float = FIELD_SPACING
) -> BiasField:
    """Estimate the bias field of a scan by N4.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        Not corrected.
    affine : ndarray, shape (4, 4)
        Affine of the image and of the mask.
    mask : ndarray of bool, shape (x, y, z)
        Voxels with tissue. The field is extrapolated outside.
    spacing : float
        Voxel size of the grid on which the field is estimated, in mm.

    Returns
    -------
    field : BiasField
        With a geometric mean of 1 within the mask; 1 everywhere if the mask is too small.
    """
    import ants

    grid = isotropic_grid(affine, image.shape, spacing)
    coarse = resample(np.where(mask, image, 0), affine, grid, order=1)
    coverage = resample(mask.astype(np.float32), affine, grid, order=1)
    inside = coverage > 0.75
    if inside.sum() < 200:
        return BiasField(np.zeros(grid.shape, np.float32), grid)
    level = max(float(np.median(image[mask])), 1e-6)
    coarse = np.where(inside, coarse / np.maximum(coverage, 1e-3) / level, 0)  # N4 expects values near 1
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
    """Correct a bias field by the intensities of white matter, which should be uniform.

    The correction is the smoothed logarithm of white matter intensities over their median (Wells et al.
    1996). White matter is the only class used, since grey matter has no single intensity.

    Parameters
    ----------
    field : BiasField
    image : ndarray, shape (x, y, z)
        Not corrected.
    affine : ndarray, shape (4, 4)
        Affine of the image and of ``white``.
    white : ndarray of bool, shape (x, y, z)
        White matter without partial volume voxels.

    Returns
    -------
    field : BiasField
        On the same grid; unchanged where no white matter is near.
    """
    if not white.any():
        return field
    level = np.log(np.maximum(image / field.sample(image.shape, affine), 1e-6))
    residual = np.where(white, np.clip(level - np.median(level[white]), -MAX_RESIDUAL, MAX_RESIDUAL), 0)
    sigma = SMOOTHING / voxel_sizes(field.grid.affine)
    smooth_residual, weight = (
        ndimage.gaussian_filter(resample(v, affine, field.grid, order=1), sigma)
        for v in (residual, white.astype(np.float32))
    )
    # 0.01: without white matter in reach, the correction goes to 0
    return BiasField(field.logarithm + (smooth_residual / (weight + 0.01)).astype(np.float32), field.grid)


def correct(
    image: np.ndarray, affine: np.ndarray, mask: np.ndarray, spacing: float = FIELD_SPACING
) -> np.ndarray:
    """Divide a scan by the bias field that N4 estimates within a mask; parameters as `estimate`.

    Returns
    -------
    corrected : ndarray of float32, shape (x, y, z)
    """
    field = estimate(image, affine, mask, spacing).sample(image.shape, affine)
    return (image / field).astype(np.float32)
