"""What is taken for perivascular spaces and is none: lesions, lacunes, pockets of CSF, vessels.

Sizes: lacunes 3-15 mm, often with a rim (STRIVE, Wardlaw et al. 2013,
doi:10.1016/S1474-4422(13)70124-8); signal of white matter hyperintensities about a third of the
way from white matter to CSF (Bernal et al. 2022 digital reference object).  That pockets of CSF
by the insula and cysts of the hippocampal sulcus are what automatic tools mark wrongly is what
their users report.  Frequencies and all other numbers are a choice of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from .fields import control_points, smooth_field
from .label_maps import CORTEX, HIPPOCAMPUS, LATERAL_VENTRICLES, PUTAMEN, Anatomy, distance
from .rendering import tube_occupancy
from .vessels import Depths, Territory, territories, trace

#: Kinds of mimics by the code that they have in the map of mimics.
KINDS = {
    1: 'periventricular band or cap', 2: 'punctate white matter hyperintensity',
    3: 'confluent white matter hyperintensity', 4: 'lacune', 5: 'pocket of CSF by the cortex',
    6: 'pocket of CSF by the insula', 7: 'thin ventricle horn', 8: 'cyst of hippocampal sulcus or choroid fissure',
    9: 'vessel', 10: 'cavum septi pellucidi',
}  # fmt: skip


@dataclass
class Mimics:
    """Fractional maps of what was drawn, each in [0, 1], shape (x, y, z).

    Attributes
    ----------
    lesion : ndarray of float32
        White matter hyperintensity: bands, caps, spots, the rims of lacunes.
    fluid : ndarray of float32
        Lacunes, pockets and cysts of CSF.
    vessel : ndarray of float32
        Flowing blood: dark on T2w.
    kind : ndarray of uint8
        Code of `KINDS` where a mimic fills 30 % of a voxel or more.
    """

    lesion: np.ndarray
    fluid: np.ndarray
    vessel: np.ndarray
    kind: np.ndarray = field(repr=False)

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Mimics:
        """No mimics at all."""
        lesion, fluid, vessel = (np.zeros(shape, np.float32) for _ in range(3))
        return cls(lesion, fluid, vessel, np.zeros(shape, np.uint8))


@dataclass(frozen=True)
class _Site:
    """What the drawing of each kind needs to know of a head."""

    anatomy: Anatomy
    depths: Depths
    clear: np.ndarray
    rng: np.random.Generator
    amount: float


def draw(
    anatomy: Anatomy,
    occupied: np.ndarray,
    rng: np.random.Generator,
    *,
    amount: float = 0.5,
    depths: Depths | None = None,
) -> Mimics:
    """Draw mimics, clear of the perivascular spaces.

    Parameters
    ----------
    anatomy : Anatomy
    occupied : ndarray of bool
        Voxels that hold perivascular spaces; fluid mimics keep 3 mm away from them.
    rng : numpy.random.Generator
    amount : float
        0 (none) to 1 (many).
    depths : Depths, optional
        Of this anatomy, where they have been worked out already.
    """
    mimics = Mimics.none(anatomy.labels.shape)
    if amount <= 0:
        return mimics
    clear = distance(occupied, anatomy.spacing) > 3
    site = _Site(anatomy, depths or Depths.of(anatomy), clear, rng, amount)
    for step in (_bands, _confluent, _spots, _lacunes, _pockets, _insula, _horns, _cysts, _vessels, _cavum):
        step(mimics, site)
    for part in (mimics.fluid, mimics.vessel):
        part[occupied] = 0
    mimics.kind[occupied] = 0
    return mimics


def _mark(mimics: Mimics, box: tuple[slice, ...], share: np.ndarray, code: int) -> None:
    mimics.kind[box][share >= 0.3] = code


def _bands(mimics: Mimics, site: _Site) -> None:
    """Periventricular band and caps: a soft layer about the ventricles of uneven thickness."""
    thickness = site.rng.uniform(0.5, 5.0) * site.amount * np.exp(0.5 * _uneven(site, 20.0))
    band = np.clip(1.5 * thickness - site.depths.to_ventricle, 0, 1) * site.depths.white
    np.maximum(mimics.lesion, band, out=mimics.lesion)
    _mark(mimics, (slice(None),) * 3, band, 1)


def _confluent(mimics: Mimics, site: _Site) -> None:
    """Patches of hyperintensity that grow out of the band into the deep white matter."""
    if site.rng.random() > 0.6 * site.amount:
        return
    reach = site.rng.uniform(6, 16)
    level = _uneven(site, 14.0) + 1.5 * (1 - site.depths.to_ventricle / reach) - site.rng.uniform(1.2, 2.4)
    patch = np.clip(2 * level, 0, 1) * (site.depths.white & (site.depths.to_cortex > 2))
    np.maximum(mimics.lesion, patch, out=mimics.lesion)
    _mark(mimics, (slice(None),) * 3, patch, 3)


def _spots(mimics: Mimics, site: _Site) -> None:
    """Punctate hyperintensities of 2 to 7 mm in deep white matter."""
    _blobs(mimics, site, mimics.lesion, _deep(site), 18, (1.0, 3.5), 2)


def _lacunes(mimics: Mimics, site: _Site) -> None:
    """Ovoid cavities of 3 to 15 mm, two thirds of them with a rim of gliosis."""
    rng = site.rng
    for _ in range(rng.poisson(2.5 * site.amount)):
        centre = _centre(_deep(site) & site.clear, site)
        if centre is None:
            return
        shape = min(1.5 * rng.lognormal(0.4, 0.4), 7.0) * rng.uniform(0.7, 1.3, 3)
        turn = rng.normal(size=(3, 3))
        if rng.random() < 0.67:
            _ellipsoid(mimics.lesion, centre, shape + rng.uniform(1.0, 2.0), site, turn)
        _mark(mimics, *_ellipsoid(mimics.fluid, centre, shape, site, turn), 4)


def _pockets(mimics: Mimics, site: _Site) -> None:
    """Depths of sulci that look cut off: small pockets of CSF between cortex and white matter."""
    rim = site.depths.white & site.clear & (site.depths.to_cortex < 2.5)
    _blobs(mimics, site, mimics.fluid, rim, 40, (0.6, 1.6), 5)


def _insula(mimics: Mimics, site: _Site) -> None:
    """Pockets of CSF in the cortex lateral to the putamen."""
    anatomy = site.anatomy
    near = distance(anatomy.select(*PUTAMEN), anatomy.spacing) < 12
    cortex = anatomy.select(*CORTEX) & near & site.clear
    _blobs(mimics, site, mimics.fluid, cortex, 10, (0.6, 1.8), 6)


def _horns(mimics: Mimics, site: _Site) -> None:
    """Thin ends of the lateral ventricles: flat, longest from front to back."""
    rng, spacing = site.rng, site.anatomy.spacing
    for code in LATERAL_VENTRICLES:
        found = np.argwhere(site.anatomy.labels == code)
        if not len(found) or rng.random() > 0.3 + 0.6 * site.amount:
            continue
        for tip in (found[found[:, 1].argmin()], found[found[:, 1].argmax()]):
            axes = np.array([rng.uniform(0.5, 1.1), rng.uniform(4, 10), rng.uniform(1.0, 3.5)])
            small_turn = Rotation.from_rotvec(rng.normal(0, 0.2, 3)).as_matrix()
            _mark(mimics, *_ellipsoid(mimics.fluid, tip * spacing, axes, site, small_turn), 7)


def _cysts(mimics: Mimics, site: _Site) -> None:
    """Remnants of the hippocampal sulcus and cysts of the choroid fissure, in and on the hippocampus."""
    hippocampus = site.anatomy.select(*HIPPOCAMPUS)
    near = ndimage.binary_dilation(hippocampus) & site.clear
    _blobs(mimics, site, mimics.fluid, near, 6, (0.7, 2.0), 8)


def _vessels(mimics: Mimics, site: _Site) -> None:
    """Arteries and veins without a visible space: thin tubes along the same directions."""
    rng = site.rng
    for territory in territories(site.anatomy, site.depths)[:2]:
        candidates = np.flatnonzero(territory.mask & site.clear)
        for _ in range(rng.poisson(12 * site.amount)):
            if candidates.size:
                _one_vessel(mimics, site, territory, int(rng.choice(candidates)))


def _one_vessel(mimics: Mimics, site: _Site, territory: Territory, seed: int) -> None:
    spacing, shape = site.anatomy.spacing, site.anatomy.labels.shape
    start = np.array(np.unravel_index(seed, shape)) * spacing
    points = trace(territory, start, site.rng.uniform(6, 20), spacing, site.rng)
    if len(points) < 3:
        return
    radii = np.full(len(points), site.rng.uniform(0.25, 0.6))
    voxels, share = tube_occupancy(points, radii, shape, spacing)
    where = tuple(voxels.T)
    mimics.vessel[where] = np.maximum(mimics.vessel[where], share)
    mimics.kind[tuple(voxels[share >= 0.3].T)] = 9


def _cavum(mimics: Mimics, site: _Site) -> None:
    """A sheet of CSF between the bodies of the lateral ventricles, in a tenth of the heads."""
    rng = site.rng
    if rng.random() > 0.1 + 0.1 * site.amount:
        return
    sides = [np.argwhere(site.anatomy.labels == code) for code in LATERAL_VENTRICLES[:2]]
    if not all(len(s) for s in sides):
        return
    both = np.concatenate(sides)
    x = np.mean([s[:, 0].mean() for s in sides])
    middle = np.array([x, np.percentile(both[:, 1], 70), np.percentile(both[:, 2], 60)])
    axes = np.array([rng.uniform(0.8, 2.5), rng.uniform(5, 12), rng.uniform(3, 6)])
    _mark(mimics, *_ellipsoid(mimics.fluid, middle * site.anatomy.spacing, axes, site, np.eye(3)), 10)


def _deep(site: _Site) -> np.ndarray:
    return site.depths.white & (site.depths.to_ventricle > 4) & (site.depths.to_cortex > 3)


def _uneven(site: _Site, gap: float) -> np.ndarray:
    """A smooth standard-normal field with control points `gap` mm apart."""
    shape = site.anatomy.labels.shape
    return smooth_field(shape, control_points(shape, site.anatomy.spacing, gap), site.rng)


def _centre(where: np.ndarray, site: _Site) -> np.ndarray | None:
    candidates = np.flatnonzero(where)
    if not candidates.size:
        return None
    return np.array(np.unravel_index(site.rng.choice(candidates), where.shape)) * site.anatomy.spacing


def _blobs(
    mimics: Mimics,
    site: _Site,
    volume: np.ndarray,
    where: np.ndarray,
    number: float,
    radius: tuple[float, float],
    code: int,
) -> None:
    """About `number` ellipsoids (at amount 1) with centres in `where`."""
    rng = site.rng
    candidates = np.flatnonzero(where)
    for _ in range(rng.poisson(number * site.amount) if candidates.size else 0):
        centre = np.array(np.unravel_index(rng.choice(candidates), where.shape)) * site.anatomy.spacing
        axes = rng.uniform(*radius) * rng.uniform(0.7, 1.4, 3)
        _mark(mimics, *_ellipsoid(volume, centre, axes, site, rng.normal(size=(3, 3))), code)


def _ellipsoid(
    volume: np.ndarray, centre: np.ndarray, axes: np.ndarray, site: _Site, turn: np.ndarray
) -> tuple[tuple[slice, ...], np.ndarray]:
    """Add one ellipsoid with a soft edge; returns where and its share of each voxel there.

    Parameters
    ----------
    volume : ndarray of float32
        Drawn into.
    centre, axes : ndarray, shape (3,)
        In mm.
    turn : ndarray, shape (3, 3)
        Any matrix; the nearest frame to its columns turns the ellipsoid.
    """
    spacing = site.anatomy.spacing
    low = np.maximum(np.floor((centre - axes.max() - 1) / spacing).astype(int), 0)
    high = np.minimum(np.ceil((centre + axes.max() + 1) / spacing).astype(int) + 1, volume.shape)
    high = np.maximum(high, low)
    grid = np.stack(np.meshgrid(*map(np.arange, low, high), indexing='ij'), -1) * spacing
    frame, _ = np.linalg.qr(turn)
    depth = 1 - np.linalg.norm((grid - centre) @ frame / axes, axis=-1)
    share = np.clip(0.5 + depth * axes.min() / spacing.mean(), 0, 1).astype(np.float32)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    volume[box] = np.maximum(volume[box], share)
    return box, share
