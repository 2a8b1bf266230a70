"""Brain extraction: the template's brain mask, registered to the scan and refined by tissue classes.

The mask includes the ventricles and the CSF of narrow sulci: tissue is closed by 3 mm, together with the
ventricles. Wide CSF spaces (over the convexity, in the Sylvian fissure, around the insula) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cc3d
import edt
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from ..messages import scans
from ..messages.message import Finding
from . import bias, template, tissues
from .ants_images import array_to_ants
from .morphology import bounding_box, close
from .registration import Transform, apply, apply_points, register, register_deformable, search_start
from .resampling import Grid, are_inside, box_on, crop, isotropic_grid, resample

if TYPE_CHECKING:
    import ants

#: Largest height of a head in mm; what is lower is neck.
HEAD_HEIGHT = 175.0
#: Smallest area (mm2) of a section of a head, and what is kept above its top, in mm.
SMALLEST_SECTION, ABOVE_HEAD = 200.0, 8.0
#: Range of the volume of a skull-stripped brain in ml, from infants to large men.
STRIPPED_VOLUME = (550, 2100)
#: Smallest volume of a brain in mm3; a newborn's has 350,000.
SMALLEST_BRAIN = 2e5
#: Radius of the closing of the brain mask, in mm.
CLOSING = 3.0
#: Radius (mm) of an opening of the ventricles: cisterns to which a fissure leads are no part of them.
FISSURE = 2.0
#: Voxel size (mm) at which the template is registered, and at which bias field and tissue classes are refined
#: together.
COARSE_SPACING = 2.0
#: Rounds of this refinement.
REFINEMENT_ROUNDS = 3
#: Distance (mm) from the template's brain, after the affine registration, up to which the images are compared
#: in the deformable one: a child's brain may reach that far; and from there to the edge of the field, which
#: is 0.
DEFORMED_MARGIN, FIELD_MARGIN = 20.0, 12.0
#: Distance (mm) from the brain to the edge of the box in which its tissues are found.
BOX_MARGIN = 12.0
#: Correlation of scan and template in the brain after the affine registration, below which it is begun anew
#: from the best of many tilts.
USUAL_FIT = 0.45
#: The same correlation, by what the scan is, below which it is refused. After the affine registration, T1w
#: heads reach 0.46 to 0.71 and T2w heads 0.29 to 0.60, least with thick slices; heads whose header turns them
#: the wrong way at most 0.28 and 0.15, scans of the other contrast and noise at most 0.01. It is measured
#: before the deformable registration, which bends the template onto anything.
MIN_FIT = {'T1w': 0.37, 'T2w': 0.22}
#: The same after the deformable registration, where heads reach 0.67 to 0.84; below it is told.
GOOD_FIT = 0.62
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


def foreground(image: np.ndarray, spacing: float = 1.0) -> np.ndarray:
    """Mask of the head with its cavities filled.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    spacing : float
        Its voxel size in mm.

    Returns
    -------
    mask : ndarray of bool, shape (x, y, z)
    """
    return ndimage.binary_fill_holes(_brighter_than(0.1, image, spacing))


def _brighter_than(fraction: float, image: np.ndarray, spacing: float) -> np.ndarray:
    """Voxels above a fraction of the 98th percentile of the smoothed image."""
    smooth = ndimage.gaussian_filter(image, 1.5 / spacing)
    return smooth > fraction * np.percentile(smooth, 98)


def head_slices(image: np.ndarray, spacing: float = 1.0) -> slice:
    """Range of axial slices that holds the head without the neck.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        Axis 2 upward.
    spacing : float
        Its voxel size in mm.

    Returns
    -------
    slices : slice
        Along axis 2.

    Raises
    ------
    ImageError
        If there is no head in the image.
    """
    area = _brighter_than(0.25, image, spacing).sum((0, 1)) * spacing**2
    slices = np.flatnonzero(area > SMALLEST_SECTION)
    if not slices.size:
        raise scans.NO_HEAD.error()
    top = int(slices[-1]) + 1
    return slice(
        max(0, top - round(HEAD_HEIGHT / spacing)), min(image.shape[2], top + round(ABOVE_HEAD / spacing))
    )


def register_template(
    image: np.ndarray,
    grid: Grid,
    folder: Path,
    *,
    stripped: bool,
    suffix: str = 'T1w',
    threads: int = 1,
) -> tuple[Transform, Transform]:
    """Register the template to a scan: affine, then deformably in and near the brain.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        At 2 mm, axes nearest to RAS, roughly bias corrected.
    grid : Grid
        Its grid.
    folder : Path
        Folder in which the transforms are kept.
    stripped : bool
        The scan is skull-stripped; the template is then stripped, too.
    suffix : str
        What the scan is: ``T1w`` or ``T2w``.
    threads : int
        They change the time that it takes, not the result.

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
    keep = slice(None) if stripped else head_slices(image, COARSE_SPACING)
    head = crop(grid, (slice(None), slice(None), keep))
    whole = atlas.head(suffix) * (atlas.brain_mask if stripped else 1)
    moving = ants.resample_image(array_to_ants(whole, atlas.affine), (2, 2, 2))
    moving, fixed = (
        ants.iMath_truncate_intensity(i, 0.005, 0.995)
        for i in (moving, array_to_ants(image[:, :, keep], head.affine))
    )
    linear = _register_affine(fixed, moving, head, folder)
    fit = template_fit(image, grid, linear, suffix)
    if not fit >= USUAL_FIT:  # the head may be tilted farther than a registration can follow from its centre
        start = search_start(fixed, moving, folder)
        other = _register_affine(fixed, moving, head, folder, start)
        other_fit = template_fit(image, grid, other, suffix)
        if other_fit > fit:
            linear, fit = other, other_fit
    if not fit >= MIN_FIT[suffix]:
        raise scans.NO_FIT.error(correlation=fit, limit=MIN_FIT[suffix])
    region = near_brain(DEFORMED_MARGIN, head, linear)
    box = bounding_box(region, round(FIELD_MARGIN / COARSE_SPACING))
    inner = crop(head, box)
    return register_deformable(
        array_to_ants(fixed.numpy()[box], inner.affine), moving, array_to_ants(region[box], inner.affine),
        linear, folder, 'brain', threads=threads,
    )  # fmt: skip


