"""Data sets whose items are batches: patches or whole volumes of scans, or patches that are made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from ..segmentation.intensity import TissueNormalization
from ..simulation.patch_generator import PatchSampler
from ..simulation.patch_synthesis import HeadGeometry, synthesize_patch
from ..simulation.scanner import Difficulty
from .augmentation import random_intensity, random_mask, random_orientation
from .sampling import Locations, Sampling


@dataclass(frozen=True, kw_only=True)
class TrainingImage:
    """A prepared scan on the network's grid.

    Attributes
    ----------
    name : str
    image : ndarray of float16, shape (channels, x, y, z)
        Normalized, not masked.
    brain : ndarray of bool, shape (x, y, z)
    label : ndarray of uint8, shape (x, y, z)
        1 in perivascular spaces; all 0 in an unlabelled scan.
    voxel_volume : float
        Volume of a voxel in mm³.
    """

    name: str
    image: np.ndarray
    brain: np.ndarray
    label: np.ndarray
    voxel_volume: float = 1.0


@dataclass
class Batch:
    """Samples of one step; tensors of shape ``(batch, channels, x, y, z)``.

    Attributes
    ----------
    image : Tensor
    label : Tensor
        One channel, in [0, 1].
    unlabelled : Tensor or None
        Images of unlabelled scans.
    counted : Tensor of bool, or None
        Of the label's shape; False in voxels that are left out of the loss. None: all count.
    """

    image: torch.Tensor
    label: torch.Tensor
    unlabelled: torch.Tensor | None = None
    counted: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device, in the memory format in which convolutions are fastest."""
        layout = torch.channels_last_3d
        unlabelled, counted = self.unlabelled, self.counted
        return Batch(
            self.image.to(device, memory_format=layout),
            self.label.to(device),
            None if unlabelled is None else unlabelled.to(device, memory_format=layout),
            None if counted is None else counted.to(device),
        )

    def split(self, size: int) -> list[Batch]:
        """Split into parts of at most `size` samples, for gradient accumulation."""
        parts = zip(self.image.split(size), self.label.split(size), strict=True)
        unlabelled, counted = (
            [None] * len(self.image) if tensor is None else list(tensor.split(size))
            for tensor in (self.unlabelled, self.counted)
        )
        return [Batch(image, label, unlabelled[k], counted[k]) for k, (image, label) in enumerate(parts)]


