"""Learning from traced scans."""

from __future__ import annotations

import torch
from torch import nn

from .patches import Batch


class Supervised:
    """Loss of a network's prediction against the tracings.

    Parameters
    ----------
    loss : nn.Module
        Of logits and target.
    """

    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> torch.Tensor:
        """Loss of one batch."""
        return self.loss(network(batch.image), batch.target)
