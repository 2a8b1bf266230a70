"""What is taken for perivascular spaces and is none: lesions, lacunes, pockets of CSF.

Sizes: lacunes 3-15 mm (STRIVE, Wardlaw et al. 2013); signal of white matter hyperintensities
about a third of the way from white matter to CSF (Bernal et al. 2022 digital reference object).
Frequencies are a choice of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .anatomy import CORTEX, LATERAL_VENTRICLES, WHITE_MATTER, Anatomy
from .vessels import _distance


@dataclass(frozen=True)
class Mimics:
    """Fractional maps of what was drawn, each in [0, 1], shape (x, y, z).

    Attributes
    ----------
    lesion : ndarray of float32
        White matter hyperintensity: bands, caps and spots.
    fluid : ndarray of float32
        Lacunes and pockets of CSF.
    """

    lesion: np.ndarray
    fluid: np.ndarray


def draw(anatomy: Anatomy, occupied: np.ndarray, rng: np.random.Generator, *, amount: float = 0.5) -> Mimics:
    """Draw mimics, clear of the perivascular spaces.

    Parameters
    ----------
    anatomy : Anatomy
    occupied : ndarray of bool
        Voxels that hold perivascular spaces; fluid mimics keep 3 mm away from them.
    amount : float
        0 (none) to 1 (many).
    """
    spacing = anatomy.spacing
    white = anatomy.select(*WHITE_MATTER)
    lesion = np.zeros(anatomy.labels.shape, np.float32)
    fluid = np.zeros_like(lesion)
    if amount <= 0:
        return Mimics(lesion, fluid)
    to_ventricle = _distance(anatomy.select(*LATERAL_VENTRICLES), spacing)
    to_cortex = _distance(anatomy.select(*CORTEX), spacing)
    _bands(lesion, white, to_ventricle, spacing, rng, amount)
    deep = white & (to_ventricle > 4) & (to_cortex > 3)
    for _ in range(rng.poisson(18 * amount)):
        _blob(lesion, deep, rng.uniform(1.0, 3.5), spacing, rng)
    clear = _distance(occupied, spacing) > 3
    for _ in range(rng.poisson(2.5 * amount)):
        _blob(fluid, deep & clear, rng.uniform(1.7, 4.0), spacing, rng)
    rim = white & clear & (to_cortex < 2.5)
    for _ in range(rng.poisson(40 * amount)):
        _blob(fluid, rim, rng.uniform(0.6, 1.6), spacing, rng)
    fluid[occupied] = 0
    return Mimics(lesion, fluid)


def _bands(
    lesion: np.ndarray,
    white: np.ndarray,
    to_ventricle: np.ndarray,
    spacing: np.ndarray,
    rng: np.random.Generator,
    amount: float,
) -> None:
    """Periventricular band and caps: a soft layer about the ventricles of uneven thickness."""
    uneven = ndimage.gaussian_filter(rng.normal(size=white.shape).astype(np.float32), 8 / spacing)
    uneven /= max(float(uneven.std()), 1e-9)
    thickness = rng.uniform(0.5, 5.0) * amount * np.exp(0.6 * uneven)
    band = np.clip(1.5 * thickness - to_ventricle, 0, 1) * white
    np.maximum(lesion, band, out=lesion)


def _blob(
    volume: np.ndarray,
    where: np.ndarray,
    radius: float,
    spacing: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Add one ellipsoid with a soft edge, its centre in `where`."""
    candidates = np.flatnonzero(where)
    if not candidates.size:
        return
    centre = np.array(np.unravel_index(rng.choice(candidates), where.shape)) * spacing
    axes = radius * rng.uniform(0.7, 1.4, 3)
    low = np.maximum(np.floor((centre - axes.max() - 1) / spacing).astype(int), 0)
    high = np.minimum(np.ceil((centre + axes.max() + 1) / spacing).astype(int) + 1, where.shape)
    grid = np.stack(np.meshgrid(*map(np.arange, low, high), indexing='ij'), -1) * spacing
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    depth = 1 - np.linalg.norm((grid - centre) @ turn / axes, axis=-1)
    share = np.clip(0.5 + depth * radius / spacing.mean(), 0, 1)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    volume[box] = np.maximum(volume[box], share)
