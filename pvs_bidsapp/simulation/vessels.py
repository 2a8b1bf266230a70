"""Where perivascular spaces run, how long and how wide they are.

Spaces in white matter follow the medullary arteries, perpendicular to the cortex toward the
ventricle; those of the basal ganglia follow the lenticulostriate arteries, which enter through
the anterior perforated substance and fan out upward (Kwee & Kwee 2007,
doi:10.1148/rg.274065722), most of them low, near the anterior commissure.  Diameters are under
3 mm as a rule (Wardlaw et al. 2013, STRIVE); a third of the elderly have a wider one (Zhu et al.
2011).  They are wider and more numerous with age (Lynch et al. 2023); visual grades rise from
middle age on, in the basal ganglia most (Kim et al. 2022).  The distributions below (log-normal,
with the medians and spreads named in `POPULATIONS`) are a choice of ours within these bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from .fields import control_points, smooth_field
from .label_maps import (
    ACCUMBENS,
    BASAL_GANGLIA,
    BRAINSTEM,
    CORTEX,
    HIPPOCAMPUS,
    PALLIDUM,
    PUTAMEN,
    VENTRAL_DC,
    VENTRICLES,
    WHITE_MATTER,
    Anatomy,
    distance,
)

STEP = 0.5  # mm between the points of a centre line


@dataclass(frozen=True)
class Population:
    """Distribution of the spaces of one region (all choices of ours; see the module's head).

    Attributes
    ----------
    count : tuple of float
        Smallest and largest number in a brain; drawn log-uniformly, shifted with age.
    diameter, length : tuple of float
        Median (mm) and sigma of the logarithm.
    """

    count: tuple[float, float]
    diameter: tuple[float, float]
    length: tuple[float, float]


POPULATIONS = {
    'white-matter': Population((12, 300), (1.25, 0.30), (6.0, 0.50)),
    'basal-ganglia': Population((5, 90), (1.40, 0.30), (5.0, 0.45)),
    'midbrain': Population((0.4, 5), (1.20, 0.25), (3.5, 0.30)),
    'hippocampus': Population((0.15, 1.8), (1.20, 0.25), (3.0, 0.30)),
}
DIAMETER_RANGE = (0.6, 4.0)
LENGTH_RANGE = (2.0, 24.0)


@dataclass(frozen=True)
class Vessel:
    """One perivascular space.

    Attributes
    ----------
    points : ndarray, shape (n, 3)
        Centre line in millimetres from the centre of voxel (0, 0, 0), along the voxel axes.
    radii : ndarray, shape (n,)
        Radius in mm at each point.
    region : str
        A key of `POPULATIONS`.
    branch : Vessel or None
        A thinner tube that leaves this one; both are one space.
    """

    points: np.ndarray
    radii: np.ndarray
    region: str
    branch: Vessel | None = None

    @property
    def tubes(self) -> tuple[Vessel, ...]:
        """The space's main tube and its branch."""
        return (self, self.branch) if self.branch else (self,)

    def widened(self, factor: float) -> Vessel:
        """The same space with all radii multiplied by `factor`."""
        branch = self.branch.widened(factor) if self.branch else None
        return replace(self, radii=self.radii * factor, branch=branch)

    @property
    def length(self) -> float:
        """Length of the centre line in mm."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    @property
    def width(self) -> float:
        """Mean diameter in mm."""
        return float(2 * self.radii.mean())


@dataclass(frozen=True)
class Depths:
    """Distances within one anatomy, worked out once.

    Attributes
    ----------
    white : ndarray of bool, shape (x, y, z)
    to_ventricle, to_cortex : ndarray of float32
        Distance in mm to the nearest voxel of a ventricle, of the cortex.
    """

    white: np.ndarray
    to_ventricle: np.ndarray
    to_cortex: np.ndarray

    @classmethod
    def of(cls, anatomy: Anatomy) -> Depths:
        """The distances of an anatomy."""
        return cls(
            anatomy.select(*WHITE_MATTER),
            distance(anatomy.select(*VENTRICLES), anatomy.spacing),
            distance(anatomy.select(*CORTEX), anatomy.spacing),
        )


@dataclass(frozen=True)
class Territory:
    """A region with the direction in which its vessels run.

    Attributes
    ----------
    mask : ndarray of bool
    direction : callable
        From a point (mm along the voxel axes) to a vector.
    name : str
        A key of `POPULATIONS`.
    crowding : ndarray of float32 or None
        How much likelier a space is at each voxel (logarithm), beside chance.
    """

    mask: np.ndarray
    direction: Callable[[np.ndarray], np.ndarray]
    name: str
    crowding: np.ndarray | None = None


def draw(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    load: float = 0.5,
    size: float = 1.0,
    depths: Depths | None = None,
) -> list[Vessel]:
    """Draw the perivascular spaces of one brain.

    Parameters
    ----------
    anatomy : Anatomy
    rng : numpy.random.Generator
    load : float
        Burden in [0, 1]: where between few and many, thin and wide, this brain stands.
    size : float
        Factor on all diameters.
    depths : Depths, optional
        Of this anatomy, where they have been worked out already.
    """
    vessels: list[Vessel] = []
    for territory in territories(anatomy, depths or Depths.of(anatomy)):
        population = POPULATIONS[territory.name]
        low, high = np.log(population.count)
        where = np.clip(load + rng.normal(0, 0.18), 0, 1)
        number = rng.poisson(np.exp(low + (high - low) * where))
        vessels += _draw_population(territory, population, number, anatomy, rng, load)
    return [v.widened(size) for v in vessels]


def territories(anatomy: Anatomy, depths: Depths) -> list[Territory]:
    """The four regions in which spaces are drawn, with their vessels' directions."""
    spacing = anatomy.spacing
    to_ventricle, to_cortex = depths.to_ventricle, depths.to_cortex
    deep_grey = anatomy.select(*BASAL_GANGLIA, *ACCUMBENS)
    # spaces keep off the ventricle's wall and the cortex by about their own radius
    medullary = depths.white & (to_ventricle > 2.5) & (to_cortex > 1.2)
    ganglia = deep_grey & (to_ventricle > 2.0) & (to_cortex > 1.2)
    brainstem = anatomy.select(*BRAINSTEM, *VENTRAL_DC)
    midbrain = brainstem & _near_top(brainstem, spacing, 22.0) & (to_ventricle > 2.0)
    hippocampus = anatomy.select(*HIPPOCAMPUS)
    hippocampus &= distance(~hippocampus, spacing) > 1.0
    return [
        Territory(medullary, _medullary_direction(to_ventricle, to_cortex, spacing), 'white-matter'),
        Territory(ganglia, _lenticulostriate_direction(anatomy), 'basal-ganglia', _lowness(ganglia, spacing)),
        Territory(midbrain, _fixed_direction((0.3, 0.2, 1.0)), 'midbrain'),
        Territory(hippocampus, _fixed_direction((0.2, 1.0, 0.3)), 'hippocampus'),
    ]


def _lowness(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Spaces of the basal ganglia thin out upward: by half every 7 mm."""
    height = np.arange(mask.shape[2], dtype=np.float32) * spacing[2]
    return np.broadcast_to(-np.log(2) * height / 7.0, mask.shape)


def _near_top(mask: np.ndarray, spacing: np.ndarray, depth: float) -> np.ndarray:
    """Part of a mask at most `depth` mm below its highest slice (axis 2 points up)."""
    slices = np.flatnonzero(mask.any((0, 1)))
    keep = np.zeros_like(mask)
    if slices.size:
        keep[:, :, max(0, slices[-1] - int(depth / spacing[2])) :] = True
    return keep


def _medullary_direction(
    to_ventricle: np.ndarray, to_cortex: np.ndarray, spacing: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Directions from the cortex to the ventricle: the gradient of the relative depth."""
    half = (slice(None, None, 2),) * 3  # directions turn slowly: every other voxel is enough
    to_cortex, to_ventricle = to_cortex[half], np.minimum(to_ventricle[half], 60)
    depth = to_cortex / np.maximum(to_cortex + to_ventricle, 1e-3)
    depth = ndimage.gaussian_filter(depth, 1.0 / spacing)
    gradient = [np.gradient(depth, 2 * spacing[k], axis=k).astype(np.float32) for k in range(3)]

    def direction(point: np.ndarray) -> np.ndarray:
        i, j, k = np.clip(np.rint(point / (2 * spacing)).astype(int), 0, np.array(depth.shape) - 1)
        return np.array([g[i, j, k] for g in gradient], float)

    return direction


def _lenticulostriate_direction(anatomy: Anatomy) -> Callable[[np.ndarray], np.ndarray]:
    """Directions away from the anterior perforated substance of the same hemisphere."""
    sources = []
    for codes in zip(PUTAMEN, PALLIDUM, strict=True):
        voxels = np.argwhere(anatomy.select(*codes)) * anatomy.spacing
        if len(voxels):
            x, y, z = voxels[:, 0].mean(), np.percentile(voxels[:, 1], 60), voxels[:, 2].min()
            sources.append(np.array([x, y, z - 8.0]))

    def direction(point: np.ndarray) -> np.ndarray:
        if not sources:
            return np.array([0.0, 0.0, 1.0])
        return point - min(sources, key=lambda s: float(abs(s[0] - point[0])))

    return direction


def _fixed_direction(vector: tuple[float, float, float]) -> Callable[[np.ndarray], np.ndarray]:
    def direction(point: np.ndarray) -> np.ndarray:
        return np.array(vector)

    return direction


def _draw_population(
    territory: Territory,
    population: Population,
    number: int,
    anatomy: Anatomy,
    rng: np.random.Generator,
    load: float,
) -> list[Vessel]:
    """Seeds in clusters (a smooth random density), one vessel through each."""
    flat = np.flatnonzero(territory.mask)
    if not flat.size or not number:
        return []
    shape = territory.mask.shape
    control = control_points(shape, anatomy.spacing, 16)
    weight = smooth_field(shape, control, rng).ravel()[flat]
    weight = np.exp(1.2 * (weight - weight.mean()) / max(float(weight.std()), 1e-9))
    if territory.crowding is not None:
        crowding = territory.crowding.ravel()[flat]
        weight *= np.exp(crowding - crowding.max())
    seeds = np.stack(np.unravel_index(rng.choice(flat, number, p=weight / weight.sum()), shape), 1)
    vessels = []
    for seed in seeds:
        start = (seed + rng.uniform(-0.5, 0.5, 3)) * anatomy.spacing
        vessel = _draw_one(territory, population, start, anatomy.spacing, rng, load)
        if vessel is not None:
            vessels.append(vessel)
    return vessels


def _draw_one(
    territory: Territory,
    population: Population,
    start: np.ndarray,
    spacing: np.ndarray,
    rng: np.random.Generator,
    load: float,
) -> Vessel | None:
    """One space through `start`, one in eight of the longer ones with a branch."""
    median, sigma = population.diameter
    diameter = np.clip(rng.lognormal(np.log(median * (0.85 + 0.3 * load)), sigma), *DIAMETER_RANGE)
    length = np.clip(rng.lognormal(np.log(population.length[0]), population.length[1]), *LENGTH_RANGE)
    points = trace(territory, start, max(length, 1.5 * diameter), spacing, rng)
    if len(points) < 3:
        return None
    radii = _radii(len(points), diameter / 2, rng)
    branch = None
    if len(points) > 8 and rng.random() < 0.125:
        origin = int(rng.integers(2, len(points) - 2))
        path = trace(territory, points[origin], length * rng.uniform(0.3, 0.6), spacing, rng, halves=1)
        if len(path) >= 4:
            branch = Vessel(path, _radii(len(path), 0.8 * radii[origin], rng), territory.name)
    return Vessel(points, radii, territory.name, branch)


def trace(
    territory: Territory,
    start: np.ndarray,
    length: float,
    spacing: np.ndarray,
    rng: np.random.Generator,
    *,
    halves: int = 2,
) -> np.ndarray:
    """Follow a territory's direction from `start`, bending a little at random.

    Parameters
    ----------
    territory : Territory
    start : ndarray, shape (3,)
        In mm along the voxel axes.
    length : float
        In mm; the line ends earlier where it leaves the territory.
    spacing : ndarray, shape (3,)
    rng : numpy.random.Generator
    halves : int
        2: both ways from the start; 1: one way only.

    Returns
    -------
    points : ndarray, shape (n, 3)
        `STEP` mm apart.
    """
    tilt = rng.normal(0, 0.25, 3)  # each vessel departs from the field by about 15 degrees
    first = rng.uniform(0.3, 0.7) if halves == 2 else 0.0
    paths = []
    for sign, share in ((-1, first), (1, 1 - first)):
        points, bend, previous = [start], np.zeros(3), None
        for _ in range(int(length * share / STEP)):
            heading = territory.direction(points[-1])
            norm = np.linalg.norm(heading)
            heading = (
                heading / norm if norm > 1e-9 else (previous if previous is not None else rng.normal(size=3))
            )
            bend = 0.9 * bend + rng.normal(0, 0.06, 3)
            heading = heading + tilt + bend
            heading /= np.linalg.norm(heading)
            if previous is not None:  # stiffness: no kinks where the field turns
                heading = 0.6 * previous + 0.4 * heading
                heading /= np.linalg.norm(heading)
            point = points[-1] + sign * STEP * heading
            voxel = np.rint(point / spacing).astype(int)
            outside = (voxel < 0).any() or (voxel >= territory.mask.shape).any()
            if outside or not territory.mask[tuple(voxel)]:
                break
            points.append(point)
            previous = heading
        paths.append(points)
    return np.array(paths[0][:0:-1] + paths[1])


def _radii(n: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Radius along a vessel: tapering to one end, a third of them beaded."""
    s = np.linspace(0, 1, n)
    taper = rng.uniform(0.0, 0.5)
    profile = 1 - taper * (s if rng.random() < 0.5 else 1 - s)
    if rng.random() < 0.33:
        profile *= 1 + 0.25 * np.sin(2 * np.pi * (s * n * STEP / rng.uniform(3, 6) + rng.random()))
    return radius * profile / profile.mean()
