"""One tidy table of all scans and regions."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


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
    parts = []
    for name, table in tables.items():
        labels = entities[name]
        own = table.copy()
        own.insert(0, 'scan', name)
        own.insert(0, 'session_id', f'ses-{labels["ses"]}' if 'ses' in labels else None)
        own.insert(0, 'participant_id', f'sub-{labels["sub"]}')
        parts.append(own)
    tidy = pd.concat(parts, ignore_index=True)
    if people is not None and 'participant_id' in people:
        tidy = tidy.merge(people.drop_duplicates('participant_id'), on='participant_id', how='left')
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
