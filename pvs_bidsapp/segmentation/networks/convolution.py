"""The 3x3x3 convolution of all our networks."""

from __future__ import annotations

import torch
from torch import nn


class Conv3(nn.Conv3d):
    """3x3x3 convolution that keeps the shape, without bias (batch normalisation follows).

    Where the first axis has two voxels it is worked out in single precision on a CPU, whatever the
    autocast: oneDNN's bfloat16 gradient of the weights is wrong there (torch 2.13, AVX-512; relative
    errors above 1, or whatever memory held before). Patches of 32 or 64 come to that in the deep blocks.

    Parameters
    ----------
    in_channels, out_channels : int
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features of shape ``(batch, channels, x, y, z)``."""
        if features.device.type == 'cpu' and features.shape[2] == 2 and torch.is_autocast_enabled('cpu'):
            with torch.autocast('cpu', enabled=False):
                return super().forward(features.float())
        return super().forward(features)
