"""Heads of another simulator than `pvs_bidsapp.simulation`, to judge networks by; see `other_simulator.py`.

Of the package's simulator, only the reading of label maps is used, and the names of the columns of a table.
Spaces are straight or bent rods with sharp borders on a fine grid of 0.5 mm, whose blocks are averaged to
voxels of 1 mm; contrasts, texture, shading, blur and noise are made here. All numbers are our own choice.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial import cKDTree

from pvs_bidsapp.runtime.files import atomic_write
from pvs_bidsapp.simulation import label_maps
from pvs_bidsapp.simulation.label_maps import Anatomy
from pvs_bidsapp.simulation.tables import VESSEL_COLUMNS

#: Half the edges of the box about the middle of the brain that is kept, in voxels of 1 mm.
HALF_BOX = (60, 76, 52)
#: Grey nuclei and their T1w intensity, as a fraction of the way from grey to white matter.
NUCLEI = (
    (label_maps.CORTEX, 0.0), (label_maps.THALAMUS, 0.6), (label_maps.CAUDATE, 0.15),
    (label_maps.PUTAMEN, 0.3), (label_maps.PALLIDUM, 0.75), (label_maps.HIPPOCAMPUS, 0.0),
    (label_maps.AMYGDALA, 0.0), (label_maps.CEREBELLUM_GM, 0.0), (label_maps.ACCUMBENS, 0.0),
)  # fmt: skip
#: T1w intensity of white structures, with that of white matter as unit.
WHITE = (
    (label_maps.WHITE_MATTER, 1.0), (label_maps.CEREBELLUM_WM, 0.97), (label_maps.BRAINSTEM, 0.95),
    (label_maps.VENTRAL_DC, 0.93),
)  # fmt: skip
#: T1w intensity of all that is not named.
OTHER = 0.5
#: Fraction of a voxel inside of spaces from which it belongs to the true mask.
OCCUPANCY = 0.5


@dataclass(frozen=True, kw_only=True)
class Suite:
    """How hard heads are.

    Attributes
    ----------
    width : float
        Median diameter of the spaces in mm.
    contrast : tuple of float
        Range of the contrast of a space, as a fraction of that between white matter and CSF.
    snr : tuple of float
        Range of the signal of white matter over the standard deviation of the noise.
    lesions : int
        Heads with lesions have 3 to this number, less one.
    lesions_always : bool
        Otherwise, half of the heads have lesions.
    """

    width: float
    contrast: tuple[float, float]
    snr: tuple[float, float]
    lesions: int
    lesions_always: bool


SUITES = {
    'easy': Suite(width=1.6, contrast=(0.7, 1.0), snr=(35, 80), lesions=6, lesions_always=False),
    'hard': Suite(width=1.15, contrast=(0.4, 0.8), snr=(12, 25), lesions=25, lesions_always=True),
}


@dataclass(frozen=True, kw_only=True)
class Rod:
    """A space.

    Attributes
    ----------
    points : ndarray, shape (n, 3)
        Centre line in voxels of 1 mm, a point every 0.2 mm.
    length, width : float
        In mm.
    contrast : float
        As `Suite.contrast`.
    region : str
        ``white-matter`` or ``basal-ganglia``; no rod extends beyond it.
    """

    points: np.ndarray
    length: float
    width: float
    contrast: float
    region: str


@dataclass(frozen=True, kw_only=True)
class Head:
    """A head, on voxels of 1 mm.

    Attributes
    ----------
    t1w, t2w : ndarray of float32, shape (x, y, z)
        White matter is about 1.
    labels : ndarray of int16, shape (x, y, z)
        FreeSurfer codes.
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.
    brain : ndarray of bool, shape (x, y, z)
    tissues : ndarray of uint8, shape (x, y, z)
        Classes of `pvs_bidsapp.anatomy.tissues`.
    occupancy : ndarray of float32, shape (x, y, z)
        Fraction of each voxel inside of spaces.
    index : ndarray of int16, shape (x, y, z)
        Number of a space that each voxel touches, from 1; 0 elsewhere.
    table : DataFrame
        Of the spaces that touch a voxel; columns as `pvs_bidsapp.simulation.tables.VESSEL_COLUMNS`.
    """

    t1w: np.ndarray
    t2w: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    brain: np.ndarray
    tissues: np.ndarray
    occupancy: np.ndarray
    index: np.ndarray
    table: pd.DataFrame

    @property
    def reference(self) -> np.ndarray:
        """The true mask, of bool."""
        return (self.occupancy >= OCCUPANCY) & self.brain

    def save(self, path: Path) -> None:
        """Write to one file."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays['table'] = np.array(self.table.to_csv(index=False))
        with atomic_write(path) as temporary, temporary.open('wb') as stream:
            np.savez_compressed(stream, **arrays)

    @classmethod
    def load(cls, path: Path) -> Head:
        """Read what `save` has written."""
        with np.load(path) as stored:
            arrays = dict(stored)
        table = pd.read_csv(io.StringIO(str(arrays.pop('table'))), float_precision='round_trip')
        return cls(table=table, **arrays)


