import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvs_bidsapp.evaluation.detection import (
    ideal_recall,
    ideal_threshold,
    recall_table,
    searched_threshold,
    space_table,
)


def masks():
    """Three spaces in a row, of 4, 2 and 1 voxels; the first and the last are found."""
    numbers = np.zeros((12, 3, 3), int)
    numbers[0:4, 1, 1], numbers[6:8, 1, 1], numbers[10, 1, 1] = 7, 3, 5
    predicted = np.zeros(numbers.shape, bool)
    predicted[3:6, 1, 1] = predicted[10, 1, 1] = True
    return predicted, numbers


def test_a_space_is_found_if_one_of_its_voxels_is():
    predicted, numbers = masks()
    known = pd.Series([9.0, 2.0, 1.0], index=[7, 3, 8])
    table = space_table('a', predicted, numbers > 0, 0.5, spaces=numbers, detectability=known)
    assert table.set_index('index')['is_found'].to_dict() == {3: False, 5: True, 7: True}
    assert table.set_index('index')['volume_mm3'].to_dict() == {3: 1.0, 5: 0.5, 7: 2.0}
    assert table.set_index('index')['detectability'].fillna(-1).to_dict() == {3: 2.0, 5: -1, 7: 9.0}
    plain = space_table('a', predicted, numbers > 0, 0.5)
    assert sorted(zip(plain['volume_mm3'], plain['is_found'], strict=True)) == [(0.5, 1), (1, 0), (2, 1)]


def test_recall_pools_the_spaces_of_all_scans():
    spaces = pd.DataFrame({
        'scan': ['a', 'a', 'a', 'b'], 'index': [1, 2, 3, 1], 'volume_mm3': [1.0, 6.0, 2.0, 30.0],
        'detectability': [1.0, 6.0, np.nan, 25.0], 'is_found': [False, True, False, True],
    })  # fmt: skip
    table = recall_table(spaces, threshold=3.0).set_index(['measure', 'low', 'high'])
    everything = table.loc[('volume_mm3', 0, np.inf)]
    assert (everything['n_spaces'], everything['n_scans'], everything['recall']) == (4, 2, 0.5)
    assert (everything['ci_low'], everything['ci_high']) == (pytest.approx(1 / 3), 1)
    known = table.loc[('detectability', 0, np.inf)]
    assert (known['n_spaces'], known['recall']) == (3, pytest.approx(2 / 3))
    assert table.loc[('detectability', 6, 8), 'recall'] == 1
    assert table.loc[('detectability', 5, np.inf), 'n_spaces'] == 2
    assert table.loc[('detectability', 6, 8), 'ideal_recall'] == pytest.approx(0.99865, abs=1e-5)  # Phi(3)
    assert np.isnan(table.loc[('detectability', 8, 12), 'recall'])
    unknown = recall_table(spaces.assign(detectability=np.nan), None)
    assert set(unknown['measure']) == {'volume_mm3'}
    assert unknown['ideal_recall'].isna().all()
    assert recall_table(spaces.iloc[:0], None).empty


def test_the_ideal_observer_finds_as_many_as_a_matched_filter_does(rng):
    """Places of one voxel, in each of which the noise has a standard deviation of 1."""
    n_places, n_spaces, false = 200_000, 20_000, 40
    threshold = ideal_threshold(false, n_places)
    assert threshold == pytest.approx(3.5401, abs=1e-4)  # normal quantile of 1 - 2e-4
    assert (rng.normal(size=n_places) > threshold).sum() == pytest.approx(false, abs=4 * np.sqrt(false))
    for index in (2.0, 4.0, 6.0):
        found = (rng.normal(index, 1, n_spaces) > threshold).mean()
        assert found == pytest.approx(ideal_recall(np.array(index), threshold), abs=0.02)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 30), st.floats(0.1, 50), st.floats(100, 1e6))
def test_the_ideal_observer_finds_more_of_clear_spaces_and_with_more_false_ones(index, false, places):
    strict, loose = ideal_threshold(false, places), ideal_threshold(2 * false, places)
    assert loose <= strict
    assert ideal_recall(np.array([index]), strict)[0] <= ideal_recall(np.array([index + 1]), loose)[0]


def test_the_threshold_is_that_of_the_volume_searched_and_the_usual_space():
    spaces = pd.DataFrame({'volume_mm3': [2.0, 4.0, 50.0], 'detectability': [1.0, 2.0, 3.0]})
    found = searched_threshold(spaces, [3, 1], [4000.0, np.nan])
    assert found == pytest.approx(ideal_threshold(2, 1000))
    assert searched_threshold(spaces, [0, 0], [4000.0, 4000.0]) == pytest.approx(ideal_threshold(0.25, 1000))
    assert searched_threshold(spaces, [3, 1], [np.nan, np.nan]) is None
    assert searched_threshold(spaces.assign(detectability=np.nan), [3, 1], [4000.0, 1.0]) is None
