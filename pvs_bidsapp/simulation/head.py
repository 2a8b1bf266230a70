"""Simulation of one head: from an anatomy to images with their ground truth.

A `Person` is an anatomy with its PVS and mimics. A scan of it also depends on the scanner. Several sessions
are several scans of one person.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from ..anatomy.resampling import Grid
from . import ageing, artefacts, contrast, label_maps, mimics, rendering, vessels
from .detectability import detectability
from .label_maps import Anatomy
from .mimics import Mimics
from .rendering import Rendering
from .scanner import Difficulty, Scanner, draw_scanner
from .vessels import Distances, Vessel

#: A voxel belongs to a PVS if at least this fraction of it is inside.
MASK_OCCUPANCY = 0.4
#: Relative growth of the diameters of PVS per year between sessions (our own choice).
GROWTH = 0.01


@dataclass(frozen=True, kw_only=True)
class Person:
    """An anatomy with PVS and mimics, on the grid of a scan.

    Attributes
    ----------
    anatomy : Anatomy
    vessels : tuple of Vessel
        At the first session.
    rendering : Rendering
        PVS at the first session.
    mimics : Mimics
    burden : float
        Burden of PVS, in [0, 1].
    """

    anatomy: Anatomy
    vessels: tuple[Vessel, ...]
    rendering: Rendering
    mimics: Mimics
    burden: float


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is in an image, on its grid.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm, oblique.
    frame : ndarray, shape (4, 4)
        From the anatomy's mm to scanner mm.
    anatomy : Anatomy
    mimics : Mimics
    rendering : Rendering
    vessels : tuple of Vessel
    burden : float
        Burden of PVS, in [0, 1].
    detectability : ndarray, shape (n,)
        Of each PVS in the image, see `pvs_bidsapp.simulation.detectability`. Motion, ringing and bias are not
        taken into account.
    """

    affine: np.ndarray
    frame: np.ndarray
    anatomy: Anatomy
    mimics: Mimics
    rendering: Rendering
    vessels: tuple[Vessel, ...]
    burden: float
    detectability: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Mask of the PVS, boolean, shape (x, y, z)."""
        return self.rendering.occupancy >= MASK_OCCUPANCY

    def scanner_points(self, vessel: Vessel) -> np.ndarray:
        """Centre line of a PVS in scanner RAS+ mm, shape (n, 3)."""
        return apply_affine(self.frame, vessel.points + self.anatomy.affine[:3, 3])


@dataclass(frozen=True, kw_only=True)
class SimulatedHead(Truth):
    """Images of one scan and their ground truth, which lies on the grid of the T1w.

    Attributes
    ----------
    t1w, t2w : ndarray of float32, shape (x, y, z)
        Magnitude images in arbitrary units; the T2w is on its own grid.
    t2w_affine : ndarray, shape (4, 4)
        Voxel of the T2w to scanner RAS+ mm, oblique.
    t2w_change : ndarray of float32, shape (x, y, z)
        What the PVS change in the T2w, by the signal of white matter.
    motion : ndarray, shape (4, 4)
        From where a point is in the T2w to where it is in the T1w, both in scanner RAS+ mm: the head moves
        between the scans.
    snr : float
        Signal of white matter over the standard deviation of the noise.
    """

    t1w: np.ndarray
    t2w: np.ndarray
    t2w_affine: np.ndarray
    t2w_change: np.ndarray
    motion: np.ndarray
    snr: float

    def on_t2w(self) -> Truth:
        """The ground truth where the head is in the T2w, on the grid of the T2w."""
        to_anatomy = np.linalg.inv(self.frame) @ self.motion @ self.t2w_affine
        shape, source = self.t2w.shape, self.anatomy

        def move(image: np.ndarray, order: int) -> np.ndarray:
            return artefacts.regrid(image, source.affine, to_anatomy, shape, order)

        grid = np.linalg.inv(self.frame) @ self.t2w_affine
        anatomy = replace(source, labels=move(source.labels, 0), affine=grid)
        to_own = np.diag([*anatomy.spacing, 1]) @ np.linalg.inv(to_anatomy)
        to_own[:3, 3] += to_own[:3, :3] @ source.affine[:3, 3]
        drawn = tuple(vessel.moved(to_own) for vessel in self.vessels)
        rendered = rendering.render(drawn, shape, anatomy.spacing)
        return Truth(
            affine=self.t2w_affine,
            frame=self.frame,
            anatomy=anatomy,
            mimics=self.mimics.moved(move),
            rendering=rendered,
            vessels=drawn,
            burden=self.burden,
            detectability=detectability(self.t2w_change, rendered.index, len(drawn), 1 / self.snr),
        )


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
        Voxel size of the T1w in mm; drawn if None.
    age : float
        In years.
    """
    scanner = draw_scanner(difficulty, rng, spacing=spacing)
    person = draw_person(source, rng, difficulty, spacing=scanner.spacing, age=age)
    return scan(person, scanner, difficulty, rng)


