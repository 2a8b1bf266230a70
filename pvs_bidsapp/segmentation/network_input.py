"""From a scan and its tracing to what a network learns from: the same path as a scan takes at work."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..anatomy.resampling import Grid, resample
from ..errors import ImageError
from .grid import Spacing, network_grid
from .intensity import TissueNormalization, measure_levels

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A scan on the network's grid.

    Attributes
    ----------
    image : ndarray of float16, shape (channels, x, y, z)
    brain : ndarray of bool, shape (x, y, z)
    grid : Grid
    """

    image: np.ndarray
    brain: np.ndarray
    grid: Grid


def prepare(
    images: Sequence[np.ndarray],
    affine: np.ndarray,
    brain: np.ndarray,
    tissues: np.ndarray,
    rule: TissueNormalization,
    *,
    spacing: Spacing = 1.0,
) -> Prepared:
    """Scale and resample a scan, cropped to the brain.

    Parameters
    ----------
    images : sequence of ndarray, shape (x, y, z)
        One a channel, bias corrected, all on the T1w's grid.
    affine : ndarray, shape (4, 4)
    brain : ndarray of bool
    tissues : ndarray of int
        Classes of `pvs_bidsapp.anatomy.tissues`.
    rule : TissueNormalization
    spacing : float or tuple of float
        Voxel size of the network's grid in mm, or its range.
    """
    grid = network_grid(brain, affine, spacing=spacing, box=(1, 1, 1))
    classes = np.rint(resample(tissues, affine, grid, order=0))
    channels = []
    for image in images:
        moved = resample(image, affine, grid, order=3)
        channels.append(rule.apply(moved, measure_levels(moved, classes)))
    inside = resample(brain, affine, grid, order=0) > 0.5
    return Prepared(np.stack(channels).astype(np.float16), inside, grid)


def match_target(
    target: np.ndarray, affine: np.ndarray, grid: Grid, name: str, tolerance: float = 1e-3
) -> np.ndarray:
    """A tracing on its scan's grid; resampled, and that said, where it lies on another.

    Parameters
    ----------
    target : ndarray, shape (x, y, z)
        Above 0.5 in perivascular spaces.
    affine : ndarray, shape (4, 4)
        Of the tracing.
    grid : Grid
        Of the scan.
    name : str
        The tracing's file, for messages.
    tolerance : float
        In mm.

    Returns
    -------
    target : ndarray of bool

    Raises
    ------
    ImageError
        If the tracing lies outside the scan, so that most of it would be lost.
    """
    traced = target > 0.5
    if target.shape == grid.shape and np.allclose(affine, grid.affine, atol=tolerance):
        return traced
    moved = resample(traced, affine, grid, order=1) > 0.5
    before = traced.sum() * abs(np.linalg.det(affine[:3, :3]))
    after = moved.sum() * abs(np.linalg.det(grid.affine[:3, :3]))
    if before and after < 0.5 * before:
        raise ImageError(
            f'{name}: lies on another grid than its scan, and only {100 * after / before:.0f} % of its '
            'volume would be left there; is it the tracing of this scan? resample it to the T1w'
        )
    LOG.warning('%s: lies on another grid than its scan and was resampled to it', name)
    return moved
