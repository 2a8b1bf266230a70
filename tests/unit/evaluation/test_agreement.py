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


def test_values_that_are_all_the_same_have_no_icc():
    for value in (0.0, 12.3):  # of 12.3, the mean has an error of rounding
        assert np.isnan(intraclass_correlation(np.full((6, 2), value))).all()


def test_the_interval_of_a_constant_difference_is_the_limit_of_small_errors(rng):
    first = 3.0 * np.arange(10)
    # by hand: mean squares of rows 165, of columns 2000, of errors 0: 165 / (165 + 2 * 2000 / 10) = 0.292
    found = intraclass_correlation(np.column_stack([first, first + 20]))
    assert found == pytest.approx((165 / 565, 0.0004, 0.748), abs=5e-4)
    near = intraclass_correlation(np.column_stack([first, first + 20 + 1e-6 * rng.normal(size=10)]))
    assert found == pytest.approx(near, abs=1e-5)
    assert intraclass_correlation(np.column_stack([first, first])) == (1, 1, 1)


def test_subjects_that_do_not_differ_have_no_interval():
    assert intraclass_correlation(np.array([[1.0, 5], [1, 5], [1, 5]])) == pytest.approx(
        (0, np.nan, np.nan), nan_ok=True
    )