def draw_person(
    source: Anatomy, rng: np.random.Generator, difficulty: Difficulty, *, spacing: float, age: float
) -> Person:
    """Draw a person at random: a deformed and aged anatomy (half of them mirrored) with PVS and mimics.

    Older brains have more and wider PVS and more lesions (a linear relation of our own choice; Barisano et
    al. 2021, Kim et al. 2022 and Lynch et al. 2023 report the growth).

    Parameters
    ----------
    source : Anatomy
    rng : numpy.random.Generator
    difficulty : Difficulty
    spacing : float
        Voxel size in mm.
    age : float
        In years.
    """
    source = label_maps.crop(source, label_maps.MARGIN + 2)
    if rng.random() < 0.5:
        source = label_maps.mirror(source)
    anatomy = label_maps.deform(ageing.age_anatomy(source, rng, age), rng, spacing=spacing)
    distances = Distances.of(anatomy)
    low, high = difficulty.burden
    burden = low + (high - low) * float(np.clip(0.25 + 0.5 * (age - 20) / 65 + rng.normal(0, 0.2), 0, 1))
    drawn = vessels.draw(
        anatomy,
        rng,
        burden=burden,
        size=rng.uniform(*difficulty.size),
        distances=distances,
        is_dense=difficulty.is_dense,
    )
    rendered = rendering.render(drawn, anatomy.labels.shape, anatomy.spacing)
    amount = rng.uniform(*difficulty.mimics) * np.clip(0.5 + (age - 20) / 65, 0, 1)
    return Person(
        anatomy=anatomy,
        vessels=tuple(drawn),
        rendering=rendered,
        mimics=mimics.draw(anatomy, rendered.occupancy > 0, rng, amount=float(amount), distances=distances),
        burden=burden,
    )


def on_grid(person: Person, spacing: float) -> Person:
    """The same person on the grid of another scan, with the same first voxel.

    Parameters
    ----------
    person : Person
    spacing : float
        Voxel size in mm.
    """
    source = person.anatomy
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = source.affine[:3, 3]
    shape = tuple(
        int(n) for n in np.floor((np.array(source.labels.shape) - 1) * source.spacing / spacing) + 1
    )

    def move(image: np.ndarray, order: int) -> np.ndarray:
        return artefacts.regrid(image, source.affine, affine, shape, order)

    anatomy = replace(source, labels=move(source.labels, 0), affine=affine)
    return replace(
        person,
        anatomy=anatomy,
        rendering=rendering.render(person.vessels, shape, anatomy.spacing),
        mimics=person.mimics.moved(move),
    )


