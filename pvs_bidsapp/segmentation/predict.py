"""The probability of perivascular spaces on a scan's own grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..anatomy.resampling import Grid, resample
from .grid import network_grid
from .intensity import TissueNormalization, measure_levels
from .model import Model


def predict(
    channels: Sequence[np.ndarray],
    affine: np.ndarray,
    brain: np.ndarray,
    tissues: np.ndarray,
    anatomy_affine: np.ndarray,
    bundle: Model,
    *,
    device: str = 'cpu',
) -> np.ndarray:
    """Run a model on one scan.

    Parameters
    ----------
    channels : sequence of ndarray, shape (x, y, z)
        Bias corrected images on the T1w's grid, in the order of the model's card.
    affine : ndarray, shape (4, 4)
        Of the T1w's grid.
    brain, tissues : ndarray
        Brain mask and tissue classes, on their own grid.
    anatomy_affine : ndarray, shape (4, 4)
        Of the brain mask and tissue classes.
    bundle : Model
    device : str
        A torch device.

    Returns
    -------
    probability : ndarray of float32, shape (x, y, z)
        On the T1w's grid, in [0, 1]; 0 outside the brain's box.
    """
    card = bundle.card
    rule = TissueNormalization.from_card(card.intensity)
    native = Grid(tuple(channels[0].shape), affine)
    # the scan's own voxels decide, not those that its anatomy was worked out at
    place = resample(brain, anatomy_affine, native, order=0) > 0.5
    grid = network_grid(place, affine, spacing=card.spacing, box=card.box)
    inside = resample(brain, anatomy_affine, grid, order=0) > 0.5
    classes = np.rint(resample(tissues, anatomy_affine, grid, order=0))
    volume = np.empty((len(channels), *grid.shape), np.float32)
    for k, channel in enumerate(channels):
        moved = resample(channel, affine, grid, order=3)
        volume[k] = np.where(inside, rule.apply(moved, measure_levels(moved, classes)), rule.outside)
    probability = run_network(bundle, volume, device)
    return np.clip(resample(probability * inside, grid.affine, native, order=1), 0, 1)


def run_network(bundle: Model, volume: np.ndarray, device: str) -> np.ndarray:
    """Probability map of a whole volume of shape (channels, x, y, z), as float32 (x, y, z)."""
    import torch

    from .inference import infer

    network = bundle.network().to(device)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    card = bundle.card
    return infer(network, volume, device, patch=card.patch_size, stride=card.stride, mirror=card.mirror)
