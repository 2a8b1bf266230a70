"""A second look at the image, which draws the borders of what a network has found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

#: Logits are clipped to plus or minus this for the second look: beyond, nothing is in doubt.
DOUBT = 5.0
T = TypeVar('T')


class Refinement(nn.Module):
    """Corrects logits by the image, features and logits of a voxel and its 26 neighbours.

    Where a space fills a part of a voxel only, its intensity tells how much of it; a U-shaped network has
    mixed it with those of its neighbours by then. One 3x3x3 convolution and two layers for each voxel by
    itself.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    features : int
        Channels of the last features of the network.
    width : int
        Features of the hidden layers.
    """

    def __init__(self, in_channels: int, features: int, width: int) -> None:
        super().__init__()
        self.look = nn.Conv3d(in_channels + features + 1, width, 3, padding=1)
        self.hidden = nn.Conv3d(width, width, 1)
        self.head = nn.Conv3d(width, 1, 1)
        self.activation = nn.SiLU()
        nn.init.zeros_(self.head.weight)  # at first, nothing is changed
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, volume: torch.Tensor, features: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Correct logits of shape ``(batch, 1, x, y, z)``; volume and features have their own channels."""
        doubt = logits.clamp(-DOUBT, DOUBT) / DOUBT
        hidden = self.activation(self.look(torch.cat([volume, features, doubt], 1)))
        return logits + self.head(self.activation(self.hidden(hidden))).float()


def corrections(state: Mapping[str, T]) -> dict[str, T]:
    """What belongs to the refinement and the comparison of a network; empty without either.

    Parameters
    ----------
    state : mapping of str
        By the names of the network's state dict.
    """
    return {name: value for name, value in state.items() if name.startswith(('refinement.', 'comparison.'))}
