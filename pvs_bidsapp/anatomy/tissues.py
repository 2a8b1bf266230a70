"""Tissue classes by Atropos (Avants et al. 2011, doi:10.1007/s12021-011-9109-y)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from nibabel.affines import voxel_sizes

from .ants_images import array_to_ants
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


def classify(
    image: np.ndarray,
    affine: np.ndarray,
    mask: np.ndarray,
    priors: Sequence[np.ndarray],
    *,
    prior_weight: float = 0.1,
    smoothing: float = 0.15,
    iterations: int = 5,
) -> np.ndarray:
    """CSF, grey matter and white matter of a T1w scan.

    The template's tissue maps initialise the classes and then have a low weight. If k-means
    initialised them, one class might be scalp or a large ventricle where grey and white matter have similar
    intensities.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        Bias corrected.
    affine : ndarray, shape (4, 4)
    mask : ndarray of bool, shape (x, y, z)
    priors : sequence of ndarray, shape (x, y, z)
        Probability of CSF, grey and white matter, in [0, 1].
    prior_weight : float
        Weight of the priors, in [0, 1].
    smoothing : float
        Weight of the Markov random field.
    iterations : int
        Number of iterations of Atropos.

    Returns
    -------
    classes : ndarray of uint8, shape (x, y, z)
        1 CSF, 2 grey matter, 3 white matter, 0 outside the mask.
    """
    import ants

    box = bounding_box(mask, 2)
    # Atropos reads the priors from files, in which axes are rounded. On an oblique grid they would differ
    # from those of the image in memory, which is an error. Only the voxel size is needed.
    affine = np.diag([*voxel_sizes(affine), 1.0])
    region = array_to_ants(mask[box].astype(np.float32), affine)
    low, high = np.percentile(image[mask], (0.5, 99.5))
    source = array_to_ants(np.clip(image[box], low, high), affine)
    with _temporary_files_removed():
        # r=0: otherwise the clock seeds Atropos
        result = ants.atropos(
            a=source, x=region, i=[array_to_ants(np.clip(p[box], 1e-3, 1), affine) for p in priors],
            priorweight=prior_weight, m=f'[{smoothing},1x1x1]', c=f'[{iterations},0]', r=0,
        )  # fmt: skip
    classes = np.zeros(mask.shape, np.uint8)
    classes[box] = result['segmentation'].numpy().astype(np.uint8)
    return classes


@contextmanager
def _temporary_files_removed() -> Iterator[None]:
    """A temporary folder of its own for ``ants.atropos``, which does not delete its priors and posteriors."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
