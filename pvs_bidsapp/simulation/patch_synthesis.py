"""Synthesis of training patches: each patch of a simulated head in a new random contrast.

The geometry of a head (its anatomy, PVS and mimics) is kept. A scanner is drawn for every patch, as SynthSeg
does with label maps (Billot et al. 2023, doi:10.1016/j.media.2023.102789).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..segmentation.intensity import TissueNormalization
from . import artefacts, contrast
from .head import MASK_OCCUPANCY
from .label_maps import Anatomy
from .mimics import MIMIC_NAMES, Mimics
from .rendering import Rendering
from .scanner import Difficulty, draw_scanner

#: Voxels that are synthesized around a patch and cut off again, to avoid edge effects of filters.
MARGIN = 6
_LESIONS, _VESSELS = (1, 2, 3), (9,)
_FLUIDS = tuple(k for k in MIMIC_NAMES if k not in (*_LESIONS, *_VESSELS))


@dataclass(frozen=True, kw_only=True)
class HeadGeometry:
    """Geometry of one simulated head, cropped to the brain and stored compactly, so that many fit in memory.

    Attributes
    ----------
    name : str
    labels : ndarray of int16, shape (x, y, z)
        FreeSurfer codes.
    occupancy : ndarray of uint8, shape (x, y, z)
        Fraction of each voxel inside a PVS, from 0 to 255 (all of it).
    index : ndarray of int16, shape (x, y, z)
        Number of the PVS, 0 elsewhere.
    mimics : ndarray of uint8, shape (x, y, z)
        Codes of `pvs_bidsapp.simulation.mimics.MIMIC_NAMES`, 0 elsewhere.
    brain : ndarray of bool, shape (x, y, z)
        Brain mask.
    spacing : float
        Voxel size in mm.
    """

    name: str
    labels: np.ndarray
    occupancy: np.ndarray
    index: np.ndarray
    mimics: np.ndarray
    brain: np.ndarray
    spacing: float

    @property
    def pvs_mask(self) -> np.ndarray:
        """Mask of the PVS, boolean, shape (x, y, z)."""
        return self.occupancy >= MASK_OCCUPANCY * 255


def make_head_geometry(
    name: str,
    *,
    labels: np.ndarray,
    occupancy: np.ndarray,
    index: np.ndarray,
    mimics: np.ndarray,
    brain: np.ndarray,
    spacing: float,
) -> HeadGeometry:
    """Crop a head to its brain, with room for the margin of patches.

    Parameters are those of `HeadGeometry`, but of any dtype, and with `occupancy` in [0, 1].
    """
    voxels = np.argwhere(brain)
    low = np.maximum(voxels.min(0) - MARGIN - 4, 0)
    high = voxels.max(0) + MARGIN + 5
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return HeadGeometry(
        name=name,
        labels=labels[box].astype(np.int16),
        occupancy=np.rint(255 * occupancy[box]).astype(np.uint8),
        index=index[box].astype(np.int16),
        mimics=mimics[box].astype(np.uint8),
        brain=brain[box] > 0,
        spacing=spacing,
    )


def synthesize_patch(
    geometry: HeadGeometry,
    box: tuple[slice, ...],
    rng: np.random.Generator,
    difficulty: Difficulty,
    normalization: TissueNormalization,
    channels: tuple[str, ...] = ('T1w',),
) -> np.ndarray:
    """Synthesize images of a part of a head on a random scanner, in the units of a network.

    Parameters
    ----------
    geometry : HeadGeometry
    box : tuple of slice
        Part of the head. `MARGIN` more voxels are synthesized on each side where the head has them.
    rng : numpy.random.Generator
    difficulty : Difficulty
    normalization : TissueNormalization
    channels : tuple of str
        ``T1w`` and ``T2w``.

    Returns
    -------
    images : ndarray of float32, shape (channels, x, y, z)
        Scaled, but neither clipped nor masked.
    """
    wide = tuple(slice(max(0, b.start - MARGIN), b.stop + MARGIN) for b in box)
    inner = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
    anatomy, rendering, mimics = _crop(geometry, wide)
    scanner = draw_scanner(difficulty, rng, spacing=geometry.spacing)
    protocols = {'T1w': (scanner.t1w, np.array(scanner.fwhm)), 'T2w': (scanner.t2w, scanner.t2w_fwhm)}
    images = []
    for channel in channels:
        intensities, fwhm = protocols[channel]
        image = contrast.synthesize(anatomy, rendering, mimics, intensities, rng)
        image = artefacts.blur(image, fwhm, anatomy.spacing)
        if scanner.gibbs > 0:
            image = artefacts.truncate(image, rng.uniform(*artefacts.KEPT, 3), scanner.gibbs)
        image = artefacts.rician(image, 1 / scanner.snr, rng)[inner]
        # measured CSF is never pure: most of its voxels also contain tissue
        fluid = intensities.fluid + rng.uniform(0.02, 0.25) * (1 - intensities.fluid)
        scale = (normalization.wm - normalization.csf) / (1.0 - fluid)
        images.append(normalization.wm + (image - 1.0) * scale)
    return np.stack(images).astype(np.float32)


def _crop(geometry: HeadGeometry, box: tuple[slice, ...]) -> tuple[Anatomy, Rendering, Mimics]:
    """The part of a head in a box."""
    anatomy = Anatomy(geometry.labels[box], np.diag([geometry.spacing] * 3 + [1.0]), geometry.name)
    occupancy = geometry.occupancy[box].astype(np.float32) / 255
    codes = geometry.mimics[box]
    lesion, fluid, vessel = (
        ndimage.gaussian_filter(np.isin(codes, chosen).astype(np.float32), 0.4)
        if np.isin(codes, chosen).any()
        else np.zeros(codes.shape, np.float32)
        for chosen in (_LESIONS, _FLUIDS, _VESSELS)
    )
    mimics = Mimics(lesion=lesion, fluid=fluid, vessel=vessel, codes=codes)
    return anatomy, Rendering(occupancy, geometry.index[box]), mimics
