"""Random changes of the samples. The order of the random draws is fixed, since samples depend on it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..anatomy.noise import noise_level


def random_orientation(
    image: np.ndarray, label: np.ndarray, rng: np.random.Generator, *, all_orientations: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror half of the samples at the mid-sagittal plane, or turn a cube to one of its 48 orientations.

    Parameters
    ----------
    image, label : ndarray, shape (channels, x, y, z)
        Axis x runs from left to right.
    rng : numpy.random.Generator
    all_orientations : bool
        Use all symmetries of a cube; the three axes must have the same length.

    Returns
    -------
    image, label : ndarray
        Views of the arguments.
    """
    axes = (0, *(1 + rng.permutation(3))) if all_orientations else (0, 1, 2, 3)
    flips = tuple(k for k in ((1, 2, 3) if all_orientations else (1,)) if rng.random() < 0.5)
    oriented = [np.flip(array.transpose(axes), flips) for array in (image, label)]
    return oriented[0], oriented[1]


def random_mask(brain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dilate (20 %) or erode (15 %) the brain mask, since brain masks of scans are not perfect.

    Parameters
    ----------
    brain : ndarray of bool, shape (x, y, z)
    rng : numpy.random.Generator

    Returns
    -------
    brain : ndarray of bool, shape (x, y, z)
        Dilated by two voxels, eroded by one, or as it was.
    """
    choice = rng.random()
    if choice < 0.2:
        return ndimage.binary_dilation(brain, iterations=2)
    if choice < 0.35:
        return ndimage.binary_erosion(brain, border_value=1)
    return brain


def random_intensity(image: np.ndarray, label: np.ndarray, rng: np.random.Generator, wm: float) -> np.ndarray:
    """Vary contrast, gain, offset, bias, sharpness and noise, for each channel independently.

    The second channel, a T2w, is also shifted by up to half a voxel in half of the samples.

    Parameters
    ----------
    image : ndarray of float32, shape (channels, x, y, z)
        Normalized.
    label : ndarray, shape (x, y, z)
        1 in perivascular spaces.
    rng : numpy.random.Generator
    wm : float
        Normalized value of white matter, which the gain does not change.

    Returns
    -------
    image : ndarray of float32, shape (channels, x, y, z)
    """
    channels = []
    for number, channel in enumerate(image):
        if number and rng.random() < 0.5:  # what coregistration leaves of head motion between the two scans
            channel = ndimage.shift(channel, rng.uniform(-0.5, 0.5, 3), order=1, mode='nearest')
        channels.append(_vary_channel(channel, label, rng, wm))
    return np.stack(channels).astype(np.float32)


def reduce_contrast(
    image: np.ndarray, label: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Reduce the contrast of perivascular spaces with their surroundings.

    The noise in them is reduced, too, and then restored, so that a network cannot recognise fainter spaces
    by their smoothness.

    Parameters
    ----------
    image, label : ndarray of float32, shape (x, y, z)
        One channel; 1 in perivascular spaces.
    fraction : float
        Fraction of the contrast that is removed, in [0, 1]; 1 removes the spaces.
    rng : numpy.random.Generator

    Returns
    -------
    image : ndarray of float32, shape (x, y, z)
    """
    if not label.any():
        return image
    spaces = ndimage.binary_dilation(label > 0).astype(np.float32)  # with their soft edges
    weight = np.minimum(1, 1.5 * ndimage.gaussian_filter(spaces, 0.6))
    away = 1 - weight
    background = ndimage.gaussian_filter(image * away, 2.5, truncate=3)
    background /= np.maximum(ndimage.gaussian_filter(away, 2.5, truncate=3), 1e-6)
    kept = 1 - fraction * weight
    # neighbours along one axis: the images have much structure, and the noise has to be measured soon
    noise = np.nan_to_num(noise_level(image, spaces == 0, apart=1, axes=(0,)))
    lost = np.sqrt(1 - kept**2) * noise
    return background + kept * (image - background) + lost * rng.standard_normal(image.shape, np.float32)


def _vary_channel(image: np.ndarray, label: np.ndarray, rng: np.random.Generator, wm: float) -> np.ndarray:
    """Vary contrast of the spaces, gain, offset, bias, sharpness and noise of one channel."""
    if rng.random() < 0.5:  # the spaces of many people are fainter than most of the simulated ones
        image = reduce_contrast(image, label, rng.uniform(0, 0.7), rng)
    image = wm + (image - wm) * rng.uniform(0.85, 1.2) + rng.normal(0, 0.08)
    if rng.random() < 0.3:  # residual bias field: a linear ramp
        slope = rng.normal(0, 0.12, 3)
        for axis in range(3):
            ramp = np.linspace(-1, 1, image.shape[axis], dtype=np.float32) * slope[axis]
            image = image + ramp.reshape([-1 if k == axis else 1 for k in range(3)])
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0, 0.5, 3))
    elif rng.random() < 0.2:  # sharpened by the scanner's own filter
        image = image + rng.uniform(0, 0.6) * (image - ndimage.gaussian_filter(image, 1))
    if rng.random() < 0.4:
        noise = rng.uniform(0.02, 0.22)
        image = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
    return image
