"""Learning from traced and untraced scans together (Chai et al., M2SS-PVS)."""

from __future__ import annotations

import torch
from torch import nn

from .losses import consistency
from .patches import Batch


class SemiSupervised:
    """Supervised loss, and consistency under noise on untraced patches once the warm-up is over.

    Parameters
    ----------
    loss : nn.Module
        Of logits and target.
    warmup_steps : int
        Steps without consistency.
    confidence, noise, weight : float
        As in `pvs_bidsapp.training.recipes.Recipe`.
    """

    def __init__(
        self, loss: nn.Module, *, warmup_steps: int, confidence: float, noise: float, weight: float
    ) -> None:
        self.loss, self.warmup_steps = loss, warmup_steps
        self.confidence, self.noise, self.weight = confidence, noise, weight

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> torch.Tensor:
        """Loss of one batch."""
        if step < self.warmup_steps or batch.unlabelled is None:
            return self.loss(network(batch.image), batch.target)
        # one pass for traced and noisy patches, so that every gradient comes from a single graph
        noisy = batch.unlabelled + self.noise * torch.randn_like(batch.unlabelled)
        with torch.no_grad():
            clean = torch.sigmoid(network(batch.unlabelled))
        logits = network(torch.cat([batch.image, noisy]))
        traced, untraced = logits[: len(batch.image)], logits[len(batch.image) :]
        return self.loss(traced, batch.target) + self.weight * consistency(untraced, clean, self.confidence)
