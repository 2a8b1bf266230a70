"""Brain extraction: the template's brain, brought over by registration, refined by tissue.

The mask holds the brain with its ventricles and the CSF of narrow sulci; wide CSF (over the
convexity, in the Sylvian fissure, around the insula) is left out, so that it is not taken for
brain: tissue is closed by 3 mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cc3d
import edt
import numpy as np
from scipy import ndimage

from ..errors import ImageError
from . import bias, template, tissues
from .ants_images import array_to_ants
from .morphology import close
from .registration import Transform, apply, register
from .resampling import Grid, isotropic_grid, resample

if TYPE_CHECKING:
    import ants

#: A head is at most this high: what lies lower is neck.
HEAD_HEIGHT = 175.0
#: Volume of a stripped brain in ml, infants and large men included.
STRIPPED_VOLUME = (550, 2100)
CLOSING = 3.0
#: Voxel size in mm of the white matter that evens out the bias field, and how often it does.
EVENING, ROUNDS = 2.0, 3
#: In mm, of the grid of the field that is found in the whole head for registration.
ROUGH = 8.0


@dataclass(frozen=True)
class Brain:
    """Where the brain is.

    Attributes
    ----------
    mask : ndarray of bool, shape (x, y, z)
    bias : BiasField
        Estimated within the brain.
    tissues : ndarray of uint8
        1 CSF, 2 grey matter, 3 white matter, in the mask.
    to_subject : Transform
        From the template to the scan.
    to_template : Transform
        From the scan to the template.
    stripped : bool
        The scan came without a skull.
    """

    mask: np.ndarray
    bias: bias.BiasField
    tissues: np.ndarray
    to_subject: Transform
    to_template: Transform
    stripped: bool


def is_stripped(image: np.ndarray) -> bool:
    """Whether a 1 mm scan has been skull-stripped already.

    Its background is then one constant value and what is left has a brain's volume. A whole head
    is larger (over 2.2 litres even in a small child with its neck cut off).
    """
    background = float(np.median(image[0])) if image.size else 0.0
    foreground = np.abs(image - background) > 1e-3 * max(float(np.ptp(image)), 1e-9)
    borders = [foreground.take(k, axis).mean() for axis in range(3) for k in (0, -1)]
    if np.mean(borders) > 0.01:
        return False
    volume = ndimage.binary_fill_holes(ndimage.binary_opening(foreground)).sum() / 1000
    return STRIPPED_VOLUME[0] < volume < STRIPPED_VOLUME[1]


def foreground(image: np.ndarray) -> np.ndarray:
    """What is not air in a 1 mm scan: the head, filled."""
    return ndimage.binary_fill_holes(_brighter_than(0.1, image))


def _brighter_than(share: float, image: np.ndarray) -> np.ndarray:
    """Voxels above a share of the brightest tissue, noise smoothed away."""
    smooth = ndimage.gaussian_filter(image, 1.5)
    return smooth > share * np.percentile(smooth, 98)


def without_neck(image: np.ndarray, height: float = HEAD_HEIGHT) -> slice:
    """Slices of the head along axis 2 (upward), at 1 mm: from its top down by `height`."""
    slices = np.flatnonzero(_brighter_than(0.25, image).sum((0, 1)) > 200)
    if not slices.size:
        raise ImageError('no head was found in the image')
    top = slices[-1] + 1
    return slice(max(0, int(top - height)), min(image.shape[2], int(top) + 8))


def align(
    image: np.ndarray, affine: np.ndarray, folder: Path, *, stripped: bool
) -> tuple[Transform, Transform]:
    """Register the template to a scan (1 mm, RAS order): affine, then SyN about the brain at 2 mm.

    Returns
    -------
    to_subject, to_template : Transform
    """
    import ants

    atlas = template.load()
    keep = slice(None) if stripped else without_neck(image)
    cut = affine.copy()
    cut[:3, 3] = (affine @ [0, 0, keep.start or 0, 1])[:3]
    fixed = ants.resample_image(array_to_ants(image[:, :, keep], cut), (2, 2, 2))
    whole = atlas.t1w * (atlas.brain_mask if stripped else 1)
    moving = ants.resample_image(array_to_ants(whole, atlas.affine), (2, 2, 2))
    fixed, moving = (ants.iMath_truncate_intensity(i, 0.005, 0.995) for i in (fixed, moving))
    linear, _ = register(
        fixed, moving, 'Affine', folder, 'head',
        aff_iterations=(1000, 500, 100), aff_shrink_factors=(4, 2, 1), aff_smoothing_sigmas=(3, 1, 0),
    )  # fmt: skip
    # a child's head and neck are of other proportions than its brain: the brain has the last word
    grid = Grid(image.shape, affine)
    focus = _about_brain(12.0, grid, linear, fixed)
    linear, _ = register(
        fixed, moving, 'Affine', folder, 'brain', mask=focus,
        initial_transform=[str(p) for p in linear.files],
        aff_iterations=(500, 200), aff_shrink_factors=(2, 1), aff_smoothing_sigmas=(1, 0),
    )  # fmt: skip
    return register(
        fixed, moving, 'SyNOnly', folder, 'syn', initial_transform=[str(p) for p in linear.files],
        mask=_about_brain(10.0, grid, linear, fixed), reg_iterations=(60, 50, 20),
    )  # fmt: skip


def _about_brain(margin: float, grid: Grid, to_subject: Transform, like: ants.ANTsImage) -> ants.ANTsImage:
    """The template's brain widened by `margin` mm, brought to the scan, on the grid of `like`."""
    import ants

    atlas = template.load()
    near = (edt.edt(~atlas.brain_mask) < margin).astype(np.float32)
    around = apply(near, atlas.affine, grid, to_subject) > 0.5
    return ants.resample_image_to_target(array_to_ants(around, grid.affine), like, 'nearestNeighbor')


