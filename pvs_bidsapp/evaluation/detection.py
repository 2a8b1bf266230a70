"""Which spaces are found: recall by detectability and by volume, beside that of the ideal observer.

A space is found if the prediction holds at least one of its voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cc3d
import numpy as np
import pandas as pd
from scipy import stats

from .sweep import bootstrap_ratio

#: Ranges of the detectability index d' and of the volume (mm3) for which recall is given: bins, then totals.
DETECTABILITY_RANGES = (
    (0, 2), (2, 4), (4, 6), (6, 8), (8, 12), (12, 20), (20, np.inf),
    (0, np.inf), (5, np.inf), (6, np.inf),
)  # fmt: skip
VOLUME_RANGES = ((0, 2), (2, 5), (5, 10), (10, 15), (15, np.inf), (0, np.inf), (5, np.inf), (10, np.inf))
#: Columns of `space_table` and `recall_table`.
SPACE_COLUMNS = ('scan', 'index', 'volume_mm3', 'detectability', 'is_found')
RECALL_COLUMNS = (
    'measure',
    'low',
    'high',
    'n_scans',
    'n_spaces',
    'recall',
    'ci_low',
    'ci_high',
    'ideal_recall',
)


def space_table(
    name: str,
    predicted: np.ndarray,
    reference: np.ndarray,
    voxel_volume: float,
    *,
    spaces: np.ndarray | None = None,
    detectability: pd.Series | None = None,
) -> pd.DataFrame:
    """The true spaces of one scan, each with its volume and whether it is found.

    Parameters
    ----------
    name : str
        Name of the scan.
    predicted, reference : ndarray of bool, shape (x, y, z)
    voxel_volume : float
        In mm3.
    spaces : ndarray of int, shape (x, y, z), optional
        Number of the space of each voxel, 0 elsewhere; None: clusters of the reference (26-connectivity).
    detectability : Series, optional
        Detectability index d' by number, see `pvs_bidsapp.simulation.detectability`.

    Returns
    -------
    table : DataFrame
        Columns as `SPACE_COLUMNS`. Spaces without a voxel in the reference are not in it, and
        ``detectability`` is NaN where it is not known.
    """
    if spaces is None:
        spaces = cc3d.connected_components(reference, connectivity=26)
    numbers, sizes = np.unique(spaces[reference & (spaces > 0)], return_counts=True)
    known = detectability if detectability is not None else pd.Series(dtype=float)
    values = (
        name,
        numbers,
        sizes * voxel_volume,
        known.reindex(numbers).to_numpy(float),
        np.isin(numbers, spaces[predicted & reference]),
    )
    return pd.DataFrame(dict(zip(SPACE_COLUMNS, values, strict=True)))


def recall_table(spaces: pd.DataFrame, threshold: float | None = None) -> pd.DataFrame:
    """Recall by ranges of volume, and by ranges of detectability where that is known.

    Parameters
    ----------
    spaces : DataFrame
        Rows of `space_table` of all scans.
    threshold : float, optional
        That of the ideal observer, see `ideal_threshold`.

    Returns
    -------
    table : DataFrame
        Columns as `RECALL_COLUMNS`: the spaces of all scans are pooled, and the 95 % bootstrap intervals are
        those over scans. ``ideal_recall`` is NaN where it is not known.
    """
    rows = []
    for measure, ranges in (('detectability', DETECTABILITY_RANGES), ('volume_mm3', VOLUME_RANGES)):
        known = spaces[spaces[measure].notna()]
        for low, high in ranges if len(known) else ():
            part = known[(known[measure] >= low) & (known[measure] < high)]
            found = part.groupby('scan')['is_found'].agg(['sum', 'size']).to_numpy(float)
            recall, ci_low, ci_high = bootstrap_ratio(found[:, 0], found[:, 1])
            ideal = _mean_ideal(part['detectability'], threshold)
            rows.append([measure, low, high, len(found), len(part), recall, ci_low, ci_high, ideal])
    return pd.DataFrame(rows, columns=list(RECALL_COLUMNS))


def is_total(table: pd.DataFrame) -> pd.Series:
    """Whether each row of a measure in `recall_table` is a total, and no bin.

    Parameters
    ----------
    table : DataFrame
        Rows of one measure.
    """
    return (table['high'] == np.inf) & (table['low'] < table['low'].max())


def _mean_ideal(detectability: pd.Series, threshold: float | None) -> float:
    known = detectability.dropna()
    return (
        float(ideal_recall(known.to_numpy(), threshold).mean())
        if len(known) and threshold is not None
        else np.nan
    )


def ideal_threshold(false_clusters: float, n_places: float) -> float:
    """Threshold at which the ideal observer makes a given number of false detections in a scan.

    The observer knows the shape of a space, but not its place: a matched filter looks at `n_places`
    independent places (Burgess & Ghandeharian 1984, doi:10.1364/JOSAA.1.000906). Its response at a place
    without a space is standard normal, so that ``n_places (1 - Phi(z))`` of them exceed the threshold z.

    Parameters
    ----------
    false_clusters : float
        Number in a scan.
    n_places : float
        Number of independent places: the volume that is searched over that of a space.

    Returns
    -------
    threshold : float
        In standard deviations of the response to noise.
    """
    return float(stats.norm.isf(np.clip(false_clusters / n_places, 0, 1)))


def ideal_recall(detectability: np.ndarray, threshold: float) -> np.ndarray:
    """Recall of the ideal observer: Phi(d' - z).

    The response of the matched filter to a space in white noise is normal, with the mean d' and a standard
    deviation of 1 (Barrett & Myers 2004, Foundations of Image Science, chapter 13).

    Parameters
    ----------
    detectability : ndarray
        The index d' of each space.
    threshold : float
        z of `ideal_threshold`.
    """
    return stats.norm.cdf(np.asarray(detectability, float) - threshold)


def searched_threshold(
    spaces: pd.DataFrame, false_clusters: Sequence[float], volumes: Sequence[float]
) -> float | None:
    """Threshold of the ideal observer that makes as many false detections as a prediction.

    Parameters
    ----------
    spaces : DataFrame
        Rows of `space_table` of all scans; the observer looks for spaces of their median volume.
    false_clusters : sequence of float
        Number of false clusters in each scan. If there is none in any scan, half of one is assumed.
    volumes : sequence of float
        Volume in mm3 that is searched in each scan; NaN where it is not known.

    Returns
    -------
    threshold : float or None
        None if no detectability or no volume is known.
    """
    searched = np.asarray(volumes, float)
    if spaces['detectability'].isna().all() or not np.isfinite(searched).any():
        return None
    rate = max(sum(false_clusters), 0.5) / len(false_clusters)
    return ideal_threshold(rate, float(np.nanmean(searched)) / float(spaces['volume_mm3'].median()))
