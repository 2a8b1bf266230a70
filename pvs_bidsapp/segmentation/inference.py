"""Run a network on a whole volume: at once, or patch by patch with weighted overlap."""

from __future__ import annotations

from itertools import product

import numpy as np

from .engine import Engine

#: Standard deviation of the Gaussian weights of a patch, as a fraction of its edge.
SIGMA = 0.125
#: Voxels about the wanted ones that patches cover, too: a network is at its best away from a patch's faces.
MARGIN = 4


def infer(
    engine: Engine,
    volume: np.ndarray,
    *,
    patch_size: int | None = None,
    stride: int | None = None,
    mirror: bool = False,
    wanted: np.ndarray | None = None,
    margin: int = MARGIN,
) -> np.ndarray:
    """Compute the probability map of one volume.

    Parameters
    ----------
    engine : Engine
    volume : ndarray of float32, shape (channels, x, y, z)
    patch_size : int, optional
        Edge of the patches in voxels. Without it the whole volume goes through the network at once.
    stride : int, optional
        Largest step between patches in voxels (default: half a patch). Where patches overlap, probabilities
        are averaged with Gaussian weights about the patches' centres.
    mirror : bool
        Average with the prediction on the mirror image (axis x, left to right).
    wanted : ndarray of bool, shape (x, y, z), optional
        Where probabilities are wanted (default: everywhere). Patches without such voxels are not computed.
    margin : int
        Voxels about the wanted ones that patches cover, too.

    Returns
    -------
    probability : ndarray of float32, shape (x, y, z)
        In [0, 1]; 0 where no patch was computed.
    """
    if patch_size is None:
        return _compute(engine, volume[None], mirror)[0]
    shape = volume.shape[1:]
    widths = [(max(0, patch_size - n) // 2, (max(0, patch_size - n) + 1) // 2) for n in shape]
    padded = np.pad(volume, [(0, 0), *widths], mode='edge')
    mask = np.pad(np.ones(shape, bool) if wanted is None else wanted, widths)
    total, weights = np.zeros((2, *mask.shape), np.float32)
    window = _window(patch_size)
    places = list(_places(mask, patch_size, stride or patch_size // 2, margin))
    for first in range(0, len(places), engine.batch_size):
        group = places[first : first + engine.batch_size]
        found = _compute(engine, np.stack([padded[(slice(None), *place)] for place in group]), mirror)
        for place, probability in zip(group, found, strict=True):
            total[place] += probability * window
            weights[place] += window
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, shape, strict=True))
    return np.divide(total, weights, out=total, where=weights > 0)[inner]


def _compute(engine: Engine, patches: np.ndarray, mirror: bool) -> np.ndarray:
    """Probabilities of patches, of shape (n, x, y, z)."""
    probability = engine(patches)
    if mirror:
        mirrored = engine(np.ascontiguousarray(patches[:, :, ::-1]))[:, ::-1]
        probability = (probability + mirrored) / 2
    return probability


def _window(size: int) -> np.ndarray:
    """Gaussian weights of a patch, 1 in its centre."""
    offset = (np.arange(size) - (size - 1) / 2) / (SIGMA * size)
    line = np.exp(-(offset**2) / 2).astype(np.float32)
    return line[:, None, None] * line[:, None] * line


def _places(wanted: np.ndarray, size: int, stride: int, margin: int) -> list[tuple[slice, ...]]:
    """Patches that cover the wanted voxels and a margin, evenly spread over their bounding box."""
    if not wanted.any():
        return []
    starts = []
    for axis, length in enumerate(wanted.shape):
        there = np.flatnonzero(wanted.any(tuple({0, 1, 2} - {axis})))
        low, high = max(0, there[0] - margin), min(length, there[-1] + 1 + margin)
        missing = max(0, size - (high - low))  # the box grows to a patch on both sides
        low = min(max(0, low - missing // 2), length - size)
        high = max(high, low + size)
        number = int(np.ceil((high - low - size) / stride)) + 1
        starts.append(np.linspace(low, high - size, number).astype(int))
    places = (tuple(slice(n, n + size) for n in corner) for corner in product(*starts))
    return [place for place in places if wanted[place].any()]
