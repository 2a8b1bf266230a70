"""What lies about a cluster: contrast, volume by partial volume, distances, lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import edt
import numpy as np
from scipy import ndimage

from ..anatomy.regions import TOTALS
from ..anatomy.resampling import Grid
from .found import Found
from .shape import Shape

#: Distances from a cluster (mm) between which its surroundings are measured.
SHELL = (1.5, 4.0)
#: Smallest number of voxels from which a level is taken.
FEWEST = 10
#: A cluster that is like a lesion rather than a space is as wide as this (mm), rounder than this (linearity),
#: fainter than this (contrast by that of white matter to CSF), and as near to a ventricle as this (mm).
LESION_WIDTH, LESION_LINEARITY, LESION_CONTRAST, LESION_DISTANCE = 3.0, 0.75, 0.5, 12.0
LIKE_LESION = 'like a lesion'


@dataclass(frozen=True)
class ScanLevels:
    """Intensities of a scan.

    Attributes
    ----------
    white, csf : float
        Levels of white matter and CSF.
    noise : float
        Of white matter, see `pvs_bidsapp.anatomy.noise.noise_level`; NaN if it is not known.
    """

    white: float
    csf: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What lies about one cluster.

    Attributes
    ----------
    weighted_volume : float
        Sum over its voxels, and those next to it, of the share that is as dark as CSF, in mm3.
    contrast : float
        Mean difference to its surroundings, by that of white matter to CSF.
    contrast_to_noise : float
        The same difference in units of the noise.
    ventricle_distance, cortex_distance : float
        Of its centre, in mm; NaN where the scan shows none.
    """

    weighted_volume: float
    contrast: float
    contrast_to_noise: float
    ventricle_distance: float
    cortex_distance: float


def measure_surroundings(
    shapes: Sequence[Shape],
    found: Found,
    image: np.ndarray,
    levels: ScanLevels,
    *,
    ventricles: np.ndarray,
    cortex: np.ndarray,
    grid: Grid,
) -> list[Surroundings]:
    """Measure what lies about each cluster.

    Parameters
    ----------
    shapes : sequence of Shape
    found : Found
    image : ndarray, shape (x, y, z)
        T1w or T2w, bias corrected.
    levels : ScanLevels
        Of this image.
    ventricles, cortex : ndarray of bool
        On `grid`, which has voxels of 1 mm.
    grid : Grid

    Returns
    -------
    around : list of Surroundings
        Of each cluster.
    """
    clusters, regions = found.clusters, found.regions
    spacing = np.linalg.norm(found.affine[:3, :3], axis=0)
    if levels.csf > levels.white:  # a T2w: turned over, CSF and spaces are dark as in a T1w
        image, levels = -image, replace(levels, white=-levels.white, csf=-levels.csf)
    centres = np.array([shape.centre for shape in shapes]).reshape(-1, 3)
    distances = [_distances(centres, mask, grid) for mask in (ventricles, cortex)]
    around = []
    for shape, *away in zip(shapes, *distances, strict=True):
        margin = np.ceil(SHELL[1] / spacing).astype(int) + 1
        low = np.maximum(shape.voxels.min(0) - margin, 0)
        box = tuple(slice(a, b) for a, b in zip(low, shape.voxels.max(0) + margin + 1, strict=True))
        free = (regions[box] > 0) & ((clusters[box] == 0) | (clusters[box] == shape.index))
        own = clusters[box] == shape.index
        volume, difference = _contrast(image[box], own, free, spacing, levels)
        around.append(
            Surroundings(
                weighted_volume=volume * float(np.prod(spacing)),
                contrast=difference / (levels.white - levels.csf),
                contrast_to_noise=difference / levels.noise,
                ventricle_distance=float(away[0]),
                cortex_distance=float(away[1]),
            )
        )
    return around


def _contrast(
    image: np.ndarray, own: np.ndarray, free: np.ndarray, spacing: np.ndarray, levels: ScanLevels
) -> tuple[float, float]:
    """Volume by partial volume (voxels), and mean difference to the surroundings, of a cluster in its box.

    `own` are its voxels, `free` those of regions that belong to no other cluster.
    """
    away = edt.edt(~own, anisotropy=tuple(map(float, spacing)))
    shell = free & (away >= SHELL[0]) & (away <= SHELL[1])
    around = float(np.median(image[shell])) if shell.sum() >= FEWEST else levels.white
    near = own | (free & ndimage.binary_dilation(own))  # with what shares a face with it
    full = max(around - levels.csf, 1e-6)
    shares = np.minimum((around - image[near]) / full, 1.0)
    return max(float(shares.sum()), 0.0), around - float(image[own].mean())


def _distances(points: np.ndarray, mask: np.ndarray, grid: Grid) -> np.ndarray:
    """Distance of points (scanner RAS+ mm) from a mask on a grid of 1 mm, in mm; NaN if it is empty."""
    if not mask.any() or not len(points):
        return np.full(len(points), np.nan)
    inverse = np.linalg.inv(grid.affine)
    places = points @ inverse[:3, :3].T + inverse[:3, 3]
    values = ndimage.map_coordinates(edt.edt(~mask), places.T, order=1, mode='nearest')
    return np.asarray(values, float)


def lesion_fractions(shapes: Sequence[Shape], lesions: np.ndarray) -> np.ndarray:
    """Share of each cluster that lies in lesions.

    Parameters
    ----------
    shapes : sequence of Shape
    lesions : ndarray of bool, shape (x, y, z)
        White matter hyperintensities, on the clusters' grid.

    Returns
    -------
    fractions : ndarray, shape (n,)
        In [0, 1].
    """
    return np.array([lesions[tuple(shape.voxels.T)].mean() for shape in shapes])


def is_like_lesion(shape: Shape, around: Surroundings, region: str) -> bool:
    """Whether a cluster looks like a white matter hyperintensity: wide, round, faint, about a ventricle.

    Parameters
    ----------
    shape : Shape
    around : Surroundings
    region : str
        Name of its region: elsewhere than in deep white matter, wide and round PVS are common.
    """
    return (
        region in TOTALS['deep white matter']
        and shape.max_width >= LESION_WIDTH
        and shape.linearity <= LESION_LINEARITY
        and around.contrast <= LESION_CONTRAST
        and around.ventricle_distance <= LESION_DISTANCE
    )
