"""Perivascular spaces drawn into a real scan, at its own resolution, noise and texture.

The spaces are placed in the scan's own anatomy.  Each voxel's tissue is replaced by that share of
fluid which the space fills of it, and keeps its noise; no other voxel changes.
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
    """A label map with FreeSurfer codes from tissue classes and the template's structures.

    Parameters
    ----------
    classes : ndarray of uint8, shape (x, y, z)
        Tissue classes of the scan, axes in RAS order.
    structures : ndarray of int
        CerebrA labels brought to the scan.
    left : ndarray of bool
        The template's left half brought to the scan.
    spacing : ndarray, shape (3,)
        In mm.
    name : str
    """
    labels = np.zeros(classes.shape, np.int16)
    labels[classes == CSF] = 24
    for tissue, codes in ((GM, (42, 3)), (WM, (41, 2))):
        labels[(classes == tissue) & ~left], labels[(classes == tissue) & left] = codes
    for code, values in template.FREESURFER_CODES.items():
        labels[np.isin(structures, values) & (classes > 0)] = code
    return Anatomy(labels, np.diag([*spacing, 1.0]), name)


def to_grid(vessels: Sequence[Vessel], source: np.ndarray, affine: np.ndarray) -> list[Vessel]:
    """Vessels along another grid's axes.

    Parameters
    ----------
    vessels : sequence of Vessel
        With points in mm along the axes of a grid.
    source : ndarray, shape (4, 4)
        From those millimetres to scanner RAS+ mm.
    affine : ndarray, shape (4, 4)
        Of the grid that is wanted.
    """
    scale = np.diag([*voxel_sizes(affine), 1.0])
    matrix = scale @ np.linalg.inv(affine) @ source

    def move(vessel: Vessel) -> Vessel:
        branch = move(vessel.branch) if vessel.branch else None
        return replace(vessel, points=apply_affine(matrix, vessel.points), branch=branch)

    return [move(v) for v in vessels]


def draw_into(
    image: np.ndarray,
    affine: np.ndarray,
    vessels: Sequence[Vessel],
    tissue: np.ndarray,
    levels: tuple[float, float],
    field: np.ndarray,
    share: np.ndarray,
) -> tuple[np.ndarray, Rendering]:
    """Draw spaces into a scan.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        As it came.
    affine : ndarray, shape (4, 4)
    vessels : sequence of Vessel
        Points in mm along the axes of this grid.
    tissue : ndarray of bool
        Grey and white matter: what local intensity is taken from.
    levels : tuple of float
        Intensity of white matter and of CSF after bias correction.
    field : ndarray
        The bias field, 1 on average.
    share : ndarray, shape (n,)
        Contrast inside each space as a share of that between its surroundings and CSF.

    Returns
    -------
    drawn : ndarray of float32
        Equal to `image` wherever nothing was drawn.
    rendering : Rendering
    """
    spacing = voxel_sizes(affine)
    made = render(vessels, image.shape, spacing)
    free = (tissue & (made.occupancy == 0)).astype(np.float32)
    sigma = 2.0 / spacing
    weight = ndimage.gaussian_filter(free, sigma)
    local = ndimage.gaussian_filter(image * free, sigma) / np.maximum(weight, 1e-3)
    wm, csf = levels
    inside = np.concatenate([[0.0], share]).astype(np.float32)[made.index]
    # what is no tissue may lie beyond CSF: a space is never nearer to white matter than its surroundings
    step = field * csf - local
    contrast = inside * (np.minimum(step, 0) if csf < wm else np.maximum(step, 0))
    where = (made.occupancy > 0) & (weight > 0.05)
    drawn = image.astype(np.float32).copy()
    drawn[where] += (made.occupancy * contrast)[where]
    return drawn, made
