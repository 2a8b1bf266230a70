from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from pvs_bidsapp.messages import training
from pvs_bidsapp.training.splits import folds, hold_out


@given(st.integers(5, 60), st.integers(2, 5), st.integers(0, 9), st.sampled_from([None, 0.1, 0.3]))
def test_nobody_is_on_two_sides_and_nobody_is_lost(n, number, seed, test):
    persons = [f'sub-{k}' for k in range(n)]
    for split in folds([*persons, *persons], number, seed, test=test):  # two sessions each
        parts = (split.training, split.validation, split.test)
        assert all(parts)
        assert sorted(p for part in parts for p in part) == sorted(persons)


@given(st.integers(5, 60), st.integers(2, 5))
def test_each_person_is_tested_on_once(n, number):
    persons = [f'sub-{k}' for k in range(n)]
    assert sorted(p for s in folds(persons, number, 1) for p in s.test) == sorted(persons)


def test_chai_et_al_split_8_1_1():
    for split in folds([f'{k:02}' for k in range(30)], 5, 1, test=0.1):
        assert (len(split.training), len(split.validation), len(split.test)) == (24, 3, 3)


@given(st.integers(3, 40), st.floats(0.01, 0.99), st.floats(0.0, 0.99))
def test_each_part_of_a_fold_has_a_person_of_its_own(n, test, validation):
    persons = [f'sub-{k:02}' for k in range(n)]
    for split in folds(persons, 3, 1, test=test, validation=validation):
        parts = split.training, split.validation, split.test
        assert all(parts)
        assert sorted(p for part in parts for p in part) == persons


@given(st.integers(1, 40), st.sampled_from([0.0, 0.1, 0.5]))
def test_hold_out(n, fraction):
    split = hold_out([f'sub-{k}' for k in range(n)], fraction, 1)
    assert split.training
    assert len(split.training) + len(split.validation) == n
    assert bool(split.validation) == (fraction > 0 and n > 1)


def test_too_few_persons():
    with refused(training.FEW_PERSONS, naming='--folds 5'):
        folds(['a', 'b', 'c'], 5, 1)
