"""Structures that may be mistaken for PVS: lesions, lacunes, pockets of CSF, vessels.

Lacunes are 3 to 15 mm wide, often with a rim (STRIVE, Wardlaw et al. 2013,
doi:10.1016/S1474-4422(13)70124-8). The signal of white matter hyperintensities lies a third of the way from
white matter to CSF (digital reference object of Bernal et al. 2022). Users of automatic tools report false
positives in pockets of CSF near the insula and in cysts of the hippocampal sulcus. Frequencies and all other
numbers are our own choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from .fields import control_points, smooth_field
from .label_maps import CORTEX, HIPPOCAMPUS, LATERAL_VENTRICLES, PUTAMEN, Anatomy, distance
from .rendering import tube_occupancy
from .vessels import Distances, Territory, territories, trace_centre_line

#: Names of the mimics by their code in the map of mimics.
MIMIC_NAMES = {
    1: 'periventricular band or cap', 2: 'punctate white matter hyperintensity',
    3: 'confluent white matter hyperintensity', 4: 'lacune', 5: 'pocket of CSF by the cortex',
    6: 'pocket of CSF by the insula', 7: 'thin ventricle horn',
    8: 'cyst of hippocampal sulcus or choroid fissure', 9: 'vessel', 10: 'cavum septi pellucidi',
}  # fmt: skip


@dataclass(kw_only=True)
class Mimics:
    """Maps of mimics: the fraction of each voxel, in [0, 1], that a mimic fills.

    Attributes
    ----------
    lesion : ndarray of float32, shape (x, y, z)
        White matter hyperintensities: bands, caps, spots, rims of lacunes.
    fluid : ndarray of float32, shape (x, y, z)
        CSF in lacunes, pockets and cysts.
    vessel : ndarray of float32, shape (x, y, z)
        Flowing blood, dark on T2w.
    codes : ndarray of uint8, shape (x, y, z)
        Code of `MIMIC_NAMES` where a mimic fills 30 % of a voxel or more, 0 elsewhere.
    """

    lesion: np.ndarray
    fluid: np.ndarray
    vessel: np.ndarray
    codes: np.ndarray = field(repr=False)

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Mimics:
        """Maps without mimics on a grid of this shape."""
        lesion, fluid, vessel = (np.zeros(shape, np.float32) for _ in range(3))
        return cls(lesion=lesion, fluid=fluid, vessel=vessel, codes=np.zeros(shape, np.uint8))

    def moved(self, move: Callable[[np.ndarray, int], np.ndarray]) -> Mimics:
        """The same mimics on another grid.

        Parameters
        ----------
        move : callable
            Resamples an image by a spline of an order.
        """
        lesion, fluid, vessel = (move(image, 1) for image in (self.lesion, self.fluid, self.vessel))
        return Mimics(lesion=lesion, fluid=fluid, vessel=vessel, codes=move(self.codes, 0))


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What all mimics of a head depend on.

    Attributes
    ----------
    anatomy : Anatomy
    distances : Distances
    clear : ndarray of bool, shape (x, y, z)
        Voxels more than 3 mm away from PVS.
    rng : numpy.random.Generator
    amount : float
        Amount of mimics, in [0, 1].
    """

    anatomy: Anatomy
    distances: Distances
    clear: np.ndarray
    rng: np.random.Generator
    amount: float


def draw(
    anatomy: Anatomy,
    occupied: np.ndarray,
    rng: np.random.Generator,
    *,
    amount: float = 0.5,
    distances: Distances | None = None,
) -> Mimics:
    """Draw mimics at random, outside the PVS.

    Parameters
    ----------
    anatomy : Anatomy
    occupied : ndarray of bool, shape (x, y, z)
        Voxels with PVS; fluid mimics keep a distance of 3 mm from them.
    rng : numpy.random.Generator
    amount : float
        From 0 (none) to 1 (many).
    distances : Distances, optional
        Those of the anatomy; computed if None.
    """
    mimics = Mimics.none(anatomy.labels.shape)
    if amount <= 0:
        return mimics
    clear = distance(occupied, anatomy.spacing) > 3
    head = _Head(
        anatomy=anatomy,
        distances=distances or Distances.of(anatomy),
        clear=clear,
        rng=rng,
        amount=amount,
    )
    for step in (_bands, _confluent, _spots, _lacunes, _pockets, _insula, _horns, _cysts, _vessels, _cavum):
        step(mimics, head)
    for part in (mimics.fluid, mimics.vessel):
        part[occupied] = 0
    mimics.codes[occupied] = 0
    return mimics


def _mark(mimics: Mimics, box: tuple[slice, ...], fraction: np.ndarray, code: int) -> None:
    """Give the voxels of a box that a mimic fills to 30 % or more its code."""
    mimics.codes[box][fraction >= 0.3] = code


def _bands(mimics: Mimics, head: _Head) -> None:
    """Periventricular band and caps: a soft layer of uneven thickness around the ventricles."""
    thickness = head.rng.uniform(0.5, 5.0) * head.amount * np.exp(0.5 * _uneven(head, 20.0))
    band = np.clip(1.5 * thickness - head.distances.to_ventricle, 0, 1) * head.distances.white
    np.maximum(mimics.lesion, band, out=mimics.lesion)
    _mark(mimics, (slice(None),) * 3, band, 1)


