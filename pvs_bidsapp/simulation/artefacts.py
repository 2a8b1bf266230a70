"""What a scanner adds: limited resolution, Gibbs ringing, motion, bias field, Rician noise.

And what is taken away before a scan is shared: the face, or all but the brain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import fft, ndimage

from .fields import smooth_field
from .label_maps import distance


def blur(image: np.ndarray, fwhm: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Gaussian point spread function of `fwhm` mm along each axis."""
    return ndimage.gaussian_filter(image, np.asarray(fwhm) / 2.3548 / spacing)


def truncate(image: np.ndarray, cutoff: np.ndarray, ringing: float) -> np.ndarray:
    """Keep the inner part of k-space, which blurs and rings.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    cutoff : ndarray, shape (3,)
        Share of k-space kept along each axis, up to 1.
    ringing : float
        0: a Hann filter damps all ringing; 1: a sharp edge, full Gibbs ringing.

    Returns
    -------
    image : ndarray of float32
        Negative values are cut to 0.
    """
    for axis, (n, kept) in enumerate(zip(image.shape, cutoff, strict=True)):
        frequency = np.arange(n // 2 + 1) / (n / 2) / kept
        smooth = 0.5 * (1 + np.cos(np.pi * np.minimum(frequency, 1)))
        response = ((1 - ringing) * np.sqrt(smooth) + ringing) * (frequency <= 1)
        view = [1, 1, 1]
        view[axis] = -1
        spectrum = fft.rfft(image, axis=axis)
        spectrum *= response.reshape(view).astype(np.float32)
        image = fft.irfft(spectrum, n, axis=axis)
    return np.maximum(image, 0).astype(np.float32)


def motion(image: np.ndarray, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three poses during one scan, each filling its segment of k-space lines.

    As in the reference object of Bernal et al. 2022: rotations of 1 to 5 degrees at most, the
    middle pose fills half of the lines or more.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    spacing : ndarray, shape (3,)
    rng : numpy.random.Generator
    """
    axis = int(rng.integers(3))
    n = image.shape[axis]
    centre = np.eye(4)
    centre[:3, 3] = (np.array(image.shape) - 1) / 2 * spacing
    grid = np.diag([*spacing, 1.0])
    order = np.argsort(np.abs(fft.fftfreq(n)))[::-1]  # outer lines first
    spectrum = fft.fft(image, axis=axis)
    for start, stop in ((0.0, rng.uniform(0.1, 0.25)), (0.25, rng.uniform(0.3, 0.5))):
        move = centre @ small_rigid(rng, rng.uniform(0.4, 1.6), 0.7) @ np.linalg.inv(centre)
        other = fft.fft(regrid(image, grid, move @ grid, image.shape), axis=axis)
        where: list[Any] = [slice(None)] * 3
        where[axis] = order[int(start * n) : int(stop * n)]
        spectrum[tuple(where)] = other[tuple(where)]
    return np.abs(fft.ifft(spectrum, axis=axis)).astype(np.float32)


def deface(image: np.ndarray, brain: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Take away what lies in front of and below the brain (axes in RAS order)."""
    found = np.argwhere(brain)
    low, high = found.min(0), found.max(0)
    y = (np.arange(image.shape[1]) - 0.5 * (low[1] + high[1])) * spacing[1]
    z = (np.arange(image.shape[2]) - (low[2] + 0.35 * (high[2] - low[2]))) * spacing[2]
    face = (z[None, :] < 0.8 * (y[:, None] - 30)) & (y[:, None] > 0)
    near = distance(brain, spacing) < 6
    return np.where(face[None] & ~near, 0, image).astype(np.float32)


def strip(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Take away all but the brain and a voxel about it."""
    return np.where(ndimage.binary_dilation(brain), image, 0).astype(np.float32)


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
