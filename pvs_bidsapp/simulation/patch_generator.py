"""Training patches made from nothing but label maps: no patch is ever seen twice, and nothing is stored.

Each patch is a deformed and aged part of a label map, with its own spaces and mimics, contrast, scanner and
faults of the preparation, in the units of a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage

from ..segmentation.intensity import TissueNormalization
from . import artefacts, contrast
from .contrast import Contrast, TissueRanges
from .fields import control_points, smooth_field
from .head import MASK_OCCUPANCY
from .patch_anatomy import BRAIN, PatchAnatomy, draw_anatomy
from .patch_source import PatchSource
from .patch_spaces import PatchContents, draw_contents

#: Voxels that are made around a patch and cut off again, to avoid edge effects.
MARGIN = 6
#: How often a patch is centred in each region; elsewhere in the brain's deep parts if a label map lacks one.
REGION_WEIGHTS = {
    'white-matter': 0.55, 'basal-ganglia': 0.22, 'thalamus': 0.08, 'midbrain': 0.08, 'hippocampus': 0.07,
}  # fmt: skip
#: A patch's centre is up to this fraction of its edge away from the voxel that was drawn.
CENTRE_SHIFT = 0.15
#: Voxel sizes in mm. In a third of the patches, one axis has larger ones.
SPACING, ANISOTROPY = (0.6, 1.2), (1.0, 1.5)
#: If voxels may be larger, so many patches have slices thicker than that, along each axis as often as this.
SLICES, SLICE_AXES = 0.5, (0.2, 0.2, 0.6)
#: How often a T2w of such patches lies on the grid that it was measured on.
OWN_GRID = 0.6
#: Signal of white matter over the standard deviation of the noise, drawn log-uniformly.
SNR = (11.0, 90.0)
#: Intensities of cortex and of CSF, white matter being 1; and how far CSF is from cortex at least.
T1W, T2W = TissueRanges((0.42, 0.86), (0.03, 0.45)), TissueRanges((1.08, 1.85), (1.8, 5.0))
FLUID_GAP = 0.25
#: Contrast of lesions to white matter, as a fraction of that of CSF: to as dark as faint spaces and beyond.
LESION = (0.1, 0.6)
#: Width of the point spread function in voxels, and largest factor of its worst axis.
FWHM, WORST_AXIS = (0.3, 1.1), 1.8
#: How often k-space is truncated and filtered. With little ringing left, this blurs more than the point
#: spread function does.
TRUNCATED = 0.7
#: By how many voxels a T2w beside a T1w is misplaced at most along each axis.
MISPLACED = 0.7


@dataclass(frozen=True, kw_only=True)
class GeneratedPatch:
    """A training patch.

    Attributes
    ----------
    image : ndarray of float32, shape (channels, x, y, z)
        Normalized, clipped and masked as the input of a network.
    label : ndarray of float32, shape (x, y, z)
        1 in perivascular spaces, 0 elsewhere.
    occupancy : ndarray of float32, shape (x, y, z)
        Fraction of each voxel inside a space.
    brain : ndarray of bool, shape (x, y, z)
        The brain mask that was applied, which is not perfect.
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    left_out : ndarray of bool, shape (x, y, z), or None
        Voxels of which it is not known what they are; None: there are none.
    misplaced : tuple of float
        By how many voxels a T2w beside a T1w lies too far along each axis; not told of patches from real
        scans.
    lesion : ndarray of float32, shape (x, y, z), or None
        Fraction of each voxel filled by a lesion of white matter; None: not known.
    """

    image: np.ndarray
    label: np.ndarray
    occupancy: np.ndarray
    brain: np.ndarray
    spacing: np.ndarray
    left_out: np.ndarray | None = None
    misplaced: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lesion: np.ndarray | None = None


class PatchSampler(Protocol):
    """Draws training patches."""

    def draw(self, rng: np.random.Generator) -> GeneratedPatch:
        """Draw a patch at random; `rng` alone decides on it."""


class PatchGenerator:
    """Draws training patches from label maps.

    Parameters
    ----------
    sources : sequence of PatchSource
    normalization : TissueNormalization
        Units of the images.
    shape : tuple of int
        Shape of the patches, (x, y, z).
    channels : tuple of str
        ``T1w``, ``T2w``.
    spacing : tuple of float
        Smallest and largest voxel size in mm. With a largest one above that of `SPACING`, half of the patches
        have thick slices along one axis, with the truth of these slices.
    """

    def __init__(
        self,
        sources: Sequence[PatchSource],
        normalization: TissueNormalization,
        *,
        shape: tuple[int, int, int] = (64, 64, 64),
        channels: tuple[str, ...] = ('T1w',),
        spacing: tuple[float, float] = SPACING,
    ) -> None:
        self.sources, self.normalization = list(sources), normalization
        for source in self.sources:
            source.centres  # noqa: B018  found once, before processes that draw patches are forked
        self.shape, self.channels, self.spacing = shape, channels, spacing

    def draw(self, rng: np.random.Generator) -> GeneratedPatch:
        """Draw a patch at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            It alone decides on the patch.
        """
        source = self.sources[int(rng.integers(len(self.sources)))]
        spacing = _draw_spacing(self.spacing, rng)
        parts = voxel_parts(spacing)
        anatomy = self._draw_anatomy(source, spacing, parts, rng)
        contents = draw_contents(anatomy, rng)
        inner = (slice(MARGIN, -MARGIN),) * 3
        brain = average_parts(_draw_brain_mask(anatomy, rng), parts)[inner] >= 0.5
        misplaced = self._draw_misplacement(rng)
        channels = [
            self._draw_channel(name, anatomy, contents, parts, misplaced, rng)[inner]
            for name in self.channels
        ]
        normalization = self.normalization
        image = np.clip(np.stack(channels), normalization.low, normalization.high)
        occupancy = average_parts(contents.occupancy, parts)[inner]
        return GeneratedPatch(
            image=np.where(brain, image, np.float32(normalization.outside)).astype(np.float32),
            label=((occupancy >= MASK_OCCUPANCY) & brain).astype(np.float32),
            occupancy=occupancy,
            brain=brain,
            spacing=spacing,
            misplaced=misplaced,
            lesion=average_parts(contents.lesion, parts)[inner],
        )

    def _draw_misplacement(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """What a coregistration leaves of head motion between both scans, in half of the patches.

        The truth of a T2w alone lies in the T2w, so that nothing is misplaced there.
        """
        if len(self.channels) == 1 or rng.random() < 0.5:
            return (0.0, 0.0, 0.0)
        x, y, z = rng.uniform(-MISPLACED, MISPLACED, 3)
        return (float(x), float(y), float(z))

    def _draw_anatomy(
        self,
        source: PatchSource,
        spacing: np.ndarray,
        parts: tuple[int, int, int],
        rng: np.random.Generator,
    ) -> PatchAnatomy:
        """The anatomy of a patch and its margin, on the parts of its voxels."""
        centre = draw_centre(source, np.array(self.shape) * spacing / source.spacing, rng)
        x, y, z = ((n + 2 * MARGIN) * part for n, part in zip(self.shape, parts, strict=True))
        return draw_anatomy(source, centre, (x, y, z), spacing / parts, rng)

    def _draw_channel(
        self,
        name: str,
        anatomy: PatchAnatomy,
        contents: PatchContents,
        parts: tuple[int, int, int],
        misplaced: tuple[float, float, float],
        rng: np.random.Generator,
    ) -> np.ndarray:
        """One channel, normalized."""
        intensities = _draw_contrast(name, rng)
        image = average_parts(_paint(anatomy, contents, intensities, rng), parts)
        spacing, sigma = anatomy.spacing * parts, 1 / float(np.exp(rng.uniform(*np.log(SNR))))
        if name == 'T1w' or self._is_on_own_grid(rng):
            image = _scan(image, spacing, sigma, rng)
        else:
            slices = 0.0 if allows_slices(self.spacing) else 0.5
            image = _scan_resampled(image, spacing, sigma, misplaced, rng, slices=slices)
        return self._normalize(image, intensities, rng)

    def _is_on_own_grid(self, rng: np.random.Generator) -> bool:
        """Whether a T2w lies on the grid that it was measured on; beside a T1w, it never does."""
        return allows_slices(self.spacing) and len(self.channels) == 1 and bool(rng.random() < OWN_GRID)

    def _normalize(self, image: np.ndarray, intensities: Contrast, rng: np.random.Generator) -> np.ndarray:
        """Normalize a patch as the whole head would be, whose levels are measured with some error."""
        normalization = self.normalization
        white = 1 + rng.normal(0, 0.02)
        # measured CSF is never pure: most of its voxels also contain tissue
        fluid = intensities.fluid + rng.uniform(0.0, 0.3) * (1 - intensities.fluid)
        scale = (normalization.wm - normalization.csf) / (white - fluid)
        return (normalization.wm + (image - white) * scale).astype(np.float32)


def draw_centre(source: PatchSource, extent: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the centre of a patch: somewhere in a region with spaces.

    Parameters
    ----------
    source : PatchSource
        With some region.
    extent : ndarray, shape (3,)
        Size of the patch, in voxels of the label map.
    rng : numpy.random.Generator

    Returns
    -------
    centre : ndarray, shape (3,)
        In voxels of the label map.
    """
    names = [name for name in REGION_WEIGHTS if name in source.centres]
    weights = np.array([REGION_WEIGHTS[name] for name in names])
    pool = source.centres[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
    return pool[int(rng.integers(len(pool)))] + extent * rng.uniform(-CENTRE_SHIFT, CENTRE_SHIFT, 3)


def allows_slices(spacing: tuple[float, float]) -> bool:
    """Whether voxels may be larger than those of `SPACING`, so that scans keep their thick slices.

    Parameters
    ----------
    spacing : tuple of float
        Smallest and largest voxel size in mm.
    """
    return spacing[1] > SPACING[1]


def _draw_contrast(channel: str, rng: np.random.Generator) -> Contrast:
    """Draw the intensities of a channel; CSF is always farther from white matter than cortex is.

    The contrast of CSF on a T2w is drawn log-uniformly: its range is wide, and what is seen in a scan depends
    on its ratio to the noise.
    """
    if channel == 'T2w':
        cortex = rng.uniform(*T2W.cortex)
        lowest = max(T2W.fluid[0], cortex + FLUID_GAP)
        level = 1 + float(np.exp(rng.uniform(*np.log([lowest - 1, T2W.fluid[1] - 1]))))
        return contrast.draw_t2w(rng, TissueRanges((cortex, cortex), (level, level)), lesion_contrast=LESION)
    cortex = rng.uniform(*T1W.cortex)
    fluid = (T1W.fluid[0], min(T1W.fluid[1], cortex - FLUID_GAP))
    return contrast.draw_t1w(rng, TissueRanges((cortex, cortex), fluid), lesion_contrast=LESION)


def _draw_spacing(limits: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Voxel size in mm along each axis."""
    low, high = limits
    largest = max(low, min(high, SPACING[1]))  # across slices
    spacing = np.full(3, rng.uniform(low, largest))
    if rng.random() < 0.35:
        spacing[rng.integers(3)] *= rng.uniform(*ANISOTROPY)
    spacing = np.minimum(spacing, largest)
    if high > largest and rng.random() < SLICES:
        spacing[rng.choice(3, p=SLICE_AXES)] = rng.uniform(largest, high)
    return spacing


def voxel_parts(spacing: np.ndarray) -> tuple[int, int, int]:
    """Into how many parts a voxel is cut along each axis, so that none is larger than `SPACING` has it.

    What is drawn on the parts and averaged is in a thick slice as a scanner has it: all that the slice
    crosses, in its share.

    Parameters
    ----------
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    """
    x, y, z = np.maximum(1, np.ceil(spacing / SPACING[1] - 1e-6)).astype(int)
    return int(x), int(y), int(z)


def average_parts(volume: np.ndarray, parts: tuple[int, int, int]) -> np.ndarray:
    """Means over the parts of voxels.

    Parameters
    ----------
    volume : ndarray, shape (x * parts[0], y * parts[1], z * parts[2])
    parts : tuple of int

    Returns
    -------
    volume : ndarray, shape (x, y, z)
        Of float, or as it was if voxels have one part each.
    """
    if parts == (1, 1, 1):
        return volume
    (x, y, z), (a, b, c) = volume.shape, parts
    return volume.reshape(x // a, a, y // b, b, z // c, c).mean((1, 3, 5), dtype=np.float32)


def _draw_brain_mask(anatomy: PatchAnatomy, rng: np.random.Generator) -> np.ndarray:
    """The brain mask as a preparation leaves it: too large or too small, here more than there."""
    shape = anatomy.shape
    level, variation = rng.normal(0.6, 1.0), rng.uniform(0, 0.8)
    error = variation * smooth_field(shape, control_points(shape, anatomy.spacing, 12), rng)
    return anatomy.distance_to(BRAIN) < level + error


# ---- the image without a scanner


def _paint(
    anatomy: PatchAnatomy, contents: PatchContents, intensities: Contrast, rng: np.random.Generator
) -> np.ndarray:
    """A noise-free image: tissues with soft borders and texture, then all contents by partial volume."""
    table = np.full(int(anatomy.labels.max()) + 1, 0.6, np.float32)
    for code, value in intensities.lookup.items():
        if 0 <= code < table.size:
            table[code] = value * (1 + rng.normal(0, 0.015))
    table[0] = 0
    image = ndimage.gaussian_filter(
        table[anatomy.labels], rng.uniform(0.4, 0.75) / anatomy.spacing, truncate=3.0
    )
    image *= 1 + _texture(anatomy, rng)
    fluid, cortex = intensities.fluid, intensities.lookup[3]
    image += contents.lesion * (intensities.lesion - 1) * (anatomy.labels > 0)
    for part, value in (
        (contents.grey, cortex),
        (contents.white, 1.0),
        (contents.fluid, fluid),
        (contents.vessel, intensities.vessel),
    ):
        image += part * (value - image)
    image += contents.occupancy * contents.contrast * (fluid - image)
    return np.maximum(image, 0, out=image)


def _texture(anatomy: PatchAnatomy, rng: np.random.Generator) -> np.ndarray:
    """Relative variation of intensities: regional differences, tracts, and fine grain."""
    shape, spacing = anatomy.shape, anatomy.spacing
    texture = rng.uniform(0, 0.035) * smooth_field(shape, control_points(shape, spacing, 14), rng)
    texture += rng.uniform(0, 0.03) * smooth_field(
        shape, control_points(shape, spacing, rng.uniform(3, 7)), rng
    )
    # tracts: longer along one axis than across
    gaps = np.array([3.0, 3.0, 3.0])
    gaps[rng.integers(3)] = 15.0
    control = np.maximum(4, np.array(shape) * spacing / gaps).astype(int)
    texture += rng.uniform(0, 0.02) * smooth_field(shape, (control[0], control[1], control[2]), rng)
    return texture.astype(np.float32)


# ---- the scanner


def _scan(image: np.ndarray, spacing: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Point spread, ringing, noise, resampling, filters and the bias field that a correction leaves."""
    fwhm = np.full(3, rng.uniform(*FWHM)) * spacing
    fwhm[rng.integers(3)] *= rng.uniform(1, WORST_AXIS)
    image = artefacts.blur(image, fwhm, spacing)
    image = _truncate(image, rng)
    if rng.random() < 0.75:
        image = artefacts.rician(image, sigma, rng)
    else:  # reconstructed on a finer grid than it was measured on: the noise is smooth, too
        image = artefacts.rician(image, 1.3 * sigma, rng)
        image = artefacts.truncate(image, rng.uniform(0.65, 1.0, 3), rng.uniform(0, 1))
    if rng.random() < 0.2:
        image = _resample(image, spacing, rng)
    return _process(image, spacing, rng)


def _truncate(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Truncate and filter k-space, as most scanners do."""
    if rng.random() >= TRUNCATED:
        return image
    return artefacts.truncate(image, rng.uniform(*artefacts.KEPT, 3), rng.uniform(0, 1))


def _scan_resampled(
    image: np.ndarray,
    spacing: np.ndarray,
    sigma: float,
    misplaced: tuple[float, float, float],
    rng: np.random.Generator,
    *,
    slices: float,
) -> np.ndarray:
    """Point spread, noise, and the resampling to another grid; so many have had thick slices before."""
    size = rng.uniform(0.5, 1.0, 3) if rng.random() < 0.5 else spacing * rng.uniform(0.9, 1.1)
    image = artefacts.blur(image, rng.uniform(0.4, 1.0) * size, spacing)
    voxel = np.maximum(size, spacing)
    if rng.random() < slices:
        voxel[rng.integers(3)] = rng.uniform(1.5, 3.2)
    image = _through_grid(image, spacing, voxel, sigma, rng, shift=misplaced)
    return _process(image, spacing, rng)


def _resample(image: np.ndarray, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Resample a scan once, as a reorientation or a registration does."""
    voxel = spacing.copy()
    if rng.random() < 0.5:
        voxel[rng.integers(3)] *= rng.uniform(1.0, 1.5)
    return _through_grid(image, spacing, voxel, 0.0, rng)


def _through_grid(
    image: np.ndarray,
    spacing: np.ndarray,
    voxel: np.ndarray,
    sigma: float,
    rng: np.random.Generator,
    *,
    shift: Sequence[float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """Sample an image on a coarser, moved grid, scan it there, and interpolate it back linearly.

    Parameters
    ----------
    image : ndarray of float32, shape (x, y, z)
    spacing, voxel : ndarray, shape (3,)
        Voxel size of the image and of the other grid in mm.
    sigma : float
        Standard deviation of the noise; 0: resampled without another scan.
    rng : numpy.random.Generator
    shift : sequence of float
        By how many voxels of the image the result is moved along each axis.
    """
    forward, back = [], []
    for n, size, other, moved in zip(image.shape, spacing, voxel, shift, strict=True):
        ratio = float(other / size)
        places = np.arange(-1 + rng.random(), n / ratio + 1) * ratio
        forward.append(_interpolation(places, n, 1 / max(1.0, ratio)))
        back.append(_interpolation((np.arange(n) - moved - places[0]) / ratio, len(places), 1.0))
    image = _apply(forward, image)
    if sigma:
        image = artefacts.rician(_truncate(image, rng), sigma, rng)
    return _apply(back, image)


def _interpolation(places: np.ndarray, n: int, slope: float) -> np.ndarray:
    """Weights of n samples at some places: triangles whose sides have this slope; shape (places, n)."""
    places = np.clip(places, 0, n - 1)
    weights = np.clip(1 - slope * np.abs(places[:, None] - np.arange(n)), 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _apply(matrices: Sequence[np.ndarray], image: np.ndarray) -> np.ndarray:
    """Multiply each axis of an image by a matrix."""
    for axis, matrix in enumerate(matrices):
        image = np.moveaxis(np.tensordot(matrix, image, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(image)


def _process(image: np.ndarray, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Filters of the scanner, and the bias field that a correction leaves."""
    kind = rng.random()
    if kind < 0.12:
        image = ndimage.gaussian_filter(image, rng.uniform(0.2, 0.6, 3), truncate=3.0)
    elif kind < 0.3:  # sharpened
        image = image + rng.uniform(0, 0.7) * (image - ndimage.gaussian_filter(image, 1.0, truncate=3.0))
    strength = rng.uniform(0, 0.07)
    field = smooth_field(image.shape, control_points(image.shape, spacing, 40), rng)
    return np.maximum(image, 0) * np.exp(strength * field)
