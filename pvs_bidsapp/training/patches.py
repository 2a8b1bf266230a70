"""Training batches: where patches or whole volumes are cut and how they are varied.

Each sample depends on the seed, the step and its place in the batch alone, so that a resumed
training sees what an unbroken one would have seen, on one device or shared out among several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch.utils.data import Dataset

from ..segmentation.intensity import TissueNormalization
from ..simulation.patch_synthesis import HeadGeometry, synthesize_patch
from ..simulation.scanner import Difficulty

#: Whole volumes are moved by up to so many voxels (Joliot et al. 2021: small translations).
TRANSLATION = 4


@dataclass(frozen=True)
class TrainingImage:
    """One prepared scan on the network's grid.

    Attributes
    ----------
    name : str
    image : ndarray of float16, shape (channels, x, y, z)
        Scaled by the intensity rule, not masked.
    brain : ndarray of bool, shape (x, y, z)
    target : ndarray of uint8, shape (x, y, z)
        1 in perivascular spaces; all 0 in a scan without tracing.
    voxel : float
        Volume of a voxel in mm3.
    """

    name: str
    image: np.ndarray
    brain: np.ndarray
    target: np.ndarray
    voxel: float = 1.0


@dataclass(frozen=True)
class Sampling:
    """How batches are drawn.

    Attributes
    ----------
    size : tuple of int
        Shape of a patch, or of the box that whole volumes are put in.
    whole : bool
        Samples are whole volumes.
    batch_size : int
    steps : int
        How many batches there are.
    seed : int
    positive_share : float
        Share of patches centred on a voxel of a perivascular space.
    warmup_steps : int
        Steps at the start in which all patches are.
    turns : bool
        Vary patches by all 48 symmetries of a cube instead of the mid-sagittal flip alone, so that
        a network cannot tell by heart where in which head it is.
    rank, world : int
        The share of each batch that is drawn: samples `rank`, `rank + world`, ...
    """

    size: tuple[int, int, int]
    batch_size: int
    steps: int
    seed: int
    whole: bool = False
    positive_share: float = 0.5
    warmup_steps: int = 0
    turns: bool = False
    rank: int = 0
    world: int = 1


@dataclass
class Batch:
    """What a step learns from; tensors of shape ``(batch, channels, x, y, z)``.

    Attributes
    ----------
    image, target : Tensor
    unlabelled : Tensor or None
        Images without tracing.
    """

    image: torch.Tensor
    target: torch.Tensor
    unlabelled: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device, in the memory format that convolutions like best."""
        layout = torch.channels_last_3d
        extra = self.unlabelled
        return Batch(
            self.image.to(device, memory_format=layout),
            self.target.to(device),
            None if extra is None else extra.to(device, memory_format=layout),
        )

    def split(self, size: int) -> list[Batch]:
        """Parts of at most `size` samples, for gradient accumulation."""
        parts = zip(self.image.split(size), self.target.split(size), strict=True)
        extra = [None] * len(self.image) if self.unlabelled is None else list(self.unlabelled.split(size))
        return [Batch(image, target, extra[k]) for k, (image, target) in enumerate(parts)]


