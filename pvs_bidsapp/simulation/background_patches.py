"""Training patches cut from real scans, with spaces drawn into them anew each time.

Tissue, noise, artefacts and all that may be mistaken for a space are real. The spaces are those of
`pvs_bidsapp.simulation.patch_spaces`; they get the scan's own resolution and contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine

from ..anatomy.resampling import Grid, resample
from ..segmentation.intensity import TissueNormalization
from . import artefacts
from .background import Background
from .head import MASK_OCCUPANCY
from .label_maps import random_affine
from .patch_anatomy import PatchAnatomy, cut_anatomy
from .patch_generator import MARGIN, MISPLACED, SPACING, GeneratedPatch, PatchSampler, draw_centre
from .patch_spaces import draw_spaces
from .tubes import Tubes, fill_tubes

#: Fraction of the patches whose voxels are the scan's own; the others are resampled.
OWN_VOXELS = 0.5
#: Largest rotation about each axis in degrees, largest relative scaling along each; and the voxel size over
#: the scan's own: finer voxels would show no more.
ROTATION, SCALING, COARSER = 8.0, 0.08, (0.9, 1.3)
#: Factor of the resolution that is measured in the scan.
RESOLUTION = (0.8, 1.2)
#: Factor of the contrast, and standard deviation of the offset, in units of the network.
GAIN, OFFSET = (0.88, 1.15), 0.05
#: How often noise is added, and its standard deviation, in units of the network.
NOISY, NOISE = 0.4, (0.02, 0.15)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A box of a scan; arrays of shape (x, y, z)."""

    anatomy: PatchAnatomy
    image: np.ndarray
    fluid: np.ndarray
    brain: np.ndarray
    left_out: np.ndarray