def draw_head(anatomy: Anatomy, suite: Suite, rng: np.random.Generator) -> Head:
    """Draw spaces and lesions in an anatomy, and scan it.

    Parameters
    ----------
    anatomy : Anatomy
        With voxels of 1 mm.
    suite : Suite
    rng : numpy.random.Generator
    """
    anatomy, brain, tissues = cut(anatomy)
    grey, fluid = rng.uniform(0.55, 0.75), rng.uniform(0.15, 0.3)
    t1w, t2w = draw_tissues(anatomy.labels, grey, fluid, rng)
    regions = regions_of(anatomy, brain)
    rods = draw_rods(anatomy, regions, suite, rng)
    index = render(rods, {name: refine(mask) for name, mask in regions.items()}, t1w.shape)
    if suite.lesions_always or rng.random() < 0.5:
        draw_lesions(t1w, t2w, anatomy, brain, fluid, suite.lesions, rng)
    contrast = np.array([0, *(rod.contrast for rod in rods)], np.float32)[index]
    t1w += contrast * (fluid - t1w)
    t2w += contrast * (rng.uniform(2.5, 3.3) - t2w)
    blur, snr = rng.uniform(0.8, 1.6), rng.uniform(*suite.snr)
    occupancy, touched = coarsen((index > 0).astype(np.float32)), blocks(index).max((1, 3, 5))
    return Head(
        t1w=scan(t1w, blur, snr, rng),
        t2w=scan(t2w, blur, snr, rng),
        labels=anatomy.labels,
        affine=anatomy.affine,
        brain=brain,
        tissues=tissues,
        occupancy=occupancy,
        index=touched,
        table=rod_table(rods, anatomy, occupancy, touched, signal=snr * (1 - fluid)),
    )


