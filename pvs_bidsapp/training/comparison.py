"""Training of a comparison alone, behind a network that stays as it is.

Of a patch, only the voxels matter that are not surely outside of a space: some hundreds to thousands. What
the comparison sees of these is kept, so that it can learn from the same patches many times, in minutes, while
the network itself sees each of them once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import permutations, product
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from ..segmentation.engine import AUTOCAST_DTYPES
from ..segmentation.networks.comparison import LOWEST, Comparison, look_at
from .datasets import Batch
from .losses import FEW_POSITIVES

LOG = logging.getLogger(__name__)
#: How often each patch is learnt from, and how many at a time.
PASSES, BATCH = 40, 8
#: Highest learning rate, the fraction of the steps in which it rises, and decay of the weights.
RATE, RISE, DECAY = 2e-3, 0.1, 1e-3
#: Largest norm of a gradient.
GRADIENT_NORM = 1.0
#: Voxels so near to the faces of a patch are left out: there, the network has seen only one side.
FACES = 3
#: All 48 orientations of a cube: axes in their new order, and those that are turned round.
ORIENTATIONS = [
    (order, [axis for axis, is_turned in enumerate(turned, start=2) if is_turned])
    for order in permutations((2, 3, 4))
    for turned in product((False, True), repeat=3)
]


@dataclass(frozen=True, kw_only=True)
class DoubtfulVoxels:
    """What a comparison sees of the voxels of a patch that it may correct.

    Attributes
    ----------
    near : ndarray of float16, shape (n, channels + 1, 3, 3, 3)
        The image and, last, the logits over `DOUBT`, of each voxel and its neighbours.
    features : ndarray of float16, shape (n, features)
        The network's last ones.
    logits : ndarray of float32, shape (n,)
    label : ndarray of int8, shape (n,)
        1 in perivascular spaces, 0 elsewhere, -1 where nothing is learnt.
    """

    near: np.ndarray
    features: np.ndarray
    logits: np.ndarray
    label: np.ndarray

    def write(self, path: Path) -> None:
        """Write them to an ``.npz`` file."""
        np.savez(path, **{each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def read(cls, path: Path) -> DoubtfulVoxels:
        """Read what `write` wrote."""
        with np.load(path) as arrays:
            return cls(**arrays)


class _Recorder(nn.Module):
    """Stands in the place of a comparison and keeps what it would see; the comparison itself takes long."""

    def forward(self, *seen: torch.Tensor) -> torch.Tensor:
        self.seen = seen
        return seen[-1]


class Collector:
    """Finds the doubtful voxels of patches.

    Parameters
    ----------
    network : nn.Module
        With a comparison, which is not run. It is put into evaluation mode.
    device : torch.device
        Of the network.
    precision : str
        ``fp32``, ``bf16`` or ``fp16``, inside the network.
    """

    def __init__(self, network: nn.Module, device: torch.device, precision: str = 'fp32') -> None:
        self.network, self.device = network.eval(), device
        self.dtype = AUTOCAST_DTYPES.get(precision)

    @torch.no_grad()
    def collect(self, batch: Batch) -> list[DoubtfulVoxels]:
        """The doubtful voxels of each patch of a batch."""
        recorder, comparison = _Recorder(), self.network.comparison
        self.network.comparison = recorder
        try:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                self.network(batch.image.to(self.device))
        finally:
            self.network.comparison = comparison
        volume, features, logits = (part.float() for part in recorder.seen)
        counted = torch.ones_like(batch.label) if batch.counted is None else batch.counted
        label = (batch.label > 0.5).to(torch.int8).masked_fill(counted <= 0, -1)[:, 0].numpy()
        return [doubtful_voxels(*parts) for parts in zip(volume, features, logits, label, strict=True)]


def doubtful_voxels(
    volume: torch.Tensor, features: torch.Tensor, logits: torch.Tensor, label: np.ndarray
) -> DoubtfulVoxels:
    """Find the voxels of a patch that a comparison may correct, away from the faces.

    Parameters
    ----------
    volume : Tensor, shape (channels, x, y, z)
    features : Tensor, shape (features, x, y, z)
    logits : Tensor, shape (1, x, y, z)
    label : ndarray of int8, shape (x, y, z)
        As in `DoubtfulVoxels`.
    """
    inner = (slice(FACES, -FACES),) * 3
    is_doubtful = torch.zeros_like(logits[0], dtype=torch.bool)
    is_doubtful[inner] = logits[0][inner] > LOWEST
    places = is_doubtful.nonzero()
    in_batch = nn.functional.pad(places, (1, 0))
    near, few, few_logits = look_at(volume[None], features[None], logits[None], in_batch)
    return DoubtfulVoxels(
        near=near.half().cpu().numpy(),
        features=few.half().cpu().numpy(),
        logits=few_logits.cpu().numpy(),
        label=label[tuple(places.T.cpu().numpy())],
    )


def fit_comparison(
    comparison: Comparison,
    patches: Sequence[DoubtfulVoxels],
    *,
    seed: int,
    passes: int = PASSES,
    wants_to_end: Callable[[], bool] = lambda: False,
) -> float:
    """Train a comparison on the doubtful voxels of patches.

    Each patch is seen in orientations that are drawn anew. The loss is the cross-entropy, summed over the
    voxels, over the number of those in spaces.

    Parameters
    ----------
    comparison : Comparison
        Changed in place. It learns on its own device, where all patches are put.
    patches : sequence of DoubtfulVoxels
    seed : int
    passes : int
        How often each patch is learnt from.
    wants_to_end : callable
        Asked between passes; training ends if it returns True.

    Returns
    -------
    loss : float
        Mean of the last pass.
    """
    rng = np.random.default_rng(seed)
    pool = _Pool.of(patches, comparison.offset.device)
    size = min(BATCH, len(patches))
    steps = passes * (len(patches) // size)
    optimizer = torch.optim.AdamW(comparison.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=RISE)
    losses = [torch.zeros(())]
    for number in tqdm(range(passes), desc='comparison', disable=None):
        if wants_to_end():
            break
        losses = []
        order = rng.permutation(len(patches))
        for first in range(0, len(patches) // size * size, size):
            loss = _loss(comparison, pool, order[first : first + size], rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(comparison.parameters(), GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        if (number + 1) % max(1, passes // 8) == 0:
            mean = float(torch.stack(losses).mean())
            LOG.info('comparison: pass %d of %d, loss %.4f', number + 1, passes, mean)
    return float(torch.stack(losses).mean())


@dataclass(frozen=True)
class _Pool:
    """The doubtful voxels of all patches, one after the other; the first one of patch k is starts[k]."""

    near: torch.Tensor
    features: torch.Tensor
    logits: torch.Tensor
    label: torch.Tensor
    starts: np.ndarray

    @classmethod
    def of(cls, patches: Sequence[DoubtfulVoxels], device: torch.device) -> _Pool:
        names = [each.name for each in fields(DoubtfulVoxels)]
        parts = {name: np.concatenate([getattr(patch, name) for patch in patches]) for name in names}
        starts = np.cumsum([0, *(len(patch.label) for patch in patches)])
        return cls(**{name: torch.from_numpy(part).to(device) for name, part in parts.items()}, starts=starts)


def _loss(comparison: Comparison, pool: _Pool, chosen: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Loss of a comparison on some patches, in an orientation at random."""
    order, turned = ORIENTATIONS[int(rng.integers(len(ORIENTATIONS)))]
    ranges = [slice(pool.starts[k], pool.starts[k + 1]) for k in chosen]
    near, features, logits, label = (
        torch.cat([part[each] for each in ranges])
        for part in (pool.near, pool.features, pool.logits, pool.label)
    )
    lengths = np.diff(pool.starts)[chosen]
    number = torch.from_numpy(np.repeat(np.arange(len(chosen)), lengths)).to(label.device)
    corrected = comparison.correct_voxels(
        near.float().permute(0, 1, *order).flip(turned), features.float(), logits, number, len(chosen)
    )
    target = (label > 0).float()
    entropy = nn.functional.binary_cross_entropy_with_logits(corrected, target, reduction='none')
    return (entropy * (label >= 0)).sum() / target.sum().clamp(min=FEW_POSITIVES)