class PatchDataset(Dataset[Batch]):
    """Batches of augmented samples; item k is the batch of step k.

    Parameters
    ----------
    images : sequence of TrainingImage
    normalization : TissueNormalization
        The normalization of the images.
    sampling : Sampling
    """

    def __init__(
        self, images: Sequence[TrainingImage], normalization: TissueNormalization, sampling: Sampling
    ) -> None:
        self.images, self.normalization, self.sampling = images, normalization, sampling
        self.locations = Locations([i.label for i in images], [i.brain for i in images], sampling)

    def __len__(self) -> int:
        return self.sampling.steps

    def __getitem__(self, step: int) -> Batch:
        s = self.sampling
        samples = [self._sample(np.random.default_rng([s.seed, step, k]), step) for k in s.own_samples]
        images, labels = zip(*samples, strict=True)
        return Batch(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels)))

    def _sample(self, rng: np.random.Generator, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and label of one sample, both of shape (channels, x, y, z)."""
        number, centre = self.locations.draw(rng, step)
        source, normalization = self.images[number], self.normalization
        box, padding = self._box(centre, source.brain.shape)
        brain, label = source.brain[box], source.label[box].astype(np.float32)
        image = random_intensity(self._image(number, box, rng), label, rng, normalization.wm)
        image = np.where(random_mask(brain, rng), image, normalization.outside)
        image = np.clip(image, normalization.low, normalization.high)
        if np.any(padding):
            image = np.pad(image, [(0, 0), *padding], constant_values=normalization.outside)
            label = np.pad(label, padding)
        image, label = random_orientation(
            image, label[None], rng, all_orientations=self.sampling.all_orientations
        )
        return np.ascontiguousarray(image, np.float32), np.ascontiguousarray(label, np.float32)

    def _box(
        self, centre: np.ndarray, image_shape: tuple[int, ...]
    ) -> tuple[tuple[slice, ...], list[tuple[int, int]]]:
        """The part of an image that a sample covers, and how far the sample reaches beyond the image."""
        size, shape = np.array(self.sampling.shape), np.array(image_shape)
        start = centre - size // 2
        if not self.sampling.whole_volumes:
            start = np.clip(start, 0, np.maximum(shape - size, 0))
        low, high = np.clip(start, 0, shape), np.clip(start + size, 0, shape)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        padding = [(int(a - b), int(b + n - c)) for a, b, n, c in zip(low, start, size, high, strict=True)]
        return box, padding

    def _image(self, number: int, box: tuple[slice, ...], rng: np.random.Generator) -> np.ndarray:
        """Part of an image before augmentation: float32, shape (channels, x, y, z)."""
        return self.images[number].image[(slice(None), *box)].astype(np.float32)


class SyntheticPatchDataset(PatchDataset):
    """Batches of patches whose images are synthesized anew each time, from simulated heads.

    Parameters
    ----------
    heads : sequence of HeadGeometry
    normalization : TissueNormalization
        The normalization of the synthesized images.
    sampling : Sampling
    difficulty : Difficulty
        The suite from which scanners are drawn.
    channels : tuple of str
        ``T1w``, ``T2w``.
    """

    def __init__(
        self,
        heads: Sequence[HeadGeometry],
        normalization: TissueNormalization,
        sampling: Sampling,
        *,
        difficulty: Difficulty,
        channels: tuple[str, ...] = ('T1w',),
    ) -> None:
        self.heads, self.difficulty, self.channels = heads, difficulty, channels
        empty = np.zeros((len(channels), 0, 0, 0), np.float16)
        images = [
            TrainingImage(name=h.name, image=empty, brain=h.brain, label=h.pvs_mask.astype(np.uint8))
            for h in heads
        ]
        super().__init__(images, normalization, sampling)

    def _image(self, number: int, box: tuple[slice, ...], rng: np.random.Generator) -> np.ndarray:
        return synthesize_patch(
            self.heads[number], box, rng, self.difficulty, self.normalization, self.channels
        )


class GeneratedPatchDataset(Dataset[Batch]):
    """Batches of patches that are made anew each time; item k is the batch of step k.

    A patch depends on the seed, the step and its position in the batch only.

    Parameters
    ----------
    generator : PatchSampler
        Makes patches from label maps, from real scans, or from both.
    sampling : Sampling
    """

    def __init__(self, generator: PatchSampler, sampling: Sampling) -> None:
        self.generator, self.sampling = generator, sampling

    def __len__(self) -> int:
        return self.sampling.steps

    def __getitem__(self, step: int) -> Batch:
        s = self.sampling
        samples = [self._sample(np.random.default_rng([s.seed, step, k])) for k in s.own_samples]
        images, labels, counted = (torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))
        return Batch(images, labels, counted=None if counted.all() else counted)

    def _sample(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image, label, and voxels that count, of one sample, all of shape (channels, x, y, z)."""
        patch = self.generator.draw(rng)
        counted = np.ones_like(patch.brain) if patch.left_out is None else ~patch.left_out
        image, both = random_orientation(
            patch.image,
            np.stack([patch.label, counted]),
            rng,
            all_orientations=self.sampling.all_orientations,
        )
        return np.ascontiguousarray(image), np.ascontiguousarray(both[:1]), both[1:] > 0


class SemiSupervisedDataset(Dataset[Batch]):
    """Batches of labelled patches, each with as many unlabelled ones.

    Parameters
    ----------
    labelled, unlabelled : Dataset
        Of the unlabelled samples, only the images are used.
    first_step : int
        First step with unlabelled patches.
    """

    def __init__(self, labelled: Dataset[Batch], unlabelled: Dataset[Batch], first_step: int) -> None:
        self.labelled, self.unlabelled, self.first_step = labelled, unlabelled, first_step

    def __len__(self) -> int:
        return len(self.labelled)  # type: ignore[arg-type]

    def __getitem__(self, step: int) -> Batch:
        batch = self.labelled[step]
        if step >= self.first_step:
            batch.unlabelled = self.unlabelled[step].image
        return batch
