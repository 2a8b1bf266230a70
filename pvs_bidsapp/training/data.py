"""From a traced scan to a training volume: the same path as a scan takes at work."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np

from ..anatomy import bias
from ..anatomy.resampling import resample
from ..segmentation.grid import network_grid
from ..segmentation.intensity import TissueLevels, measure_levels
from .patches import Volume


def prepare(
    name: str,
    images: Sequence[nib.Nifti1Image],
    brain: np.ndarray,
    tissues: np.ndarray,
    target: np.ndarray,
    rule: TissueLevels,
    *,
    spacing: float = 1.0,
) -> Volume:
    """Correct, scale and resample a scan with its tracing, cropped to the brain.

    Parameters
    ----------
    name : str
    images : sequence of Nifti1Image
        One a channel, all on the first one's grid.
    brain : ndarray of bool
    tissues : ndarray of int
        Classes of `pvs_bidsapp.anatomy.tissues`.
    target : ndarray
        Tracing, above 0.5 in perivascular spaces.
    rule : TissueLevels
    spacing : float
        Voxel size of the network's grid in mm.
    """
    affine = images[0].affine
    grid = network_grid(brain, affine, spacing=spacing, box=(1, 1, 1))
    channels = []
    for image in images:
        corrected = bias.correct(image.get_fdata(dtype=np.float32), affine, brain)
        scaled = rule.apply(corrected, measure_levels(corrected, tissues))
        channels.append(resample(scaled, affine, grid, order=3, outside=rule.outside))
    return Volume(
        name=name,
        image=np.stack(channels).astype(np.float16),
        brain=resample(brain, affine, grid, order=0) > 0.5,
        target=(resample(target, affine, grid, order=1) > 0.5).astype(np.uint8),
    )
