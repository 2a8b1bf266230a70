"""One tidy table of all scans and regions, and the numbers of clusters that statistics start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .distributions import column

DEEP = 'deep white matter'
#: Probability thresholds at which clusters are counted, from the applied one on.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def collect(
    tables: Mapping[str, pd.DataFrame], entities: Mapping[str, dict[str, str]], people: pd.DataFrame | None
) -> pd.DataFrame:
    """Join the region statistics of all scans with the participants' columns.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Region statistics by name of the scan.
    entities : mapping of str to dict
        BIDS entities of each scan.
    people : DataFrame or None
        ``participants.tsv``, with a column ``participant_id``.

    Returns
    -------
    tidy : DataFrame
        One row a scan and region.
    """
    tidy = pd.concat(tables, names=['scan']).reset_index(level=0).reset_index(drop=True)
    subjects = {name: f'sub-{e["sub"]}' for name, e in entities.items()}
    sessions = {name: f'ses-{e["ses"]}' if 'ses' in e else None for name, e in entities.items()}
    tidy.insert(0, 'session_id', tidy['scan'].map(sessions))
    tidy.insert(0, 'participant_id', tidy['scan'].map(subjects))
    if people is not None:
        own = [c for c in people if c == 'participant_id' or c not in tidy]
        tidy = tidy.merge(people[own], on='participant_id', how='left')
    return tidy


def summarise(tidy: pd.DataFrame) -> pd.DataFrame:
    """Number of scans, and median, mean and standard deviation of count and volume, by region."""
    grouped = tidy.groupby(['region', 'hemisphere'], sort=False)
    return grouped.agg(
        n_scans=('scan', 'nunique'),
        count_median=('count', 'median'),
        count_mean=('count', 'mean'),
        count_sd=('count', 'std'),
        volume_mm3_median=('volume_mm3', 'median'),
        volume_mm3_mean=('volume_mm3', 'mean'),
        volume_mm3_sd=('volume_mm3', 'std'),
    ).reset_index()


def count_clusters(clusters: pd.DataFrame, sizes: Sequence[float], applied: float) -> dict[str, float]:
    """Clusters of deep white matter by size filter and by probability threshold.

    A cluster is counted at a threshold where its highest probability reaches it: thresholds below
    the applied one cannot be told from the table, and a cluster that would fall in two counts once.

    Parameters
    ----------
    clusters : DataFrame
        A scan's cluster table: ``region volume_mm3 max_probability``.
    sizes : sequence of float
        In mm3.
    applied : float
        Threshold of the masks.
    """
    deep = clusters['region'].str.startswith(DEEP).to_numpy(bool) if len(clusters) else np.zeros(0, bool)
    volume = clusters['volume_mm3'].to_numpy(float)[deep]
    highest = clusters['max_probability'].to_numpy(float)[deep]
    out = {column(size): float((volume >= size).sum()) for size in sizes}
    return out | {threshold_column(t): float((highest >= t).sum()) for t in thresholds(applied)}


def thresholds(applied: float) -> tuple[float, ...]:
    """Thresholds that can be told from masks made at `applied`, that one first."""
    return (applied, *(t for t in THRESHOLDS if t > applied + 1e-9))


def threshold_column(threshold: float) -> str:
    """Name of the column that counts clusters at a threshold."""
    return f'count_p{threshold:g}'


def first_scans(table: pd.DataFrame) -> pd.DataFrame:
    """The first scan of each person, by name: people, not scans, are independent."""
    return table.sort_values('scan').drop_duplicates('participant_id')
