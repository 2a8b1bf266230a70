"""One tidy table of all scans and regions, and the numbers of clusters for the statistics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..clusters.label import reaches
from .distributions import column

#: Beginning of the names of the regions whose clusters are counted.
DEEP = 'deep white matter'
#: Column with the time of a scan, as BIDS calls it in ``*_scans.tsv``.
TIME = 'acq_time'
#: Probability thresholds at which clusters are counted, if above that of the masks.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: Numbers that are dates without hyphens.
_COMPACT_DATES = (19000101, 21001231)


def collect(
    regions: pd.DataFrame, entities: Mapping[str, dict[str, str]], people: pd.DataFrame | None
) -> pd.DataFrame:
    """Join the region statistics of all scans with the participants' columns.

    Parameters
    ----------
    regions : DataFrame
        Region statistics of all scans, with a column ``scan``.
    entities : mapping of str to dict
        BIDS entities of each scan.
    people : DataFrame or None
        ``participants.tsv``, with a column ``participant_id``.

    Returns
    -------
    tidy : DataFrame
        One row per scan and region.
    """
    tidy = regions[['scan', *(c for c in regions if c != 'scan')]].copy()
    subjects = {name: f'sub-{e["sub"]}' for name, e in entities.items()}
    sessions = {name: f'ses-{e["ses"]}' if 'ses' in e else None for name, e in entities.items()}
    tidy.insert(0, 'session_id', tidy['scan'].map(sessions))
    tidy.insert(0, 'participant_id', tidy['scan'].map(subjects))
    if people is not None:
        own = [c for c in people if c == 'participant_id' or c not in tidy]
        tidy = tidy.merge(people[own], on='participant_id', how='left')
    return tidy


def summarise(tidy: pd.DataFrame) -> pd.DataFrame:
    """Number of scans, and median, mean and standard deviation of count and volume, by region.

    Parameters
    ----------
    tidy : DataFrame
        From `collect`.

    Returns
    -------
    table : DataFrame
        One row per region and hemisphere; volumes in mm3.
    """
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


def count_clusters(
    clusters: pd.DataFrame, number: int, sizes: Sequence[float], applied: float
) -> pd.DataFrame:
    """Count clusters of deep white matter by size filter and by probability threshold.

    A cluster is counted at a threshold if its highest probability reaches it. A cluster that a higher
    threshold would split is therefore counted once, and thresholds below that of the masks cannot be used.

    Parameters
    ----------
    clusters : DataFrame
        Clusters of all scans, with the columns ``table region volume_mm3 max_probability``; ``table`` is the
        number of the scan, from 0.
    number : int
        Number of scans.
    sizes : sequence of float
        Cluster-size filters in mm3.
    applied : float
        Probability threshold of the masks.

    Returns
    -------
    counts : DataFrame
        One row per scan, in the order of ``table``; columns as `pvs_bidsapp.group.distributions.column` and
        `threshold_column` name them.
    """
    deep = clusters[clusters['region'].astype(str).str.startswith(DEEP)]
    table = deep['table'].to_numpy(int)

    def count(kept: np.ndarray) -> np.ndarray:
        return np.bincount(table[kept], minlength=number).astype(float)

    volumes, peaks = (deep[name].to_numpy(float) for name in ('volume_mm3', 'max_probability'))
    by_size = {column(size): count(reaches(volumes, size)) for size in sizes}
    by_threshold = {threshold_column(t): count(peaks >= t) for t in thresholds(applied)}
    return pd.DataFrame(by_size | by_threshold)


def thresholds(applied: float) -> tuple[float, ...]:
    """Thresholds at which clusters of masks made at the threshold `applied` can be counted, ascending."""
    return (applied, *(t for t in THRESHOLDS if t > applied + 1e-9))


def threshold_column(threshold: float) -> str:
    """Name of the column that counts clusters at a threshold."""
    return f'count_p{threshold:g}'


def in_years(times: pd.Series) -> pd.Series:
    """Times of scans in years, from a beginning that is the same for all.

    Parameters
    ----------
    times : Series
        Of each scan: years (such as age) if numbers, else dates in the format of ISO 8601; also 20210512,
        which is a float where another time is missing.

    Returns
    -------
    years : Series of float
        NaN where a time is missing or no date.
    """
    is_number = pd.api.types.is_numeric_dtype(times)
    if is_number and not times.dropna().between(*_COMPACT_DATES).all():
        return times.astype(float)
    texts = times.map('{:.0f}'.format if is_number else str, na_action='ignore')
    dates = pd.to_datetime(texts, errors='coerce', utc=True, format='ISO8601')
    return (dates - dates.min()).dt.total_seconds() / (365.25 * 24 * 3600)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The scans of each person in the order of their times, or of their names where a time is not known.

    Parameters
    ----------
    table : DataFrame
        One row per scan: ``participant_id``, ``scan``, and perhaps `TIME`. In names, ``ses-2`` comes before
        ``ses-10``.
    """
    names = [[int(p) if p.isdigit() else p for p in re.split(r'(\d+)', n)] for n in table['scan'].astype(str)]
    years = in_years(table[TIME]) if TIME in table else pd.Series(np.nan, table.index)
    is_known = years.notna().groupby(table['participant_id']).transform('all')
    since = years.where(is_known, 0.0)
    order = sorted(range(len(table)), key=lambda k: (since.iloc[k], names[k]))
    return table.iloc[order]


def first_scans(table: pd.DataFrame) -> pd.DataFrame:
    """The first scan of each person, as `in_order`, since only different persons are independent."""
    return in_order(table).drop_duplicates('participant_id').sort_values('scan')
