"""Course, length and width of simulated PVS.

PVS of white matter follow the medullary arteries, perpendicular to the cortex toward the ventricle. Those of
the basal ganglia follow the lenticulostriate arteries, which enter through the anterior perforated substance
and fan out upward (Kwee & Kwee 2007, doi:10.1148/rg.274065722); most of them are low, near the anterior
commissure. Diameters are usually below 3 mm (Wardlaw et al. 2013, STRIVE); a third of the elderly have a
wider PVS (Zhu et al. 2011). PVS are wider and more numerous with age (Lynch et al. 2023); visual grades rise
from middle age, most in the basal ganglia (Kim et al. 2022). The distributions of `POPULATIONS` are our own
choice within these limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from nibabel.affines import apply_affine
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

#: Distance between the points of a centre line, in mm.
STEP = 0.5


@dataclass(frozen=True)
class Population:
    """Distribution of the PVS of one region.

    Attributes
    ----------
    count : tuple of float
        Expected number in a brain, or per cm³, at the lowest and at the highest burden.
    diameter, length : tuple of float
        Median (mm), and standard deviation of the natural logarithm, of log-normal distributions.
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
#: As `POPULATIONS`, with the expected number per cm³ of the region, from brains without spaces to status
#: cribrosum. Training patches are drawn from all of them, wider than those of people, and the suite ``dense``
#: from their highest burdens; docs/explanation/simulation.md compares both with what is published.
DENSITIES = {
    'white-matter': Population((0.08, 4.0), (1.0, 0.30), (6.0, 0.55)),
    'basal-ganglia': Population((0.3, 8.0), (1.15, 0.30), (5.0, 0.50)),
    'thalamus': Population((0.1, 2.5), (1.0, 0.30), (3.5, 0.40)),
    'midbrain': Population((0.05, 1.2), (1.0, 0.25), (3.5, 0.30)),
    'hippocampus': Population((0.05, 1.0), (1.1, 0.25), (3.0, 0.30)),
}
#: Limits of diameters and lengths, in mm.
DIAMETER_RANGE = (0.6, 4.0)
LENGTH_RANGE = (2.0, 24.0)


