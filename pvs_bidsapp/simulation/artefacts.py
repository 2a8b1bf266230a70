"""Scanner artefacts (blurring, Gibbs ringing, motion, bias field, noise), defacing and skull stripping."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import fft, ndimage

from .fields import smooth_field
from .label_maps import distance

#: Fraction of k-space that a scanner keeps along each axis, drawn uniformly.
KEPT = (0.75, 1.0)


def blur(image: np.ndarray, fwhm: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Convolve an image with a Gaussian point spread function.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    fwhm : ndarray, shape (3,)
        Full width at half maximum along each axis, in mm.
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    """
    return ndimage.gaussian_filter(image, np.asarray(fwhm) / 2.3548 / spacing)


def truncate(image: np.ndarray, cutoff: np.ndarray, ringing: float) -> np.ndarray:
    """Keep the central part of k-space, which blurs the image and causes Gibbs ringing.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    cutoff : ndarray, shape (3,)
        Fraction of k-space that is kept along each axis, up to 1.
    ringing : float
        0: a cosine filter (the square root of a Hann filter) suppresses ringing; 1: a sharp edge with full
        Gibbs ringing.

    Returns
    -------
    image : ndarray of float32, shape (x, y, z)
        Negative values are set to 0.
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
    """Simulate motion: three poses during a scan, each of which acquires a segment of the k-space lines.

    As in the digital reference object of Bernal et al. 2022: rotations are at most 1 to 5 degrees, and the
    central pose acquires half of the lines or more.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    rng : numpy.random.Generator

    Returns
    -------
    image : ndarray of float32, shape (x, y, z)
        Not negative.
    """
    axis = int(rng.integers(3))
    n = image.shape[axis]
    order = np.argsort(np.abs(fft.fftfreq(n)))[::-1]  # outer lines first
    spectrum = fft.fft(image, axis=axis)
    for start, stop in ((0.0, rng.uniform(0.1, 0.25)), (0.25, rng.uniform(0.3, 0.5))):
        other = fft.fft(pose(image, spacing, small_rigid(rng, rng.uniform(0.4, 1.6), 0.7)), axis=axis)
        lines: list[Any] = [slice(None)] * 3
        lines[axis] = order[int(start * n) : int(stop * n)]
        spectrum[tuple(lines)] = other[tuple(lines)]
    return np.abs(fft.ifft(spectrum, axis=axis)).astype(np.float32)


def pose(image: np.ndarray, spacing: np.ndarray, move: np.ndarray) -> np.ndarray:
    """An image in another pose.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    move : ndarray, shape (4, 4)
        Rigid motion in mm, about the middle of the image.
    """
    centre, grid = np.eye(4), np.diag([*spacing, 1.0])
    centre[:3, 3] = (np.array(image.shape) - 1) / 2 * spacing
    return regrid(image, grid, centre @ move @ np.linalg.inv(centre) @ grid, image.shape)


def deface(image: np.ndarray, brain: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Set voxels in front of and below the brain to 0.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        Axes in RAS order.
    brain : ndarray of bool, shape (x, y, z)
        Brain mask; voxels within 6 mm of it are kept.
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    """
    voxels = np.argwhere(brain)
    low, high = voxels.min(0), voxels.max(0)
    y = (np.arange(image.shape[1]) - 0.5 * (low[1] + high[1])) * spacing[1]
    z = (np.arange(image.shape[2]) - (low[2] + 0.35 * (high[2] - low[2]))) * spacing[2]
    face = (z[None, :] < 0.8 * (y[:, None] - 30)) & (y[:, None] > 0)
    near = distance(brain, spacing) < 6
    return np.where(face[None] & ~near, 0, image).astype(np.float32)


def strip(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Set all voxels to 0 but the brain and one voxel around it.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    brain : ndarray of bool, shape (x, y, z)
        Brain mask.
    """
    return np.where(ndimage.binary_dilation(brain), image, 0).astype(np.float32)


def bias_field(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth multiplicative field: the exponential of a low-frequency random field.

    Parameters
    ----------
    shape : tuple of int
        (x, y, z).
    strength : float
        Standard deviation of the field's natural logarithm.
    rng : numpy.random.Generator

    Returns
    -------
    field : ndarray of float32, shape (x, y, z)
        Above 0.
    """
    field = smooth_field(shape, (4, 4, 4), rng)
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    return np.exp(strength * field).astype(np.float32)


def rician(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add Rician noise: the magnitude of a complex image with Gaussian noise.

    Gudbjartsson & Patz 1995, doi:10.1002/mrm.1910340618.

    Parameters
    ----------
    image : ndarray
        Magnitude without noise.
    sigma : float
        Standard deviation of the Gaussian noise, in the image's units.
    rng : numpy.random.Generator
    """
    real = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.hypot(real, imaginary)


def regrid(
    image: np.ndarray, affine: np.ndarray, target: np.ndarray, shape: tuple[int, ...], order: int = 1
) -> np.ndarray:
    """Resample an image to another grid; 0 beyond the image.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    affine, target : ndarray, shape (4, 4)
        Affines (voxel to mm) of the image and of the result.
    shape : tuple of int
        Shape of the result.
    order : int
        Order of the spline.
    """
    matrix = np.linalg.inv(affine) @ target
    return ndimage.affine_transform(
        image, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=order, mode='constant'
    )


def small_rigid(rng: np.random.Generator, degrees: float, millimetres: float) -> np.ndarray:
    """A random rigid motion, as between two sequences of a session.

    Parameters
    ----------
    rng : numpy.random.Generator
    degrees, millimetres : float
        Standard deviation of the rotation about each axis, and of the translation along it in mm.

    Returns
    -------
    motion : ndarray, shape (4, 4)
    """
    from scipy.spatial.transform import Rotation

    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler('xyz', rng.normal(0, degrees, 3), degrees=True).as_matrix()
    motion[:3, 3] = rng.normal(0, millimetres, 3)
    return motion
