"""Training pairs on the fly: each patch of a known head in a contrast that was never seen before.

The geometry of a head (its anatomy, spaces and mimics) is kept; a scanner is drawn for every
patch, as SynthSeg does with label maps (Billot et al. 2023, doi:10.1016/j.media.2023.102789).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..segmentation.intensity import TissueNormalization
from . import artefacts, contrast
from .head import MASK_OCCUPANCY
from .label_maps import Anatomy
from .mimics import KINDS, Mimics
from .rendering import Rendering
from .scanner import Difficulty, draw_scanner

#: Voxels painted about a patch and cut off again, so that filters do not show its edge.
MARGIN = 6
_LESIONS, _VESSELS = (1, 2, 3), (9,)
_FLUIDS = tuple(k for k in KINDS if k not in (*_LESIONS, *_VESSELS))


@dataclass(frozen=True)
class HeadGeometry:
    """The geometry of one head, cropped to the brain; compact, so that many fit in memory.

    Attributes
    ----------
    name : str
    labels : ndarray of int16, shape (x, y, z)
        FreeSurfer codes.
    occupancy : ndarray of uint8
        Share of each voxel inside a perivascular space, 255 for all of it.
    index : ndarray of int16
        Number of the space.
    kind : ndarray of uint8
        Codes of `pvs_bidsapp.simulation.mimics.KINDS`.
    brain : ndarray of bool
    spacing : float
        Voxel size in mm.
    """

    name: str
    labels: np.ndarray
    occupancy: np.ndarray
    index: np.ndarray
    kind: np.ndarray
    brain: np.ndarray
    spacing: float

    @property
    def target(self) -> np.ndarray:
        """Voxels that count as perivascular space."""
        return self.occupancy >= MASK_OCCUPANCY * 255


def make_head_geometry(
    name: str,
    labels: np.ndarray,
    occupancy: np.ndarray,
    index: np.ndarray,
    kind: np.ndarray,
    brain: np.ndarray,
    spacing: float,
) -> HeadGeometry:
    """Crop a head to its brain, with room for the margin; arrays as in `HeadGeometry`, occupancy in [0, 1]."""
    found = np.argwhere(brain)
    low = np.maximum(found.min(0) - MARGIN - 4, 0)
    high = found.max(0) + MARGIN + 5
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return HeadGeometry(
        name, labels[box].astype(np.int16), np.rint(255 * occupancy[box]).astype(np.uint8),
        index[box].astype(np.int16), kind[box].astype(np.uint8), brain[box] > 0, spacing,
    )  # fmt: skip


def synthesize_patch(
    scene: HeadGeometry,
    box: tuple[slice, ...],
    rng: np.random.Generator,
    difficulty: Difficulty,
    rule: TissueNormalization,
    channels: tuple[str, ...] = ('T1w',),
) -> np.ndarray:
    """Images of a part of a scene on a scanner drawn for it, in a network's units.

    Parameters
    ----------
    scene : HeadGeometry
    box : tuple of slice
        The part; `MARGIN` voxels more are painted where the scene has them.
    rng : numpy.random.Generator
    difficulty : Difficulty
    rule : TissueNormalization
    channels : tuple of str
        ``T1w`` and ``T2w``.

    Returns
    -------
    images : ndarray of float32, shape (channels, x, y, z)
        Scaled, not clipped, not masked.
    """
    wide = tuple(slice(max(0, b.start - MARGIN), b.stop + MARGIN) for b in box)
    inner = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
    anatomy, drawn, mimics = _parts(scene, wide)
    scanner = draw_scanner(difficulty, rng, spacing=scene.spacing)
    painters = {'T1w': (scanner.t1w, np.array(scanner.fwhm)), 'T2w': (scanner.t2w, scanner.t2w_fwhm)}
    images = []
    for channel in channels:
        tissue, fwhm = painters[channel]
        image = contrast.paint(anatomy, drawn, mimics, tissue, rng)
        image = artefacts.blur(image, fwhm, anatomy.spacing)
        if scanner.gibbs > 0:
            image = artefacts.truncate(image, rng.uniform(0.75, 1.0, 3), scanner.gibbs)
        image = artefacts.rician(image, 1 / scanner.snr, rng)[inner]
        # CSF as it is measured is never pure: most of its voxels hold tissue, too
        fluid = tissue.fluid + rng.uniform(0.02, 0.25) * (1 - tissue.fluid)
        images.append(rule.wm + (image - 1.0) * ((rule.wm - rule.csf) / (1.0 - fluid)))
    return np.stack(images).astype(np.float32)


def _parts(scene: HeadGeometry, box: tuple[slice, ...]) -> tuple[Anatomy, Rendering, Mimics]:
    """The part of a scene as the painter wants it."""
    labels = scene.labels[box]
    anatomy = Anatomy(labels, np.diag([scene.spacing] * 3 + [1.0]), scene.name)
    occupancy = scene.occupancy[box].astype(np.float32) / 255
    kind = scene.kind[box]
    lesion, fluid, vessel = (
        ndimage.gaussian_filter(np.isin(kind, codes).astype(np.float32), 0.4)
        if np.isin(kind, codes).any()
        else np.zeros(kind.shape, np.float32)
        for codes in (_LESIONS, _FLUIDS, _VESSELS)
    )
    return anatomy, Rendering(occupancy, scene.index[box]), Mimics(lesion, fluid, vessel, kind)
