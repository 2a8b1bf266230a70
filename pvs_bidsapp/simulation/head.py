"""One simulated head, from an anatomy to images with their truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import anatomy as anatomies
from . import artefacts, contrast, mimics, rendering, vessels
from .anatomy import Anatomy
from .rendering import Rendering
from .vessels import Vessel

#: A voxel is part of a perivascular space where at least this share of it lies inside.
MASK_OCCUPANCY = 0.4


@dataclass(frozen=True)
class Difficulty:
    """How hard a head is to read (ranges are drawn from uniformly, SNR log-uniformly).

    Attributes
    ----------
    snr : tuple of float
        White matter signal over the noise's standard deviation.
    pvs_contrast : tuple of float
        Contrast inside a space as a share of that between white matter and CSF.
    mimics : tuple of float
        Amount of mimics, 0 to 1.
    fwhm : tuple of float
        Point spread in mm along the best-resolved axes.
    worst_axis : float
        How many times coarser one axis may be.
    bias : tuple of float
        Standard deviation of the bias field's logarithm.
    """

    snr: tuple[float, float]
    pvs_contrast: tuple[float, float]
    mimics: tuple[float, float]
    fwhm: tuple[float, float]
    worst_axis: float
    bias: tuple[float, float]


SUITES = {
    'easy': Difficulty((40, 90), (0.75, 1.0), (0.0, 0.2), (0.3, 0.7), 1.2, (0.03, 0.12)),
    'hard': Difficulty((14, 28), (0.40, 0.75), (0.5, 1.0), (0.6, 1.1), 1.8, (0.08, 0.25)),
    'mixed': Difficulty((12, 90), (0.40, 1.0), (0.0, 1.0), (0.3, 1.1), 1.8, (0.03, 0.22)),
}


@dataclass(frozen=True)
class SimulatedHead:
    """Images and truth of one head, on the grid of `affine` (but the T2w, on its own).

    Attributes
    ----------
    t1w, t2w : ndarray of float32
        Magnitude images, arbitrary units.
    affine, t2w_affine : ndarray, shape (4, 4)
    anatomy : Anatomy
    rendering : Rendering
    vessels : tuple of Vessel
    load : float
        Burden in [0, 1].
    """

    t1w: np.ndarray
    t2w: np.ndarray
    affine: np.ndarray
    t2w_affine: np.ndarray
    anatomy: Anatomy
    rendering: Rendering
    vessels: tuple[Vessel, ...]
    load: float

    @property
    def mask(self) -> np.ndarray:
        """Voxels that count as perivascular space."""
        return self.rendering.occupancy >= MASK_OCCUPANCY


def simulate(
    source: Anatomy,
    rng: np.random.Generator,
    difficulty: Difficulty,
    *,
    spacing: float = 1.0,
    age: float = 50.0,
) -> SimulatedHead:
    """Simulate one head in (a random deformation and, half the time, mirror image of) `source`.

    Parameters
    ----------
    source : Anatomy
    rng : numpy.random.Generator
    difficulty : Difficulty
    spacing : float
        Voxel size of the T1w in mm.
    age : float
        Years; older brains hold more and wider spaces and more lesions (a linear choice of
        ours; Barisano et al. 2021 and Kim et al. 2022 report the growth).
    """
    if rng.random() < 0.5:
        source = anatomies.mirror(source)
    anatomy = anatomies.deform(source, rng, spacing=spacing)
    load = float(np.clip(0.25 + 0.5 * (age - 20) / 65 + rng.normal(0, 0.2), 0, 1))
    drawn = vessels.draw(anatomy, rng, load=load)
    image = rendering.render(drawn, anatomy.labels.shape, anatomy.spacing)
    amount = rng.uniform(*difficulty.mimics) * np.clip(0.5 + (age - 20) / 65, 0, 1)
    traps = mimics.draw(anatomy, image.occupancy > 0, rng, amount=float(amount))
    t1w = contrast.paint(
        anatomy, image, traps, contrast.draw_t1w(rng, pvs_contrast=difficulty.pvs_contrast), rng
    )
    t2w = contrast.paint(
        anatomy, image, traps, contrast.draw_t2w(rng, pvs_contrast=difficulty.pvs_contrast), rng
    )
    t2w, t2w_affine = _scan_t2w(t2w, anatomy, difficulty, rng)
    return SimulatedHead(
        _scan_t1w(t1w, anatomy, difficulty, rng), t2w, anatomy.affine, t2w_affine,
        anatomy, image, tuple(drawn), load,
    )  # fmt: skip


def _scan_t1w(
    image: np.ndarray, anatomy: Anatomy, difficulty: Difficulty, rng: np.random.Generator
) -> np.ndarray:
    fwhm = np.full(3, rng.uniform(*difficulty.fwhm)) * anatomy.spacing
    fwhm[rng.integers(3)] *= rng.uniform(1, difficulty.worst_axis)
    return _acquire(artefacts.blur(image, fwhm, anatomy.spacing), difficulty, rng)


def _scan_t2w(
    image: np.ndarray, anatomy: Anatomy, difficulty: Difficulty, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A T2w of the same session: slightly moved, half the time with thick axial slices."""
    thick = rng.random() < 0.5
    voxel = np.array([0.8, 0.8, rng.uniform(2.0, 3.0)]) if thick else anatomy.spacing
    shape = tuple(np.ceil(np.array(anatomy.labels.shape) * anatomy.spacing / voxel).astype(int))
    grid = np.diag([*voxel, 1.0])
    grid[:3, 3] = anatomy.affine[:3, 3] + (voxel - anatomy.spacing) / 2
    moved = artefacts.small_rigid(rng, 1.5, 1.0)
    smooth = artefacts.blur(image, np.maximum(voxel * 0.8, 0.3), anatomy.spacing)
    sliced = artefacts.regrid(smooth, anatomy.affine, moved @ grid, shape)
    return _acquire(np.maximum(sliced, 0), difficulty, rng), grid


def _acquire(image: np.ndarray, difficulty: Difficulty, rng: np.random.Generator) -> np.ndarray:
    """Bias field, noise and an arbitrary scale."""
    image = image * artefacts.bias_field(image.shape, rng.uniform(*difficulty.bias), rng)
    snr = np.exp(rng.uniform(*np.log(difficulty.snr)))
    scale = np.exp(rng.uniform(np.log(150), np.log(1500)))
    return (scale * artefacts.rician(image.astype(np.float32), 1 / snr, rng)).astype(np.float32)
