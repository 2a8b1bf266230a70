"""Random T1w and T2w contrasts, and the synthesis of noise-free images from tissues.

White matter is 1 in both contrasts. Order of tissues on T1w: white matter > pallidum > thalamus > putamen,
caudate > cortex > CSF; on T2w: CSF >> cortex > white matter > pallidum. The centre of each range follows the
tissue maps of the digital reference object of Bernal et al. 2022, in which PVS are CSF with partial volume;
the widths are our own choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from . import label_maps as codes
from .fields import control_points, smooth_field
from .label_maps import Anatomy
from .mimics import Mimics
from .rendering import Rendering


@dataclass(frozen=True)
class TissueRanges:
    """Ranges of the tissue intensities that differ most between protocols.

    Attributes
    ----------
    cortex, fluid : tuple of float
        Smallest and largest intensity of cortex and of CSF; white matter is 1.
    """

    cortex: tuple[float, float]
    fluid: tuple[float, float]


#: Protocols of all suites except `shift`.
T1W = TissueRanges((0.52, 0.82), (0.08, 0.38))
T2W = TissueRanges((1.12, 1.60), (2.2, 4.0))
#: Protocols of the suite `shift`; no other suite has them.
T1W_SHIFTED = (TissueRanges((0.40, 0.51), (0.02, 0.07)), TissueRanges((0.83, 0.89), (0.40, 0.50)))
T2W_SHIFTED = (TissueRanges((1.61, 1.85), (4.1, 5.5)), TissueRanges((1.05, 1.11), (1.7, 2.1)))


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Intensities relative to white matter.

    Attributes
    ----------
    lookup : dict of int to float
        Intensity by FreeSurfer code.
    fluid, lesion, vessel : float
        Intensity of pure CSF, of a full lesion and of flowing blood.
    pvs : float
        Contrast between a PVS and its surroundings, as a fraction of that between CSF and the surroundings.
    """

    lookup: dict[int, float]
    fluid: float
    lesion: float
    vessel: float
    pvs: float


def _between(low: float, high: float, fraction: float) -> float:
    return low + fraction * (high - low)


def draw_t1w(
    rng: np.random.Generator,
    ranges: TissueRanges = T1W,
    *,
    pvs_contrast: tuple[float, float] = (0.45, 1.0),
    lesion_contrast: tuple[float, float] = (0.1, 0.45),
) -> Contrast:
    """Draw a T1w contrast at random.

    Parameters
    ----------
    rng : numpy.random.Generator
    ranges : TissueRanges
    pvs_contrast : tuple of float
        Range of the contrast between a PVS and its surroundings, as a fraction of that between CSF and the
        surroundings.
    lesion_contrast : tuple of float
        Range of the contrast between a full lesion and white matter, as a fraction of that between CSF and
        white matter. Lesions of the label map have 0 to 0.8 of it.
    """
    cortex, fluid = rng.uniform(*ranges.cortex), rng.uniform(*ranges.fluid)
    grey: dict[tuple[int, ...], float] = {
        codes.CORTEX: cortex,
        codes.THALAMUS: _between(cortex, 1, rng.uniform(0.3, 0.8)),
        codes.CAUDATE: _between(cortex, 1, rng.uniform(0.0, 0.35)),
        codes.PUTAMEN: _between(cortex, 1, rng.uniform(0.1, 0.5)),
        codes.PALLIDUM: _between(cortex, 1, rng.uniform(0.55, 1.0)),
        codes.ACCUMBENS: _between(cortex, 1, rng.uniform(0.0, 0.3)),
        codes.HIPPOCAMPUS: cortex * rng.uniform(0.95, 1.05),
        codes.AMYGDALA: cortex * rng.uniform(0.95, 1.05),
        codes.CEREBELLUM_GM: cortex * rng.uniform(0.9, 1.08),
    }
    white: dict[tuple[int, ...], float] = {
        codes.WHITE_MATTER: 1.0,
        codes.CEREBELLUM_WM: rng.uniform(0.9, 1.0),
        codes.BRAINSTEM: rng.uniform(0.85, 1.0),
        codes.VENTRAL_DC: rng.uniform(0.85, 1.0),
        (85,): rng.uniform(0.7, 0.95),
    }
    head: dict[tuple[int, ...], float] = {
        (511,): rng.uniform(0.4, 0.9), (507,): rng.uniform(0.7, 1.5), (515,): rng.uniform(0.03, 0.25),
        (516,): rng.uniform(0.5, 1.2), (514,): rng.uniform(0.2, 0.6), (506,): rng.uniform(0.15, 0.4),
        (502, 508, 509, 512, 530): rng.uniform(0.3, 0.8),
    }  # fmt: skip
    fluid_spaces: dict[tuple[int, ...], float] = {
        codes.VESSEL_SPACES: _between(fluid, cortex, rng.uniform(0.1, 0.9))
    }
    return _contrast(
        rng, {**grey, **white, **head, **fluid_spaces}, fluid, lesion_contrast, (0.5, 1.4), pvs_contrast
    )


