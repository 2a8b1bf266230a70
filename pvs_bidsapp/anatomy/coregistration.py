"""Rigid registration of a T2w to the T1w of the same session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import edt
import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from ..messages import scans
from . import bias
from .ants_images import array_to_ants
from .conform import WORKING_SPACING, ScanImage
from .morphology import bounding_box
from .registration import Transform, apply, matrix_of, register
from .resampling import Grid, are_inside, crop, isotropic_grid, resample

#: Fraction of the brain that a T2w has to cover, and below which it is told.
MIN_COVERED, WELL_COVERED = 0.75, 0.97
#: Largest correlation of the local contrasts (within `LOCAL` mm) of T1w and aligned T2w, which are opposed.
MAX_CORRELATION, LOCAL = -0.1, 8.0
#: The images are compared up to this distance (mm) from the brain.
NEAR_BRAIN = 12.0
#: If the centres of the two images are farther apart (mm), their headers are not trusted.
MAX_CENTRE_DISTANCE = 40.0
#: A mirrored T2w whose correlation is lower than its own by this fits better as a mirror image.
MIRRORED = 0.02


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How a T2w lies on the T1w.

    Attributes
    ----------
    covered : float
        Fraction of the brain that the T2w covers.
    correlation, mirrored : float
        Correlation of the local contrasts of T1w and T2w, and of its mirror image, which is registered, too.
        The lower, the better.
    moved : float
        How far the T2w was moved at the middle of the brain, in mm.
    """

    covered: float
    correlation: float
    mirrored: float
    moved: float

    @property
    def is_mirrored(self) -> bool:
        """Whether left and right of the T2w seem to be exchanged."""
        return self.mirrored < self.correlation - MIRRORED


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

    centres = [_centre(brain_mask.shape, affine), _centre(t2w.grid.shape, t2w.grid.affine)]
    box = bounding_box(brain_mask, round(NEAR_BRAIN) + 4)
    near = edt.edt(~brain_mask[box]) < NEAR_BRAIN
    affine = crop(Grid(t1w.shape, affine), box).affine
    # T2w scans may have millions of voxels more than the T1w at 1 mm has
    coarse = isotropic_grid(t2w.grid.affine, t2w.grid.shape, WORKING_SPACING)
    moving = array_to_ants(resample(t2w.image, t2w.grid.affine, coarse, order=1), coarse.affine)
    moving = ants.iMath_truncate_intensity(moving, 0.001, 0.999)
    options: dict[str, object] = {}
    if np.linalg.norm(centres[0] - centres[1]) < MAX_CENTRE_DISTANCE:
        options['initial_transform'] = 'Identity'
    forward, _ = register(
        array_to_ants(t1w[box], affine), moving, 'Rigid', folder, 't2w',
        mask=array_to_ants(near.astype(np.float32), affine), aff_metric='mattes',
        aff_iterations=(500, 250, 50), aff_shrink_factors=(4, 2, 1), aff_smoothing_sigmas=(2, 1, 0),
        aff_random_sampling_rate=0.1, **options,
    )  # fmt: skip
    return forward


def coregister_t2w(
    t2w: ScanImage,
    t1w: np.ndarray,
    brain_mask: np.ndarray,
    affine: np.ndarray,
    grid: Grid,
    folder: Path,
) -> tuple[np.ndarray, Alignment]:
    """A T2w aligned to the T1w, resampled and bias corrected; other parameters as `align_t2w`.

    Parameters
    ----------
    grid : Grid
        Grid of the result.

    Returns
    -------
    image : ndarray of float32
        Of the grid's shape, not negative.
    alignment : Alignment

    Raises
    ------
    ImageError
        If the T2w leaves out much of the brain, or does not lie on the T1w.
    """
    transform = align_t2w(t2w, t1w, brain_mask, affine, folder)
    alignment = check_alignment(t2w, transform, t1w, brain_mask, affine, folder)
    moved = np.maximum(_moved(t2w, transform, grid, order=3), 0)
    inside = resample(brain_mask, affine, grid, order=0) > 0.5
    return bias.correct(moved, grid.affine, inside & (moved > 0)), alignment