class PatchDataset(Dataset):
    """Batches by number of the step.

    Parameters
    ----------
    volumes : sequence of TrainingImage
    rule : TissueNormalization
    sampling : Sampling
    """

    def __init__(
        self, volumes: Sequence[TrainingImage], rule: TissueNormalization, sampling: Sampling
    ) -> None:
        self.volumes, self.rule, self.sampling = volumes, rule, sampling
        self.positives = [np.argwhere(v.target) for v in volumes]
        self.inside = [np.argwhere(v.brain)[::50].copy() for v in volumes]  # a view would keep all of it
        self.traced = [k for k, found in enumerate(self.positives) if len(found)]

    def __len__(self) -> int:
        return self.sampling.steps

    def __getitem__(self, step: int) -> Batch:
        s = self.sampling
        size = np.array(s.size)
        own = range(s.rank, max(s.batch_size, s.rank + 1), s.world)
        samples = [self._sample(np.random.default_rng([s.seed, step, k]), size, step) for k in own]
        images, targets = zip(*samples, strict=True)
        return Batch(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(targets)))

    def _sample(self, rng: np.random.Generator, size: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        number, centre = self._place(rng, step)
        volume = self.volumes[number]
        shape = np.array(volume.brain.shape)
        start = centre - size // 2
        if not self.sampling.whole:
            start = np.clip(start, 0, np.maximum(shape - size, 0))
        low, high = np.clip(start, 0, shape), np.clip(start + size, 0, shape)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        brain, target = volume.brain[box], volume.target[box].astype(np.float32)
        image = vary_intensity(self._image(number, box, rng), target, rng, self.rule.wm)
        image = np.where(vary_mask(brain, rng), image, self.rule.outside)
        image = np.clip(image, self.rule.low, self.rule.high)
        around = [(int(a - b), int(b + n - c)) for a, b, n, c in zip(low, start, size, high, strict=True)]
        if np.any(around):  # the box reaches beyond the scan
            image = np.pad(image, [(0, 0), *around], constant_values=self.rule.outside)
            target = np.pad(target, around)
        image, target = random_orientation(image, target[None], rng, every=self.sampling.turns)
        return np.ascontiguousarray(image, np.float32), np.ascontiguousarray(target, np.float32)

    def _place(self, rng: np.random.Generator, step: int) -> tuple[int, np.ndarray]:
        """Number of the volume and centre of the sample in it."""
        s = self.sampling
        number = int(rng.integers(len(self.volumes)))
        if s.whole:
            centre = np.array(self.volumes[number].brain.shape) // 2
            return number, centre + rng.integers(-TRANSLATION, TRANSLATION + 1, 3)
        share = 1.0 if step < s.warmup_steps else s.positive_share
        if self.traced and rng.random() < share:
            if not len(self.positives[number]) and step < s.warmup_steps:
                number = self.traced[int(rng.integers(len(self.traced)))]
            pool = self.positives[number] if len(self.positives[number]) else self.inside[number]
        else:
            pool = self.inside[number]
        reach = min(8, min(s.size) // 4)
        return number, pool[rng.integers(len(pool))] + rng.integers(-reach, reach + 1, 3)

    def _image(self, number: int, box: tuple[slice, ...], rng: np.random.Generator) -> np.ndarray:
        return self.volumes[number].image[(slice(None), *box)].astype(np.float32)


class SyntheticPatchDataset(PatchDataset):
    """Batches of patches whose images are painted anew each time, from simulated heads.

    Parameters
    ----------
    scenes : sequence of HeadGeometry
    rule : TissueNormalization
    sampling : Sampling
    difficulty : Difficulty
        What scanners are drawn from.
    channels : tuple of str
    """

    def __init__(
        self,
        scenes: Sequence[HeadGeometry],
        rule: TissueNormalization,
        sampling: Sampling,
        difficulty: Difficulty,
        channels: tuple[str, ...] = ('T1w',),
    ) -> None:
        self.scenes, self.difficulty, self.channels = scenes, difficulty, channels
        empty = np.zeros((len(channels), 0, 0, 0), np.float16)
        geometry = [TrainingImage(s.name, empty, s.brain, s.target.astype(np.uint8)) for s in scenes]
        super().__init__(geometry, rule, sampling)

    def _image(self, number: int, box: tuple[slice, ...], rng: np.random.Generator) -> np.ndarray:
        return synthesize_patch(self.scenes[number], box, rng, self.difficulty, self.rule, self.channels)


class SemiSupervisedDataset(Dataset):
    """Batches of traced patches, each joined by as many untraced ones.

    Parameters
    ----------
    labelled, unlabelled : PatchDataset
        Of the latter the images alone are used.
    first : int
        Step of the first untraced patches.
    """

    def __init__(self, labelled: PatchDataset, unlabelled: PatchDataset, first: int) -> None:
        self.labelled, self.unlabelled, self.first = labelled, unlabelled, first

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, step: int) -> Batch:
        batch = self.labelled[step]
        if step >= self.first:
            batch.unlabelled = self.unlabelled[step].image
        return batch


def random_orientation(
    image: np.ndarray, target: np.ndarray, rng: np.random.Generator, *, every: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Flip a sample at the mid-sagittal plane half the time, or lay a cube in one of its 48 ways.

    Parameters
    ----------
    image, target : ndarray, shape (channels, x, y, z)
        Axis x runs from left to right.
    rng : numpy.random.Generator
    every : bool
        All symmetries of a cube; the three axes must be equally long.
    """
    axes = (0, *(1 + rng.permutation(3))) if every else (0, 1, 2, 3)
    flips = tuple(k for k in ((1, 2, 3) if every else (1,)) if rng.random() < 0.5)
    turned = [np.flip(array.transpose(axes), flips) for array in (image, target)]
    return turned[0], turned[1]


def vary_mask(brain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The brain mask, grown or shrunk by a voxel now and then: at work it is not perfect."""
    choice = rng.random()
    if choice < 0.2:
        return ndimage.binary_dilation(brain, iterations=2)
    if choice < 0.35:
        return ndimage.binary_erosion(brain, border_value=1)
    return brain


def vary_intensity(image: np.ndarray, target: np.ndarray, rng: np.random.Generator, wm: float) -> np.ndarray:
    """Vary what differs between scanners, each channel by itself; a T2w also lies a little askew.

    Parameters
    ----------
    image : ndarray of float32, shape (channels, x, y, z)
    target : ndarray, shape (x, y, z)
    rng : numpy.random.Generator
    wm : float
        Value of white matter, about which gain acts.
    """
    channels = []
    for number, channel in enumerate(image):
        if number and rng.random() < 0.5:  # what is left of head motion between the two scans
            channel = ndimage.shift(channel, rng.uniform(-0.5, 0.5, 3), order=1, mode='nearest')
        channels.append(_vary_channel(channel, target, rng, wm))
    return np.stack(channels).astype(np.float32)


def reduce_contrast(
    image: np.ndarray, target: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Make perivascular spaces fainter by a share of their contrast with what is around them.

    Noise fades along and is made up for, else faded spaces would be known by their smoothness.

    Parameters
    ----------
    image, target : ndarray of float32, shape (x, y, z)
        A channel, and 1 in the spaces.
    share : float
        0 leaves the image as it is, 1 makes the spaces vanish.
    rng : numpy.random.Generator
        For the noise.
    """
    if not target.any():
        return image
    spaces = ndimage.binary_dilation(target > 0).astype(np.float32)  # their soft edges, too
    where = np.minimum(1, 1.5 * ndimage.gaussian_filter(spaces, 0.6))
    away = 1 - where
    background = ndimage.gaussian_filter(image * away, 2.5, truncate=3)
    background /= np.maximum(ndimage.gaussian_filter(away, 2.5, truncate=3), 1e-6)
    kept = 1 - share * where
    lost = np.sqrt(1 - kept**2) * _noise(image, spaces == 0)
    return background + kept * (image - background) + lost * rng.standard_normal(image.shape, np.float32)


def _noise(image: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation of the noise, from the median deviation of neighbouring voxels' differences."""
    steps = np.diff(image, axis=0)[where[1:] & where[:-1]]
    return float(np.median(np.abs(steps)) / (0.6745 * np.sqrt(2))) if steps.size else 0.0


def _vary_channel(image: np.ndarray, target: np.ndarray, rng: np.random.Generator, wm: float) -> np.ndarray:
    """Gain, offset, bias, sharpness, noise, faintness of one channel."""
    if rng.random() < 0.5:  # many people's spaces are fainter than most of those simulated
        image = reduce_contrast(image, target, rng.uniform(0, 0.7), rng)
    image = wm + (image - wm) * rng.uniform(0.85, 1.2) + rng.normal(0, 0.08)
    if rng.random() < 0.3:  # residual bias: a gentle slope
        slope = rng.normal(0, 0.12, 3)
        for axis in range(3):
            ramp = np.linspace(-1, 1, image.shape[axis], dtype=np.float32) * slope[axis]
            image = image + ramp.reshape([-1 if k == axis else 1 for k in range(3)])
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0, 0.5, 3))
    elif rng.random() < 0.2:  # sharpened by the scanner's own filter
        image = image + rng.uniform(0, 0.6) * (image - ndimage.gaussian_filter(image, 1))
    if rng.random() < 0.4:
        noise = rng.uniform(0.02, 0.22)
        image = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
    return image
