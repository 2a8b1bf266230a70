"""Perivascular spaces and mimics of a training patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import label_maps as codes
from .fields import control_points, smooth_field
from .mimics import ellipsoid_fraction
from .patch_anatomy import CORTEX, PUTAMEN, WHITE, PatchAnatomy
from .patch_source import REGIONS
from .tubes import Tubes, fill_tubes, trace_tubes
from .vessels import DENSITIES, DIAMETER_RANGE, LENGTH_RANGE

#: Factor of all diameters of a patch, drawn log-uniformly.
SIZE = (0.7, 1.7)
#: Contrast of the spaces of a patch, as a fraction of that between CSF and the tissue around them; and the
#: standard deviation of the natural logarithm of the contrast between its spaces.
CONTRAST, CONTRAST_SPREAD = (0.35, 1.0), 0.2
#: Amount of mimics in a patch, drawn uniformly; 1 is that of the numbers at each mimic below.
MIMICS = (0.0, 1.5)
#: How full a punctate hyperintensity is: in one brain, some are much fainter than others.
SPOT_STRENGTH = (0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class PatchContents:
    """What a patch holds beside its tissues; all arrays have the shape (x, y, z).

    Attributes
    ----------
    occupancy : ndarray of float32
        Fraction of each voxel inside a space.
    contrast : ndarray of float32
        Contrast of the spaces in a voxel, as a fraction of that between CSF and the surroundings.
    lesion, fluid, vessel, grey, white : ndarray of float32
        Fraction of each voxel filled by a lesion of white matter; by CSF outside of spaces; by blood; by grey
        matter in white matter; by fibres in CSF or grey matter.
    """

    occupancy: np.ndarray
    contrast: np.ndarray
    lesion: np.ndarray
    fluid: np.ndarray
    vessel: np.ndarray
    grey: np.ndarray
    white: np.ndarray


def draw_contents(anatomy: PatchAnatomy, rng: np.random.Generator) -> PatchContents:
    """Draw the spaces and mimics of a patch at random.

    Parameters
    ----------
    anatomy : PatchAnatomy
    rng : numpy.random.Generator
    """
    tubes, contrasts = draw_spaces(anatomy, rng)
    occupancy, contrast = fill_tubes(tubes, contrasts, anatomy.shape, anatomy.spacing, rng)
    mimics = _Mimics(anatomy, rng, amount=rng.uniform(*MIMICS))
    mimics.draw()
    free = 1 - np.minimum(1, 3 * occupancy)  # mimics do not fill spaces
    for part in (mimics.fluid, mimics.vessel, mimics.grey, mimics.white):
        part *= free
    return PatchContents(
        occupancy=occupancy,
        contrast=contrast,
        lesion=mimics.lesion,
        fluid=mimics.fluid,
        vessel=mimics.vessel,
        grey=mimics.grey,
        white=mimics.white,
    )


# ---- spaces


def draw_spaces(anatomy: PatchAnatomy, rng: np.random.Generator) -> tuple[Tubes, np.ndarray]:
    """Draw the spaces of a patch at random.

    Parameters
    ----------
    anatomy : PatchAnatomy
    rng : numpy.random.Generator

    Returns
    -------
    tubes : Tubes
    contrasts : ndarray, shape (n,)
        Contrast of each tube, as a fraction of that between CSF and the tissue around it.
    """
    size, level = np.exp(rng.uniform(*np.log(SIZE))), rng.uniform(*CONTRAST)
    room = _room(anatomy, rng)
    starts, lengths, radii = _draw_population(anatomy, room, size, rng)
    tubes = _trace(anatomy, room, starts, lengths, radii, rng)
    contrasts = level * np.exp(rng.normal(0, CONTRAST_SPREAD, len(starts)))
    return tubes, np.clip(contrasts, 0.15, 1.05)


def _room(anatomy: PatchAnatomy, rng: np.random.Generator) -> np.ndarray:
    """Where spaces may run: number of the region; at a distance from ventricles and cortex."""
    clear = anatomy.to_ventricle > rng.uniform(0.8, 3.0)
    clear &= anatomy.distance_to(CORTEX) > rng.uniform(0.2, 1.2)
    return anatomy.region * clear


def _draw_population(
    anatomy: PatchAnatomy, room: np.ndarray, size: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starting points (mm), lengths and radii of the spaces of all regions."""
    burden = rng.random()
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for number, name in enumerate(REGIONS, start=1):
        population, flat = DENSITIES[name], np.flatnonzero(room == number)
        own = np.clip(burden + rng.normal(0, 0.2), 0, 1)
        low, high = np.log(population.count)
        volume = flat.size * float(np.prod(anatomy.spacing)) / 1000
        count = int(rng.poisson(np.exp(low + (high - low) * own) * volume))
        if not count:
            continue
        starts = _uneven_starts(anatomy, flat, count, rng)
        lengths = rng.lognormal(np.log(population.length[0]), population.length[1], count)
        widths = size * rng.lognormal(np.log(population.diameter[0]), population.diameter[1], count)
        widths *= np.where(rng.random(count) < 0.03, rng.uniform(1.3, 2.5, count), 1.0)
        widths = np.clip(widths, 0.7 * DIAMETER_RANGE[0], DIAMETER_RANGE[1])
        parts.append((starts, np.maximum(np.clip(lengths, *LENGTH_RANGE), 1.5 * widths), widths / 2))
    if not parts:
        return np.empty((0, 3)), np.empty(0), np.empty(0)
    starts, lengths, radii = (np.concatenate(part) for part in zip(*parts, strict=True))
    return starts, lengths, radii


