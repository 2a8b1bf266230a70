"""What a scanner adds: limited resolution, bias field, Rician noise, another slice grid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .fields import smooth_field


def blur(image: np.ndarray, fwhm: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Gaussian point spread function of `fwhm` mm along each axis."""
    return ndimage.gaussian_filter(image, np.asarray(fwhm) / 2.3548 / spacing)


def bias_field(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth multiplicative field, exp of a low-frequency random field.

    Parameters
    ----------
    strength : float
        Standard deviation of the field's logarithm.
    """
    field = smooth_field(shape, (4, 4, 4), rng)
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    return np.exp(strength * field).astype(np.float32)


def rician(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of a complex image with Gaussian noise of standard deviation `sigma`."""
    real = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.hypot(real, imaginary)


def regrid(
    image: np.ndarray, affine: np.ndarray, target: np.ndarray, shape: tuple[int, ...], order: int = 1
) -> np.ndarray:
    """Values of `image` at the voxels of another grid.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    affine, target : ndarray, shape (4, 4)
        Voxel to millimetre matrices of the image and of the wanted grid.
    shape : tuple of int
        Shape of the wanted grid.
    order : int
        Order of the spline.
    """
    matrix = np.linalg.inv(affine) @ target
    return ndimage.affine_transform(
        image, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=order, mode='constant'
    )


def small_rigid(rng: np.random.Generator, degrees: float, millimetres: float) -> np.ndarray:
    """A random rigid motion, 4x4, as between two sequences of a session."""
    from scipy.spatial.transform import Rotation

    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler('xyz', rng.normal(0, degrees, 3), degrees=True).as_matrix()
    motion[:3, 3] = rng.normal(0, millimetres, 3)
    return motion
