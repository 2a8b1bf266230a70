"""Objectives of training: the loss of a network on a batch, at a step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from .datasets import Batch
from .losses import consistency, leave_out
from .recipes import Recipe

#: Loss, a scalar, of a network on a batch at a step.
Objective = Callable[[nn.Module, Batch, int], torch.Tensor]


class Supervised:
    """Loss of a network's prediction against the labels.

    Parameters
    ----------
    loss : nn.Module
        Of logits and labels, see `pvs_bidsapp.training.losses`.
    """

    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> torch.Tensor:
        """Compute the loss of one batch."""
        return self.loss(*leave_out(network(batch.image), batch.label, batch.counted))


class SemiSupervised:
    """Supervised loss, and consistency under noise on unlabelled patches (Chai et al., M2SS-PVS).

    Parameters
    ----------
    loss : nn.Module
        Of logits and labels.
    warmup_steps : int
        Number of steps at the start without consistency.
    confidence, noise, weight : float
        As `confidence`, `noise` and `consistency_weight` of `pvs_bidsapp.training.recipes.Recipe`.
    """

    def __init__(
        self, loss: nn.Module, *, warmup_steps: int, confidence: float, noise: float, weight: float
    ) -> None:
        self.loss, self.warmup_steps = loss, warmup_steps
        self.confidence, self.noise, self.weight = confidence, noise, weight

    @classmethod
    def of(cls, recipe: Recipe, loss: nn.Module, warmup_steps: int) -> SemiSupervised:
        """The objective of a recipe."""
        return cls(
            loss,
            warmup_steps=warmup_steps,
            confidence=recipe.confidence,
            noise=recipe.noise,
            weight=recipe.consistency_weight,
        )

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> torch.Tensor:
        """Compute the loss of one batch."""
        if step < self.warmup_steps or batch.unlabelled is None:
            return self.loss(*leave_out(network(batch.image), batch.label, batch.counted))
        # one pass for labelled and noisy patches, so that all gradients come from a single graph
        noisy = batch.unlabelled + self.noise * torch.randn_like(batch.unlabelled)
        with torch.no_grad():
            clean = torch.sigmoid(network(batch.unlabelled))
        logits = network(torch.cat([batch.image, noisy]))
        labelled, unlabelled = logits[: len(batch.image)], logits[len(batch.image) :]
        supervised = self.loss(*leave_out(labelled, batch.label, batch.counted))
        return supervised + self.weight * consistency(unlabelled, clean, self.confidence)


class Reconstruction:
    """Mean squared error of an autoencoder's reconstruction, for pre-training (Joliot et al. 2021)."""

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> torch.Tensor:
        """Compute the loss of one batch; labels are not used."""
        return nn.functional.mse_loss(network(batch.image), batch.image)
