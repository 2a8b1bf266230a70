import numpy as np
import pytest

from pvs_bidsapp.evaluation.agreement import agreement, intraclass_correlation

#: Six targets and four judges: table 2 of Shrout & Fleiss 1979.
RATINGS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def test_the_worked_example_of_shrout_and_fleiss():
    icc, low, high = intraclass_correlation(RATINGS)
    assert icc == pytest.approx(0.29, abs=0.005)
    assert (low, high) == pytest.approx((0.02, 0.76), abs=0.005)


def test_two_columns_are_those_of_the_agreement_of_pairs():
    found = agreement(RATINGS[:, 0], RATINGS[:, 3])
    expected = intraclass_correlation(RATINGS[:, [0, 3]])
    assert (found.icc, found.icc_low, found.icc_high) == pytest.approx(expected)


def test_a_constant_difference_between_columns_costs_agreement():
    same = np.repeat(RATINGS[:, :1], 3, axis=1)
    assert intraclass_correlation(same)[0] == 1
    assert intraclass_correlation(same + np.array([0, 0, 3]))[0] < 0.7
    assert np.isnan(intraclass_correlation(np.ones((4, 3)))[0])
