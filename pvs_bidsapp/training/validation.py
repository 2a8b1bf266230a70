"""How good a network is on whole scans, and which threshold suits it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ..evaluation.metrics import dice
from ..segmentation.inference import HALF, infer
from ..segmentation.intensity import TissueNormalization
from .patches import TrainingImage
from .recipes import Recipe

#: Candidates for a model's default threshold.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


class Validator:
    """Mean voxel Dice over whole scans.

    Parameters
    ----------
    volumes : sequence of TrainingImage
    rule : TissueNormalization
    device : torch.device
    patch, stride, box : int or None, tuple of int
        As in a model card.
    mirror : bool
        As in a model card.
    half : torch.dtype, optional
        Half precision inside the network.
    """

    def __init__(
        self,
        volumes: Sequence[TrainingImage],
        rule: TissueNormalization,
        device: torch.device,
        *,
        patch: int | None,
        stride: int | None,
        box: tuple[int, int, int] = (1, 1, 1),
        mirror: bool = False,
        half: torch.dtype | None = None,
    ) -> None:
        self.volumes, self.rule, self.device = volumes, rule, device
        self.patch, self.stride, self.box = patch, stride, box
        self.mirror, self.half = mirror, half

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        volumes: Sequence[TrainingImage],
        device: str | torch.device,
        *,
        precision: str = 'fp32',
    ) -> Validator:
        """A validator that shows a network scans as they are shown at work, in the training's precision."""
        size = recipe.patch_size if recipe.stride else None
        return cls(
            volumes, TissueNormalization(), torch.device(device), patch=size, stride=recipe.stride, box=recipe.box,
            mirror=recipe.mirror, half=HALF.get(precision),
        )  # fmt: skip

    def probability(self, network: nn.Module, volume: TrainingImage) -> np.ndarray:
        """Probability map of a scan, 0 outside the brain."""
        image = np.where(volume.brain, volume.image.astype(np.float32), self.rule.outside)
        image = np.clip(image, self.rule.low, self.rule.high)
        missing = [max(0, n - m) for n, m in zip(self.box, volume.brain.shape, strict=True)]
        around = [(n // 2, n - n // 2) for n in missing]
        image = np.pad(image, [(0, 0), *around], constant_values=self.rule.outside)
        inner = tuple(slice(a, a + n) for (a, _), n in zip(around, volume.brain.shape, strict=True))
        found = infer(
            network, image, self.device, patch=self.patch, stride=self.stride, mirror=self.mirror,
            half=self.half,
        )  # fmt: skip
        return found[inner] * volume.brain

    def scores(self, network: nn.Module) -> np.ndarray:
        """Mean Dice at each of `THRESHOLDS`, and mean difference of volumes as a share of both."""
        scores = np.zeros((2, len(THRESHOLDS)))
        for volume in self.volumes:
            probability, truth = self.probability(network, volume), volume.target > 0
            for k, threshold in enumerate(THRESHOLDS):
                found = probability >= threshold
                n_found, n_true = int(found.sum()), int(truth.sum())
                difference = abs(n_found - n_true) / max(1, n_found + n_true)
                scores[:, k] += dice(found, truth), difference
        return scores / max(1, len(self.volumes))

    def __call__(self, network: nn.Module) -> float:
        """Mean Dice at the threshold that suits best: losses differ in where they put it."""
        return float(self.scores(network)[0].max())

    def best_threshold(self, network: nn.Module) -> tuple[float, float]:
        """A threshold and its mean voxel Dice.

        The best is often a plateau: of the thresholds within 0.01 of it, the one is taken at which
        volumes are most nearly right, since volumes are what is measured at work.
        """
        scores, differences = self.scores(network)
        plateau = np.flatnonzero(scores >= scores.max() - 0.01)
        chosen = int(plateau[differences[plateau].argmin()])
        return THRESHOLDS[chosen], float(scores[chosen])