class BackgroundSampler:
    """Draws training patches from real scans.

    Parameters
    ----------
    backgrounds : sequence of Background
        With some region each.
    normalization : TissueNormalization
        That of the scans.
    shape : tuple of int
        Shape of the patches, (x, y, z).
    spacing : tuple of float
        Smallest and largest voxel size in mm.
    """

    def __init__(
        self,
        backgrounds: Sequence[Background],
        normalization: TissueNormalization,
        *,
        shape: tuple[int, int, int] = (64, 64, 64),
        spacing: tuple[float, float] = SPACING,
    ) -> None:
        self.backgrounds, self.normalization = list(backgrounds), normalization
        for background in self.backgrounds:
            background.source.centres  # noqa: B018  found once, before processes that draw patches are forked
        self.shape, self.spacing = shape, spacing

    def draw(self, rng: np.random.Generator) -> GeneratedPatch:
        """Draw a patch at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            It alone decides on the patch.
        """
        background = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        own, spacing = background.source.spacing, background.source.spacing
        matrix, is_own = np.eye(3), rng.random() < OWN_VOXELS
        if not is_own:
            spacing = np.clip(own * rng.uniform(*COARSER), *self.spacing)
            matrix = np.diag(1 / own) @ random_affine(rng, ROTATION, SCALING) @ np.diag(spacing)
        grid = self._draw_grid(background, matrix, is_own, rng)
        part, grid = _cut(background, grid)
        tubes, contrasts = draw_spaces(part.anatomy, rng)
        occupancy, contrast = fill_tubes(tubes, contrasts, part.brain.shape, own, rng)
        change = occupancy * contrast
        images = [
            self._draw_channel(part.image[k], part.fluid[k], change, background.fwhm[k] / own, grid, k, rng)
            for k in range(len(part.image))
        ]
        if is_own:
            occupancy = resample(occupancy, np.eye(4), grid, order=0)
        else:
            occupancy = _fill_on(grid, tubes, own, spacing, rng)
        brain, left_out = (
            resample(mask, np.eye(4), grid, order=0) > 0.5 for mask in (part.brain, part.left_out)
        )
        image = np.where(brain, np.stack(images), np.float32(self.normalization.outside))
        return GeneratedPatch(
            image=image.astype(np.float32),
            label=((occupancy >= MASK_OCCUPANCY) & brain).astype(np.float32),
            occupancy=occupancy,
            brain=brain,
            spacing=spacing,
            left_out=left_out,
        )

    def _draw_grid(
        self, background: Background, matrix: np.ndarray, is_own: bool, rng: np.random.Generator
    ) -> Grid:
        """Place a patch; its affine leads to voxels of the scan."""
        extent = np.abs(matrix) @ np.array(self.shape)
        affine = np.eye(4)
        affine[:3, :3] = matrix
        start = draw_centre(background.source, extent, rng) - matrix @ (np.array(self.shape) - 1) / 2
        affine[:3, 3] = np.rint(start) if is_own else start
        return Grid(self.shape, affine)

    def _draw_channel(
        self,
        image: np.ndarray,
        fluid: np.ndarray,
        change: np.ndarray,
        fwhm: np.ndarray,
        grid: Grid,
        number: int,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """One channel of a patch with its spaces, on the patch's grid.

        Parameters
        ----------
        image, fluid, change : ndarray of float32, shape (x, y, z)
            A box of the scan; what fluid changes in it; fraction of that which the spaces do.
        fwhm : ndarray, shape (3,)
            Resolution of the scan, in voxels.
        grid : Grid
            With an affine to voxels of the box.
        number : int
            Of the channel, from 0.
        rng : numpy.random.Generator
        """
        normalization, affine = self.normalization, grid.affine.copy()
        blurred = artefacts.blur(change, fwhm * rng.uniform(*RESOLUTION), np.ones(3))
        if number and rng.random() < 0.5:  # more of what coregistration leaves of motion between two scans
            affine[:3, 3] += rng.uniform(-MISPLACED, MISPLACED, 3)
        patch = resample(image + blurred * fluid, np.eye(4), Grid(grid.shape, affine), order=3)
        patch = normalization.wm + (patch - normalization.wm) * rng.uniform(*GAIN) + rng.normal(0, OFFSET)
        if rng.random() < NOISY:
            patch += rng.uniform(*NOISE) * rng.standard_normal(patch.shape, np.float32)
        return np.clip(patch, normalization.low, normalization.high)


class MixedSampler:
    """Draws a fraction of its patches from one sampler, and the others from another.

    Parameters
    ----------
    first, second : PatchSampler
    fraction : float
        Of the patches from the second, in [0, 1].
    """

    def __init__(self, first: PatchSampler, second: PatchSampler, fraction: float) -> None:
        self.first, self.second, self.fraction = first, second, fraction

    def draw(self, rng: np.random.Generator) -> GeneratedPatch:
        """Draw a patch at random; `rng` alone decides on it."""
        return (self.second if rng.random() < self.fraction else self.first).draw(rng)


def _cut(background: Background, grid: Grid) -> tuple[_Part, Grid]:
    """The box of a scan that holds a patch and a margin, and the patch's grid in it.

    Beyond the scan, its outermost voxels go on; they lie outside the brain.
    """
    corners = apply_affine(grid.affine, np.indices((2, 2, 2)).reshape(3, -1).T * (np.array(grid.shape) - 1))
    low = np.floor(corners.min(0)).astype(int) - MARGIN
    high = np.ceil(corners.max(0)).astype(int) + MARGIN + 1
    sizes = background.brain.shape
    lines = [np.clip(np.arange(a, b), 0, n - 1) for a, b, n in zip(low, high, sizes, strict=True)]
    box = np.ix_(*lines)
    affine = grid.affine.copy()
    affine[:3, 3] -= low
    part = _Part(
        anatomy=cut_anatomy(background.source, lines),
        image=np.stack([channel[box] for channel in background.image]).astype(np.float32),
        fluid=np.stack([channel[box] for channel in background.fluid]).astype(np.float32),
        brain=background.brain[box],
        left_out=background.left_out[box],
    )
    return part, Grid(grid.shape, affine)


def _fill_on(
    grid: Grid, tubes: Tubes, own: np.ndarray, spacing: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Occupancy on a patch's grid; interpolation of that on the scan's grid would thin narrow tubes out."""
    to_patch = np.diag([*spacing, 1.0]) @ np.linalg.inv(grid.affine) @ np.diag([*(1 / own), 1.0])
    values = np.ones(int(tubes.numbers.max(initial=-1)) + 1)
    return fill_tubes(tubes.moved(to_patch), values, grid.shape, spacing, rng)[0]
