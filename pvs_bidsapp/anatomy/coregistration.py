"""Rigid registration of a T2w to the T1w of the same session."""

from __future__ import annotations

from pathlib import Path

import edt
import nibabel as nib
import numpy as np

from . import bias
from .ants_images import array_to_ants
from .registration import Transform, apply, register
from .resampling import Grid, resample

#: Farther apart than this (mm) the headers are not trusted, and centres of mass are aligned.
FAR = 40.0


def align_t2w(
    t2w: nib.Nifti1Image, t1w: np.ndarray, brain: np.ndarray, affine: np.ndarray, folder: Path
) -> Transform:
    """Transform from a T2w (any orientation and slice thickness) to the T1w.

    The start is the scanner's own coordinates, which two scans of one session share.

    Parameters
    ----------
    t2w : Nifti1Image
    t1w : ndarray, shape (x, y, z)
        At 1 mm, bias corrected.
    brain : ndarray of bool
    affine : ndarray, shape (4, 4)
        Of the T1w and the mask.
    folder : Path
        Where the transform is kept.
    """
    import ants

    fixed = array_to_ants(t1w, affine)
    moving = array_to_ants(t2w.get_fdata(dtype=np.float32), t2w.affine)
    moving = ants.iMath_truncate_intensity(moving, 0.001, 0.999)
    area = array_to_ants((edt.edt(~brain) < 12).astype(np.float32), affine)
    centres = [_centre(brain.shape, affine), _centre(t2w.shape, t2w.affine)]
    options: dict[str, object] = {}
    if np.linalg.norm(centres[0] - centres[1]) < FAR:
        options['initial_transform'] = 'Identity'
    forward, _ = register(
        fixed, moving, 'Rigid', folder, 't2w', mask=area, aff_metric='mattes',
        aff_iterations=(500, 250, 100), aff_shrink_factors=(4, 2, 1), aff_smoothing_sigmas=(2, 1, 0),
        aff_random_sampling_rate=0.25, **options,
    )  # fmt: skip
    return forward


def coregister_t2w(
    t2w: nib.Nifti1Image, t1w: np.ndarray, brain: np.ndarray, affine: np.ndarray, grid: Grid, folder: Path
) -> np.ndarray:
    """A T2w aligned to the T1w, on a grid, its bias corrected.

    Parameters are those of `align_t2w`; `grid` is where the image is wanted.

    Returns
    -------
    image : ndarray of float32
        Of the grid's shape.
    """
    transform = align_t2w(t2w, t1w, brain, affine, folder)
    moved = apply(t2w.get_fdata(dtype=np.float32), t2w.affine, grid, transform, interpolation='bSpline')
    moved = np.maximum(moved, 0)
    inside = resample(brain, affine, grid, order=0) > 0.5
    return bias.correct(moved, grid.affine, inside & (moved > 0))


def _centre(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    return (affine @ [*((np.array(shape) - 1) / 2), 1])[:3]
