"""The 3x3x3 convolution of all networks."""

from __future__ import annotations

import torch
from torch import nn


class Conv3(nn.Conv3d):
    """3x3x3 convolution that keeps the shape, without bias (batch normalisation follows).

    On a CPU, features with two voxels along the first axis are computed in single precision under any
    autocast: oneDNN's bfloat16 gradient of the weights is wrong there (torch 2.13, AVX-512; relative
    errors above 1, or values that the memory held before). The deep blocks have such features if
    patches have 32 or 64 voxels.

    Parameters
    ----------
    in_channels, out_channels : int
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Convolve features of shape ``(batch, channels, x, y, z)``."""
        if features.device.type == 'cpu' and features.shape[2] == 2 and torch.is_autocast_enabled('cpu'):
            with torch.autocast('cpu', enabled=False):
                return super().forward(features.float())
        return super().forward(features)
