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
    free = (tissue & (rendering.occupancy == 0)).astype(np.float32)
    sigma = 2.0 / spacing
    weight = ndimage.gaussian_filter(free, sigma)
    local = ndimage.gaussian_filter(image * free, sigma) / np.maximum(weight, 1e-3)
    wm, csf = levels
    contrast = np.concatenate([[0.0], contrasts]).astype(np.float32)[rendering.index]
    # tissue may already be darker (T1w) or brighter (T2w) than CSF; it is then left unchanged
    to_csf = field * csf - local
    change = contrast * (np.minimum(to_csf, 0) if csf < wm else np.maximum(to_csf, 0))
    changed = (rendering.occupancy > 0) & (weight > 0.05)
    result = image.astype(np.float32).copy()
    result[changed] += (rendering.occupancy * change)[changed]
    return result, rendering
