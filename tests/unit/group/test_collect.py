"""Which scan of a person comes first."""

from __future__ import annotations

import pandas as pd
import pytest

from pvs_bidsapp.group.collect import TIME, first_scans


@pytest.mark.parametrize(
    ('names', 'times', 'first'),
    [
        (['sub-1_ses-10', 'sub-1_ses-2'], [], 'sub-1_ses-2'),
        (['sub-1_ses-2yr', 'sub-1_ses-baseline'], ['2021-05-12', '2019-05-12T10:00'], 'sub-1_ses-baseline'),
        (['sub-1_ses-1', 'sub-1_ses-2'], ['n/a', '2019-05-12'], 'sub-1_ses-1'),
    ],
    ids=['numbers', 'times', 'one time unknown'],
)
def test_the_first_scan_is_the_earliest_or_the_first_by_name(names, times, first):
    table = pd.DataFrame({'participant_id': 'sub-1', 'scan': names} | ({TIME: times} if times else {}))
    other = pd.DataFrame({'participant_id': ['sub-2'], 'scan': ['sub-2']})
    assert first_scans(pd.concat([other, table]))['scan'].tolist() == [first, 'sub-2']
