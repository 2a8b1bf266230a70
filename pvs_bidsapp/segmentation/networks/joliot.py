"""The U-shaped network of Joliot et al., MIDL 2021, and the autoencoder for its pre-training.

Seven blocks of two 3x3x3 convolutions, each followed by batch normalisation and swish; 8 filters
in the first block, doubled from block to block; max pooling between encoding blocks; dropout of
0.1; decoding blocks upsample, crop or pad to the skip's shape, and concatenate the skip.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .comparison import Comparison
from .convolution import Conv3
from .refinement import Refinement


class ConvBlock(nn.Sequential):
    """Twice: 3x3x3 convolution, batch normalisation, swish."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers += [
                Conv3(channels, out_channels),
                nn.BatchNorm3d(out_channels),
                nn.SiLU(),  # not in place: its gradient would need a copy
            ]
        super().__init__(*layers)


class JoliotUNet(nn.Module):
    """U-shaped network on whole volumes of any size.

    Parameters
    ----------
    in_channels : int
        1 (T1w) or 2 (T1w, T2w).
    blocks : int
        Number of encoding blocks, the deepest included.
    filters : int
        Filters of the first block; doubled in each following one.
    dropout : float
        Probability that a value is dropped after each pooling and each decoding block. Single values
        are dropped, not channels: of eight channels, one would be missing most of the time.
    refine : int
        Width of a `Refinement` of the output; 0, as in the paper: none.
    compare : int
        Width of a `Comparison` with the sure voxels, after that; 0, as in the paper: none.
    compare_limit : float
        Limit of the changes by that comparison; 0: none.

    Notes
    -----
    Input ``(batch, in_channels, x, y, z)`` of float; output logits ``(batch, 1, x, y, z)``.
    With the paper's 7 blocks and 8 filters there are 23.6 million parameters.
    """

    skips = True

    def __init__(
        self,
        in_channels: int = 1,
        blocks: int = 7,
        filters: int = 8,
        dropout: float = 0.1,
        refine: int = 0,
        compare: int = 0,
        compare_limit: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [filters * 2**k for k in range(blocks)]
        self.encoder = nn.ModuleList(
            ConvBlock(i, o) for i, o in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.decoder = nn.ModuleList(
            ConvBlock(widths[k + 1] + (widths[k] if self.skips else 0), widths[k])
            for k in reversed(range(blocks - 1))
        )
        self.pool = nn.MaxPool3d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode='nearest')
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv3d(filters, self.out_channels(in_channels), 1)
        self.refinement = Refinement(in_channels, filters, refine) if refine and self.skips else None
        compares = compare and self.skips
        self.comparison = Comparison(in_channels, filters, compare, compare_limit) if compares else None

    @staticmethod
    def out_channels(in_channels: int) -> int:
        """Channels of the output: one map."""
        return 1

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Logits of the probability that a voxel belongs to a perivascular space, in single precision."""
        features = self.encoder[0](volume)
        skips = []
        for block in self.encoder[1:]:
            skips.append(features)
            features = block(self.dropout(self.pool(features)))
        for block in self.decoder:
            skip = skips.pop()
            features = fit(self.upsample(features), skip.shape[2:])
            features = torch.cat([features, skip], 1) if self.skips else features
            features = self.dropout(block(features))
        logits = self.head(features).float()
        for correction in (self.refinement, self.comparison):
            if correction is not None:
                logits = correction(volume, features, logits)
        return logits


class JoliotAutoencoder(JoliotUNet):
    """The same network without skips; its output is a reconstruction of the input.

    Parameters are those of `JoliotUNet`; the output has as many channels as the input.
    """

    skips = False

    @staticmethod
    def out_channels(in_channels: int) -> int:
        """Channels of the output: those of the image."""
        return in_channels


@torch.no_grad()
def transfer(autoencoder: JoliotAutoencoder, network: JoliotUNet) -> list[str]:
    """Copy the layers of a trained autoencoder into the U-shaped network.

    Encoding blocks are copied completely. The input of a decoding block's first convolution is the
    upsampled features, then the skip: the weights of the former are copied, those of the skip keep
    their initial values. The last layer is not copied: its output is an image in one network and a
    logit in the other.

    Parameters
    ----------
    autoencoder : JoliotAutoencoder
    network : JoliotUNet
        Changed in place.

    Returns
    -------
    names : list of str
        Parameters and statistics that were copied, completely or in part.
    """
    source, destination = autoencoder.state_dict(), network.state_dict()
    copied = [name for name in source if not name.startswith('head.')]
    for name in copied:
        old, new = source[name], destination[name]
        if old.shape == new.shape:
            new.copy_(old)
        else:
            new[:, : old.shape[1]].copy_(old)
    return copied


def fit(features: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Crop the far ends of the three spatial axes to `shape`, or pad them with the values of the edge."""
    for axis, n in enumerate(shape, start=2):
        if features.shape[axis] > n:  # otherwise narrow's gradient would be another copy of all features
            features = features.narrow(axis, 0, n)
    missing = [n - m for n, m in zip(shape, features.shape[2:], strict=True)]
    if any(missing):
        pads = [p for n in reversed(missing) for p in (0, n)]
        features = nn.functional.pad(features, pads, mode='replicate')
    return features
