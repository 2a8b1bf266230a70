"""Several networks as one, by the mean of their probabilities."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Ensemble(nn.Module):
    """Networks of one architecture, whose probabilities are averaged.

    Parameters
    ----------
    members : int
        Number of networks.
    of : dict
        Architecture of a member, as in a model card.

    Notes
    -----
    Input and output are those of a member; the output is the logit of the mean probability.
    """

    def __init__(self, members: int, of: dict[str, Any]) -> None:
        from . import build

        super().__init__()
        self.members = nn.ModuleList(build(of) for _ in range(members))

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Logits of the mean probability."""
        total = torch.zeros(())
        for member in self.members:
            total = total.to(volume.device) + torch.sigmoid(member(volume))
        mean = (total / len(self.members)).clamp(1e-6, 1 - 1e-6)
        return torch.log(mean / (1 - mean))  # not torch.logit, which OpenVINO does not know
