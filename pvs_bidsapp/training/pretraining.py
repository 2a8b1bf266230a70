"""Pre-training as an autoencoder (Joliot et al. 2021): the network learns to give back a scan."""

from __future__ import annotations

import torch
from torch import nn

from .patches import Batch


class Reconstruction:
    """Mean squared error between an image and what the autoencoder makes of it."""

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> torch.Tensor:
        """Loss of one batch; tracings are not looked at."""
        return nn.functional.mse_loss(network(batch.image), batch.image)
