"""Learning curves of a training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..runtime.files import atomic_write
from .figures import pyplot


def draw_curves(logs: dict[str, pd.DataFrame], path: Path) -> Path:
    """Loss, validation Dice and learning rate over steps, one line per training.

    Parameters
    ----------
    logs : dict of str to DataFrame
        By name: ``step loss validation_dice minutes learning_rate``, one row per epoch.
    path : Path
        PNG file.
    """
    plt = pyplot()
    panels = {
        'loss': 'training loss',
        'validation_dice': 'Dice on the validation scans',
        'learning_rate': 'learning rate',
    }
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), constrained_layout=True)
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        for name, log in logs.items():
            known = log.dropna(subset=[column])
            ax.plot(known['step'], known[column], 'o-', markersize=3, label=name)
        ax.set(title=title, xlabel='step')
        ax.grid(alpha=0.3)
    axes[1].set_ylim(0, 1)
    axes[2].ticklabel_format(axis='y', scilimits=(-2, 2))
    if len(logs) > 1:
        axes[0].legend(frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=90, format='png')
    plt.close(figure)
    return path
