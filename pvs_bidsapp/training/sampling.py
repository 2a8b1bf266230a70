"""Positions at which the samples of a training are taken.

A sample depends on the seed, the step and its position in the batch only. A resumed training therefore has
the samples of an uninterrupted one, on one device or distributed over several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .config import TrainingConfig
from .distributed import ProcessGroup

#: Whole volumes are moved by up to this number of voxels (Joliot et al. 2021: small translations).
TRANSLATION = 4
#: Patches are centred up to this number of voxels from the voxel that was drawn.
PATCH_TRANSLATION = 8
#: Step between the voxels of the brain that are kept as possible centres.
BRAIN_STEP = 50


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How batches are drawn.

    Attributes
    ----------
    shape : tuple of int
        Shape of a patch, or of the box that whole volumes are put in, in voxels.
    batch_size : int
    steps : int
        Number of batches.
    seed : int
    whole_volumes : bool
        Samples are whole volumes, not patches.
    positive_fraction : float
        Fraction of the patches that are centred on a voxel of a perivascular space, in [0, 1].
    warmup_steps : int
        Number of steps at the start in which all patches are centred on such voxels.
    all_orientations : bool
        Turn patches to all 48 orientations of a cube, so that the network cannot learn where in which
        head a patch comes from. Otherwise, patches are only mirrored.
    rank, world_size : int
        The part of each batch that is drawn: samples `rank`, `rank + world_size`, ...
    """

    shape: tuple[int, int, int]
    batch_size: int
    steps: int
    seed: int
    whole_volumes: bool = False
    positive_fraction: float = 0.5
    warmup_steps: int = 0
    all_orientations: bool = False
    rank: int = 0
    world_size: int = 1

    @classmethod
    def of(cls, config: TrainingConfig, group: ProcessGroup) -> Sampling:
        """Sampling of the labelled scans of a training, for one of its processes."""
        recipe, size = config.recipe, config.recipe.patch_size
        return cls(
            shape=recipe.box if size is None else (size, size, size),
            batch_size=recipe.batch_size,
            steps=config.schedule.steps,
            seed=config.schedule.seed,
            whole_volumes=size is None,
            positive_fraction=recipe.positive_fraction,
            warmup_steps=config.warmup_steps,
            all_orientations=recipe.all_orientations and size is not None,
            rank=group.rank,
            world_size=group.world_size,
        )

    @property
    def own_samples(self) -> range:
        """Positions in a batch of the samples that this process draws; at least one."""
        return range(self.rank, max(self.batch_size, self.rank + 1), self.world_size)


class Locations:
    """Draws the image and the centre of each sample.

    Parameters
    ----------
    labels : sequence of ndarray, shape (x, y, z)
        Not 0 in perivascular spaces, one per image.
    brains : sequence of ndarray of bool, shape (x, y, z)
    sampling : Sampling
    """

    def __init__(
        self, labels: Sequence[np.ndarray], brains: Sequence[np.ndarray], sampling: Sampling
    ) -> None:
        self.sampling = sampling
        self.shapes = [brain.shape for brain in brains]
        self.positives = [np.argwhere(label) for label in labels]
        # copied: a view would keep the coordinates of all voxels
        self.inside = [np.argwhere(brain)[::BRAIN_STEP].copy() for brain in brains]
        self.with_positives = [k for k, voxels in enumerate(self.positives) if len(voxels)]

    def draw(self, rng: np.random.Generator, step: int) -> tuple[int, np.ndarray]:
        """Draw a sample.

        Parameters
        ----------
        rng : numpy.random.Generator
            Generator of this sample.
        step : int
            Number of the step.

        Returns
        -------
        number : int
            Number of the image.
        centre : ndarray of int, shape (3,)
            In voxels of the image; may lie outside of it.
        """
        s = self.sampling
        number = int(rng.integers(len(self.shapes)))
        if s.whole_volumes:
            centre = np.array(self.shapes[number]) // 2
            return number, centre + rng.integers(-TRANSLATION, TRANSLATION + 1, 3)
        fraction = 1.0 if step < s.warmup_steps else s.positive_fraction
        if self.with_positives and rng.random() < fraction:
            if not len(self.positives[number]) and step < s.warmup_steps:
                number = self.with_positives[int(rng.integers(len(self.with_positives)))]
            pool = self.positives[number] if len(self.positives[number]) else self.inside[number]
        else:
            pool = self.inside[number]
        reach = min(PATCH_TRANSLATION, min(s.shape) // 4)
        return number, pool[rng.integers(len(pool))] + rng.integers(-reach, reach + 1, 3)
