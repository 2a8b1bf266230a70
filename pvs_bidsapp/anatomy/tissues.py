"""Tissue classes of T1w scans.

The fit of the mixture is our own: ANTs' Atropos needs ten times its time for classes of the same Dice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .morphology import bounding_box

#: Values of the tissue classes.
CSF, GM, WM = 1, 2, 3

#: FreeSurfer codes of white matter and of CSF; all other codes above 0 are grey matter.
_WHITE_CODES = (2, 41, 7, 46, 16, 28, 60, 77, 78, 79, 85, 251, 252, 253, 254, 255)
_CSF_CODES = (4, 43, 5, 44, 14, 15, 24, 72, 31, 63, 30, 62, 213, 221)
#: Our class for each of fMRIPrep's: background, grey matter, white matter, CSF.
_FMRIPREP_CLASSES = (0, GM, WM, CSF)


def from_segmentation(labels: np.ndarray) -> np.ndarray:
    """Tissue classes from a ready-made segmentation.

    Parameters
    ----------
    labels : ndarray of int, shape (x, y, z)
        fMRIPrep's tissue classes (0 to 3), or FreeSurfer codes (aseg, aparc+aseg, SynthSeg).

    Returns
    -------
    classes : ndarray of uint8, shape (x, y, z)
        1 CSF, 2 grey matter, 3 white matter, 0 elsewhere.
    """
    labels = np.rint(labels).astype(np.int32)
    if labels.max() <= 3:
        return np.array(_FMRIPREP_CLASSES, np.uint8)[labels]
    classes = np.where(labels > 0, GM, 0).astype(np.uint8)
    classes[np.isin(labels, _WHITE_CODES) | ((labels >= 3000) & (labels < 6000))] = WM
    classes[np.isin(labels, _CSF_CODES)] = CSF
    return classes


@dataclass(frozen=True)
class Mixture:
    """Intensities of the three classes.

    Attributes
    ----------
    means, deviations : ndarray of float, shape (3,)
        Of CSF, grey and white matter, in the units of the image.
    """

    means: np.ndarray
    deviations: np.ndarray


def classify(
    image: np.ndarray,
    mask: np.ndarray,
    priors: Sequence[np.ndarray],
    *,
    start: Mixture | None = None,
    prior_weight: float = 0.3,
    smoothing: float = 2.0,
    iterations: int = 5,
) -> tuple[np.ndarray, Mixture]:
    """CSF, grey matter and white matter of a T1w scan.

    A mixture of three Gaussians is fitted by expectation and maximisation, with spatial priors and a Markov
    random field in its mean-field approximation [1]_ [2]_. The template's tissue maps initialise the classes
    and then have a low weight: were the classes initialised by intensities alone, one of them might be scalp
    or a large ventricle where grey and white matter have similar intensities.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        Bias corrected.
    mask : ndarray of bool, shape (x, y, z)
    priors : sequence of ndarray, shape (x, y, z)
        Probability of CSF, grey and white matter, in [0, 1].
    start : Mixture, optional
        From which the fit starts, as of the same scan at a larger voxel size; else it starts from the priors.
    prior_weight : float
        Exponent of the priors, in [0, 1].
    smoothing : float
        Weight of the mean probability of the 26 neighbours.
    iterations : int

    Returns
    -------
    classes : ndarray of uint8, shape (x, y, z)
        1 CSF, 2 grey matter, 3 white matter, 0 outside the mask.
    mixture : Mixture

    References
    ----------
    .. [1] Van Leemput et al., IEEE Transactions on Medical Imaging 18 (1999) 897-908, doi:10.1109/42.811270
    .. [2] Zhang et al., IEEE Transactions on Medical Imaging 20 (2001) 45-57, doi:10.1109/42.906424
    """
    box = bounding_box(mask, 2)
    inside = mask[box]
    values = image[box][inside].astype(np.float32)
    values = np.clip(values, *np.percentile(values, (0.5, 99.5)))
    expected = np.stack([np.clip(p[box][inside], 1e-3, 1).astype(np.float32) for p in priors])
    spatial = np.float32(prior_weight) * np.log(expected)
    probability = expected / expected.sum(0) if start is None else _posterior(values, start, spatial)
    mixture = start
    for _ in range(iterations):
        mixture = _fit(values, probability)
        field = np.float32(smoothing) * _mean_of_neighbours(probability, inside)
        probability = _posterior(values, mixture, spatial + field)
    classes, found = np.zeros(mask.shape, np.uint8), np.zeros(inside.shape, np.uint8)
    found[inside] = probability.argmax(0) + 1
    classes[box] = found
    assert mixture is not None  # there is at least one iteration
    return classes, mixture


def fluid_level(values: np.ndarray, white: float) -> float:
    """Intensity of CSF: the quartile of its class that is farther from white matter.

    Most of its voxels are mixed with tissue.

    Parameters
    ----------
    values : ndarray
        The voxels of the class.
    white : float
        Intensity of white matter.
    """
    return float(np.percentile(values, 25 if np.median(values) < white else 75))


def _fit(values: np.ndarray, probability: np.ndarray) -> Mixture:
    """The mixture of intensities (n,) by their class probabilities (3, n): the maximisation."""
    weight = np.maximum(probability.sum(1, dtype=np.float64), 1e-6)
    means = (probability * values).sum(1, dtype=np.float64) / weight
    variance = (probability * (values - means[:, None].astype(np.float32)) ** 2).sum(
        1, dtype=np.float64
    ) / weight
    smallest = 1e-3 * max(float(np.ptp(values)), 1e-6)  # a class of one intensity
    return Mixture(means, np.maximum(np.sqrt(variance), smallest))


def _posterior(values: np.ndarray, mixture: Mixture, spatial: np.ndarray) -> np.ndarray:
    """Class probabilities (3, n) of intensities (n,): the expectation.

    Parameters
    ----------
    values : ndarray of float32, shape (n,)
    mixture : Mixture
    spatial : ndarray of float32, shape (3, n)
        Logarithm of the probabilities that a voxel's place gives the classes, but for a constant.
    """
    means, deviations = (v.astype(np.float32)[:, None] for v in (mixture.means, mixture.deviations))
    out = spatial - np.log(deviations) - ((values - means) / deviations) ** 2 / 2
    out -= out.max(0)
    np.exp(out, out=out)
    out /= out.sum(0)
    return out


def _mean_of_neighbours(probability: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean class probability (3, n) of the 26 neighbours of each voxel of a mask; 0 outside of it."""
    out = np.empty_like(probability)
    volume = np.zeros(inside.shape, np.float32)
    for number, values in enumerate(probability):
        volume[inside] = values
        with_centre = ndimage.uniform_filter(volume, 3, mode='constant')[inside]
        out[number] = (27 * with_centre - values) / 26
    return out