def cut(anatomy: Anatomy) -> tuple[Anatomy, np.ndarray, np.ndarray]:
    """Crop an anatomy to a box about the middle of its brain.

    Returns
    -------
    anatomy : Anatomy
    brain : ndarray of bool, shape (x, y, z)
    tissues : ndarray of uint8, shape (x, y, z)
        As `Head`; both are those of the whole brain.
    """
    anatomy = label_maps.crop(anatomy, 4)
    brain = label_maps.brain_mask(anatomy)
    tissues = label_maps.tissue_classes(anatomy, brain)
    low = [max(0, n // 2 - half) for n, half in zip(brain.shape, HALF_BOX, strict=True)]
    box = tuple(slice(a, n // 2 + half) for a, n, half in zip(low, brain.shape, HALF_BOX, strict=True))
    affine = anatomy.affine.copy()
    affine[:3, 3] = apply_affine(anatomy.affine, low)
    return Anatomy(anatomy.labels[box], affine, anatomy.name), brain[box], tissues[box]


def refine(array: np.ndarray) -> np.ndarray:
    """Repeat voxels of 1 mm on the grid of 0.5 mm."""
    return array.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def blocks(array: np.ndarray) -> np.ndarray:
    """A fine array by voxels of 1 mm: shape (x, 2, y, 2, z, 2)."""
    x, y, z = array.shape
    return array.reshape(x // 2, 2, y // 2, 2, z // 2, 2)


def coarsen(array: np.ndarray) -> np.ndarray:
    """Mean of a fine array over voxels of 1 mm."""
    return blocks(array).mean((1, 3, 5))


def draw_tissues(
    labels: np.ndarray, grey: float, fluid: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw T1w and T2w without spaces and noise, on the fine grid.

    Parameters
    ----------
    labels : ndarray of int, shape (x, y, z)
        FreeSurfer codes.
    grey, fluid : float
        Intensity of cortex and CSF in the T1w; that of white matter is 1.
    rng : numpy.random.Generator

    Returns
    -------
    t1w, t2w : ndarray of float32, shape (2 x, 2 y, 2 z)
        Of both, white matter is 1. In the T2w, intensities rise as those of the T1w fall.
    """
    values = np.full(int(labels.max()) + 1, OTHER)
    values[0] = 0
    nuclei = ((codes, grey + way * (1 - grey)) for codes, way in NUCLEI)
    for codes, value in (*WHITE, *nuclei, (label_maps.CSF, fluid)):
        values[[code for code in codes if code < values.size]] = value
    t2w_values = np.where(values > 0, 1 + (1 - values) / (1 - fluid) * rng.uniform(1.5, 2.2), 0)
    images = [
        ndimage.gaussian_filter(refine(v[labels].astype(np.float32)), 1.0) for v in (values, t2w_values)
    ]
    texture = ndimage.gaussian_filter(rng.standard_normal(images[0].shape, dtype=np.float32), 4)
    texture /= texture.std()
    t1w, t2w = (image * (1 + 0.012 * texture) for image in images)
    return t1w, t2w


def regions_of(anatomy: Anatomy, brain: np.ndarray) -> dict[str, np.ndarray]:
    """Where spaces are: white matter and basal ganglia, off ventricles and cortex.

    Returns
    -------
    regions : dict of str to ndarray of bool, shape (x, y, z)
    """
    from_ventricles = ndimage.distance_transform_edt(~anatomy.select(*label_maps.VENTRICLES))
    from_cortex = ndimage.distance_transform_edt(~anatomy.select(*label_maps.CORTEX))
    white = anatomy.select(*label_maps.WHITE_MATTER) & brain
    nuclei = anatomy.select(*label_maps.BASAL_GANGLIA)
    return {
        'white-matter': white & (from_ventricles > 3) & (from_cortex > 1.5),
        'basal-ganglia': nuclei & (from_ventricles > 2) & (from_cortex > 1.5),
    }


def draw_rods(
    anatomy: Anatomy, regions: dict[str, np.ndarray], suite: Suite, rng: np.random.Generator
) -> list[Rod]:
    """Draw 60 to 159 spaces in white matter, and 20 to 49 in the basal ganglia.

    Those of white matter run towards the middle of the lateral ventricles, the others upwards.
    """
    ventricles = np.argwhere(anatomy.select(*label_maps.LATERAL_VENTRICLES)).mean(0)
    numbers = int(rng.integers(60, 160)), int(rng.integers(20, 50))
    rods = []
    for (region, mask), number in zip(regions.items(), numbers, strict=True):
        voxels = np.argwhere(mask)
        for middle in voxels[rng.choice(len(voxels), number)]:
            target = ventricles if region == 'white-matter' else None
            rods.append(draw_rod(middle, region, target, suite, rng))
    return rods


def draw_rod(
    middle: np.ndarray, region: str, target: np.ndarray | None, suite: Suite, rng: np.random.Generator
) -> Rod:
    """Draw one space.

    Parameters
    ----------
    middle : ndarray of int, shape (3,)
        Middle of the centre line, in voxels of 1 mm.
    region : str
    target : ndarray, shape (3,), or None
        Voxel that the space points at; None: it runs upwards.
    suite : Suite
    rng : numpy.random.Generator
    """
    width = np.clip(rng.lognormal(np.log(suite.width), 0.3), 0.6, 3.5)
    length = max(1.5 * width, np.clip(rng.lognormal(np.log(6), 0.5), 2, 20))
    if target is None:
        towards = np.array([rng.normal(0, 0.3), rng.normal(0, 0.3), 1.0])
    else:
        towards = target - middle
    direction = towards / np.linalg.norm(towards) + rng.normal(0, 0.3, 3)
    direction /= np.linalg.norm(direction)
    bend = np.cross(direction, rng.normal(size=3)) * rng.uniform(0, 0.04)
    along = np.arange(-length / 2, length / 2, 0.2)[:, None]
    return Rod(
        points=middle + along * direction + along**2 * bend,
        length=float(length),
        width=float(width),
        contrast=rng.uniform(*suite.contrast),
        region=region,
    )


def render(rods: Sequence[Rod], regions: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Number the fine voxels inside of each rod and its region.

    Parameters
    ----------
    rods : sequence of Rod
        Where two meet, the later one is seen. Those at the edge of the grid are left out.
    regions : dict of str to ndarray of bool, shape (2 x, 2 y, 2 z)
        On the fine grid.
    shape : tuple of int
        Of the fine grid.

    Returns
    -------
    index : ndarray of int16, shape (2 x, 2 y, 2 z)
        Numbers from 1; 0 elsewhere.
    """
    index = np.zeros(shape, np.int16)
    for number, rod in enumerate(rods, start=1):
        points = rod.points * 2 + 0.5
        radius = rod.width  # half of the width, in voxels of half a mm
        low = np.floor(points.min(0) - radius - 1).astype(int)
        high = np.ceil(points.max(0) + radius + 2).astype(int)
        if (low < 0).any() or (high >= shape).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        voxels = np.stack(np.meshgrid(*map(np.arange, low, high), indexing='ij'), -1)
        distance, _ = cKDTree(points).query(voxels, distance_upper_bound=radius + 1)
        index[box][(distance <= radius) & regions[rod.region][box]] = number
    return index


def draw_lesions(
    t1w: np.ndarray,
    t2w: np.ndarray,
    anatomy: Anatomy,
    brain: np.ndarray,
    fluid: float,
    most: int,
    rng: np.random.Generator,
) -> None:
    """Draw Gaussian lesions of white matter, of 1.5 to 4 mm standard deviation, into both fine images.

    Parameters
    ----------
    t1w, t2w : ndarray of float32, shape (2 x, 2 y, 2 z)
        Changed in place.
    anatomy : Anatomy
    brain : ndarray of bool, shape (x, y, z)
    fluid : float
        Intensity of CSF in the T1w.
    most : int
        As `Suite.lesions`.
    rng : numpy.random.Generator
    """
    from_ventricles = ndimage.distance_transform_edt(~anatomy.select(*label_maps.VENTRICLES))
    white = anatomy.select(*label_maps.WHITE_MATTER) & brain
    voxels = np.argwhere(white & (from_ventricles > 1))
    for middle in voxels[rng.choice(len(voxels), int(rng.integers(3, most)))]:
        sigma = int(rng.integers(3, 9))
        sides = [
            np.arange(max(0, 2 * at - 3 * sigma), min(2 * at + 3 * sigma, n))
            for at, n in zip(middle, t1w.shape, strict=True)
        ]
        offsets = np.ix_(*(side - 2 * at for side, at in zip(sides, middle, strict=True)))
        weight = np.exp(-0.5 * sum(x**2 for x in offsets) / sigma**2).astype(np.float32)
        box = tuple(slice(side[0], side[-1] + 1) for side in sides)
        t1w[box] -= weight * 0.25 * (1 - fluid)
        t2w[box] += weight * 0.5


def scan(image: np.ndarray, blur: float, snr: float, rng: np.random.Generator) -> np.ndarray:
    """Blur a fine image, average it over voxels, shade it by a polynomial and add noise.

    Parameters
    ----------
    image : ndarray of float32, shape (2 x, 2 y, 2 z)
    blur : float
        The standard deviation of the blur is 0.15 to 0.3 mm times this.
    snr : float
        1 over the standard deviation of the noise.
    rng : numpy.random.Generator

    Returns
    -------
    image : ndarray of float32, shape (x, y, z)
    """
    blurred = coarsen(ndimage.gaussian_filter(image, blur * rng.uniform(0.5, 1) * 0.6))
    x, y, z = np.ix_(*(np.linspace(-1, 1, n) for n in blurred.shape))
    a, b, c, d, e = rng.normal(0, 0.025, 5)
    shaded = blurred * (1 + a * x + b * y + c * z + d * x * y + e * z * z)
    return np.abs(shaded + rng.normal(0, 1 / snr, shaded.shape)).astype(np.float32)


def rod_table(
    rods: Sequence[Rod], anatomy: Anatomy, occupancy: np.ndarray, index: np.ndarray, signal: float
) -> pd.DataFrame:
    """Table of the spaces that touch a voxel, each with its detectability index d'.

    That of a known signal in white noise is the root of its energy over the standard deviation of the noise
    (Barrett & Myers 2004, Foundations of Image Science). The energy is that without blur.

    Parameters
    ----------
    rods : sequence of Rod
        Number 1 is the first.
    anatomy : Anatomy
    occupancy, index : ndarray, shape (x, y, z)
        As `Head`.
    signal : float
        Contrast between white matter and CSF over the standard deviation of the noise.

    Returns
    -------
    table : DataFrame
        As `Head.table`.
    """
    energy, volume = (
        np.bincount(index.ravel(), weights.ravel().astype(float), len(rods) + 1)
        for weights in (occupancy**2, occupancy)
    )
    rows = []
    for number in np.unique(index[index > 0]).tolist():
        rod = rods[number - 1]
        line = apply_affine(anatomy.affine, rod.points[[0, len(rod.points) // 2, -1]])
        rows.append([
            number, f'PVS{number}', rod.region, round(rod.length, 3), round(rod.width, 3),
            round(volume[number], 3), 0, *np.round(line[1], 3),
            ';'.join(','.join(f'{c:.2f}' for c in point) for point in line),
            rod.contrast * signal * np.sqrt(energy[number]),
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=list(VESSEL_COLUMNS))