def _register_affine(
    fixed: ants.ANTsImage, moving: ants.ANTsImage, head: Grid, folder: Path, start: Transform | None = None
) -> Transform:
    """Register the template to a scan by an affine transform: the head, then the brain.

    Proportions of head, neck and brain differ between children and adults, so the last registration is
    restricted to the brain. Without a start, the centres of mass are laid on each other.
    """
    name = 'head' if start is None else 'head_again'
    linear, _ = register(
        fixed, moving, 'Affine', folder, name,
        initial_transform=None if start is None else [str(p) for p in start.files],
        aff_iterations=(1000, 500), aff_shrink_factors=(4, 2), aff_smoothing_sigmas=(3, 1),
    )  # fmt: skip
    near = array_to_ants(near_brain(12.0, head, linear), head.affine)
    linear, _ = register(
        fixed, moving, 'Affine', folder, name.replace('head', 'brain'), mask=near,
        initial_transform=[str(p) for p in linear.files],
        aff_iterations=(500, 200), aff_shrink_factors=(2, 1), aff_smoothing_sigmas=(1, 0),
    )  # fmt: skip
    return linear


@lru_cache(maxsize=1)
def _distance_from_brain() -> np.ndarray:
    """Distance (mm) of each voxel of the template from its brain; it is asked for three times a scan."""
    return edt.edt(~template.load().brain_mask)


def near_brain(margin: float, grid: Grid, to_subject: Transform) -> np.ndarray:
    """The template's brain dilated by `margin` mm, boolean, on a grid in the scan's space."""
    atlas = template.load()
    dilated = (_distance_from_brain() < margin).astype(np.float32)
    return apply(dilated, atlas.affine, grid, to_subject) > 0.5


def template_fit(image: np.ndarray, grid: Grid, to_subject: Transform, suffix: str = 'T1w') -> float:
    """Correlation of a scan with the registered template in the template's brain.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        Roughly bias corrected.
    grid : Grid
        Its grid.
    to_subject : Transform
        From the template to the scan.
    suffix : str
        What the scan is: ``T1w`` or ``T2w``.

    Returns
    -------
    correlation : float
        Pearson's, in [-1, 1], of both images smoothed by 1 mm; 0 if there is no brain in the image.
    """
    atlas = template.load()
    inside = apply(atlas.brain_mask.astype(np.float32), atlas.affine, grid, to_subject) > 0.5
    moved = apply(atlas.head(suffix), atlas.affine, grid, to_subject)
    sigma = 1.0 / voxel_sizes(grid.affine)
    one, two = (ndimage.gaussian_filter(i, sigma)[inside] for i in (image, moved))
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
    return float(1 - are_inside(places, grid.shape).mean())


