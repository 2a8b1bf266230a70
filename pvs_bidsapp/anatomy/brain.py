"""Brain extraction: the template's brain mask, registered to the scan and refined by tissue classes.

The mask includes the ventricles and the CSF of narrow sulci: tissue is closed by 3 mm. Wide CSF spaces (over
the convexity, in the Sylvian fissure, around the insula) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cc3d
import edt
import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from ..messages import scans
from ..messages.message import Finding
from . import bias, template, tissues
from .ants_images import array_to_ants
from .morphology import close
from .registration import Transform, apply, apply_points, register
from .resampling import Grid, isotropic_grid, resample

if TYPE_CHECKING:
    import ants

#: Largest height of a head in mm; what is lower is neck.
HEAD_HEIGHT = 175.0
#: Range of the volume of a skull-stripped brain in ml, from infants to large men.
STRIPPED_VOLUME = (550, 2100)
#: Smallest volume of a brain in mm3; a newborn's has 350,000.
SMALLEST_BRAIN = 2e5
#: Radius of the closing of the brain mask, in mm.
CLOSING = 3.0
#: Voxel size (mm) at which the bias field and the tissue classes are refined together, and the number of
#: rounds.
REFINEMENT_SPACING, REFINEMENT_ROUNDS = 2.0, 3
#: Correlation of scan and template in the brain. T1w heads reach 0.7 to 0.9, heads whose header turns them
#: the wrong way 0.35; that of T2w scans and of what is no head is negative or 0. Below the first value a scan
#: is refused, below the second it is told. After the affine registration alone, T1w heads reach 0.55 to 0.7.
MIN_FIT, GOOD_FIT, MIN_AFFINE_FIT = 0.5, 0.65, 0.1
#: Fraction of the template's brain outside of the field of view that is told, and that is refused.
NOTABLE_CUT, MAX_CUT = 0.05, 0.5
#: Voxel size (mm) of the bias field of the whole head, which is corrected for registration only.
HEAD_FIELD_SPACING = 8.0


@dataclass(frozen=True, kw_only=True)
class Brain:
    """Brain of a scan, on the scan's 1 mm working grid.

    Attributes
    ----------
    mask : ndarray of bool, shape (x, y, z)
    bias : BiasField
        Estimated within the brain.
    tissues : ndarray of uint8, shape (x, y, z)
        1 CSF, 2 grey matter, 3 white matter, 0 outside the mask.
    to_subject : Transform
        From the template to the scan.
    to_template : Transform
        From the scan to the template.
    stripped : bool
        The scan was skull-stripped already.
    fit : float
        Correlation of the scan with the template in the brain, in [-1, 1].
    findings : tuple of Finding
        What is unclear about the scan.
    """

    mask: np.ndarray
    bias: bias.BiasField
    tissues: np.ndarray
    to_subject: Transform
    to_template: Transform
    stripped: bool
    fit: float
    findings: tuple[Finding, ...]


def is_stripped(image: np.ndarray) -> bool:
    """Whether a scan is skull-stripped.

    The background of a stripped scan has one constant value, and the rest has the volume of a brain. A whole
    head is larger: more than 2.2 litres even in a small child without its neck.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        At 1 mm.
    """
    background = float(np.median(image[0])) if image.size else 0.0
    foreground = np.abs(image - background) > 1e-3 * max(float(np.ptp(image)), 1e-9)
    borders = [foreground.take(k, axis).mean() for axis in range(3) for k in (0, -1)]
    if np.mean(borders) > 0.01:
        return False
    volume = ndimage.binary_fill_holes(ndimage.binary_opening(foreground)).sum() / 1000
    return STRIPPED_VOLUME[0] < volume < STRIPPED_VOLUME[1]


def foreground(image: np.ndarray) -> np.ndarray:
    """Mask of the head with its cavities filled.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        At 1 mm.

    Returns
    -------
    mask : ndarray of bool, shape (x, y, z)
    """
    return ndimage.binary_fill_holes(_brighter_than(0.1, image))


def _brighter_than(fraction: float, image: np.ndarray) -> np.ndarray:
    """Voxels above a fraction of the 98th percentile of the smoothed image."""
    smooth = ndimage.gaussian_filter(image, 1.5)
    return smooth > fraction * np.percentile(smooth, 98)


def head_slices(image: np.ndarray, height: float = HEAD_HEIGHT) -> slice:
    """Range of axial slices that holds the head without the neck.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        At 1 mm, axis 2 upward.
    height : float
        Height below the top of the head that is kept, in mm.

    Returns
    -------
    slices : slice
        Along axis 2.

    Raises
    ------
    ImageError
        If there is no head in the image.
    """
    slices = np.flatnonzero(_brighter_than(0.25, image).sum((0, 1)) > 200)
    if not slices.size:
        raise scans.NO_HEAD.error()
    top = slices[-1] + 1
    return slice(max(0, int(top - height)), min(image.shape[2], int(top) + 8))


def register_template(
    image: np.ndarray, affine: np.ndarray, folder: Path, *, stripped: bool
) -> tuple[Transform, Transform]:
    """Register the template to a scan at 2 mm: affine, then SyN in and near the brain.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        At 1 mm, axes nearest to RAS, roughly bias corrected.
    affine : ndarray, shape (4, 4)
    folder : Path
        Folder in which the transforms are kept.
    stripped : bool
        The scan is skull-stripped; the template is then stripped, too.

    Returns
    -------
    to_subject, to_template : Transform

    Raises
    ------
    ImageError
        If there is no head in the image, or the template does not fit it.
    """
    import ants

    atlas = template.load()
    keep = slice(None) if stripped else head_slices(image)
    cropped = affine.copy()
    cropped[:3, 3] = (affine @ [0, 0, keep.start or 0, 1])[:3]
    fixed = ants.resample_image(array_to_ants(image[:, :, keep], cropped), (2, 2, 2))
    whole = atlas.t1w * (atlas.brain_mask if stripped else 1)
    moving = ants.resample_image(array_to_ants(whole, atlas.affine), (2, 2, 2))
    fixed, moving = (ants.iMath_truncate_intensity(i, 0.005, 0.995) for i in (fixed, moving))
    linear, _ = register(
        fixed, moving, 'Affine', folder, 'head',
        aff_iterations=(1000, 500, 100), aff_shrink_factors=(4, 2, 1), aff_smoothing_sigmas=(3, 1, 0),
    )  # fmt: skip
    # proportions of head, neck and brain differ between children and adults, so the last affine registration
    # is restricted to the brain
    grid = Grid(image.shape, affine)
    linear, _ = register(
        fixed, moving, 'Affine', folder, 'brain', mask=_brain_region(12.0, grid, linear, fixed),
        initial_transform=[str(p) for p in linear.files],
        aff_iterations=(500, 200), aff_shrink_factors=(2, 1), aff_smoothing_sigmas=(1, 0),
    )  # fmt: skip
    fit = template_fit(image, grid, linear)
    if not fit >= MIN_AFFINE_FIT:  # noise, another organ, another contrast: spare the minute that SyN takes
        raise scans.NO_FIT.error(correlation=fit, limit=MIN_FIT)
    return register(
        fixed, moving, 'SyNOnly', folder, 'syn', initial_transform=[str(p) for p in linear.files],
        mask=_brain_region(10.0, grid, linear, fixed), reg_iterations=(60, 50, 20),
    )  # fmt: skip


def _brain_region(margin: float, grid: Grid, to_subject: Transform, like: ants.ANTsImage) -> ants.ANTsImage:
    """The template's brain mask dilated by `margin` mm, in the scan's space, on the grid of `like`."""
    import ants

    atlas = template.load()
    dilated = (edt.edt(~atlas.brain_mask) < margin).astype(np.float32)
    region = apply(dilated, atlas.affine, grid, to_subject) > 0.5
    return ants.resample_image_to_target(array_to_ants(region, grid.affine), like, 'nearestNeighbor')


def template_fit(image: np.ndarray, grid: Grid, to_subject: Transform) -> float:
    """Correlation of a scan with the registered template in the template's brain.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        At 1 mm, roughly bias corrected.
    grid : Grid
        Its grid.
    to_subject : Transform
        From the template to the scan.

    Returns
    -------
    correlation : float
        Pearson's, in [-1, 1], of both images smoothed by 1 mm; 0 if there is no brain in the image.
    """
    atlas = template.load()
    every = (slice(None, None, 2),) * 3
    inside = apply(atlas.brain_mask.astype(np.float32), atlas.affine, grid, to_subject)[every] > 0.5
    moved = apply(atlas.t1w, atlas.affine, grid, to_subject)
    one, two = (ndimage.gaussian_filter(i, 1.0)[every][inside] for i in (image, moved))
    if len(one) < 1000 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return 0.0
    return float(np.corrcoef(one, two)[0, 1])


def fraction_outside(grid: Grid, to_template: Transform) -> float:
    """Fraction of the template's brain that lies outside of a scan's field of view.

    Parameters
    ----------
    grid : Grid
        Of the scan.
    to_template : Transform
        From the scan to the template, which takes points from the template to the scan.

    Returns
    -------
    fraction : float
        In [0, 1].
    """
    atlas = template.load()
    every = 5
    voxels = np.argwhere(atlas.brain_mask[::every, ::every, ::every]) * every
    points = apply_points(apply_affine(atlas.affine, voxels), to_template)
    places = apply_affine(np.linalg.inv(grid.affine), points)
    inside = ((places > -0.5) & (places < np.array(grid.shape) - 0.5)).all(1)
    return float(1 - inside.mean())


def check_fit(fit: float, outside: float) -> tuple[Finding, ...]:
    """What the fit of the template says of a scan.

    Parameters
    ----------
    fit : float
        As `template_fit` measures it.
    outside : float
        As `fraction_outside` measures it.

    Raises
    ------
    ImageError
        If the template does not fit, or more than half of the brain is not in the scan.
    """
    if not fit >= MIN_FIT:
        raise scans.NO_FIT.error(correlation=fit, limit=MIN_FIT)
    if outside > MAX_CUT:
        raise scans.HALF_BRAIN.error(percent=100 * outside)
    findings = []
    if fit < GOOD_FIT:
        findings.append(scans.POOR_FIT.finding(correlation=fit))
    if outside > NOTABLE_CUT:
        findings.append(scans.BRAIN_CUT.finding(percent=100 * outside))
    return tuple(findings)


def extract_brain(
    image: np.ndarray,
    affine: np.ndarray,
    folder: Path,
    *,
    brain_mask: np.ndarray | None = None,
    segmentation: np.ndarray | None = None,
) -> Brain:
    """Brain mask, tissue classes, bias field and template registration of a T1w scan.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        T1w at 1 mm, axes nearest to RAS.
    affine : ndarray, shape (4, 4)
    folder : Path
        Folder in which the transforms are kept.
    brain_mask : ndarray of bool, shape (x, y, z), optional
        A ready-made brain mask, used without changes.
    segmentation : ndarray of uint8, shape (x, y, z), optional
        Ready-made tissue classes, used in place of those of Atropos. Without a brain mask, they define the
        brain.

    Returns
    -------
    brain : Brain

    Raises
    ------
    ImageError
        If no brain is found, or the template does not fit the scan.
    """
    stripped = is_stripped(image)
    # a strong field darkens parts of the brain, whose edge the registration would then take for the skull
    corrected = bias.correct(image, affine, foreground(image), HEAD_FIELD_SPACING)
    to_subject, to_template = register_template(corrected, affine, folder, stripped=stripped)
    atlas = template.load()
    grid = Grid(image.shape, affine)
    fit = template_fit(corrected, grid, to_subject)
    findings = check_fit(fit, fraction_outside(grid, to_template))
    prior = apply(atlas.brain_mask.astype(np.float32), atlas.affine, grid, to_subject)
    if brain_mask is None and segmentation is not None:
        brain_mask = close(largest_component(segmentation >= tissues.GM), CLOSING)
    if brain_mask is not None:
        initial = brain_mask
    elif stripped:
        initial = ndimage.binary_fill_holes(image > 0.02 * np.percentile(image, 99))
    else:
        initial = edt.edt(prior <= 0.5) < 2.0
    check_volume(initial)
    field = bias.estimate(image, affine, initial)
    if segmentation is not None:
        classes = segmentation
    else:
        priors = [apply(p, atlas.affine, grid, to_subject) for p in _tissue_priors(atlas)]
        field = refine_bias_field(field, image, affine, initial, priors)
        classes = tissues.classify(image / field.sample(image.shape, affine), affine, initial, priors)
    mask = initial if brain_mask is not None else refine_mask(classes, initial if stripped else prior > 0.5)
    return Brain(
        mask=mask,
        bias=field,
        tissues=np.where(mask, np.maximum(classes, tissues.CSF), 0).astype(np.uint8),
        to_subject=to_subject,
        to_template=to_template,
        stripped=stripped,
        fit=fit,
        findings=findings,
    )


def check_volume(mask: np.ndarray) -> None:
    """Check that a mask at 1 mm may be a brain.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)

    Raises
    ------
    ImageError
        If it has less than `SMALLEST_BRAIN`.
    """
    if mask.sum() < SMALLEST_BRAIN:
        raise scans.NO_BRAIN.error()


def refine_bias_field(
    field: bias.BiasField, image: np.ndarray, affine: np.ndarray, mask: np.ndarray, priors: list[np.ndarray]
) -> bias.BiasField:
    """Correct a bias field by white matter, and white matter by the field, alternately at 2 mm.

    N4 may leave a fifth of a strong field, which makes white matter look like grey matter. After a correction
    by the white matter that was found so far, the next round finds more of it.

    Parameters
    ----------
    field : BiasField
        As N4 estimates it.
    image : ndarray, shape (x, y, z)
        Not corrected.
    affine : ndarray, shape (4, 4)
    mask : ndarray of bool, shape (x, y, z)
        The brain.
    priors : list of ndarray, shape (x, y, z)
        Probability of CSF, grey and white matter, in [0, 1].

    Returns
    -------
    field : BiasField
        On the grid of `field`.
    """
    grid = isotropic_grid(affine, image.shape, REFINEMENT_SPACING)
    coarse, coverage, *coarse_priors = (
        resample(v, affine, grid, order=1) for v in (image, mask.astype(np.float32), *priors)
    )
    for _ in range(REFINEMENT_ROUNDS):
        corrected = coarse / field.sample(grid.shape, grid.affine)
        white = tissues.classify(corrected, grid.affine, coverage > 0.5, coarse_priors) == tissues.WM
        field = bias.correct_with_white_matter(field, coarse, grid.affine, edt.edt(white) > 1)
    return field


def _tissue_priors(atlas: template.Template) -> list[np.ndarray]:
    """Probabilities of CSF, grey and white matter of the template; outside the brain, that of CSF is 1."""
    white = np.where(np.isin(atlas.cerebra, template.WHITE_STRUCTURES), 1 - atlas.gm, atlas.wm)
    return [np.clip(1 - atlas.gm - white, 0, 1), atlas.gm, white]


def refine_mask(classes: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """The brain mask from tissue classes: grey and white matter in one component, closed by 3 mm.

    Parameters
    ----------
    classes : ndarray of int, shape (x, y, z)
        Tissue classes in and around the brain, at 1 mm.
    prior : ndarray of bool, shape (x, y, z)
        The template's brain in the scan; tissue more than 1 mm outside it is not brain.

    Returns
    -------
    mask : ndarray of bool, shape (x, y, z)
    """
    tissue = (classes >= tissues.GM) & (edt.edt(~prior) < 1.5)
    core = edt.edt(tissue) > 1.5  # opened by 1.5 mm: thin bridges connect dura and veins to the brain
    core = largest_component(core)
    tissue &= edt.edt(~core) < 2.6
    return close(largest_component(tissue), CLOSING)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 6-connected component of a boolean mask."""
    return cc3d.largest_k(mask, k=1, connectivity=6) > 0