@dataclass(frozen=True)
class Vessel:
    """One PVS: a tube around a vessel, possibly with a branch.

    Attributes
    ----------
    points : ndarray, shape (n, 3)
        Centre line in mm from the centre of voxel (0, 0, 0), along the voxel axes.
    radii : ndarray, shape (n,)
        Radius in mm at each point.
    region : str
        A key of `POPULATIONS`.
    branch : Vessel or None
        A thinner tube that starts at this one; both are one PVS.
    """

    points: np.ndarray
    radii: np.ndarray
    region: str
    branch: Vessel | None = None

    @property
    def tubes(self) -> tuple[Vessel, ...]:
        """The main tube and the branch."""
        return (self, self.branch) if self.branch else (self,)

    def widened(self, factor: float) -> Vessel:
        """The same PVS with all radii multiplied by `factor`."""
        branch = self.branch.widened(factor) if self.branch else None
        return replace(self, radii=self.radii * factor, branch=branch)

    def moved(self, affine: np.ndarray) -> Vessel:
        """The same PVS at another place, by a rigid motion of its points, shape (4, 4)."""
        branch = self.branch.moved(affine) if self.branch else None
        return replace(self, points=apply_affine(affine, self.points), branch=branch)

    @property
    def length(self) -> float:
        """Length of the centre line in mm, without the branch."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    @property
    def width(self) -> float:
        """Mean diameter in mm."""
        return float(2 * self.radii.mean())


@dataclass(frozen=True)
class Distances:
    """Distances within one anatomy, computed once.

    Attributes
    ----------
    white : ndarray of bool, shape (x, y, z)
        White matter.
    to_ventricle, to_cortex : ndarray of float32, shape (x, y, z)
        Distance in mm to the nearest voxel of a ventricle, of the cortex.
    """

    white: np.ndarray
    to_ventricle: np.ndarray
    to_cortex: np.ndarray

    @classmethod
    def of(cls, anatomy: Anatomy) -> Distances:
        """The distances of an anatomy."""
        return cls(
            anatomy.select(*WHITE_MATTER),
            distance(anatomy.select(*VENTRICLES), anatomy.spacing),
            distance(anatomy.select(*CORTEX), anatomy.spacing),
        )


@dataclass(frozen=True)
class Territory:
    """A region with the direction of its vessels.

    Attributes
    ----------
    mask : ndarray of bool, shape (x, y, z)
    direction : callable
        Direction of a vessel (a vector of any length) at a point, in mm along the voxel axes.
    name : str
        A key of `POPULATIONS`.
    log_density : ndarray of float32, shape (x, y, z), or None
        Natural logarithm of the relative density of PVS; None: uniform.
    """

    mask: np.ndarray
    direction: Callable[[np.ndarray], np.ndarray]
    name: str
    log_density: np.ndarray | None = None


def draw(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    burden: float = 0.5,
    size: float = 1.0,
    distances: Distances | None = None,
    is_dense: bool = False,
) -> list[Vessel]:
    """Draw the PVS of one brain at random.

    Parameters
    ----------
    anatomy : Anatomy
    rng : numpy.random.Generator
    burden : float
        In [0, 1], from few and thin to many and wide PVS.
    size : float
        Factor by which all diameters are multiplied.
    distances : Distances, optional
        Those of the anatomy; computed if None.

    Returns
    -------
    vessels : list of Vessel
    """
    vessels: list[Vessel] = []
    for territory in territories(anatomy, distances or Distances.of(anatomy)):
        population = (DENSITIES if is_dense else POPULATIONS)[territory.name]
        volume = territory.mask.sum() * float(np.prod(anatomy.spacing)) / 1000 if is_dense else 1.0
        low, high = np.log(population.count)
        regional_burden = np.clip(burden + rng.normal(0, 0.18), 0, 1)
        number = rng.poisson(volume * np.exp(low + (high - low) * regional_burden))
        vessels += _draw_population(territory, population, number, anatomy, rng, burden)
    return [v.widened(size) for v in vessels]


def territories(anatomy: Anatomy, distances: Distances) -> list[Territory]:
    """The four regions with PVS: white matter, basal ganglia, midbrain, hippocampus (in this order).

    Parameters
    ----------
    anatomy : Anatomy
    distances : Distances
        Those of the anatomy.
    """
    spacing = anatomy.spacing
    to_ventricle, to_cortex = distances.to_ventricle, distances.to_cortex
    deep_grey = anatomy.select(*BASAL_GANGLIA, *ACCUMBENS)
    # PVS keep a distance of about their own radius from ventricles and cortex
    medullary = distances.white & (to_ventricle > 2.5) & (to_cortex > 1.2)
    ganglia = deep_grey & (to_ventricle > 2.0) & (to_cortex > 1.2)
    brainstem = anatomy.select(*BRAINSTEM, *VENTRAL_DC)
    midbrain = brainstem & _near_top(brainstem, spacing, 22.0) & (to_ventricle > 2.0)
    hippocampus = anatomy.select(*HIPPOCAMPUS)
    hippocampus &= distance(~hippocampus, spacing) > 1.0
    return [
        Territory(medullary, _medullary_direction(to_ventricle, to_cortex, spacing), 'white-matter'),
        Territory(
            ganglia,
            _lenticulostriate_direction(anatomy),
            'basal-ganglia',
            _log_density_by_height(ganglia, spacing),
        ),
        Territory(midbrain, _fixed_direction((0.3, 0.2, 1.0)), 'midbrain'),
        Territory(hippocampus, _fixed_direction((0.2, 1.0, 0.3)), 'hippocampus'),
    ]


def _log_density_by_height(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Natural logarithm of a density of PVS that halves every 7 mm upward."""
    height = np.arange(mask.shape[2], dtype=np.float32) * spacing[2]
    return np.broadcast_to(-np.log(2) * height / 7.0, mask.shape)


def _near_top(mask: np.ndarray, spacing: np.ndarray, depth: float) -> np.ndarray:
    """Part of a mask that is at most `depth` mm below its highest slice; axis 2 points upward."""
    slices = np.flatnonzero(mask.any((0, 1)))
    keep = np.zeros_like(mask)
    if slices.size:
        keep[:, :, max(0, slices[-1] - int(depth / spacing[2])) :] = True
    return keep


def medullary_gradient(
    to_ventricle: np.ndarray, to_cortex: np.ndarray, spacing: np.ndarray, step: int = 2
) -> list[np.ndarray]:
    """Directions from the cortex to the ventricle: the gradient of the relative depth.

    Directions change slowly: every other voxel is enough.

    Parameters
    ----------
    to_ventricle, to_cortex : ndarray, shape (x, y, z)
        Distances in mm.
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    step : int
        The gradient is computed at every n-th voxel along each axis.

    Returns
    -------
    gradient : list of ndarray of float32
        Its three components.
    """
    coarse = (slice(None, None, step),) * 3
    to_cortex, to_ventricle = to_cortex[coarse], np.minimum(to_ventricle[coarse], 60)
    depth = to_cortex / np.maximum(to_cortex + to_ventricle, 1e-3)
    depth = ndimage.gaussian_filter(depth, 1.0 / spacing)
    return [np.gradient(depth, step * spacing[k], axis=k).astype(np.float32) for k in range(3)]