def draw_t2w(
    rng: np.random.Generator,
    ranges: TissueRanges = T2W,
    *,
    pvs_contrast: tuple[float, float] = (0.5, 1.0),
    lesion_contrast: tuple[float, float] = (0.15, 0.5),
) -> Contrast:
    """Draw a T2w contrast at random; parameters as `draw_t1w`."""
    cortex, fluid = rng.uniform(*ranges.cortex), rng.uniform(*ranges.fluid)
    grey: dict[tuple[int, ...], float] = {
        codes.CORTEX: cortex,
        codes.THALAMUS: _between(1, cortex, rng.uniform(0.2, 0.7)),
        codes.CAUDATE: _between(1, cortex, rng.uniform(0.4, 0.9)),
        codes.PUTAMEN: _between(1, cortex, rng.uniform(0.2, 0.8)),
        codes.PALLIDUM: rng.uniform(0.7, 0.95),
        codes.ACCUMBENS: cortex,
        codes.HIPPOCAMPUS: cortex * rng.uniform(1.0, 1.1),
        codes.AMYGDALA: cortex * rng.uniform(1.0, 1.1),
        codes.CEREBELLUM_GM: cortex * rng.uniform(0.9, 1.05),
    }
    white: dict[tuple[int, ...], float] = {
        codes.WHITE_MATTER: 1.0,
        codes.CEREBELLUM_WM: rng.uniform(0.95, 1.1),
        codes.BRAINSTEM: rng.uniform(0.95, 1.15),
        codes.VENTRAL_DC: rng.uniform(0.9, 1.1),
        (85,): rng.uniform(1.0, 1.3),
    }
    head: dict[tuple[int, ...], float] = {
        (511,): rng.uniform(0.5, 1.0), (507,): rng.uniform(0.7, 2.0), (515,): rng.uniform(0.05, 0.3),
        (516,): rng.uniform(0.5, 1.5), (514,): rng.uniform(0.3, 1.5), (506,): fluid,
        (502, 508, 509, 512, 530): rng.uniform(0.5, 1.3),
    }  # fmt: skip
    fluid_spaces: dict[tuple[int, ...], float] = {
        codes.VESSEL_SPACES: _between(cortex, fluid, rng.uniform(0.1, 0.9))
    }
    return _contrast(
        rng, {**grey, **white, **head, **fluid_spaces}, fluid, lesion_contrast, (0.15, 0.6), pvs_contrast
    )


def _contrast(
    rng: np.random.Generator,
    table: dict[tuple[int, ...], float],
    fluid: float,
    lesion: tuple[float, float],
    blood: tuple[float, float],
    pvs: tuple[float, float],
) -> Contrast:
    lookup = {code: value for group, value in table.items() for code in group}
    lookup |= dict.fromkeys(codes.CSF, fluid)
    lesions = _between(1.0, fluid, rng.uniform(*lesion))
    lookup |= dict.fromkeys((25, 57, 77), _between(1.0, lesions, rng.uniform(0, 0.8)))
    vessel = rng.uniform(*blood)
    return Contrast(lookup=lookup, fluid=fluid, lesion=lesions, vessel=vessel, pvs=rng.uniform(*pvs))


def synthesize(
    anatomy: Anatomy,
    rendering: Rendering,
    mimics: Mimics,
    contrast: Contrast,
    rng: np.random.Generator,
) -> np.ndarray:
    """Synthesize a noise-free image: tissues with soft borders, then mimics and PVS by partial volume.

    Parameters
    ----------
    anatomy : Anatomy
    rendering : Rendering
        PVS on the anatomy's grid.
    mimics : Mimics
        On the anatomy's grid.
    contrast : Contrast
    rng : numpy.random.Generator

    Returns
    -------
    image : ndarray of float32, shape (x, y, z)
        Intensity relative to white matter, not negative.
    """
    image, change = synthesize_parts(anatomy, rendering, mimics, contrast, rng)
    image += change
    return np.maximum(image, 0, out=image)


def synthesize_parts(
    anatomy: Anatomy,
    rendering: Rendering,
    mimics: Mimics,
    contrast: Contrast,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Synthesize a noise-free image without its PVS, and what they change in it; parameters as `synthesize`.

    Returns
    -------
    image, change : ndarray of float32, shape (x, y, z)
        Relative to white matter.
    """
    table = np.full(int(anatomy.labels.max()) + 1, 0.6, np.float32)
    table[0] = 0
    for code, value in contrast.lookup.items():
        if code < table.size:
            table[code] = value
    image = ndimage.gaussian_filter(
        table[anatomy.labels], rng.uniform(0.45, 0.7) / anatomy.spacing, truncate=3.0
    )
    image *= 1 + _texture(anatomy, rng)
    image += mimics.lesion * (contrast.lesion - 1) * (anatomy.labels > 0)
    image += mimics.fluid * (contrast.fluid - image)
    image += mimics.vessel * (contrast.vessel - image)
    # the contrast is relative to the surrounding tissue: relative to white matter, faint PVS in grey matter
    # would be invisible
    change = rendering.occupancy * _pvs_contrast(rendering, contrast, rng) * (contrast.fluid - image)
    return image, change


def _texture(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Relative variation of tissue intensities, on a coarse and on a fine scale."""
    shape = anatomy.labels.shape
    slow, fine = (smooth_field(shape, control_points(shape, anatomy.spacing, gap), rng) for gap in (14, 5))
    return (0.025 * slow + 0.02 * fine).astype(np.float32)


def _pvs_contrast(rendering: Rendering, contrast: Contrast, rng: np.random.Generator) -> np.ndarray:
    """Contrast of the PVS of each voxel: that of the head, varied by 10 % between PVS."""
    number = int(rendering.index.max()) + 1
    factor = 1 + rng.normal(0, 0.1, number).clip(-0.3, 0.3)
    return (contrast.pvs * factor).astype(np.float32)[rendering.index]
