"""One simulated head, from an anatomy to images with their truth.

A `Person` is an anatomy with its perivascular spaces and mimics; a scan of it depends on the
scanner.  Several sessions are several scans of one person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from . import ageing, artefacts, contrast, mimics, rendering, vessels
from . import label_maps as anatomies
from .label_maps import Anatomy
from .mimics import Mimics
from .rendering import Rendering
from .scanner import Difficulty, Scanner, draw_scanner
from .vessels import Depths, Vessel

#: A voxel is part of a perivascular space where at least this share of it lies inside.
MASK_OCCUPANCY = 0.4
#: Growth of the spaces' diameters a year between sessions (a choice of ours).
GROWTH = 0.01


@dataclass(frozen=True)
class Person:
    """An anatomy with what is drawn in it, on the grid of a scan.

    Attributes
    ----------
    anatomy : Anatomy
    vessels : tuple of Vessel
    rendering : Rendering
        Of the vessels at the first session.
    mimics : Mimics
    load : float
        Burden in [0, 1].
    """

    anatomy: Anatomy
    vessels: tuple[Vessel, ...]
    rendering: Rendering
    mimics: Mimics
    load: float


@dataclass(frozen=True)
class SimulatedHead:
    """Images and truth of one head, on the grid of `affine` (but the T2w, on its own).

    Attributes
    ----------
    t1w, t2w : ndarray of float32
        Magnitude images, arbitrary units.
    affine, t2w_affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm; oblique.
    frame : ndarray, shape (4, 4)
        From the anatomy's millimetres to scanner millimetres.
    anatomy : Anatomy
    mimics : Mimics
    rendering : Rendering
    vessels : tuple of Vessel
    load : float
        Burden in [0, 1].
    """

    t1w: np.ndarray
    t2w: np.ndarray
    affine: np.ndarray
    t2w_affine: np.ndarray
    frame: np.ndarray
    anatomy: Anatomy
    mimics: Mimics
    rendering: Rendering
    vessels: tuple[Vessel, ...]
    load: float

    @property
    def mask(self) -> np.ndarray:
        """Voxels that count as perivascular space."""
        return self.rendering.occupancy >= MASK_OCCUPANCY

    def scanner_points(self, vessel: Vessel) -> np.ndarray:
        """Centre line of a vessel in scanner RAS+ mm, shape (n, 3)."""
        return apply_affine(self.frame, vessel.points + self.anatomy.affine[:3, 3])


def simulate(
    source: Anatomy,
    rng: np.random.Generator,
    difficulty: Difficulty,
    *,
    spacing: float | None = None,
    age: float = 50.0,
) -> SimulatedHead:
    """Simulate one scan of one person on a scanner of its own.

    Parameters
    ----------
    source : Anatomy
    rng : numpy.random.Generator
    difficulty : Difficulty
    spacing : float, optional
        Voxel size of the T1w in mm; drawn where it is not given.
    age : float
        Years.
    """
    scanner = draw_scanner(difficulty, rng, spacing=spacing)
    person = draw_person(source, rng, difficulty, spacing=scanner.spacing, age=age)
    return scan(person, scanner, difficulty, rng)


def draw_person(
    source: Anatomy, rng: np.random.Generator, difficulty: Difficulty, *, spacing: float, age: float
) -> Person:
    """A person: a deformed and aged (half the time mirrored) `source`, its spaces and mimics.

    Older brains hold more and wider spaces and more lesions (a linear choice of ours; Barisano et
    al. 2021, Kim et al. 2022 and Lynch et al. 2023 report the growth).
    """
    source = anatomies.crop(source, anatomies.MARGIN + 2)
    if rng.random() < 0.5:
        source = anatomies.mirror(source)
    anatomy = anatomies.deform(ageing.grow_old(source, rng, age), rng, spacing=spacing)
    depths = Depths.of(anatomy)
    load = float(np.clip(0.25 + 0.5 * (age - 20) / 65 + rng.normal(0, 0.2), 0, 1))
    drawn = vessels.draw(anatomy, rng, load=load, size=rng.uniform(*difficulty.size), depths=depths)
    image = rendering.render(drawn, anatomy.labels.shape, anatomy.spacing)
    amount = rng.uniform(*difficulty.mimics) * np.clip(0.5 + (age - 20) / 65, 0, 1)
    traps = mimics.draw(anatomy, image.occupancy > 0, rng, amount=float(amount), depths=depths)
    return Person(anatomy, tuple(drawn), image, traps, load)


def scan(
    person: Person, scanner: Scanner, difficulty: Difficulty, rng: np.random.Generator, *, years: float = 0.0
) -> SimulatedHead:
    """T1w and T2w of a person, `years` after the first session."""
    anatomy, drawn, image = person.anatomy, person.vessels, person.rendering
    if years:
        drawn = tuple(v.widened(1 + GROWTH * years) for v in drawn)
        image = rendering.render(drawn, anatomy.labels.shape, anatomy.spacing)
    frame = _tilt(rng, difficulty.tilt)
    t1w = contrast.paint(anatomy, image, person.mimics, scanner.t1w, rng)
    t2w = contrast.paint(anatomy, image, person.mimics, scanner.t2w, rng)
    t1w = artefacts.blur(t1w, np.array(scanner.fwhm), anatomy.spacing)
    t2w, t2w_affine = _slice_t2w(t2w, anatomy, scanner, rng)
    moved = rng.random() < difficulty.motion
    t1w = _acquire(t1w, anatomy.spacing, scanner, rng, motion=bool(moved))
    t2w = _acquire(t2w, np.array(scanner.t2w_voxel), scanner, rng, motion=False)
    return SimulatedHead(
        _cut(t1w, anatomy, difficulty.cut, rng), t2w, frame @ anatomy.affine, frame @ t2w_affine, frame,
        anatomy, person.mimics, image, drawn, person.load,
    )  # fmt: skip


def _tilt(rng: np.random.Generator, degrees: float) -> np.ndarray:
    """A turn of the scan's axes against the scanner's."""
    frame = np.eye(4)
    angles = rng.uniform(-degrees, degrees, 3) * (1.0, 0.4, 0.4)  # nodding most
    frame[:3, :3] = Rotation.from_euler('xyz', angles, degrees=True).as_matrix()
    frame[:3, 3] = rng.normal(0, 8, 3)
    return frame


def _slice_t2w(
    image: np.ndarray, anatomy: Anatomy, scanner: Scanner, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A T2w of the same session: slightly moved, on its own grid."""
    voxel = np.array(scanner.t2w_voxel)
    shape = tuple(np.ceil(np.array(anatomy.labels.shape) * anatomy.spacing / voxel).astype(int))
    grid = np.diag([*voxel, 1.0])
    grid[:3, 3] = anatomy.affine[:3, 3] + (voxel - anatomy.spacing) / 2
    moved = artefacts.small_rigid(rng, 1.5, 1.0)
    smooth = artefacts.blur(image, scanner.t2w_fwhm, anatomy.spacing)
    sliced = artefacts.regrid(smooth, anatomy.affine, moved @ grid, shape)
    return np.maximum(sliced, 0), grid


def _acquire(
    image: np.ndarray, spacing: np.ndarray, scanner: Scanner, rng: np.random.Generator, *, motion: bool
) -> np.ndarray:
    """Motion, truncated k-space, bias field, noise and an arbitrary scale."""
    if motion:
        image = artefacts.motion(image, spacing, rng)
    if scanner.gibbs > 0:
        image = artefacts.truncate(image, rng.uniform(0.75, 1.0, 3), scanner.gibbs)
    image = image * artefacts.bias_field(image.shape, scanner.bias, rng)
    scale = np.exp(rng.uniform(np.log(150), np.log(1500)))
    return scale * artefacts.rician(image.astype(np.float32), 1 / scanner.snr, rng)


def _cut(image: np.ndarray, anatomy: Anatomy, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Deface the scan, or strip its skull, now and then."""
    chance = rng.random()
    if chance < probability / 3:
        return artefacts.strip(image, anatomies.brain_mask(anatomy))
    if chance < probability:
        return artefacts.deface(image, anatomies.brain_mask(anatomy), anatomy.spacing)
    return image
