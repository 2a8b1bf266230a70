"""Which scan of a person comes first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pvs_bidsapp.group.collect import TIME, first_scans, in_years


@pytest.mark.parametrize(
    ('names', 'times', 'first'),
    [
        (['sub-1_ses-10', 'sub-1_ses-2'], [], 'sub-1_ses-2'),
        (['sub-1_ses-2yr', 'sub-1_ses-baseline'], ['2021-05-12', '2019-05-12T10:00'], 'sub-1_ses-baseline'),
        (['sub-1_ses-1', 'sub-1_ses-2'], ['n/a', '2019-05-12'], 'sub-1_ses-1'),
        (['sub-1_ses-1', 'sub-1_ses-2'], [20210512, 20190512], 'sub-1_ses-2'),
    ],
    ids=['numbers', 'times', 'one time unknown', 'compact dates, of which another person has none'],
)
def test_the_first_scan_is_the_earliest_or_the_first_by_name(names, times, first):
    table = pd.DataFrame({'participant_id': 'sub-1', 'scan': names} | ({TIME: times} if times else {}))
    other = pd.DataFrame({'participant_id': ['sub-2'], 'scan': ['sub-2']})
    assert first_scans(pd.concat([other, table]))['scan'].tolist() == [first, 'sub-2']


def test_times_are_years_or_dates_in_any_column():
    for times in ([20210512, np.nan, 20220512], ['20210512', None, '2022-05-12'], [61.0, np.nan, 62]):
        years = in_years(pd.Series(times))
        assert years[2] - years[0] == pytest.approx(1, abs=0.01)
        assert np.isnan(years[1])
    assert in_years(pd.Series([np.nan, np.nan])).isna().all()
    assert in_years(pd.Series(['n/a', 'soon'])).isna().all()