def contrast_correlation(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> float:
    """Correlation of the local contrasts of two images, which bias fields do not change.

    Parameters
    ----------
    first, second : ndarray, shape (x, y, z)
        At 1 mm, not negative.
    mask : ndarray of bool, shape (x, y, z)
        Voxels that are compared.

    Returns
    -------
    correlation : float
        Pearson's, in [-1, 1]; NaN if an image is constant.
    """
    weight = ndimage.gaussian_filter(mask.astype(np.float32), LOCAL)

    def local(image: np.ndarray) -> np.ndarray:
        floor = 0.05 * float(np.median(image[mask])) + 1e-6
        logarithm = np.where(mask, np.log(np.maximum(image, floor)), 0).astype(np.float32)
        return (logarithm - ndimage.gaussian_filter(logarithm, LOCAL) / np.maximum(weight, 1e-3))[mask]

    return float(np.corrcoef(local(first), local(second))[0, 1])


def check_alignment(
    t2w: ScanImage,
    transform: Transform,
    t1w: np.ndarray,
    brain_mask: np.ndarray,
    affine: np.ndarray,
    folder: Path,
) -> Alignment:
    """How a T2w lies on the T1w; other parameters as `align_t2w`.

    Parameters
    ----------
    transform : Transform
        From the T2w to the T1w.

    Raises
    ------
    ImageError
        If the T2w leaves out much of the brain, or does not lie on the T1w.
    """
    box = bounding_box(brain_mask, 1)
    t1w, inside, grid = t1w[box], brain_mask[box], crop(Grid(t1w.shape, affine), box)
    places = apply_affine(_to_voxels(t2w, transform, grid), np.argwhere(inside))
    is_covered = are_inside(places, t2w.grid.shape)
    covered = float(is_covered.mean())
    if covered < MIN_COVERED:
        raise scans.T2W_NO_OVERLAP.error(percent=100 * covered)
    compared = np.zeros(inside.shape, bool)
    compared[inside] = is_covered
    moved = _moved(t2w, transform, grid, order=1)
    correlation = contrast_correlation(t1w, moved, compared)
    if not correlation < MAX_CORRELATION:
        raise scans.T2W_NO_FIT.error(correlation=correlation)
    centre = apply_affine(grid.affine, np.argwhere(inside).mean(0))
    return Alignment(
        covered=covered,
        correlation=correlation,
        mirrored=_mirrored(t1w, moved, compared, grid, folder),
        moved=float(np.linalg.norm(apply_affine(matrix_of(transform), centre) - centre)),
    )


def _mirrored(t1w: np.ndarray, t2w: np.ndarray, mask: np.ndarray, grid: Grid, folder: Path) -> float:
    """Correlation of the local contrasts of a T1w and the mirror image of a T2w.

    The images lie on one grid near RAS; the mirror image is registered, coarsely. `mask` says where they are
    compared.
    """
    mirror = t2w[::-1]
    forward, _ = register(
        array_to_ants(t1w, grid.affine), array_to_ants(mirror, grid.affine), 'Rigid', folder, 'mirror',
        aff_metric='mattes', aff_iterations=(100, 50), aff_shrink_factors=(4, 2), aff_smoothing_sigmas=(2, 1),
        aff_random_sampling_rate=0.1,
    )  # fmt: skip
    return contrast_correlation(t1w, np.maximum(apply(mirror, grid.affine, grid, forward), 0), mask)


def _moved(t2w: ScanImage, transform: Transform, grid: Grid, *, order: int) -> np.ndarray:
    """A T2w on the T1w's grid, by a spline of this order; 0 outside of its field of view."""
    matrix = _to_voxels(t2w, transform, grid)
    return ndimage.affine_transform(
        t2w.image, matrix[:3, :3], matrix[:3, 3], output_shape=grid.shape, order=order, mode='constant'
    )


def _to_voxels(t2w: ScanImage, transform: Transform, grid: Grid) -> np.ndarray:
    """Matrix from voxels of a grid in the T1w's space to those of the T2w."""
    return np.linalg.inv(t2w.grid.affine) @ matrix_of(transform) @ grid.affine


def _centre(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    return (affine @ [*((np.array(shape) - 1) / 2), 1])[:3]