def _medullary_direction(
    to_ventricle: np.ndarray, to_cortex: np.ndarray, spacing: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Direction at a point of `medullary_gradient`."""
    gradient = medullary_gradient(to_ventricle, to_cortex, spacing)
    shape = np.array(gradient[0].shape)

    def direction(point: np.ndarray) -> np.ndarray:
        i, j, k = np.clip(np.rint(point / (2 * spacing)).astype(int), 0, shape - 1)
        return np.array([g[i, j, k] for g in gradient], float)

    return direction


def lenticulostriate_sources(anatomy: Anatomy) -> list[np.ndarray]:
    """The anterior perforated substance of each hemisphere, below putamen and pallidum.

    Parameters
    ----------
    anatomy : Anatomy

    Returns
    -------
    sources : list of ndarray, shape (3,)
        In mm along the voxel axes; fewer than two if a hemisphere has no such nuclei.
    """
    sources = []
    for codes in zip(PUTAMEN, PALLIDUM, strict=True):
        voxels = np.argwhere(anatomy.select(*codes)) * anatomy.spacing
        if len(voxels):
            x, y, z = voxels[:, 0].mean(), np.percentile(voxels[:, 1], 60), voxels[:, 2].min()
            sources.append(np.array([x, y, z - 8.0]))
    return sources


def _lenticulostriate_direction(anatomy: Anatomy) -> Callable[[np.ndarray], np.ndarray]:
    """Directions away from the anterior perforated substance of the same hemisphere."""
    sources = lenticulostriate_sources(anatomy)

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
    burden: float,
) -> list[Vessel]:
    """Start points from a smooth random density, and a PVS through each."""
    flat = np.flatnonzero(territory.mask)
    if not flat.size or not number:
        return []
    shape = territory.mask.shape
    control = control_points(shape, anatomy.spacing, 16)
    weight = smooth_field(shape, control, rng).ravel()[flat]
    weight = np.exp(1.2 * (weight - weight.mean()) / max(float(weight.std()), 1e-9))
    if territory.log_density is not None:
        log_density = territory.log_density.ravel()[flat]
        weight *= np.exp(log_density - log_density.max())
    seeds = np.stack(np.unravel_index(rng.choice(flat, number, p=weight / weight.sum()), shape), 1)
    vessels = []
    for seed in seeds:
        start = (seed + rng.uniform(-0.5, 0.5, 3)) * anatomy.spacing
        vessel = _draw_one(territory, population, start, anatomy.spacing, rng, burden)
        if vessel is not None:
            vessels.append(vessel)
    return vessels


def _draw_one(
    territory: Territory,
    population: Population,
    start: np.ndarray,
    spacing: np.ndarray,
    rng: np.random.Generator,
    burden: float,
) -> Vessel | None:
    """One PVS through `start`; one in eight of the longer ones has a branch."""
    median, sigma = population.diameter
    diameter = np.clip(rng.lognormal(np.log(median * (0.85 + 0.3 * burden)), sigma), *DIAMETER_RANGE)
    length = np.clip(rng.lognormal(np.log(population.length[0]), population.length[1]), *LENGTH_RANGE)
    points = trace_centre_line(territory, start, max(length, 1.5 * diameter), spacing, rng)
    if len(points) < 3:
        return None
    radii = _radii(len(points), diameter / 2, rng)
    branch = None
    if len(points) > 8 and rng.random() < 0.125:
        origin = int(rng.integers(2, len(points) - 2))
        path = trace_centre_line(
            territory, points[origin], length * rng.uniform(0.3, 0.6), spacing, rng, both_ways=False
        )
        if len(path) >= 4:
            branch = Vessel(path, _radii(len(path), 0.8 * radii[origin], rng), territory.name)
    return Vessel(points, radii, territory.name, branch)


def trace_centre_line(
    territory: Territory,
    start: np.ndarray,
    length: float,
    spacing: np.ndarray,
    rng: np.random.Generator,
    *,
    both_ways: bool = True,
) -> np.ndarray:
    """Follow the direction of a territory's vessels from a point, with small random bends.

    Parameters
    ----------
    territory : Territory
    start : ndarray, shape (3,)
        In mm along the voxel axes.
    length : float
        Length of the line in mm; it is shorter where it would leave the territory.
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    rng : numpy.random.Generator
    both_ways : bool
        Follow the direction forward and backward, or forward only.

    Returns
    -------
    points : ndarray, shape (n, 3)
        In mm along the voxel axes, `STEP` mm apart.
    """
    tilt = rng.normal(0, 0.25, 3)  # each vessel deviates by about 15 degrees
    first = rng.uniform(0.3, 0.7) if both_ways else 0.0
    paths = []
    for sign, fraction in ((-1, first), (1, 1 - first)):
        points, bend, previous = [start], np.zeros(3), None
        for _ in range(int(length * fraction / STEP)):
            heading = territory.direction(points[-1])
            norm = np.linalg.norm(heading)
            heading = (
                heading / norm if norm > 1e-9 else (previous if previous is not None else rng.normal(size=3))
            )
            bend = 0.9 * bend + rng.normal(0, 0.06, 3)
            heading = heading + tilt + bend
            heading /= np.linalg.norm(heading)
            if previous is not None:  # stiffness: no kinks where the direction changes
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
    """Radius along a PVS, which tapers to one end; a third of them are beaded."""
    s = np.linspace(0, 1, n)
    taper = rng.uniform(0.0, 0.5)
    profile = 1 - taper * (s if rng.random() < 0.5 else 1 - s)
    if rng.random() < 0.33:
        profile *= 1 + 0.25 * np.sin(2 * np.pi * (s * n * STEP / rng.uniform(3, 6) + rng.random()))
    return radius * profile / profile.mean()