def extract_brain(
    image: np.ndarray,
    affine: np.ndarray,
    folder: Path,
    *,
    given: np.ndarray | None = None,
    segmentation: np.ndarray | None = None,
) -> Brain:
    """Brain mask and tissue classes of a T1w scan.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        At 1 mm, axes nearest to RAS.
    affine : ndarray, shape (4, 4)
    folder : Path
        Where the transforms are kept.
    given : ndarray of bool, optional
        A ready-made brain mask, which is then used as it is.
    segmentation : ndarray of uint8, optional
        Ready-made tissue classes, which are then used instead of Atropos'; without a mask they
        also bound the brain.

    Raises
    ------
    ImageError
        If no brain is found.
    """
    stripped = is_stripped(image)
    # where a strong field darkens the brain, its edge would be taken for the skull
    level = bias.correct(image, affine, foreground(image), ROUGH)
    to_subject, to_template = align(level, affine, folder, stripped=stripped)
    atlas = template.load()
    grid = Grid(image.shape, affine)
    prior = apply(atlas.brain_mask.astype(np.float32), atlas.affine, grid, to_subject)
    if given is None and segmentation is not None:
        given = close(largest(segmentation >= tissues.GM), CLOSING)
    if given is not None:
        start = given
    elif stripped:
        start = ndimage.binary_fill_holes(image > 0.02 * np.percentile(image, 99))
    else:
        start = edt.edt(prior <= 0.5) < 2.0
    if start.sum() < 2e5:
        raise ImageError('no brain was found; is this a T1w scan of a whole head, right side up?')
    field = bias.estimate(image, affine, start)
    if segmentation is not None:
        classes = segmentation
    else:
        priors = [apply(p, atlas.affine, grid, to_subject) for p in _tissue_priors(atlas)]
        field = even_field(field, image, affine, start, priors)
        classes = tissues.classify(image / field.on(image.shape, affine), affine, start, priors)
    mask = start if given is not None else refine(classes, start if stripped else prior > 0.5)
    classes = np.where(mask, np.maximum(classes, tissues.CSF), 0).astype(np.uint8)
    return Brain(mask, field, classes, to_subject, to_template, stripped)


def even_field(
    field: bias.BiasField, image: np.ndarray, affine: np.ndarray, mask: np.ndarray, priors: list[np.ndarray]
) -> bias.BiasField:
    """The bias field and white matter by turns, coarsely: where one is wrong, so is the other at first.

    A strong field of which N4 leaves a fifth makes grey matter of white; classes found with the field
    that the white matter elsewhere tells of reach farther each time.

    Parameters
    ----------
    field : BiasField
        As N4 finds it.
    image : ndarray, shape (x, y, z)
        Not corrected.
    affine : ndarray, shape (4, 4)
    mask : ndarray of bool
    priors : list of ndarray
        Probability of CSF, grey and white matter, on the image's grid.

    Returns
    -------
    field : BiasField
        On the grid of `field`.
    """
    grid = isotropic_grid(affine, image.shape, EVENING)
    small, share, *likely = (
        resample(v, affine, grid, order=1) for v in (image, mask.astype(np.float32), *priors)
    )
    for _ in range(ROUNDS):
        flat = small / field.on(grid.shape, grid.affine)
        white = tissues.classify(flat, grid.affine, share > 0.5, likely) == tissues.WM
        field = bias.correct_with_white_matter(field, small, grid.affine, edt.edt(white) > 1)
    return field


def _tissue_priors(atlas: template.Template) -> list[np.ndarray]:
    """CSF, grey and white matter of the template; CSF also fills the surroundings."""
    white = np.where(np.isin(atlas.cerebra, template.WHITE_STRUCTURES), 1 - atlas.gm, atlas.wm)
    return [np.clip(1 - atlas.gm - white, 0, 1), atlas.gm, white]


def refine(classes: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """The brain mask from tissue classes: grey and white matter in one piece, closed by 3 mm.

    Parameters
    ----------
    classes : ndarray of int
        Tissue classes in and about the brain.
    prior : ndarray of bool
        The template's brain in the scan; tissue more than 1 mm outside of it is no brain.
    """
    tissue = (classes >= tissues.GM) & (edt.edt(~prior) < 1.5)
    core = edt.edt(tissue) > 1.5  # opened by 1.5 mm: dura and veins hang on by thin bridges
    core = largest(core)
    tissue &= edt.edt(~core) < 2.6
    return close(largest(tissue), CLOSING)


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest 6-connected piece of a mask."""
    return cc3d.largest_k(mask, k=1, connectivity=6) > 0
