"""The probability of perivascular spaces on a scan's own grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..anatomy.resampling import Grid
from ..messages import models
from .intensity import TissueNormalization
from .model import Model
from .network_input import BrainAnatomy, NetworkInput


def predict(
    channels: Sequence[np.ndarray],
    native_grid: Grid,
    anatomy: BrainAnatomy,
    model: Model,
    *,
    device: str = 'cpu',
) -> np.ndarray:
    """Run a model on one scan.

    Parameters
    ----------
    channels : sequence of ndarray, shape (x, y, z)
        Bias corrected images on the T1w's grid, in the order of the model's card.
    native_grid : Grid
        The T1w's grid.
    anatomy : BrainAnatomy
        Brain mask and tissue classes, on a grid of their own.
    model : Model
    device : str
        A torch device.

    Returns
    -------
    probability : ndarray of float32, shape (x, y, z)
        On the T1w's grid, in [0, 1]; 0 outside the brain.

    Raises
    ------
    ImageError
        If white matter and CSF cannot be told apart in a channel.
    ModelError
        If the weights are missing, differ from their checksum, or do not fit the card, or the network gives
        values that are not finite.
    """
    card = model.card
    inputs = NetworkInput.build(
        channels,
        native_grid,
        anatomy,
        normalization=TissueNormalization.from_card(card.intensity),
        spacing=card.spacing,
        box=card.box,
    )
    return inputs.to_native(run_network(model, inputs.masked(), device))


def run_network(model: Model, volume: np.ndarray, device: str) -> np.ndarray:
    """Run a model on a network's grid.

    Parameters
    ----------
    model : Model
    volume : ndarray of float32, shape (channels, x, y, z)
        Normalized and masked.
    device : str
        A torch device.

    Returns
    -------
    probability : ndarray of float32, shape (x, y, z)
        In [0, 1].

    Raises
    ------
    ModelError
        As `predict`.
    """
    import torch

    from .inference import infer

    network = model.network().to(device)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    card = model.card
    probability = infer(
        network, volume, device, patch_size=card.patch_size, stride=card.stride, mirror=card.mirror
    )
    if not np.isfinite(probability).all():  # no threshold would find anything there
        raise models.OUTPUT_NOT_FINITE.error(model.folder)
    return probability
