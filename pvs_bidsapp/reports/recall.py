"""Recall of true spaces by how well they can be detected, beside that of the ideal observer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..evaluation.detection import ideal_recall, is_total
from ..runtime.files import atomic_write
from .figures import pyplot
from .palette import SERIES

#: Up to which detectability the figure goes.
_END = 30.0


def draw_recall(table: pd.DataFrame, threshold: float | None, path: Path) -> Path:
    """Recall by detectability with its intervals, and the curve of the ideal observer.

    Parameters
    ----------
    table : DataFrame
        As `pvs_bidsapp.evaluation.detection.recall_table` makes it.
    threshold : float or None
        That of the ideal observer; None: no curve.
    path : Path
        PNG file.
    """
    plt = pyplot()
    bins = _bins(table)
    low, high = bins['low'].to_numpy(float), np.minimum(bins['high'].to_numpy(float), _END)
    recall = bins['recall'].to_numpy(float)
    figure, ax = plt.subplots(figsize=(7.5, 4.2), constrained_layout=True)
    known = bins['ci_low'].notna().to_numpy()
    label = 'found, with the 95 % interval over scans' if known.any() else 'found'
    ax.hlines(recall, low, high, color=SERIES[0], linewidth=2.5, label=label)
    ends = bins[known]
    ax.vlines(((low + high) / 2)[known], ends['ci_low'], ends['ci_high'], color=SERIES[0], linewidth=1.2)
    for x, y, n in zip((low + high) / 2, recall, bins['n_spaces'], strict=True):
        ax.annotate(f'{n}', (x, y), (4, 5), textcoords='offset points', fontsize=8, color=SERIES[0])
    if threshold is not None:
        axis = np.linspace(0, _END, 301)
        label = f'ideal observer, as many false clusters (z = {threshold:.2f})'
        ax.plot(axis, ideal_recall(axis, threshold), color=SERIES[5], linestyle='--', label=label)
    ax.set(xlabel="detectability d' of the space on its scan", ylabel='fraction found')
    ax.set(xlim=(0, _END), ylim=(0, 1.08), title=f'{bins["n_spaces"].sum()} spaces; numbers: spaces in a bin')
    ax.legend(frameon=False, loc='lower right')
    ax.grid(alpha=0.3)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=90, format='png')
    plt.close(figure)
    return path


def _bins(table: pd.DataFrame) -> pd.DataFrame:
    """Bins of detectability that hold spaces."""
    rows = table[table['measure'] == 'detectability']
    return rows[~is_total(rows) & (rows['n_spaces'] > 0)]
