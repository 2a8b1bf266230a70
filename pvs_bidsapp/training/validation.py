"""Validation: the Dice of a network on whole scans, and the threshold that suits it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from ..evaluation.metrics import dice
from ..messages import training
from ..segmentation.engine import TorchEngine
from ..segmentation.inference import infer
from ..segmentation.intensity import TissueNormalization
from ..segmentation.network_input import NetworkInput
from .datasets import TrainingImage
from .recipes import Recipe

LOG = logging.getLogger(__name__)
#: Candidates for a model's default threshold.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
#: Threshold of a model that could not be validated.
DEFAULT_THRESHOLD = 0.5
#: Thresholds count as equally good if their mean Dice is within this of the best.
PLATEAU = 0.01


class Interrupted(Exception):
    """A validation was ended before it had seen all scans."""


class _Interruptible(TorchEngine):
    """An engine that asks before each call but the first whether it is to end."""

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        *,
        precision: str,
        wants_to_end: Callable[[], bool],
    ) -> None:
        super().__init__(network, device, precision=precision)
        self.wants_to_end, self.is_begun = wants_to_end, False

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        if self.is_begun and self.wants_to_end():
            raise Interrupted
        self.is_begun = True
        return super().__call__(patches)


class Validator:
    """Mean voxel Dice over whole scans.

    A scan whose label is empty has no Dice: it would be 1 or 0, whatever a network has learnt. Such scans are
    left out.

    Parameters
    ----------
    images : sequence of TrainingImage
    normalization : TissueNormalization
        The normalization of the images.
    device : torch.device
    patch_size, stride : int or None
    box : tuple of int
    mirror : bool
        As in `pvs_bidsapp.segmentation.model.ModelCard`.
    precision : str
        ``fp32``, ``bf16`` or ``fp16``, inside the network.
    wants_to_end : callable, optional
        Called between scans, and between the patches of a scan; validation ends if it returns True.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        normalization: TissueNormalization,
        device: torch.device,
        *,
        patch_size: int | None,
        stride: int | None,
        box: tuple[int, int, int] = (1, 1, 1),
        mirror: bool = False,
        precision: str = 'fp32',
        wants_to_end: Callable[[], bool] = lambda: False,
    ) -> None:
        self.images, self.normalization, self.device = images, normalization, device
        self.patch_size, self.stride, self.box = patch_size, stride, box
        self.mirror, self.precision = mirror, precision
        self.wants_to_end = wants_to_end

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        images: Sequence[TrainingImage],
        device: str | torch.device,
        *,
        precision: str = 'fp32',
        wants_to_end: Callable[[], bool] = lambda: False,
    ) -> Validator:
        """Make a validator that applies a network as the recipe's model will be applied.

        Parameters
        ----------
        recipe : Recipe
        images : sequence of TrainingImage
        device : str or torch.device
        precision : str
            ``fp32``, ``bf16`` or ``fp16``, that of the training.
        wants_to_end : callable, optional
            Called between scans; validation ends if it returns True.
        """
        return cls(
            images,
            TissueNormalization(),
            torch.device(device),
            patch_size=recipe.patch_size if recipe.stride else None,
            stride=recipe.stride,
            box=recipe.box,
            mirror=recipe.mirror,
            precision=precision,
            wants_to_end=wants_to_end,
        )

    @property
    def scored(self) -> list[TrainingImage]:
        """The scans that have a Dice."""
        return [image for image in self.images if image.label.any()]

    def probability(
        self, network: nn.Module, image: TrainingImage, wants_to_end: Callable[[], bool] = lambda: False
    ) -> np.ndarray:
        """Compute the probability map of a scan.

        Parameters
        ----------
        network : nn.Module
            In evaluation mode, on the validator's device.
        image : TrainingImage
        wants_to_end : callable, optional
            Called between patches.

        Returns
        -------
        probability : ndarray of float32, shape (x, y, z)
            In [0, 1]; 0 outside the brain.

        Raises
        ------
        Interrupted
            If `wants_to_end` returned True before the last patch.
        """
        inputs = NetworkInput.from_arrays(
            image.image, image.brain, normalization=self.normalization, box=self.box
        )
        probability = infer(
            _Interruptible(network, self.device, precision=self.precision, wants_to_end=wants_to_end),
            inputs.masked(),
            patch_size=self.patch_size,
            stride=self.stride,
            mirror=self.mirror,
            wanted=inputs.brain,
        )
        return inputs.to_native(probability)

    def scores(self, network: nn.Module) -> np.ndarray:
        """Score a network at each of `THRESHOLDS`.

        Parameters
        ----------
        network : nn.Module
            In evaluation mode, on the validator's device.

        Returns
        -------
        scores : ndarray of float, shape (2, len(THRESHOLDS))
            Means over the scans that have a Dice: the voxel Dice; the absolute difference of the volumes over
            their sum. NaN if there is no such scan.

        Raises
        ------
        Interrupted
            If `wants_to_end` returned True before the last scan.
        """
        scores, count = self._sum(self._score_scans(network, self.wants_to_end))
        if count < len(self.scored):
            raise Interrupted
        return scores / count if count else np.full_like(scores, np.nan)

    @staticmethod
    def _sum(scores: Iterator[np.ndarray]) -> tuple[np.ndarray, int]:
        """Sum and number of the scores of scans."""
        total, count = np.zeros((2, len(THRESHOLDS))), 0
        for count, each in enumerate(scores, 1):  # noqa: B007
            total += each
        return total, count

    def _score_scans(
        self, network: nn.Module, within_scans: Callable[[], bool] = lambda: False
    ) -> Iterator[np.ndarray]:
        """Scores of one scan after the other, until `wants_to_end` says so, or within a scan the other."""
        for number, image in enumerate(self.scored):
            if number and self.wants_to_end():
                return
            try:
                probability = self.probability(network, image, within_scans)
            except Interrupted:
                return
            reference = image.label > 0
            scores = np.zeros((2, len(THRESHOLDS)))
            for k, threshold in enumerate(THRESHOLDS):
                predicted = probability >= threshold
                n_predicted, n_reference = int(predicted.sum()), int(reference.sum())
                difference = abs(n_predicted - n_reference) / max(1, n_predicted + n_reference)
                scores[:, k] = dice(predicted, reference), difference
            yield scores

    def __call__(self, network: nn.Module) -> float:
        """Mean Dice at the best threshold, which depends on the loss; NaN if no scan has a Dice."""
        return float(self.scores(network)[0].max())

    def best_threshold(self, network: nn.Module) -> tuple[float, float, int]:
        """Choose a threshold; parameters as `scores`.

        The best one is often part of a plateau. Of the thresholds within `PLATEAU` of its Dice, the one at
        which the volumes differ least is chosen, since volumes are the measure of interest. If `wants_to_end`
        returns True, it is chosen on the scans by then, and this is said.

        Returns
        -------
        threshold : float
            0.5 if no scan has a Dice.
        dice : float
            Its mean voxel Dice; NaN if no scan has one.
        number : int
            Number of scans that it was chosen on.
        """
        total, count = self._sum(self._score_scans(network))
        if not count:
            return DEFAULT_THRESHOLD, float('nan'), 0
        if count < len(self.scored):
            training.THRESHOLD_IN_HASTE.log(LOG, used=count, count=len(self.scored))
        scores, differences = total / count
        plateau = np.flatnonzero(scores >= scores.max() - PLATEAU)
        chosen = int(plateau[differences[plateau].argmin()])
        return THRESHOLDS[chosen], float(scores[chosen]), count
