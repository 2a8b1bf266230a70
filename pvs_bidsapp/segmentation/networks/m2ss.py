"""The network of Chai et al., M2SS-PVS: a U-shaped network fed with the image at several scales.

From the paper: T1w and T2w as two channels, patches of 32 voxels, an encoder with the image as a further
input at four coarser scales, alternately by convolution then pooling and by pooling then convolution. The
paper does not state the number of filters, the normalisation and how the scales are joined; the choices made
here are listed in docs/explanation/training.md.
"""

from __future__ import annotations

import torch
from torch import nn

from .comparison import Comparison
from .convolution import Conv3
from .joliot import fit
from .refinement import Refinement


class ConvUnit(nn.Sequential):
    """3x3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            Conv3(in_channels, out_channels),
            nn.BatchNorm3d(out_channels),
            nn.ReLU(inplace=True),
        )


class SideInput(nn.Sequential):
    """The image at one of the coarser scales.

    Parameters
    ----------
    in_channels, out_channels : int
    level : int
        The image is pooled to ``1 / 2**level`` of its size. Odd levels convolve, then pool (average);
        even levels pool, then convolve.
    """

    def __init__(self, in_channels: int, out_channels: int, level: int) -> None:
        parts: list[nn.Module] = [
            ConvUnit(in_channels, out_channels),
            nn.AvgPool3d(2**level, ceil_mode=True),
        ]
        super().__init__(*(parts if level % 2 else reversed(parts)))


class M2SSNet(nn.Module):
    """U-shaped network of five levels with four multi-scale side inputs.

    Parameters
    ----------
    in_channels : int
        2: T1w, T2w.
    filters : int
        Filters of the first level; doubled in each following one.
    side_filters : int
        Filters of each side input; they are concatenated with the pooled features of their level.
    levels : int
        Levels below the first; each has a side input.
    multi_scale : bool
        False: no side inputs, the mono-scale network of the paper's table 1.
    refine : int
        Width of a `Refinement` of the output; 0, as in the paper: none.
    compare : int
        Width of a `Comparison` with the sure voxels, after that; 0, as in the paper: none.
    compare_limit : float
        Limit of the changes by that comparison; 0: none.

    Notes
    -----
    Input ``(batch, in_channels, x, y, z)`` of float; output logits ``(batch, 1, x, y, z)``.
    """

    def __init__(
        self,
        in_channels: int = 2,
        filters: int = 16,
        side_filters: int = 8,
        levels: int = 4,
        multi_scale: bool = True,
        refine: int = 0,
        compare: int = 0,
        compare_limit: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [filters * 2**k for k in range(levels + 1)]
        extra = side_filters if multi_scale else 0
        self.sides = nn.ModuleList(
            SideInput(in_channels, side_filters, k) for k in range(1, levels + 1) if multi_scale
        )
        self.encoder = nn.ModuleList([_double(in_channels, widths[0])])
        self.encoder.extend(_double(widths[k] + extra, widths[k + 1]) for k in range(levels))
        self.decoder = nn.ModuleList(
            _double(widths[k + 1] + widths[k], widths[k]) for k in reversed(range(levels))
        )
        self.pool = nn.MaxPool3d(2, ceil_mode=True)
        self.upsample = nn.Upsample(scale_factor=2, mode='nearest')
        self.head = nn.Conv3d(filters, 1, 1)
        self.refinement = Refinement(in_channels, filters, refine) if refine else None
        self.comparison = Comparison(in_channels, filters, compare, compare_limit) if compare else None

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Logits of the probability that a voxel belongs to a perivascular space, in single precision."""
        features = self.encoder[0](volume)
        skips = []
        for level, block in enumerate(self.encoder[1:]):
            skips.append(features)
            features = self.pool(features)
            if self.sides:
                side = fit(self.sides[level](volume), features.shape[2:])
                features = torch.cat([features, side], 1)
            features = block(features)
        for block in self.decoder:
            skip = skips.pop()
            features = block(torch.cat([fit(self.upsample(features), skip.shape[2:]), skip], 1))
        logits = self.head(features).float()
        for correction in (self.refinement, self.comparison):
            if correction is not None:
                logits = correction(volume, features, logits)
        return logits


def _double(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(ConvUnit(in_channels, out_channels), ConvUnit(out_channels, out_channels))