def _confluent(mimics: Mimics, head: _Head) -> None:
    """Confluent hyperintensities that extend from the band into the deep white matter."""
    if head.rng.random() > 0.6 * head.amount:
        return
    reach = head.rng.uniform(6, 16)
    level = _uneven(head, 14.0) + 1.5 * (1 - head.distances.to_ventricle / reach) - head.rng.uniform(1.2, 2.4)
    patch = np.clip(2 * level, 0, 1) * (head.distances.white & (head.distances.to_cortex > 2))
    np.maximum(mimics.lesion, patch, out=mimics.lesion)
    _mark(mimics, (slice(None),) * 3, patch, 3)


def _spots(mimics: Mimics, head: _Head) -> None:
    """Punctate hyperintensities of 2 to 7 mm in deep white matter."""
    _blobs(mimics, head, mimics.lesion, _deep(head), 18, (1.0, 3.5), 2)


def _lacunes(mimics: Mimics, head: _Head) -> None:
    """Ovoid cavities of 3 to 15 mm, two thirds of them with a rim of gliosis."""
    rng = head.rng
    for _ in range(rng.poisson(2.5 * head.amount)):
        centre = _centre(_deep(head) & head.clear, head)
        if centre is None:
            return
        radii = min(1.5 * rng.lognormal(0.4, 0.4), 7.0) * rng.uniform(0.7, 1.3, 3)
        orientation = rng.normal(size=(3, 3))
        if rng.random() < 0.67:
            _ellipsoid(mimics.lesion, centre, radii + rng.uniform(1.0, 2.0), head, orientation)
        _mark(mimics, *_ellipsoid(mimics.fluid, centre, radii, head, orientation), 4)


def _pockets(mimics: Mimics, head: _Head) -> None:
    """Bottoms of sulci that look isolated: small pockets of CSF between cortex and white matter."""
    rim = head.distances.white & head.clear & (head.distances.to_cortex < 2.5)
    _blobs(mimics, head, mimics.fluid, rim, 40, (0.6, 1.6), 5)


def _insula(mimics: Mimics, head: _Head) -> None:
    """Pockets of CSF in the cortex lateral to the putamen."""
    anatomy = head.anatomy
    near = distance(anatomy.select(*PUTAMEN), anatomy.spacing) < 12
    cortex = anatomy.select(*CORTEX) & near & head.clear
    _blobs(mimics, head, mimics.fluid, cortex, 10, (0.6, 1.8), 6)


def _horns(mimics: Mimics, head: _Head) -> None:
    """Thin ends of the lateral ventricles: flat, longest in the anterior-posterior direction."""
    rng, spacing = head.rng, head.anatomy.spacing
    for code in LATERAL_VENTRICLES:
        voxels = np.argwhere(head.anatomy.labels == code)
        if not len(voxels) or rng.random() > 0.3 + 0.6 * head.amount:
            continue
        for tip in (voxels[voxels[:, 1].argmin()], voxels[voxels[:, 1].argmax()]):
            radii = np.array([rng.uniform(0.5, 1.1), rng.uniform(4, 10), rng.uniform(1.0, 3.5)])
            orientation = Rotation.from_rotvec(rng.normal(0, 0.2, 3)).as_matrix()
            _mark(mimics, *_ellipsoid(mimics.fluid, tip * spacing, radii, head, orientation), 7)


def _cysts(mimics: Mimics, head: _Head) -> None:
    """Remnants of the hippocampal sulcus and cysts of the choroid fissure, in and on the hippocampus."""
    hippocampus = head.anatomy.select(*HIPPOCAMPUS)
    near = ndimage.binary_dilation(hippocampus) & head.clear
    _blobs(mimics, head, mimics.fluid, near, 6, (0.7, 2.0), 8)


def _vessels(mimics: Mimics, head: _Head) -> None:
    """Arteries and veins without a visible PVS: thin tubes along the directions of PVS."""
    rng = head.rng
    for territory in territories(head.anatomy, head.distances)[:2]:
        candidates = np.flatnonzero(territory.mask & head.clear)
        for _ in range(rng.poisson(12 * head.amount)):
            if candidates.size:
                _vessel_through(mimics, head, territory, int(rng.choice(candidates)))


def _vessel_through(mimics: Mimics, head: _Head, territory: Territory, seed: int) -> None:
    spacing, shape = head.anatomy.spacing, head.anatomy.labels.shape
    start = np.array(np.unravel_index(seed, shape)) * spacing
    points = trace_centre_line(territory, start, head.rng.uniform(6, 20), spacing, head.rng)
    if len(points) < 3:
        return
    radii = np.full(len(points), head.rng.uniform(0.25, 0.6))
    voxels, fraction = tube_occupancy(points, radii, shape, spacing)
    touched = tuple(voxels.T)
    mimics.vessel[touched] = np.maximum(mimics.vessel[touched], fraction)
    mimics.codes[tuple(voxels[fraction >= 0.3].T)] = 9


