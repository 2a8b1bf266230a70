"""Scanners: contrast, resolution, noise and the like, and the named suites they are drawn from.

Ranges are choices of ours about published values: white matter SNR of T1w scans from 12 (old,
fast or moved) to 90 (denoised, averaged), 55 in the reference object of Bernal et al. 2022;
voxels from 0.6 to 1.2 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import contrast
from .contrast import Contrast, TissueRanges

Range = tuple[float, float]


@dataclass(frozen=True)
class Difficulty:
    """How hard heads are to read (ranges are drawn from uniformly, SNR log-uniformly).

    Attributes
    ----------
    snr : tuple of float
        White matter signal over the noise's standard deviation.
    pvs_contrast : tuple of float
        Contrast inside a space as a share of that between its surroundings and CSF.
    mimics : tuple of float
        Amount of mimics, 0 to 1.
    size : tuple of float
        Factor on the spaces' diameters.
    fwhm : tuple of float
        Point spread in voxels along the best-resolved axes.
    worst_axis : float
        How many times coarser one axis may be.
    bias : tuple of float
        Standard deviation of the bias field's logarithm.
    spacing : tuple of float
        Voxel sizes of the T1w in mm, one of which is taken.
    gibbs : tuple of float
        Share of Gibbs ringing that the scanner's filter leaves, 0 to 1.
    motion : float
        Probability of motion during the scan.
    tilt : float
        Largest obliqueness of the scan's axes in degrees.
    cut : float
        Probability that the scan is defaced, and half as often skull-stripped.
    t1w, t2w : tuple of TissueRanges
        Contrasts, one of which is taken.
    """

    snr: Range
    pvs_contrast: Range
    mimics: Range
    size: Range
    fwhm: Range
    worst_axis: float
    bias: Range
    spacing: tuple[float, ...]
    gibbs: Range
    motion: float
    tilt: float
    cut: float
    t1w: tuple[TissueRanges, ...] = (contrast.T1W,)
    t2w: tuple[TissueRanges, ...] = (contrast.T2W,)


SUITES = {
    'easy': Difficulty(
        snr=(40, 90), pvs_contrast=(0.75, 1.0), mimics=(0.0, 0.2), size=(1.2, 1.45), fwhm=(0.3, 0.7),
        worst_axis=1.2, bias=(0.03, 0.12), spacing=(1.0,), gibbs=(0.0, 0.3), motion=0.0, tilt=4.0, cut=0.0,
    ),
    'hard': Difficulty(
        snr=(14, 28), pvs_contrast=(0.40, 0.75), mimics=(0.5, 1.0), size=(0.8, 1.0), fwhm=(0.6, 1.1),
        worst_axis=1.8, bias=(0.08, 0.25), spacing=(0.8, 1.0, 1.2), gibbs=(0.3, 1.0), motion=0.3, tilt=15.0,
        cut=0.3,
    ),
    'shift': Difficulty(
        snr=(18, 60), pvs_contrast=(0.45, 0.9), mimics=(0.2, 0.7), size=(0.9, 1.1), fwhm=(0.4, 1.0),
        worst_axis=1.6, bias=(0.05, 0.3), spacing=(0.6, 0.75, 0.9, 1.1), gibbs=(0.0, 1.0), motion=0.2,
        tilt=20.0, cut=0.3, t1w=contrast.T1W_SHIFTED, t2w=contrast.T2W_SHIFTED,
    ),
    'mixed': Difficulty(
        snr=(12, 90), pvs_contrast=(0.35, 1.0), mimics=(0.0, 1.0), size=(0.8, 1.15), fwhm=(0.3, 1.1),
        worst_axis=1.8, bias=(0.03, 0.22), spacing=(0.7, 0.8, 1.0, 1.0, 1.0, 1.2), gibbs=(0.0, 1.0),
        motion=0.15, tilt=10.0, cut=0.2,
    ),
    # More wide spaces and fewer mimics than people have: networks that hardly ever met a wide space took it for a
    # lacune, and spaces that no eye would see taught them little.
    'training': Difficulty(
        snr=(15, 90), pvs_contrast=(0.45, 1.0), mimics=(0.0, 0.7), size=(0.85, 1.5), fwhm=(0.3, 1.1),
        worst_axis=1.8, bias=(0.03, 0.22), spacing=(0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0, 1.1, 1.2), gibbs=(0.0, 1.0),
        motion=0.15, tilt=10.0, cut=0.2,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Scanner:
    """One scanner with its protocol: what all scans of a site share.

    Attributes
    ----------
    t1w, t2w : Contrast
    spacing : float
        Voxel size of the T1w in mm.
    t2w_voxel : tuple of float
        Voxel size of the T2w in mm.
    snr, bias, gibbs : float
        As in `Difficulty`.
    fwhm : tuple of float
        Point spread in mm along each axis.
    """

    t1w: Contrast
    t2w: Contrast
    spacing: float
    t2w_voxel: tuple[float, float, float]
    snr: float
    bias: float
    gibbs: float
    fwhm: tuple[float, float, float]

    @property
    def t2w_fwhm(self) -> np.ndarray:
        """Point spread of the T2w in mm along each axis: a little less than its voxels."""
        return np.maximum(np.array(self.t2w_voxel) * 0.8, 0.3)


def draw_scanner(
    difficulty: Difficulty, rng: np.random.Generator, *, spacing: float | None = None
) -> Scanner:
    """Draw a scanner; `spacing` (mm) fixes the T1w's voxel size.

    The T2w has the T1w's voxels half the time, thick axial slices (0.8 x 0.8 x 2-3 mm) else.
    """
    chosen = float(rng.choice(difficulty.spacing))
    size = chosen if spacing is None else spacing
    fwhm = np.full(3, rng.uniform(*difficulty.fwhm)) * size
    fwhm[rng.integers(3)] *= rng.uniform(1, difficulty.worst_axis)
    thick = (0.8, 0.8, float(rng.uniform(2.0, 3.0)))
    t1w = difficulty.t1w[rng.integers(len(difficulty.t1w))]
    t2w = difficulty.t2w[rng.integers(len(difficulty.t2w))]
    return Scanner(
        t1w=contrast.draw_t1w(rng, t1w, pvs_contrast=difficulty.pvs_contrast),
        t2w=contrast.draw_t2w(rng, t2w, pvs_contrast=difficulty.pvs_contrast),
        spacing=size,
        t2w_voxel=thick if rng.random() < 0.5 else (size, size, size),
        snr=float(np.exp(rng.uniform(*np.log(difficulty.snr)))),
        bias=float(rng.uniform(*difficulty.bias)),
        gibbs=float(rng.uniform(*difficulty.gibbs)),
        fwhm=(float(fwhm[0]), float(fwhm[1]), float(fwhm[2])),
    )
