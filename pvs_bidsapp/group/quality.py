"""Quality control: outlying scans, and the agreement of two scans of one person."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..evaluation.agreement import agreement
from .collect import in_order
from .standard import COLUMNS

#: Absolute robust z-score above which a scan is listed (Iglewicz & Hoaglin 1993).
OUTLYING = 3.5


def outliers(totals: pd.DataFrame) -> pd.DataFrame:
    """Scans far from the cohort's median in any of the measures.

    Parameters
    ----------
    totals : DataFrame
        One row per scan: ``scan``, ``count``, ``volume_mm3``, ``region_volume_mm3``.

    Returns
    -------
    listed : DataFrame
        Columns ``scan measure value robust_z``, by descending absolute z-score. The robust z-score is
        0.6745 (x - median) / MAD, where x is log(1 + value).
    """
    rows = []
    for measure in ('count', 'volume_mm3', 'region_volume_mm3'):
        values = pd.Series(np.log1p(totals[measure].to_numpy(float)), totals.index)
        median = values.median()
        spread = (values - median).abs().median()
        if not spread > 0:
            continue
        z = 0.6745 * (values - median) / spread
        far = z.abs() > OUTLYING
        rows += [
            {'scan': s, 'measure': measure, 'value': v, 'robust_z': q}
            for s, v, q in zip(totals.loc[far, 'scan'], totals.loc[far, measure], z[far], strict=True)
        ]
    listed = pd.DataFrame(rows, columns=['scan', 'measure', 'value', 'robust_z'])
    return listed.sort_values('robust_z', key=abs, ascending=False, ignore_index=True)


def repeated(totals: pd.DataFrame) -> pd.DataFrame:
    """Agreement of the first two scans of each person with several scans.

    Parameters
    ----------
    totals : DataFrame
        One row per scan: ``participant_id``, ``scan``, ``count``, ``volume_mm3``, and perhaps its time.

    Returns
    -------
    table : DataFrame
        One row per measure, columns as `pvs_bidsapp.evaluation.agreement.Agreement`; empty if nobody has two
        scans.
    """
    ordered = in_order(totals)
    position = ordered.groupby('participant_id').cumcount()
    rows = []
    for measure in ('count', 'volume_mm3', COLUMNS['count'], COLUMNS['volume_mm3']):
        if measure not in totals:
            continue
        one, two = (ordered[position == k].set_index('participant_id')[measure] for k in (0, 1))
        both = pd.concat([one, two], axis=1, join='inner')
        if len(both):
            result = agreement(both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy())
            rows.append({'measure': measure, **vars(result)})
    return pd.DataFrame(rows)
