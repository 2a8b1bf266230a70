"""Who is left out of an analysis, and why."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pvs_bidsapp.group.exclusions import (
    exclude,
    exclusion_table,
    level_text,
    without_missing,
    without_single_levels,
)


def scans(**columns):
    number = len(next(iter(columns.values())))
    ids = [f'sub-{k}' for k in range(number)]
    return pd.DataFrame({'scan': ids, 'participant_id': ids, **columns})


def test_missing_values_are_named_with_the_column():
    table = scans(age=[30, np.nan, 50, np.nan], sex=['F', 'M', np.nan, np.nan], other=[np.nan] * 4)
    kept, out = without_missing(table, ['age', 'sex', 'age'], 'regression', {'sub-3'})
    assert kept['scan'].tolist() == ['sub-0']
    assert [(e.scan, e.reason) for e in out] == [
        ('sub-1', 'no age'), ('sub-2', 'no sex'), ('sub-3', 'no age and no sex (not in participants.tsv)'),
    ]  # fmt: skip
    assert {e.analysis for e in out} == {'regression'}


def test_levels_of_one_person_are_left_out_until_there_are_none():
    table = scans(site=['a', 'a', 'b', 'b', 'c'], group=['x', 'x', 'x', 'y', 'y'])
    kept, out = without_single_levels(table, ['site', 'group'], 'regression')
    assert kept['scan'].tolist() == ['sub-0', 'sub-1']
    assert [(e.scan, e.reason) for e in out] == [
        ('sub-4', 'the only one with site c'), ('sub-3', 'the only one with group y'),
        ('sub-2', 'the only one with site b'),
    ]  # fmt: skip


def test_a_column_that_is_different_for_all_leaves_nobody():
    kept, out = without_single_levels(scans(name=list('abc')), ['name'], 'comparison')
    assert kept.empty
    assert len(out) == 3


def test_the_table_has_one_row_each():
    rows = exclude(scans(age=[1, 2]), 'rating', 'no grade')
    table = exclusion_table(rows)
    assert table.columns.tolist() == ['scan', 'participant_id', 'analysis', 'reason']
    assert table['reason'].tolist() == ['no grade', 'no grade']
    assert exclusion_table([]).columns.tolist() == table.columns.tolist()


def test_whole_numbers_are_levels_without_a_point():
    assert [level_text(v) for v in (1.0, 1, 1.5, '1', 'a')] == ['1', '1', '1.5', '1', 'a']
