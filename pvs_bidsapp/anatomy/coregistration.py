"""Rigid registration of a T2w to the T1w of the same session."""

from __future__ import annotations

from pathlib import Path

import edt
import numpy as np

from . import bias
from .ants_images import array_to_ants
from .conform import ScanImage
from .registration import Transform, apply, register
from .resampling import Grid, resample

#: If the centres of the two images are farther apart (mm), their headers are not trusted.
MAX_CENTRE_DISTANCE = 40.0


def align_t2w(
    t2w: ScanImage, t1w: np.ndarray, brain_mask: np.ndarray, affine: np.ndarray, folder: Path
) -> Transform:
    """Register a T2w rigidly to the T1w.

    The registration starts from scanner coordinates, which two scans of a session share, or from the centres
    of mass where the headers disagree (see `MAX_CENTRE_DISTANCE`).

    Parameters
    ----------
    t2w : ScanImage
        In any slice thickness.
    t1w : ndarray, shape (x, y, z)
        At 1 mm.
    brain_mask : ndarray of bool, shape (x, y, z)
        On the grid of the T1w.
    affine : ndarray, shape (4, 4)
        Affine of the T1w and the mask.
    folder : Path
        Folder in which the transform is kept.

    Returns
    -------
    transform : Transform
        From the T2w to the T1w.
    """
    import ants

    fixed = array_to_ants(t1w, affine)
    moving = array_to_ants(t2w.image, t2w.grid.affine)
    moving = ants.iMath_truncate_intensity(moving, 0.001, 0.999)
    region = array_to_ants((edt.edt(~brain_mask) < 12).astype(np.float32), affine)
    centres = [_centre(brain_mask.shape, affine), _centre(t2w.grid.shape, t2w.grid.affine)]
    options: dict[str, object] = {}
    if np.linalg.norm(centres[0] - centres[1]) < MAX_CENTRE_DISTANCE:
        options['initial_transform'] = 'Identity'
    forward, _ = register(
        fixed, moving, 'Rigid', folder, 't2w', mask=region, aff_metric='mattes',
        aff_iterations=(500, 250, 100), aff_shrink_factors=(4, 2, 1), aff_smoothing_sigmas=(2, 1, 0),
        aff_random_sampling_rate=0.25, **options,
    )  # fmt: skip
    return forward


def coregister_t2w(
    t2w: ScanImage,
    t1w: np.ndarray,
    brain_mask: np.ndarray,
    affine: np.ndarray,
    grid: Grid,
    folder: Path,
) -> np.ndarray:
    """A T2w aligned to the T1w, resampled and bias corrected; other parameters as `align_t2w`.

    Parameters
    ----------
    grid : Grid
        Grid of the result.

    Returns
    -------
    image : ndarray of float32
        Of the grid's shape, not negative.
    """
    transform = align_t2w(t2w, t1w, brain_mask, affine, folder)
    moved = apply(t2w.image, t2w.grid.affine, grid, transform, interpolation='bSpline')
    moved = np.maximum(moved, 0)
    inside = resample(brain_mask, affine, grid, order=0) > 0.5
    return bias.correct(moved, grid.affine, inside & (moved > 0))


def _centre(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    return (affine @ [*((np.array(shape) - 1) / 2), 1])[:3]
