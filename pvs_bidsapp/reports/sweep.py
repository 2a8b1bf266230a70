"""Figure 1A of Joliot et al. 2021: Dice by threshold and cluster-size filter."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .figures import pyplot


def draw_sweep(table: pd.DataFrame, path: Path) -> Path:
    """Voxel and cluster Dice over thresholds, one line a size filter; bands span the scans' quartiles.

    Parameters
    ----------
    table : DataFrame
        ``scan threshold min_size_mm3 dice cluster_dice``.
    path : Path
        PNG file.
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
        ax.set(title=f'{title} (n = {table["scan"].nunique()})', xlabel='threshold', ylim=(0, 1))
        ax.grid(alpha=0.3)
    axes[0].legend(title='clusters from', frameon=False)
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return path
