"""Matching of cohorts: measurements within a caliper, codes exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pvs_bidsapp.group import distributions


def rule(name, *values, **known):
    return distributions.matching_rule(name, [pd.Series(v) for v in values], **known)


@pytest.mark.parametrize(
    ('name', 'values', 'is_measured'),
    [
        ('diagnosis', ['a', 'b'], False),
        ('diagnosis', [0, 1, 2, 3] * 9, False),
        ('site', range(40), False),
        ('scanner_id', range(40), False),
        ('grade', [0.0, 1.0, 2.0, np.nan], False),
        ('age', [30.5, 31, 32], True),
        ('education', range(8, 24), True),
        ('weight', [70.0, 71.5], True),
        ('website_visits', range(40), True),
    ],
)
def test_what_a_column_holds_is_decided_by_its_values_and_its_name(name, values, is_measured):
    decided = rule(name, list(values))
    assert decided.is_measured == is_measured
    assert decided.reason
    assert ('equal' in str(decided)) != is_measured


def test_what_is_known_of_a_column_decides():
    assert rule('age', [30, 31, 32], is_measured=True).is_measured
    assert not rule('code', range(90), is_coded=True).is_measured
    assert not rule('age', ['1', '2'], [1, 2], is_measured=True).is_measured


def test_codes_are_matched_exactly_and_ages_within_the_caliper():
    first = pd.DataFrame({'site': [1, 2, 4], 'age': [30.5, 40, 50], 'scan': list('abc')})
    second = pd.DataFrame({'site': [2.0, 3, 4], 'age': [44, 31.2, 60], 'scan': list('xyz')})
    one, two = distributions.match(first, second, ['site'])
    assert list(zip(one['scan'], two['scan'], strict=True)) == [('b', 'x'), ('c', 'z')]
    one, two = distributions.match(first, second, ['site', 'age'])
    assert list(zip(one['scan'], two['scan'], strict=True)) == [('b', 'x')]
    one, two = distributions.match(first, second, ['age'])
    assert list(zip(one['scan'], two['scan'], strict=True)) == [('a', 'y'), ('b', 'x')]


def test_codes_of_two_datasets_agree_as_text_and_as_numbers():
    first, second = pd.DataFrame({'sex': ['1', '2']}), pd.DataFrame({'sex': [2.0, 1.0]})
    one, two = distributions.match(first, second, ['sex'])
    assert (len(one), len(two)) == (2, 2)


def test_nobody_to_match_is_no_error():
    first, second = pd.DataFrame({'age': [np.nan]}), pd.DataFrame({'age': [30.0]})
    one, two = distributions.match(first, second, ['age'])
    assert (len(one), len(two)) == (0, 0)