def scan(
    person: Person,
    scanner: Scanner,
    difficulty: Difficulty,
    rng: np.random.Generator,
    *,
    years: float = 0.0,
    is_moved: bool = True,
) -> SimulatedHead:
    """Simulate the T1w and T2w of a person.

    Parameters
    ----------
    person : Person
    scanner : Scanner
    difficulty : Difficulty
    rng : numpy.random.Generator
    years : float
        Time since the first session, in years; PVS widen with it.
    is_moved : bool
        Whether the head moves between T1w and T2w.
    """
    anatomy, drawn, rendered = person.anatomy, person.vessels, person.rendering
    if years:
        drawn = tuple(v.widened(1 + GROWTH * years) for v in drawn)
        rendered = rendering.render(drawn, anatomy.labels.shape, anatomy.spacing)
    frame = _tilt(rng, difficulty.tilt)
    t1w, change = contrast.synthesize_parts(anatomy, rendered, person.mimics, scanner.t1w, rng)
    t1w = np.maximum(t1w + change, 0)
    change = artefacts.blur(change, np.array(scanner.fwhm), anatomy.spacing)
    t2w, t2w_change = contrast.synthesize_parts(anatomy, rendered, person.mimics, scanner.t2w, rng)
    t1w = artefacts.blur(t1w, np.array(scanner.fwhm), anatomy.spacing)
    move = artefacts.small_rigid(rng, 1.5, 1.0)
    motion = move if is_moved else np.eye(4)
    grid = _t2w_grid(anatomy, np.array(scanner.t2w_voxel))
    t2w, t2w_change = (
        _slice(image, anatomy, scanner.t2w_fwhm, Grid(grid.shape, motion @ grid.affine))
        for image in (np.maximum(t2w + t2w_change, 0), t2w_change)
    )
    t2w = np.maximum(t2w, 0)
    has_motion = rng.random() < difficulty.motion
    t1w = _acquire(t1w, anatomy.spacing, scanner, rng, motion=bool(has_motion))
    t2w = _acquire(t2w, np.array(scanner.t2w_voxel), scanner, rng, motion=False)
    return SimulatedHead(
        t1w=_anonymise(t1w, anatomy, difficulty.cut, rng),
        t2w=t2w,
        affine=frame @ anatomy.affine,
        t2w_affine=frame @ grid.affine,
        t2w_change=t2w_change,
        snr=scanner.snr,
        motion=frame @ motion @ np.linalg.inv(frame),
        frame=frame,
        anatomy=anatomy,
        mimics=person.mimics,
        rendering=rendered,
        vessels=drawn,
        burden=person.burden,
        detectability=detectability(change, rendered.index, len(drawn), 1 / scanner.snr),
    )


def _tilt(rng: np.random.Generator, degrees: float) -> np.ndarray:
    """A random pose of the head in the scanner, rotated up to `degrees`, most about the left-right axis."""
    frame = np.eye(4)
    angles = rng.uniform(-degrees, degrees, 3) * (1.0, 0.4, 0.4)
    frame[:3, :3] = Rotation.from_euler('xyz', angles, degrees=True).as_matrix()
    frame[:3, 3] = rng.normal(0, 8, 3)
    return frame


def _t2w_grid(anatomy: Anatomy, voxel: np.ndarray) -> Grid:
    """The grid of a T2w with voxels of this size, in the anatomy's mm."""
    affine = np.diag([*voxel, 1.0])
    affine[:3, 3] = anatomy.affine[:3, 3] + (voxel - anatomy.spacing) / 2
    sides = np.ceil(np.array(anatomy.labels.shape) * anatomy.spacing / voxel).astype(int)
    return Grid(tuple(sides), affine)


def _slice(image: np.ndarray, anatomy: Anatomy, fwhm: np.ndarray, grid: Grid) -> np.ndarray:
    """Blur an image of an anatomy, and sample it on another grid."""
    smooth = artefacts.blur(image, fwhm, anatomy.spacing)
    return artefacts.regrid(smooth, anatomy.affine, grid.affine, grid.shape)


def _acquire(
    image: np.ndarray, spacing: np.ndarray, scanner: Scanner, rng: np.random.Generator, *, motion: bool
) -> np.ndarray:
    """Motion, truncated k-space, bias field, noise and an arbitrary scale."""
    if motion:
        image = artefacts.motion(image, spacing, rng)
    if scanner.gibbs > 0:
        image = artefacts.truncate(image, rng.uniform(*artefacts.KEPT, 3), scanner.gibbs)
    image = image * artefacts.bias_field(image.shape, scanner.bias, rng)
    scale = np.exp(rng.uniform(np.log(150), np.log(1500)))
    return scale * artefacts.rician(image.astype(np.float32), 1 / scanner.snr, rng)


def _anonymise(
    image: np.ndarray, anatomy: Anatomy, probability: float, rng: np.random.Generator
) -> np.ndarray:
    """Deface or skull-strip a scan with the given probability; a third of these scans are stripped."""
    chance = rng.random()
    if chance < probability / 3:
        return artefacts.strip(image, label_maps.brain_mask(anatomy))
    if chance < probability:
        return artefacts.deface(image, label_maps.brain_mask(anatomy), anatomy.spacing)
    return image
