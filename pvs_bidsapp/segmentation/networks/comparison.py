"""A comparison of each voxel with the spaces of its patch that are sure.

The perivascular spaces of a scan look alike: wide ones show how dark or bright a space is there, and how
sharply the scanner draws it. So what the sure voxels of a patch have in common tells of the doubtful ones
which of them a space fills, and how far.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .refinement import DOUBT

#: Powers of the probability by which voxels count as sure: the first for all of a space, the second for its
#: middle.
SURE = (4, 16)
#: Sure voxels that are added to a mean as if their features were 0, for patches with few or none.
PRIOR = 2.0
#: The logarithm of the number of sure voxels is divided by this, which brings it to the order of 1.
NUMBER_SCALE = 5.0
#: Features of a patch, from which come the scales and shifts.
WIDTH = 32
#: Logits below this are left as they are: such voxels lie outside of anything that is found.
LOWEST = -3.5


class Comparison(nn.Module):
    """Corrects logits by the image and logits about a voxel, its features, and the sure voxels of the patch.

    A 3x3x3 convolution looks at the image and the logits; with the last features of the network, layers for
    each voxel by itself correct the logit. The means of what is found in the sure voxels of the patch, and
    the number of these, scale and shift the features of all its voxels (feature-wise linear modulation:
    Perez et al., AAAI 2018).

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    features : int
        Channels of the last features of the network.
    width : int
        Features of the hidden layers.
    limit : float
        A logit is changed by this at most; 0: by any amount. People have spaces of more kinds at once than
        simulated patches: without a limit, plain spaces hide faint ones elsewhere in the patch.
    """

    def __init__(self, in_channels: int, features: int, width: int, limit: float = 0.0) -> None:
        super().__init__()
        self.limit = limit
        self.look = nn.Conv3d(in_channels + 1, width, 3, padding=1)
        self.former = nn.Conv3d(features, width, 1, bias=False)
        self.hidden = nn.Conv3d(width, width, 1)
        self.head = nn.Conv3d(width, 1, 1)
        self.patch = nn.Linear(len(SURE) * (width + 1), WIDTH)
        self.first, self.second = nn.Linear(WIDTH, 2 * width), nn.Linear(WIDTH, 2 * width)
        #: Added to all logits, those that are not corrected, too: a change of the output's prior.
        self.offset = nn.Parameter(torch.zeros(1))
        self.activation = nn.SiLU()
        for layer in (self.head, self.first, self.second):  # at first, nothing is changed
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, volume: torch.Tensor, features: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Correct logits of shape ``(batch, 1, x, y, z)``; volume and features have their own channels."""
        places = torch.nonzero(logits[:, 0] > LOWEST)  # of millions of voxels, some thousands
        seen = look_at(volume, features, logits, places)
        corrected = self.correct_voxels(*seen, places[:, 0], len(logits))
        index = _flat_index(places, logits.shape[2:])
        return logits.flatten().scatter(0, index, corrected).reshape(logits.shape) + self.offset

    def correct_voxels(
        self,
        near: torch.Tensor,
        features: torch.Tensor,
        logits: torch.Tensor,
        patch: torch.Tensor,
        patches: int,
    ) -> torch.Tensor:
        """Correct the logits of single voxels, without the offset. The sure ones are among these.

        Parameters
        ----------
        near : Tensor, shape (n, in_channels + 1, 3, 3, 3)
            Image and, last, logits over `DOUBT`, clipped to [-1, 1], of each voxel and its neighbours.
        features : Tensor, shape (n, features)
            The network's last ones.
        logits : Tensor, shape (n,)
            All above `LOWEST`.
        patch : Tensor of int64, shape (n,)
            Number of each voxel's patch.
        patches : int
            How many patches there are.

        Returns
        -------
        corrected : Tensor, shape (n,)
        """
        linear = nn.functional.linear
        found = linear(near.flatten(1), self.look.weight.flatten(1), self.look.bias)
        found = found + linear(features, self.former.weight.flatten(1))
        summary = summarise(self.activation(found), logits, patch, patches)
        factors = self.activation(self.patch(summary))
        hidden = self.activation(modulate(found, self.first(factors)[patch]))
        hidden = linear(hidden, self.hidden.weight.flatten(1), self.hidden.bias)
        hidden = self.activation(modulate(hidden, self.second(factors)[patch]))
        change = linear(hidden, self.head.weight.flatten(1), self.head.bias)[:, 0].float()
        return logits + (self.limit * torch.tanh(change / self.limit) if self.limit else change)


def look_at(
    volume: torch.Tensor, features: torch.Tensor, logits: torch.Tensor, places: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a comparison sees of some voxels.

    Parameters
    ----------
    volume, features, logits : Tensor
        As of `Comparison.forward`.
    places : Tensor of int64, shape (n, 4)
        Number in the batch and indices of each voxel.

    Returns
    -------
    near, features, logits : Tensor
        As of `Comparison.correct_voxels`.
    """
    doubt = logits.clamp(-DOUBT, DOUBT) / DOUBT
    near = neighbourhoods(torch.cat([volume, doubt], 1), places)
    index = _flat_index(places, logits.shape[2:])
    return near, features.transpose(0, 1).flatten(1)[:, index].T, logits.flatten()[index]


def _flat_index(places: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Places in a flattened batch of volumes of this shape, (x, y, z)."""
    patch, x, y, z = places.T
    return ((patch * shape[0] + x) * shape[1] + y) * shape[2] + z


def neighbourhoods(volume: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Voxels with their 26 neighbours; beyond the faces of a volume, there is 0.

    Parameters
    ----------
    volume : Tensor, shape (batch, channels, x, y, z)
    places : Tensor of int64, shape (n, 4)
        Number in the batch and indices of each voxel.

    Returns
    -------
    near : Tensor, shape (n, channels, 3, 3, 3)
    """
    padded = nn.functional.pad(volume, [1] * 6)
    channels, shape = padded.shape[1], padded.shape[2:]
    step = torch.arange(3, device=places.device)
    cube = step[:, None, None] * (shape[1] * shape[2]) + step[:, None] * shape[2] + step
    index = _flat_index(places, shape)[:, None] + cube.flatten()
    near = padded.transpose(0, 1).flatten(1)[:, index].transpose(0, 1)
    return near.reshape(-1, channels, 3, 3, 3)


def summarise(
    features: torch.Tensor, logits: torch.Tensor, patch: torch.Tensor, patches: int
) -> torch.Tensor:
    """Number of the sure voxels of each patch, and their mean features.

    Parameters
    ----------
    features : Tensor, shape (n, channels)
    logits : Tensor, shape (n,)
    patch : Tensor of int64, shape (n,)
        Number of each voxel's patch.
    patches : int

    Returns
    -------
    summary : Tensor, shape (patches, len(SURE) * (channels + 1))
        In single precision.
    """
    is_in = (patch == torch.arange(patches, device=patch.device)[:, None]).float()
    probability, parts = torch.sigmoid(logits.float()), []
    with torch.autocast(features.device.type, enabled=False):
        for power in SURE:
            weight = is_in * probability**power  # (patches, n)
            number = weight.sum(1, keepdim=True)
            parts += [torch.log(1 + number) / NUMBER_SCALE, weight @ features.float() / (number + PRIOR)]
    return torch.cat(parts, 1)


def modulate(features: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Scale and shift features.

    Parameters
    ----------
    features : Tensor, shape (n, channels)
    factors : Tensor, shape (n, 2 * channels)
        By how much more than 1 each channel is scaled, then what is added to it.
    """
    scale, shift = factors.chunk(2, 1)
    return features * (1 + scale) + shift