def _cavum(mimics: Mimics, head: _Head) -> None:
    """A sheet of CSF between the bodies of the lateral ventricles, in a tenth of the heads."""
    rng = head.rng
    if rng.random() > 0.1 + 0.1 * head.amount:
        return
    sides = [np.argwhere(head.anatomy.labels == code) for code in LATERAL_VENTRICLES[:2]]
    if not all(len(s) for s in sides):
        return
    both = np.concatenate(sides)
    x = np.mean([s[:, 0].mean() for s in sides])
    middle = np.array([x, np.percentile(both[:, 1], 70), np.percentile(both[:, 2], 60)])
    radii = np.array([rng.uniform(0.8, 2.5), rng.uniform(5, 12), rng.uniform(3, 6)])
    _mark(mimics, *_ellipsoid(mimics.fluid, middle * head.anatomy.spacing, radii, head, np.eye(3)), 10)


def _deep(head: _Head) -> np.ndarray:
    return head.distances.white & (head.distances.to_ventricle > 4) & (head.distances.to_cortex > 3)


def _uneven(head: _Head, gap: float) -> np.ndarray:
    """A smooth standard-normal field with control points `gap` mm apart."""
    shape = head.anatomy.labels.shape
    return smooth_field(shape, control_points(shape, head.anatomy.spacing, gap), head.rng)


def _centre(mask: np.ndarray, head: _Head) -> np.ndarray | None:
    """A random voxel of a mask, in mm along the voxel axes; None if the mask is empty."""
    candidates = np.flatnonzero(mask)
    if not candidates.size:
        return None
    return np.array(np.unravel_index(head.rng.choice(candidates), mask.shape)) * head.anatomy.spacing


def _blobs(
    mimics: Mimics,
    head: _Head,
    volume: np.ndarray,
    mask: np.ndarray,
    number: float,
    radius: tuple[float, float],
    code: int,
) -> None:
    """Ellipsoids with centres in a mask: on average `number` of them where the amount is 1."""
    rng = head.rng
    candidates = np.flatnonzero(mask)
    for _ in range(rng.poisson(number * head.amount) if candidates.size else 0):
        centre = np.array(np.unravel_index(rng.choice(candidates), mask.shape)) * head.anatomy.spacing
        radii = rng.uniform(*radius) * rng.uniform(0.7, 1.4, 3)
        _mark(mimics, *_ellipsoid(volume, centre, radii, head, rng.normal(size=(3, 3))), code)


def _ellipsoid(
    volume: np.ndarray, centre: np.ndarray, radii: np.ndarray, head: _Head, orientation: np.ndarray
) -> tuple[tuple[slice, ...], np.ndarray]:
    """Add one ellipsoid with a soft edge.

    Parameters
    ----------
    volume : ndarray of float32, shape (x, y, z)
        Changed in place.
    centre, radii : ndarray, shape (3,)
        Centre, along the voxel axes, and radii in mm.
    head : _Head
    orientation : ndarray, shape (3, 3)
        Any invertible matrix; the axes of the ellipsoid are the orthonormalised columns.

    Returns
    -------
    box : tuple of slice
        The part of the volume that was changed.
    fraction : ndarray of float32
        Fraction of each voxel of the box inside the ellipsoid, in [0, 1].
    """
    box, fraction = ellipsoid_fraction(centre, radii, orientation, volume.shape, head.anatomy.spacing)
    volume[box] = np.maximum(volume[box], fraction)
    return box, fraction


def ellipsoid_fraction(
    centre: np.ndarray,
    radii: np.ndarray,
    orientation: np.ndarray,
    shape: tuple[int, ...],
    spacing: np.ndarray,
) -> tuple[tuple[slice, ...], np.ndarray]:
    """How much of each voxel an ellipsoid with a soft edge fills.

    Parameters
    ----------
    centre, radii : ndarray, shape (3,)
        Centre, along the voxel axes, and radii in mm.
    orientation : ndarray, shape (3, 3)
        Any invertible matrix; the axes of the ellipsoid are the orthonormalised columns.
    shape : tuple of int
        Shape of the grid, (x, y, z).
    spacing : ndarray, shape (3,)
        Voxel size in mm.

    Returns
    -------
    box : tuple of slice
        The part of the grid that the ellipsoid may touch.
    fraction : ndarray of float32
        Fraction of each voxel of the box inside the ellipsoid, in [0, 1].
    """
    low = np.maximum(np.floor((centre - radii.max() - 1) / spacing).astype(int), 0)
    high = np.minimum(np.ceil((centre + radii.max() + 1) / spacing).astype(int) + 1, shape)
    high = np.maximum(high, low)
    grid = np.stack(np.meshgrid(*map(np.arange, low, high), indexing='ij'), -1) * spacing
    frame, _ = np.linalg.qr(orientation)
    depth = 1 - np.linalg.norm((grid - centre) @ frame / radii, axis=-1)
    fraction = np.clip(0.5 + depth * radii.min() / spacing.mean(), 0, 1).astype(np.float32)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), fraction
