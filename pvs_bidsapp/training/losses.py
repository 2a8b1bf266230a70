"""Loss of the supervised training."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import nn

#: Weight of a positive voxel in the cross-entropy.
POSITIVE_WEIGHT = 8.0


class DiceCrossEntropy(nn.Module):
    """Dice loss (Joliot et al. 2021) plus weighted cross-entropy.

    Dice alone stays near 1 for hundreds of steps where one voxel in a thousand is positive; the
    cross-entropy, in which a positive voxel weighs `positive_weight` times, gets it going.

    Parameters
    ----------
    cross_entropy : float
        Weight of the cross-entropy.
    positive_weight : float
        Weight of a positive voxel in it.
    """

    def __init__(self, cross_entropy: float = 8.0, positive_weight: float = POSITIVE_WEIGHT) -> None:
        super().__init__()
        self.dice = DiceLoss(sigmoid=True, batch=True)
        self.weight = cross_entropy
        self.positive: torch.Tensor
        self.register_buffer('positive', torch.tensor(positive_weight))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Loss of logits against a target in [0, 1], both ``(batch, 1, x, y, z)``."""
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, pos_weight=self.positive)
        return self.dice(logits, target) + self.weight * entropy
