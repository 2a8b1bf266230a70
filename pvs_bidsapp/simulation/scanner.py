"""Scanners (contrast, resolution, noise and other properties), and the suites from which they are drawn.

Ranges are our own choice around published values: white matter SNR of T1w scans from 12 (old, fast, or with
motion) to 90 (denoised, averaged), with 55 in the digital reference object of Bernal et al. 2022; voxels from
0.6 to 1.2 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import contrast
from .contrast import Contrast, TissueRanges

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """How difficult simulated heads are to segment.

    Values are drawn uniformly from the ranges, SNR log-uniformly.

    Attributes
    ----------
    snr : tuple of float
        White matter signal over the standard deviation of the noise.
    pvs_contrast : tuple of float
        Contrast between a PVS and its surroundings, as a fraction of that between CSF and the surroundings.
    mimics : tuple of float
        Amount of mimics, in [0, 1].
    size : tuple of float
        Factor of the diameters of PVS.
    fwhm : tuple of float
        Width of the point spread function in voxels, along the two axes with the best resolution.
    worst_axis : float
        Largest factor by which it is wider along the third axis.
    bias : tuple of float
        Standard deviation of the natural logarithm of the bias field.
    spacing : tuple of float
        Voxel sizes of the T1w in mm; one of them is drawn.
    gibbs : tuple of float
        Fraction of Gibbs ringing that the scanner's filter leaves, in [0, 1].
    motion : float
        Probability of motion during the scan.
    tilt : float
        Largest rotation of the scan's axes against the scanner's, in degrees.
    cut : float
        Probability that the scan is defaced or skull-stripped; two thirds of these scans are defaced.
    burden : tuple of float
        Burden of PVS of the people with the lowest and with the highest one.
    is_dense : bool
        Whether the number of PVS is that of `pvs_bidsapp.simulation.vessels.DENSITIES`.
    t1w, t2w : tuple of TissueRanges
        Protocols; one of them is drawn.
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
    burden: Range = (0.0, 1.0)
    is_dense: bool = False
    t1w: tuple[TissueRanges, ...] = (contrast.T1W,)
    t2w: tuple[TissueRanges, ...] = (contrast.T2W,)


#: Difficulty of each suite of simulated heads.
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
    # As many, as thin and as faint PVS as experts trace in people, up to status cribrosum.
    'dense': Difficulty(
        snr=(20, 70), pvs_contrast=(0.4, 0.85), mimics=(0.2, 0.8), size=(0.85, 1.1), fwhm=(0.4, 1.0),
        worst_axis=1.5, bias=(0.05, 0.22), spacing=(0.8, 0.9, 1.0), gibbs=(0.0, 0.8), motion=0.1, tilt=10.0,
        cut=0.2, burden=(0.85, 1.0), is_dense=True,
    ),
    # More wide PVS and fewer mimics than people have. Networks that saw few wide PVS in training took them
    # for lacunes, and learned little from PVS that are invisible.
    'training': Difficulty(
        snr=(15, 90), pvs_contrast=(0.45, 1.0), mimics=(0.0, 0.7), size=(0.85, 1.5), fwhm=(0.3, 1.1),
        worst_axis=1.8, bias=(0.03, 0.22), spacing=(0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0, 1.1, 1.2),
        gibbs=(0.0, 1.0), motion=0.15, tilt=10.0, cut=0.2,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """One scanner with its protocol; all scans of a site share it.

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
        Width of the T1w's point spread function along each axis, in mm.
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
        """Width of the T2w's point spread function along each axis in mm: 0.8 of its voxels."""
        return np.maximum(np.array(self.t2w_voxel) * 0.8, 0.3)


def draw_scanner(
    difficulty: Difficulty, rng: np.random.Generator, *, spacing: float | None = None
) -> Scanner:
    """Draw a scanner at random.

    Half of the scanners acquire the T2w with the T1w's voxels, the others with thick axial slices (0.8 x 0.8
    x 2-3 mm).

    Parameters
    ----------
    difficulty : Difficulty
    rng : numpy.random.Generator
    spacing : float, optional
        Voxel size of the T1w in mm; drawn if None.
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
