"""The probability of perivascular spaces on a scan's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..anatomy.resampling import Grid
from ..messages import models
from .intensity import TissueNormalization
from .model import Model
from .network_input import BrainAnatomy, NetworkInput

#: Probabilities are computed this far about the regions, in mm: spaces may end outside.
BEYOND_REGIONS = 6.0


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A probability map, and what computed it.

    Attributes
    ----------
    probability : ndarray of float32, shape (x, y, z)
        In [0, 1].
    engine : str
        Name and version of the library that ran the network.
    precision : str
        ``fp32``, ``bf16`` or ``fp16``, inside the network.
    """

    probability: np.ndarray
    engine: str
    precision: str


def predict(
    channels: Sequence[np.ndarray],
    native_grid: Grid,
    anatomy: BrainAnatomy,
    model: Model,
    *,
    regions: np.ndarray | None = None,
    device: str = 'cpu',
    precision: str = 'auto',
    num_threads: int = 1,
) -> Prediction:
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
    regions : ndarray of bool or int, shape (x, y, z), optional
        Where perivascular spaces are looked for, on the T1w's grid (default: in the whole brain). Further
        than `BEYOND_REGIONS` from there, probabilities need not be computed.
    device : str
        A torch device.
    precision : str
        ``auto``, ``fp32`` or ``bf16``, as `pvs_bidsapp.segmentation.engine.make_engine`.
    num_threads : int
        On a CPU; results do not depend on it.

    Returns
    -------
    prediction : Prediction
        On the T1w's grid; 0 outside the brain.

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
    wanted = inputs.brain if regions is None else inputs.near(regions, BEYOND_REGIONS)
    found = run_network(
        model, inputs.masked(), device, wanted=wanted, precision=precision, num_threads=num_threads
    )
    return replace(found, probability=inputs.to_native(found.probability))


def run_network(
    model: Model,
    volume: np.ndarray,
    device: str,
    *,
    wanted: np.ndarray | None = None,
    precision: str = 'auto',
    num_threads: int = 1,
) -> Prediction:
    """Run a model on a network's grid.

    Parameters
    ----------
    model : Model
    volume : ndarray of float32, shape (channels, x, y, z)
        Normalized and masked.
    device : str
        A torch device.
    wanted : ndarray of bool, shape (x, y, z), optional
        Where probabilities are wanted (default: everywhere).
    precision, num_threads
        As `predict`.

    Returns
    -------
    prediction : Prediction
        On the network's grid.

    Raises
    ------
    ModelError
        As `predict`.
    """
    from .engine import make_engine
    from .inference import infer

    card = model.card
    shape = None if card.patch_size is None else (len(volume), *(card.patch_size,) * 3)
    engine = make_engine(model.network(), shape, device, precision=precision, num_threads=num_threads)
    probability = infer(
        engine, volume, patch_size=card.patch_size, stride=card.stride, mirror=card.mirror, wanted=wanted
    )
    if not np.isfinite(probability).all():  # no threshold would find anything there
        raise models.OUTPUT_NOT_FINITE.error(model.folder)
    return Prediction(probability=probability, engine=engine.name, precision=engine.precision)
