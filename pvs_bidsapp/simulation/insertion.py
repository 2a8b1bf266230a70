"""Insertion of simulated PVS into a real scan, at the scan's own resolution, noise and texture.

PVS are placed in the scan's own anatomy. In each voxel, tissue is replaced by fluid according to the fraction
that the PVS fills; the voxel keeps its noise. No other voxel changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from ..anatomy import template
from ..anatomy.tissues import CSF, GM, WM
from .label_maps import Anatomy
from .rendering import Rendering, render
from .vessels import Vessel

#: Standard deviation in mm of the Gaussian weights with which local intensities are measured.
LOCAL = 2.0


def anatomy_of_scan(
    classes: np.ndarray, structures: np.ndarray, left: np.ndarray, spacing: np.ndarray, name: str
) -> Anatomy:
    """A label map with FreeSurfer codes, from tissue classes and the template's structures.

    Parameters
    ----------
    classes : ndarray of uint8, shape (x, y, z)
        Tissue classes of the scan, axes in RAS order.
    structures : ndarray of int, shape (x, y, z)
        CerebrA labels in the space of the scan.
    left : ndarray of bool, shape (x, y, z)
        The template's left half in the space of the scan.
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    name : str
        Name of the anatomy.
    """
    labels = np.zeros(classes.shape, np.int16)
    labels[classes == CSF] = 24
    for tissue, codes in ((GM, (42, 3)), (WM, (41, 2))):
        labels[(classes == tissue) & ~left], labels[(classes == tissue) & left] = codes
    for code, values in template.FREESURFER_CODES.items():
        labels[np.isin(structures, values) & (classes > 0)] = code
    return Anatomy(labels, np.diag([*spacing, 1.0]), name)


def vessels_to_grid(vessels: Sequence[Vessel], source: np.ndarray, affine: np.ndarray) -> list[Vessel]:
    """Express the centre lines of PVS along the axes of another grid.

    Parameters
    ----------
    vessels : sequence of Vessel
        Points in mm along the axes of a grid.
    source : ndarray, shape (4, 4)
        From those mm to scanner RAS+ mm.
    affine : ndarray, shape (4, 4)
        Affine of the other grid.

    Returns
    -------
    vessels : list of Vessel
        Points in mm along the axes of the other grid.
    """
    scale = np.diag([*voxel_sizes(affine), 1.0])
    matrix = scale @ np.linalg.inv(affine) @ source

    def move(vessel: Vessel) -> Vessel:
        branch = move(vessel.branch) if vessel.branch else None
        return replace(vessel, points=apply_affine(matrix, vessel.points), branch=branch)

    return [move(v) for v in vessels]


def insert(
    image: np.ndarray,
    affine: np.ndarray,
    vessels: Sequence[Vessel],
    *,
    tissue: np.ndarray,
    levels: tuple[float, float],
    field: np.ndarray,
    contrasts: np.ndarray,
) -> tuple[np.ndarray, Rendering]:
    """Insert PVS into a scan.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        The scan, not processed.
    affine : ndarray, shape (4, 4)
    vessels : sequence of Vessel
        Points in mm along the axes of this grid.
    tissue : ndarray of bool, shape (x, y, z)
        Grey and white matter, from which local intensities are measured.
    levels : tuple of float
        Intensity of white matter and of CSF after bias correction.
    field : ndarray, shape (x, y, z)
        The bias field, 1 on average.
    contrasts : ndarray, shape (n,)
        Contrast between each PVS and its surroundings, as a fraction of that between CSF and the
        surroundings.

    Returns
    -------
    image : ndarray of float32, shape (x, y, z)
        Equal to the scan wherever there is no PVS.
    rendering : Rendering
        The PVS on the scan's grid.
    """
    spacing = voxel_sizes(affine)
    rendering = render(vessels, image.shape, spacing)
    wm, csf = levels
    free = tissue & (rendering.occupancy == 0)
    fill = fluid_change(image, free, field * csf, spacing, is_darker=csf < wm)
    contrast = np.concatenate([[0.0], contrasts]).astype(np.float32)[rendering.index]
    changed = rendering.occupancy > 0
    result = image.astype(np.float32).copy()
    result[changed] += (rendering.occupancy * (contrast * fill))[changed]
    return result, rendering


def fluid_change(
    image: np.ndarray, tissue: np.ndarray, fluid: np.ndarray | float, spacing: np.ndarray, *, is_darker: bool
) -> np.ndarray:
    """By how much a voxel changes if fluid takes the place of the tissue about it; its noise stays.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    tissue : ndarray of bool, shape (x, y, z)
        Grey and white matter without spaces, from which local intensities are measured.
    fluid : ndarray or float
        Intensity of CSF, in each voxel or everywhere.
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    is_darker : bool
        CSF is darker than white matter (T1w), not brighter (T2w).

    Returns
    -------
    change : ndarray of float32, shape (x, y, z)
        0 far from all tissue, and where the tissue is already darker (T1w) or brighter (T2w) than CSF.
    """
    free = tissue.astype(np.float32)
    sigma = LOCAL / spacing
    weight = ndimage.gaussian_filter(free, sigma)
    local = ndimage.gaussian_filter(image * free, sigma) / np.maximum(weight, 1e-3)
    to_fluid = fluid - local
    change = np.minimum(to_fluid, 0) if is_darker else np.maximum(to_fluid, 0)
    return np.where(weight > 0.05, change, 0).astype(np.float32)