def check_fit(fit: float, outside: float, suffix: str = 'T1w') -> tuple[Finding, ...]:
    """What the fit of the template says of a scan.

    Parameters
    ----------
    fit : float
        As `template_fit` measures it.
    outside : float
        As `fraction_outside` measures it.
    suffix : str
        What the scan is: ``T1w`` or ``T2w``.

    Raises
    ------
    ImageError
        If the template does not fit, or more than half of the brain is not in the scan.
    """
    if not fit >= MIN_FIT[suffix]:
        raise scans.NO_FIT.error(correlation=fit, limit=MIN_FIT[suffix])
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
    suffix: str = 'T1w',
    threads: int = 1,
) -> Brain:
    """Brain mask, tissue classes, bias field and template registration of a scan.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        At 1 mm, axes nearest to RAS.
    affine : ndarray, shape (4, 4)
    folder : Path
        Folder in which the transforms are kept.
    brain_mask : ndarray of bool, shape (x, y, z), optional
        A ready-made brain mask, used without changes.
    segmentation : ndarray of uint8, shape (x, y, z), optional
        Ready-made tissue classes, used in place of those found here. Without a brain mask, they define the
        brain.
    suffix : str
        What the scan is: ``T1w`` or ``T2w``.
    threads : int
        They change the time that it takes, not the result.

    Returns
    -------
    brain : Brain

    Raises
    ------
    ImageError
        If no brain is found, or the template does not fit the scan.
    """
    stripped, grid = is_stripped(image), Grid(image.shape, affine)
    coarse_grid = isotropic_grid(affine, image.shape, COARSE_SPACING)
    coarse = resample(image, affine, coarse_grid, order=1)
    # a strong field darkens parts of the brain, whose edge the registration would then take for the skull
    head = foreground(coarse, COARSE_SPACING)
    corrected = bias.correct(coarse, coarse_grid.affine, head, HEAD_FIELD_SPACING)
    to_subject, to_template = register_template(
        corrected, coarse_grid, folder, stripped=stripped, suffix=suffix, threads=threads
    )
    fit = template_fit(corrected, coarse_grid, to_subject, suffix)
    findings = check_fit(fit, fraction_outside(grid, to_template), suffix)
    given = brain_mask
    if given is None and segmentation is not None:
        given = _closed(
            segmentation >= tissues.GM, segmentation == tissues.CSF, _expected_ventricles(grid, to_subject)
        )
    elif given is None and stripped:
        given = ndimage.binary_fill_holes(image > 0.02 * np.percentile(image, 99))
    box = _brain_box(grid, coarse_grid, to_subject, given)
    field, classes, mask = _find_tissues(
        image[box],
        crop(grid, box),
        to_subject,
        initial=None if given is None else given[box],
        is_final=brain_mask is not None or segmentation is not None,
        segmentation=None if segmentation is None else segmentation[box],
    )
    brain, classes_in_brain = np.zeros(image.shape, bool), np.zeros(image.shape, np.uint8)
    brain[box], classes_in_brain[box] = mask, np.where(mask, np.maximum(classes, tissues.CSF), 0)
    return Brain(
        mask=brain,
        bias=field,
        tissues=classes_in_brain,
        to_subject=to_subject,
        to_template=to_template,
        stripped=stripped,
        fit=fit,
        findings=findings,
    )


def _brain_box(
    grid: Grid, coarse_grid: Grid, to_subject: Transform, given: np.ndarray | None
) -> tuple[slice, ...]:
    """The box of voxels of a grid that holds the template's brain with a margin, and a given mask."""
    near = near_brain(BOX_MARGIN, coarse_grid, to_subject)
    box = box_on(grid, bounding_box(near), coarse_grid) if near.any() else None
    if given is None or not given.any():
        if box is None:
            raise scans.NO_BRAIN.error()
        return box
    other = bounding_box(given, 2)
    if box is None:
        return other
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True))


