"""Figure 1A of Joliot et al. 2021: Dice by threshold and cluster-size filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..runtime.files import atomic_write
from .figures import pyplot


@dataclass(frozen=True)
class Mark:
    """A published value, drawn as a star in the colour of its size filter.

    Attributes
    ----------
    score : str
        ``dice`` or ``cluster_dice``.
    threshold : float
    size : float
        Filter in mm3.
    value : float
    """

    score: str
    threshold: float
    size: float
    value: float


def draw_sweep(table: pd.DataFrame, path: Path, marks: Sequence[Mark] = ()) -> Path:
    """Voxel and cluster Dice over thresholds, one line per size filter; bands span the scans' quartiles.

    Parameters
    ----------
    table : DataFrame
        ``scan threshold min_size_mm3 dice cluster_dice``.
    path : Path
        PNG file.
    marks : sequence of Mark
        Published values, for comparison.
    """
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, constrained_layout=True)
    for ax, score, title in zip(axes, ('dice', 'cluster_dice'), ('voxel Dice', 'cluster Dice'), strict=True):
        for size, part in table.groupby('min_size_mm3'):
            by_threshold = part.groupby('threshold')[score]
            mean = by_threshold.mean()
            (line,) = ax.plot(mean.index, mean, 'o-', markersize=3, label=f'{size:g} mm3')
            ax.fill_between(
                mean.index, by_threshold.quantile(0.25), by_threshold.quantile(0.75),
                color=line.get_color(), alpha=0.12,
            )  # fmt: skip
            for mark in marks:
                if (mark.score, mark.size) == (score, size):
                    ax.plot(mark.threshold, mark.value, '*', markersize=14, color=line.get_color())
        ax.set(title=f'{title} (n = {table["scan"].nunique()})', xlabel='threshold', ylim=(0, 1))
        ax.grid(alpha=0.3)
    axes[0].legend(title='clusters from' + (' (stars: published)' if marks else ''), frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=90, format='png')
    plt.close(figure)
    return path