def _uneven_starts(
    anatomy: PatchAnatomy, flat: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Points in mm in some of the given voxels, denser in some places than in others."""
    candidates = rng.choice(flat, 4 * count)
    voxels = np.stack(np.unravel_index(candidates, anatomy.shape), 1)
    density = smooth_field((16, 16, 16), (6, 6, 6), rng)
    weights = np.exp(rng.uniform(0, 1.5) * density[tuple((voxels * 16 // np.array(anatomy.shape)).T)])
    chosen = voxels[rng.choice(len(voxels), count, p=weights / weights.sum())]
    return (chosen + rng.uniform(-0.5, 0.5, chosen.shape)) * anatomy.spacing


def _trace(
    anatomy: PatchAnatomy,
    room: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    radii: np.ndarray,
    rng: np.random.Generator,
) -> Tubes:
    """Trace tubes along the vessels' directions, as far as there is room."""

    def is_allowed(points: np.ndarray) -> np.ndarray:
        return anatomy.contains(points) & (room[anatomy.voxel_of(points)] > 0)

    tilt = rng.uniform(0.1, 0.5)
    return trace_tubes(
        starts, lengths, radii, rng, direction=anatomy.direction, is_allowed=is_allowed, tilt=tilt
    )


# ---- mimics


class _Mimics:
    """Structures that may be mistaken for spaces, drawn into maps of the fraction that they fill.

    Parameters
    ----------
    anatomy : PatchAnatomy
    rng : numpy.random.Generator
    amount : float
        In `MIMICS`.
    """

    def __init__(self, anatomy: PatchAnatomy, rng: np.random.Generator, *, amount: float) -> None:
        self.anatomy, self.rng, self.amount = anatomy, rng, amount
        self.lesion, self.fluid, self.vessel, self.grey, self.white = (
            np.zeros(anatomy.shape, np.float32) for _ in range(5)
        )

    def draw(self) -> None:
        """Draw all of them."""
        for step in (
            self._band, self._confluent, self._spots, self._lacunes, self._pockets, self._fundi, self._cysts,
            self._claustrum, self._sheets, self._plexus, self._fibres, self._vessels,
        ):  # fmt: skip
            step()

    def _band(self) -> None:
        """A periventricular band or cap of uneven thickness."""
        if self.rng.random() > 0.3 + 0.5 * self.amount:
            return
        thickness = self.rng.uniform(0.3, 6.0) * self.amount * np.exp(0.5 * self._field(20.0))
        band = np.clip(1.5 * thickness - np.maximum(self.anatomy.to_ventricle, 0), 0, 1)
        np.maximum(self.lesion, band * self.anatomy.white, out=self.lesion)

    def _confluent(self) -> None:
        """Confluent hyperintensities that extend from the ventricles into white matter."""
        if self.rng.random() > 0.35 * self.amount:
            return
        reach = self.rng.uniform(6, 16)
        level = self._field(14.0) + 1.5 * (1 - self.anatomy.to_ventricle / reach) - self.rng.uniform(1.0, 2.4)
        deep = self.anatomy.white & (self.anatomy.distance_to(CORTEX) > 2)
        np.maximum(self.lesion, np.clip(2 * level, 0, 1) * deep, out=self.lesion)

    def _spots(self) -> None:
        """Punctate hyperintensities of white matter, 2 to 7 mm wide."""
        self._blobs(self.lesion, self.anatomy.white, 240, (0.8, 3.5), strength=SPOT_STRENGTH)

    def _lacunes(self) -> None:
        """Cavities of 3 to 15 mm in white matter and deep nuclei, most of them with a rim."""
        for centre in self._places(self.anatomy.region > 0, 3):
            radii = min(1.5 * self.rng.lognormal(0.4, 0.4), 7.0) * self.rng.uniform(0.7, 1.3, 3)
            orientation = self.rng.normal(size=(3, 3))
            if self.rng.random() < 0.67:
                self._ellipsoid(self.lesion, centre, radii + self.rng.uniform(1.0, 2.0), orientation)
            self._ellipsoid(self.fluid, centre, radii, orientation)

    def _pockets(self) -> None:
        """Bottoms of sulci that look isolated: CSF about the border of cortex and white matter, and in it."""
        to_cortex = self.anatomy.distance_to(CORTEX)
        depth = self.rng.uniform(0.5, 2.5)
        self._blobs(self.fluid, self.anatomy.white & (to_cortex < depth), 200, (0.5, 1.6))
        self._blobs(self.fluid, self.anatomy.select(*codes.CORTEX), 80, (0.5, 1.6), flatness=0.5)

    def _fundi(self) -> None:
        """CSF in the depth of sulci, which the label map counts as cortex."""
        if self.rng.random() < 0.5:
            return
        depth = self.anatomy.distance_to(WHITE) + 0.5 * self._field(8.0) - self.rng.uniform(1.5, 3.0)
        cortex = self.anatomy.select(*codes.CORTEX)
        np.maximum(self.fluid, np.clip(depth, 0, 1) * cortex * np.float32(0.9), out=self.fluid)

    def _cysts(self) -> None:
        """Remnants of the hippocampal sulcus and cysts of the choroid fissure."""
        self._blobs(self.fluid, self.anatomy.select(*codes.HIPPOCAMPUS, *codes.AMYGDALA), 600, (0.6, 2.0))

    def _claustrum(self) -> None:
        """The claustrum, a thin grey sheet in the white matter lateral to the putamen."""
        if self.rng.random() < 0.3:
            return
        distance = self.anatomy.distance_to(PUTAMEN) + 0.3 * self._field(10.0) - self.rng.uniform(2.0, 4.0)
        sheet = np.clip(self.rng.uniform(0.4, 1.0) + 0.5 - np.abs(distance), 0, 1) * self.anatomy.white
        np.maximum(self.grey, np.float32(self.rng.uniform(0.3, 1.0)) * sheet, out=self.grey)

    def _sheets(self) -> None:
        """Sheets and strands of grey matter in white matter, such as bridges between nuclei."""
        for centre in self._places(self.anatomy.white, 25):
            radii = np.array([self.rng.uniform(0.4, 1.0), *self.rng.uniform(2.5, 9.0, 2)])
            self._ellipsoid(self.grey, centre, radii, self.rng.normal(size=(3, 3)), self.rng.uniform(0.3, 1))

    def _plexus(self) -> None:
        """Choroid plexus in the lateral ventricles."""
        self._blobs(self.grey, self.anatomy.select(*codes.LATERAL_VENTRICLES), 400, (1.0, 3.0))

    def _fibres(self) -> None:
        """Bundles such as fornix, commissures and mammillothalamic tract, in CSF and in grey matter."""
        around = self.anatomy.select(
            14, 4, 43, *codes.VENTRAL_DC, *codes.THALAMUS, *codes.PUTAMEN, *codes.CAUDATE
        )
        self._strands(self.white, around, 100, (0.5, 1.8), tilt=1.0)

    def _vessels(self) -> None:
        """Arteries and veins without a visible space."""
        self._strands(self.vessel, self.anatomy.region > 0, 40, (0.25, 0.6), tilt=0.3)

    def _strands(
        self, volume: np.ndarray, mask: np.ndarray, number: float, radius: tuple[float, float], *, tilt: float
    ) -> None:
        """Tubes through a mask: on average `number` per litre of it at amount 1."""
        starts = self._places(mask, number)
        if not len(starts):
            return
        tubes = trace_tubes(
            starts,
            self.rng.uniform(5, 25, len(starts)),
            self.rng.uniform(*radius, len(starts)),
            self.rng,
            direction=self.anatomy.direction,
            is_allowed=lambda points: self.anatomy.contains(points) & mask[self.anatomy.voxel_of(points)],
            tilt=tilt,
        )
        filled, _ = fill_tubes(
            tubes, np.ones(len(starts)), self.anatomy.shape, self.anatomy.spacing, self.rng
        )
        np.maximum(volume, filled, out=volume)

    def _field(self, gap: float) -> np.ndarray:
        """A smooth standard-normal field with control points `gap` mm apart."""
        shape = self.anatomy.shape
        return smooth_field(shape, control_points(shape, self.anatomy.spacing, gap), self.rng)

    def _places(self, mask: np.ndarray, number: float) -> np.ndarray:
        """Points in a mask, in mm, shape (n, 3): on average `number` per litre of it at amount 1."""
        flat = np.flatnonzero(mask)
        litres = flat.size * float(np.prod(self.anatomy.spacing)) / 1e6
        count = int(self.rng.poisson(number * self.amount * litres))
        if not count:
            return np.empty((0, 3))
        voxels = np.stack(np.unravel_index(self.rng.choice(flat, count), mask.shape), 1)
        return voxels * self.anatomy.spacing

    def _blobs(
        self,
        volume: np.ndarray,
        mask: np.ndarray,
        number: float,
        radius: tuple[float, float],
        flatness: float = 0.0,
        strength: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """Ellipsoids with centres in a mask; some of them flat, some fainter than others."""
        for centre in self._places(mask, number):
            radii = self.rng.uniform(*radius) * self.rng.uniform(0.7, 1.4, 3)
            if self.rng.random() < flatness:
                radii[1:] *= self.rng.uniform(1.5, 4.0)
            orientation = self.rng.normal(size=(3, 3))
            self._ellipsoid(volume, centre, radii, orientation, self.rng.uniform(*strength))

    def _ellipsoid(
        self,
        volume: np.ndarray,
        centre: np.ndarray,
        radii: np.ndarray,
        orientation: np.ndarray,
        strength: float = 1.0,
    ) -> None:
        """Add one ellipsoid to a map."""
        box, fraction = ellipsoid_fraction(
            centre, radii, orientation, self.anatomy.shape, self.anatomy.spacing
        )
        volume[box] = np.maximum(volume[box], np.float32(strength) * fraction)