def _find_tissues(
    image: np.ndarray,
    grid: Grid,
    to_subject: Transform,
    *,
    initial: np.ndarray | None,
    is_final: bool,
    segmentation: np.ndarray | None,
) -> tuple[bias.BiasField, np.ndarray, np.ndarray]:
    """Bias field, tissue classes and brain mask in a box about the brain.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        At 1 mm.
    grid : Grid
        Its grid.
    to_subject : Transform
        From the template to the scan.
    initial : ndarray of bool or None
        The brain, ready-made or that of a skull-stripped scan.
    is_final : bool
        Whether `initial` is ready-made, and not changed.
    segmentation : ndarray of uint8 or None
        Ready-made tissue classes.
    """
    atlas = template.load()
    prior = apply(atlas.brain_mask.astype(np.float32), atlas.affine, grid, to_subject)
    around = edt.edt(prior <= 0.5) < 2.0 if initial is None else initial
    check_volume(around)
    field = bias.estimate(image, grid.affine, around)
    if segmentation is None:
        priors = _tissue_priors(grid, to_subject)
        field, mixture = refine_bias_field(field, image, grid.affine, around, priors)
        corrected = image / field.sample(image.shape, grid.affine)
        classes, _ = tissues.classify(corrected, around, priors, start=mixture, iterations=8)
    else:
        classes = segmentation
    if is_final:
        return field, classes, around
    brain = prior > 0.5 if initial is None else initial
    return field, classes, refine_mask(classes, brain, _expected_ventricles(grid, to_subject))


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
) -> tuple[bias.BiasField, tissues.Mixture]:
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
    mixture : Mixture
        Intensities of the tissue classes.
    """
    grid = isotropic_grid(affine, image.shape, COARSE_SPACING)
    coarse, coverage, *coarse_priors = (
        resample(v, affine, grid, order=1) for v in (image, mask.astype(np.float32), *priors)
    )
    for _ in range(REFINEMENT_ROUNDS):
        corrected = coarse / field.sample(grid.shape, grid.affine)
        classes, mixture = tissues.classify(corrected, coverage > 0.5, coarse_priors)
        field = bias.correct_with_white_matter(field, coarse, grid.affine, edt.edt(classes == tissues.WM) > 1)
    return field, mixture


def _tissue_priors(grid: Grid, to_subject: Transform) -> list[np.ndarray]:
    """The template's probabilities of CSF, grey and white matter; outside the brain, that of CSF is 1."""
    atlas = template.load()
    white = np.where(np.isin(atlas.cerebra, template.WHITE_STRUCTURES), 1 - atlas.gm, atlas.wm)
    grey, white = (apply(i, atlas.affine, grid, to_subject) for i in (atlas.gm, white))
    return [np.clip(1 - grey - white, 0, 1), grey, white]


def _expected_ventricles(grid: Grid, to_subject: Transform) -> np.ndarray:
    """The template's ventricles in the scan, boolean, shape (x, y, z)."""
    atlas = template.load()
    ventricles = np.isin(atlas.cerebra, template.VENTRICLES).astype(np.float32)
    return apply(ventricles, atlas.affine, grid, to_subject) > 0.5


def refine_mask(classes: np.ndarray, prior: np.ndarray, ventricles: np.ndarray) -> np.ndarray:
    """The brain mask from tissue classes: grey and white matter in one component, closed by 3 mm.

    Parameters
    ----------
    classes : ndarray of int, shape (x, y, z)
        Tissue classes in and around the brain, at 1 mm.
    prior : ndarray of bool, shape (x, y, z)
        The template's brain in the scan; tissue more than 1 mm outside it is not brain.
    ventricles : ndarray of bool, shape (x, y, z)
        The template's ventricles in the scan.

    Returns
    -------
    mask : ndarray of bool, shape (x, y, z)
    """
    tissue = (classes >= tissues.GM) & (edt.edt(~prior) < 1.5)
    core = edt.edt(tissue) > 1.5  # opened by 1.5 mm: thin bridges connect dura and veins to the brain
    core = largest_component(core)
    tissue &= edt.edt(~core) < 2.6
    return _closed(tissue, (classes == tissues.CSF) & prior, ventricles)


def _closed(tissue: np.ndarray, fluid: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The largest component of tissue with the ventricles, closed, its holes filled; shape (x, y, z).

    Ventricles are no hole in tissue where they are open to the cisterns, as wide ones are at the choroid
    fissure. They are the template's, `expected`, and the `fluid` about them.
    """
    fluid = expected | (fluid & (edt.edt(~expected) < template.VENTRICLE_REACH))
    core = edt.edt(fluid) > FISSURE
    labels = cc3d.connected_components(core, connectivity=6)
    core = np.isin(labels, np.unique(labels[expected & core]))
    ventricles = expected | (fluid & (edt.edt(~core) <= FISSURE))
    return close(largest_component(tissue) | ventricles, CLOSING)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 6-connected component of a boolean mask."""
    return cc3d.largest_k(mask, k=1, connectivity=6) > 0
