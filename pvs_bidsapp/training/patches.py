"""Training patches: where they are cut and how they are varied.

The batch of a step depends on the seed and the step's number alone, so that a resumed training
sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch.utils.data import Dataset

from ..segmentation.intensity import TissueLevels
from ..simulation.scanner import Difficulty
from ..simulation.stream import Scene, paint_patch


@dataclass(frozen=True)
class Volume:
    """One prepared scan on the network's grid.

    Attributes
    ----------
    name : str
    image : ndarray of float16, shape (channels, x, y, z)
        Scaled by the intensity rule, not masked.
    brain : ndarray of bool, shape (x, y, z)
    target : ndarray of uint8, shape (x, y, z)
        1 in perivascular spaces.
    """

    name: str
    image: np.ndarray
    brain: np.ndarray
    target: np.ndarray


class PatchBatches(Dataset):
    """Batches by number of the step.

    Parameters
    ----------
    volumes : sequence of Volume
    rule : TissueLevels
    patch_size : tuple of int
    batch_size : int
    steps : int
        How many batches there are.
    seed : int
    positive_share : float
        Share of patches centred on a voxel of a perivascular space.
    large_every : int
        Each so many steps, a quarter of the patches of twice the edge: the deepest blocks see a
        single voxel of a small patch, and would meet the rest of their kernels' reach only at
        work, on whole volumes.
    """

    def __init__(
        self,
        volumes: Sequence[Volume],
        rule: TissueLevels,
        *,
        patch_size: tuple[int, int, int],
        batch_size: int,
        steps: int,
        seed: int,
        positive_share: float = 0.7,
        large_every: int = 4,
    ) -> None:
        self.large_every = large_every
        self.volumes, self.rule, self.seed = volumes, rule, seed
        self.patch_size = np.array(patch_size)
        self.batch_size, self.steps, self.positive_share = batch_size, steps, positive_share
        self.positives = [np.argwhere(v.target) for v in volumes]
        self.inside = [np.argwhere(v.brain)[::50] for v in volumes]

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([self.seed, step])
        size, number = self.patch_size, self.batch_size
        if self.large_every and step % self.large_every == self.large_every - 1:
            size, number = 2 * size, max(1, number // 4)
        pairs = [self._patch(rng, size) for _ in range(number)]
        images, targets = zip(*pairs, strict=True)
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(targets))

    def _patch(self, rng: np.random.Generator, edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        number = int(rng.integers(len(self.volumes)))
        volume = self.volumes[number]
        pool = self.positives[number]
        if not len(pool) or rng.random() > self.positive_share:
            pool = self.inside[number]
        centre = pool[rng.integers(len(pool))] + rng.integers(-8, 9, 3)
        size = np.minimum(edge, volume.brain.shape)
        start = np.clip(centre - size // 2, 0, np.array(volume.brain.shape) - size)
        box = tuple(slice(int(a), int(a + n)) for a, n in zip(start, size, strict=True))
        brain, target = volume.brain[box], volume.target[box].astype(np.float32)
        image = vary_intensity(self._image(number, box, rng), target, rng, self.rule.wm)
        image = np.where(vary_mask(brain, rng), image, self.rule.outside)
        image = np.clip(image, self.rule.low, self.rule.high)
        if rng.random() < 0.5:  # mid-sagittal flip: axis 0 runs from left to right
            image, target = image[:, ::-1], target[::-1]
        return (
            np.ascontiguousarray(image, np.float32),
            np.ascontiguousarray(target[None], np.float32),
        )

    def _image(self, number: int, box: tuple[slice, ...], rng: np.random.Generator) -> np.ndarray:
        return self.volumes[number].image[(slice(None), *box)].astype(np.float32)


class PaintedBatches(PatchBatches):
    """Batches of patches whose images are painted anew each time, from simulated heads.

    Parameters
    ----------
    scenes : sequence of Scene
    rule : TissueLevels
    difficulty : Difficulty
        What scanners are drawn from.
    channels : tuple of str
    **options
        As those of `PatchBatches`.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        rule: TissueLevels,
        difficulty: Difficulty,
        channels: tuple[str, ...] = ('T1w',),
        **options: Any,
    ) -> None:
        self.scenes, self.difficulty, self.channels = scenes, difficulty, channels
        empty = np.zeros((len(channels), 0, 0, 0), np.float16)
        geometry = [Volume(s.name, empty, s.brain, s.target.astype(np.uint8)) for s in scenes]
        super().__init__(geometry, rule, **options)

    def _image(self, number: int, box: tuple[slice, ...], rng: np.random.Generator) -> np.ndarray:
        return paint_patch(self.scenes[number], box, rng, self.difficulty, self.rule, self.channels)


def vary_mask(brain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The brain mask, grown or shrunk by a voxel now and then: at work it is not perfect."""
    choice = rng.random()
    if choice < 0.2:
        return ndimage.binary_dilation(brain, iterations=2)
    if choice < 0.35:
        return ndimage.binary_erosion(brain, border_value=1)
    return brain


def vary_intensity(image: np.ndarray, target: np.ndarray, rng: np.random.Generator, wm: float) -> np.ndarray:
    """Vary what differs between scanners: gain, offset, bias, sharpness, noise, faintness.

    Parameters
    ----------
    image : ndarray of float32, shape (channels, x, y, z)
    target : ndarray, shape (x, y, z)
    rng : numpy.random.Generator
    wm : float
        Value of white matter, about which gain acts and toward which spaces fade.
    """
    shape = image.shape[1:]
    if rng.random() < 0.3:  # some perivascular spaces are fainter than those simulated
        share = rng.uniform(0, 0.4) * ndimage.gaussian_filter(target, 0.7)
        image = image + share * (wm - image)
    image = wm + (image - wm) * rng.uniform(0.85, 1.2) + rng.normal(0, 0.08)
    if rng.random() < 0.3:  # residual bias: a gentle slope
        slope = rng.normal(0, 0.12, 3)
        for axis in range(3):
            ramp = np.linspace(-1, 1, shape[axis], dtype=np.float32) * slope[axis]
            image = image + ramp.reshape([-1 if k == axis else 1 for k in range(3)])
    if rng.random() < 0.3:
        sigma = rng.uniform(0, 0.5, 3)
        image = ndimage.gaussian_filter(image, (0, *sigma))
    elif rng.random() < 0.2:  # sharpened by the scanner's own filter
        image = image + rng.uniform(0, 0.6) * (image - ndimage.gaussian_filter(image, (0, 1, 1, 1)))
    if rng.random() < 0.4:
        noise = rng.uniform(0.02, 0.22)
        image = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
    return image.astype(np.float32)
