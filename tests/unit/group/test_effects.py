"""Effects of cohorts, by site and over time: against other libraries, worked examples and known effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.meta_analysis import combine_effects, effectsize_smd

from pvs_bidsapp.group import (
    change,
    design,
    effects,
    measures,
    mixed,
    permutation,
    regression,
    sites,
    table_one,
)
from pvs_bidsapp.group.cohort import name_of_everybody
from pvs_bidsapp.messages import people as messages


@pytest.fixture(autouse=True)
def _few_permutations(monkeypatch):
    monkeypatch.setattr(permutation, 'MOST', 999)


def people(rng, number, **columns):
    names = [f's{k:03d}' for k in range(number)]
    return pd.DataFrame({'scan': names, 'participant_id': names} | columns)


def regional(table, logs):
    """One row for each scan and region, of which the logarithms of the volumes are given."""
    parts = [
        table.assign(
            region=name, hemisphere='both', volume_mm3=np.expm1(values), volume_fraction=np.exp(values) / 1e5,
            count=np.expm1(values).round(),
        )
        for name, values in logs.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_permutation_without_confounders_is_that_of_scipy(rng):
    group = np.repeat([0.0, 1], [9, 12])
    values = rng.normal(size=21) + 0.6 * group
    matrix = np.column_stack([np.ones(21), group])
    found = permutation.freedman_lane(values[:, None], matrix, [1])[0, 0]
    expected = stats.permutation_test(
        (values[group == 0], values[group == 1]), lambda a, b, axis: a.mean(axis) - b.mean(axis),
        vectorized=True, n_resamples=9999, rng=1,
    ).pvalue  # fmt: skip
    assert found == pytest.approx(expected, abs=0.05)
    assert found == permutation.freedman_lane(values[:, None], matrix, [1])[0, 0]  # the same at each call


def test_permutation_of_three_people_knows_its_six_orders():
    matrix = np.column_stack([np.ones(3), [0.0, 0, 1]])
    p = permutation.freedman_lane(np.array([[1.0], [1.1], [9.0]]), matrix, [1])[0, 0]
    assert p == pytest.approx(1 / 3, abs=0.05)  # the one stays apart in two of six


def test_permutation_holds_confounders(rng):
    age = rng.normal(size=60)
    group = (age + rng.normal(size=60) > 0).astype(float)
    outcomes = np.column_stack([3 * age + rng.normal(size=60), 3 * age + 2 * group + rng.normal(size=60)])
    matrix = np.column_stack([np.ones(60), age, group])
    p = permutation.freedman_lane(outcomes, matrix, [1, 2])
    for k in range(2):
        np.testing.assert_allclose(p[:, k], OLS(outcomes[:, k], matrix).fit().pvalues[1:], atol=0.05)
    assert p[1, 1] == 0.001  # the least that 999 permutations give
    assert np.isnan(permutation.freedman_lane(np.ones((60, 1)), matrix, [1])).all()


def test_people_decide_the_number_of_permutations(monkeypatch):
    monkeypatch.setattr(permutation, 'MOST', 5000)
    numbers = [permutation.number_of_permutations(n) for n in (0, 36, 2000, 100_000)]
    assert numbers == [5000, 5000, 2500, 999]


def test_hedges_g_agrees_with_statsmodels(rng):
    a, b = rng.normal(5, 1, 14), rng.normal(5.8, 1.3, 22)
    matrix = np.column_stack([np.ones(36), np.repeat([0.0, 1], [14, 22])])
    found = effects.standardised_difference(np.concatenate([a, b])[:, None], matrix, permute=False).iloc[0]
    g, variance = effectsize_smd(b.mean(), b.std(ddof=1), 22, a.mean(), a.std(ddof=1), 14)
    assert found['g'] == pytest.approx(g, rel=1e-3)  # whose correction for small samples is approximate
    assert found['standard_error'] == pytest.approx(np.sqrt(variance), rel=1e-2)
    assert found['p'] == pytest.approx(stats.ttest_ind(a, b).pvalue)
    assert found['ratio'] == pytest.approx(np.exp(b.mean() - a.mean()))


def confounded(rng, number=200):
    """Two cohorts of which the second is older, and has 30 % more of `more` at the same age."""
    group = np.repeat(['a', 'b'], number // 2)
    age = rng.normal(50, 8, number) + 10 * (group == 'b')
    table = people(rng, number, group=group, age=age)
    burden = 4 + 0.03 * (age - 50) + rng.normal(0, 0.2, number)
    return table, regional(table, {'same': burden, 'more': burden + np.log(1.3) * (group == 'b')})


def test_a_confounder_is_held(rng):
    table, tidy = confounded(rng)
    pairs = {('a', 'b'): tuple(part for _, part in table.groupby('group'))}
    found = effects.cohort_effects(tidy, pairs, design.of_covariates(['age', 'group']), 'group')
    found = found[found['outcome'] == 'volume_mm3'].set_index(['region', 'adjusted_for'])
    assert found.loc[('same', 'nothing'), 'ci_low'] > 0.5
    assert found.loc[('same', 'age'), 'ci_low'] < 0 < found.loc[('same', 'age'), 'ci_high']
    assert found.loc[('more', 'age'), 'ratio'] == pytest.approx(1.3, abs=0.1)
    assert found.loc[('more', 'age'), 'q'] < 0.01
    assert found.loc[('more', 'age'), 'ci_low'] < np.log(1.3) / 0.2 < found.loc[('more', 'age'), 'ci_high']


def test_codes_may_be_text_in_one_cohort_and_numbers_in_the_other(rng):
    table, tidy = confounded(rng)
    table['sex'] = rng.integers(1, 3, len(table))
    first, second = (part for _, part in table.groupby('group'))
    found = [
        effects.cohort_effects(tidy, {('a', 'b'): (one, second)}, design.of_covariates(['sex']))['g']
        for one in (first, first.assign(sex=first['sex'].astype(str)))
    ]
    pd.testing.assert_series_equal(*found)


def test_a_confounder_may_be_called_cohort(rng):
    table, tidy = confounded(rng)
    table['cohort'] = table['age'] + rng.normal(0, 0.01, len(table))
    tidy = tidy.merge(table[['scan', 'cohort']], on='scan')
    pairs = {('a', 'b'): tuple(part for _, part in table.groupby('group'))}
    columns = design.of_covariates(['cohort', 'age'])
    found = effects.cohort_effects(tidy, pairs, columns).query('outcome == "volume_mm3"')
    found = found.set_index(['region', 'adjusted_for'])
    assert found.loc[('more', 'cohort + age'), 'ratio'] == pytest.approx(1.3, abs=0.1)
    assert found.loc[('same', 'cohort + age'), 'ratio'] == pytest.approx(1, abs=0.1)
    cohorts = dict(zip('ab', pairs['a', 'b'], strict=True))
    at_sites = sites.site_effects(tidy, table, columns, cohorts=cohorts).query('measure == "hedges_g"')
    at_sites = at_sites[at_sites['outcome'] == 'volume_mm3'].set_index('region')
    assert at_sites.loc['more', 'effect'] == pytest.approx(np.log(1.3) / 0.2, abs=0.4)


@pytest.mark.parametrize(('bare', 'usual'), [('age - 1', 'age'), ('0 + sex + age', 'sex + age')])
def test_a_formula_without_intercept_gives_the_same_effects(rng, bare, usual):
    table, tidy = confounded(rng, 80)
    table['sex'] = np.tile(['F', 'M', 'M', 'F'], 20)
    pairs = {('a', 'b'): tuple(part for _, part in table.groupby('group'))}
    one, two = (design.of_formula(text, list(table)) for text in (bare, usual))
    tables = [effects.cohort_effects(tidy, pairs, d, 'group').query('adjusted_for != "nothing"')
              for d in (one, two)]  # fmt: skip
    pd.testing.assert_frame_equal(*(t.drop(columns='adjusted_for') for t in tables))
    tables = [sites.site_effects(tidy, table, d) for d in (one, two)]
    pd.testing.assert_frame_equal(*(t.drop(columns='adjusted_for') for t in tables))
    scans = pd.concat([table.assign(scan=table['scan'] + s, change=c) for s, c in (('x', 0.0), ('y', 0.1))])
    again = regional(
        scans, {'r': 4 + 0.5 * (scans['group'] == 'b') + scans['change'] + rng.normal(0, 0.1, 160)}
    )
    terms = [
        mixed.mixed_models(again.assign(years_since_first_scan=again['change']), d, time=True, cohort='group')
        .query('outcome == "volume_mm3"').set_index('term').loc['group[b]', 'estimate'] for d in (one, two)
    ]  # fmt: skip
    assert terms[0] == pytest.approx(terms[1], abs=1e-3)


def test_why_there_is_no_effect_is_said(rng):
    table = people(rng, 6, group=list('aaabbb'), age=[30.0, 40, 50, np.nan, np.nan, np.nan], sex='F')
    tidy = regional(table, {'r': rng.normal(3, 1, 6), 'flat': np.ones(6)})
    first, second = table.iloc[:3], table.iloc[3:]

    def notes(pair, terms):
        found = effects.cohort_effects(tidy, {('a', 'b'): pair}, terms)
        return found[found['outcome'] == 'volume_mm3'].set_index(['region', 'adjusted_for'])['note']

    found = notes((first, second), design.of_covariates(['age']))
    assert found['r', 'nothing'] == ''
    assert found['flat', 'nothing'] == 'the outcome is constant'
    assert 'has the same value for all' in found['r', 'age']  # of one cohort nobody has an age
    assert 'rests on one person' in notes((first, second.iloc[:1]), None)['r', 'nothing']
    assert 'too few' in notes((first.iloc[:1], second.iloc[:1]), None)['r', 'nothing']
    assert notes((first.iloc[:0], second), None)['r', 'nothing']
    assert notes((first.iloc[:0], second.iloc[:0]), None)['r', 'nothing'] == 'nobody has a value'
    assert 'no column ICV' in notes((first, second), design.of_covariates(['ICV']))['r', 'ICV']
    assert set(notes((first, second), design.of_covariates(['sex'])).index.levels[1]) == {'nothing'}
    formula = design.of_formula('sex + age', ['sex', 'age'])
    assert 'the formula holds' in notes((first, second), formula)['r', 'sex + age']


def test_cohorts_and_covariates_that_explain_the_outcome_exactly_are_not_a_constant_outcome(rng):
    table = people(rng, 8, group=list('aaaabbbb'), score=np.repeat([0.0, 1], 4))
    tidy = regional(table, {'r': np.log1p(np.repeat([0.0, 5], 4)), 'flat': np.ones(8)})
    cohorts = dict(iter(table.groupby('group')))
    found = effects.cohort_effects(tidy, {('a', 'b'): (cohorts['a'], cohorts['b'])})
    row = found.query('outcome == "count"').set_index('region').loc['r']
    assert (row['median_1'], row['median_2'], row['note']) == (0, 5, measures.EXPLAINED)
    assert np.isnan(row['g'])
    assert set(found.query('region == "flat"')['note']) == {measures.CONSTANT}
    at_sites = sites.site_effects(tidy, table, design.of_covariates(['score']), cohorts=cohorts)
    exact = at_sites.query('region == "r" and measure == "fisher_z"')
    assert set(exact['note']) == {measures.EXPLAINED}
    slopes = regression.regress(tidy, ['score']).query('region == "r" and model == "linear"')
    assert set(slopes['note']) == {measures.EXPLAINED}
    assert slopes[['estimate', 'standard_error', 'p']].isna().all(axis=None)


def test_standardised_slopes_and_their_permutation(rng):
    table, tidy = confounded(rng, 60)
    row = regression.regress(tidy, ['age']).query('region == "same" and outcome == "volume_mm3"').iloc[0]
    logs = np.log1p(tidy.loc[tidy['region'] == 'same', 'volume_mm3'])
    assert row['beta'] == pytest.approx(stats.pearsonr(table['age'], logs).statistic)
    assert row['beta_low'] < row['beta'] < row['beta_high']
    assert row['p_permutation'] == 0.001
    assert row['q_permutation'] == 0.001
    counts = regression.regress(tidy, ['age']).query('outcome == "count"')
    assert counts[['beta', 'p_permutation']].isna().all(axis=None)


def test_sites_are_pooled_as_statsmodels_does(rng):
    table, tidy = confounded(rng, 120)
    table['site'] = np.tile(['x', 'y', 'z', 'z'], 30)
    tidy['site'] = tidy['scan'].map(table.set_index('scan')['site'])
    cohorts = dict(iter(table.groupby('group')))
    terms = design.of_covariates(['age', 'site'])
    found = sites.site_effects(tidy, table, terms, site='site', cohorts=cohorts, column='group')
    own = found.query('region == "more" and outcome == "volume_mm3" and contrast == "b - a"').set_index(
        'site'
    )
    assert own['n'].tolist() == [30, 30, 60, 120]
    assert own['adjusted_for'].tolist() == ['age'] * 4
    three = own.loc[['x', 'y', 'z']]
    expected = combine_effects(
        three['effect'].to_numpy(), three['standard_error'].to_numpy() ** 2, method_re='dl'
    )
    mean = expected.mean_effect_re if expected.tau2 > 0 else expected.mean_effect_fe
    assert own.loc['pooled', 'effect'] == pytest.approx(mean)
    assert own.loc['pooled', 'ci_low'] > 0
    slope = found.query('region == "same" and outcome == "volume_mm3" and contrast == "age"').set_index(
        'site'
    )
    here = tidy[(tidy['region'] == 'same') & (tidy['site'] == 'x')]
    r = stats.pearsonr(here['age'], np.log1p(here['volume_mm3'])).statistic
    assert slope.loc['x', 'effect'] == pytest.approx(np.arctanh(r))
    assert slope.loc['x', 'standard_error'] == pytest.approx(1 / np.sqrt(27))
    alone = sites.site_effects(tidy, table, terms, cohorts=cohorts, column='group')
    assert set(alone['site']) == {'all'}


def test_a_site_without_one_cohort_has_a_note(rng):
    table, tidy = confounded(rng, 24)
    table['site'] = ['x'] * 6 + ['y'] * 6 + ['x'] * 12
    cohorts = dict(iter(table.groupby('group')))
    found = sites.site_effects(tidy, table, None, site='site', cohorts=cohorts, column='group')
    assert found.loc[found['site'] == 'y', 'note'].str.contains('cohort has the same value').all()
    assert found.loc[found['site'] == 'pooled', 'note'].eq('1 sites have an effect').all()


def repeated(rng, number=40, growth=0.05):
    """Three scans of each person, two years apart; the second half grow twice as fast."""
    who = np.repeat(np.arange(number), 3)
    years = np.tile([0.0, 2, 4], number)
    is_fast = who >= number // 2
    logs = (
        4 + rng.normal(0, 0.4, number)[who] + growth * years * (1 + is_fast) + rng.normal(0, 0.02, len(who))
    )
    table = pd.DataFrame({
        'scan': [f's{k:03d}' for k in range(len(who))], 'participant_id': [f'sub-{k}' for k in who],
        'group': np.where(is_fast, 'fast', 'slow'), mixed.YEARS: years, 'age': 50.0 + who,
    })  # fmt: skip
    return table, regional(table, {'all': logs})


def test_change_with_time_is_found_by_both_ways(rng):
    table, tidy = repeated(rng)
    found = mixed.mixed_models(tidy, design.of_covariates(['age']), time=True, cohort='group')
    terms = found[found['outcome'] == 'volume_mm3'].set_index('term')
    assert (terms['n_scans'].iloc[0], terms['n_people'].iloc[0]) == (120, 40)
    assert terms['icc'].iloc[0] > 0.9
    assert terms.loc[mixed.YEARS, 'estimate'] == pytest.approx(0.1, abs=0.005)  # of the first cohort, fast
    assert terms.loc[f'{mixed.YEARS}:slow', 'estimate'] == pytest.approx(-0.05, abs=0.007)
    assert terms.loc[mixed.YEARS, 'percent'] == pytest.approx(10.5, abs=0.6)
    assert terms.loc['age', 'q'] > 0.01
    formula = design.of_formula('age + group', ['age', 'group'])
    notes = mixed.mixed_models(tidy, formula, time=True, cohort='group')['note']
    assert notes.str.contains('the formula holds group').all()
    groups = {name: part['participant_id'] for name, part in table.groupby('group')}
    rows = change.change_per_year(tidy, groups).query('outcome == "volume_mm3"').set_index('cohort')
    assert rows['n_people'].tolist() == [40, 20, 20]
    assert rows['mean_years'].tolist() == [4, 4, 4]
    assert 4 < rows.loc['slow', 'percent_per_year'] < 7 < rows.loc['fast', 'percent_per_year'] < 15
    slopes = tidy.groupby('participant_id').apply(lambda t: np.polyfit(t[mixed.YEARS], t['volume_mm3'], 1)[0])
    low, high = stats.t.interval(0.95, 39, slopes.mean(), stats.sem(slopes))
    assert rows.loc['all', 'change_per_year'] == pytest.approx(slopes.mean())
    assert (rows.loc['all', 'ci_low'], rows.loc['all', 'ci_high']) == pytest.approx((low, high))


def test_scans_and_years_of_a_change_are_those_of_the_people_with_a_value(rng):
    table, tidy = repeated(rng)
    later = table['participant_id'].eq('sub-0') & table[mixed.YEARS].eq(4)
    tidy.loc[tidy['scan'].isin(table.loc[later, 'scan']), mixed.YEARS] = 7
    tidy.loc[tidy['scan'].eq('s001'), 'volume_fraction'] = np.nan  # of sub-0, as its region has no volume
    found = change.change_per_year(tidy).set_index('outcome')
    columns = ['n_people', 'n_scans', 'mean_years']
    assert found.loc['volume_fraction', columns].tolist() == [39, 117, 4]
    assert found.loc['count', columns].tolist() == [40, 120, 4.075]


def test_a_cohort_that_is_called_all_is_not_everybody(rng):
    table, tidy = repeated(rng)
    groups = {'all': table.loc[table['group'] == 'fast', 'participant_id'], 'all people': ['sub-0', 'sub-1']}
    rows = change.change_per_year(tidy, groups).query('outcome == "volume_mm3"')
    people = dict(zip(rows['cohort'], rows['n_people'], strict=True))
    assert people == {'all people (2)': 40, 'all': 20, 'all people': 2}
    assert name_of_everybody(['all']) == 'all people'
    assert name_of_everybody(['a', 'b']) == 'all'


def test_few_people_and_single_scans_have_notes(rng):
    table, tidy = repeated(rng, 3)
    assert (
        mixed.mixed_models(tidy, design.of_covariates(['age']), time=True)['note'].str.contains('few').all()
    )
    single = tidy.drop_duplicates('participant_id')
    assert mixed.mixed_models(single, None, time=True)['note'].str.contains('nobody').all()
    assert change.change_per_year(single)['note'].eq('0 people are too few').all()
    flat = tidy.assign(volume_mm3=1.0)
    assert mixed.mixed_models(flat, None, time=True).query('outcome == "volume_mm3"')['note'].item()
    two = tidy[tidy['participant_id'] != 'sub-0']
    assert change.change_per_year(two).query('outcome == "volume_mm3"')['p_permutation'].item() >= 0.5
    assert len(table) == 9


def test_years_are_numbers_or_dates():
    who = pd.Series(['a', 'a', 'b', 'b'])
    ages = mixed.years_since_first(pd.Series([61.5, 60, 70, np.nan]), who)
    np.testing.assert_allclose(ages, [1.5, 0, 0, np.nan])
    dates = pd.Series(['1901-01-01T10:00:00', '1903-01-01', '2000-02-30', '2000-01-01T00:00:00Z'])
    np.testing.assert_allclose(mixed.years_since_first(dates, who), [0, 2, np.nan, 0], atol=0.01)
    compact = pd.Series([20190512, 20210512, np.nan, 20000101])
    np.testing.assert_allclose(mixed.years_since_first(compact, who), [0, 2, np.nan, 0], atol=0.01)
    with refused(messages.TIME_UNIT, naming='--time days'):
        mixed.years_since_first(pd.Series([0, 730, 0, 365], name='days'), who)


def test_table_one_describes_cohorts(rng, monkeypatch):
    monkeypatch.setattr(table_one, 'MOST_LEVELS', 9)
    sexes, ages = list('FFFFFFMMMM'), [20.0, 30, 40, 50, 60, 40, 50, 60, 70, np.nan]
    table = people(rng, 10, sex=sexes, age=ages, count=range(10), name=[f'n{k}' for k in range(10)])
    cohorts = {'all': table.iloc[:5], 'p': table.iloc[5:]}
    found = table_one.table_one(cohorts, table, ('sex', 'age', 'name'), {None: 12, 'all': 7, 'p': 5})
    numbers = found[found['characteristic'] == 'scans'].iloc[0]
    assert numbers[['all', 'cohort_all', 'cohort_p']].tolist() == ['12', '7', '5']
    assert found.columns.tolist() == [
        'characteristic', 'level', 'statistic', 'all', 'cohort_all', 'cohort_p', 'smd', 'test', 'p', 'q',
    ]  # fmt: skip
    cells = found.set_index(['characteristic', 'level', 'statistic'])
    assert cells.loc[('sex', 'F', 'n (%)'), 'all'] == '6 (60 %)'
    assert cells.loc[('sex', 'M', 'n (%)'), 'cohort_p'] == '4 (80 %)'
    assert cells.loc[('sex', 'F', 'n (%)'), 'p'] == pytest.approx(stats.fisher_exact([[5, 1], [0, 4]]).pvalue)
    age = found[found['characteristic'] == 'age'].iloc[0]
    assert age['cohort_all'] == '40.0 (15.8)'
    assert age['p'] == pytest.approx(stats.kruskal(ages[:5], ages[5:9]).pvalue)
    assert age['smd'] == pytest.approx(15 / np.sqrt((250 + 500 / 3) / 2))
    assert found[found['statistic'] == 'n missing'][['all', 'cohort_all']].to_numpy().tolist() == [['1', '0']]
    assert 'name' not in set(found['characteristic'])  # more levels than a table lists
    assert found[found['characteristic'] == 'PVS: number']['all'].item() == '4 [2, 7]'
    alone = table_one.table_one({'this': table.iloc[:1]}, table.iloc[:1], ('sex', 'age'))
    assert list(alone['all']) == ['1', '1 (100 %)', '20.0', '0 [0, 0]']
    assert alone['p'].isna().all()


def test_all_columns_are_described(rng):
    table, tidy = confounded(rng, 20)
    pairs = {('a', 'b'): tuple(part for _, part in table.groupby('group'))}
    assert list(effects.cohort_effects(tidy, pairs)) == list(effects.COLUMNS)
    assert list(regression.regress(tidy, ['age'])) == list(regression.COLUMNS)


def test_pooled_effects_of_a_worked_example():
    # two sites by hand: weights 100 and 25; Q = 20 (0.6 - 0.1)^2 = 5, C = 125 - (100^2 + 25^2) / 125 = 40
    mean, error, i2 = sites._random_effects(np.array([0.1, 0.6]), np.array([0.1, 0.2]))
    weights = 1 / (np.array([0.01, 0.04]) + (5 - 1) / 40)
    assert mean == pytest.approx((weights @ [0.1, 0.6]) / weights.sum())
    assert error == pytest.approx(1 / np.sqrt(weights.sum()))
    assert i2 == pytest.approx(1 - 1 / 5)
    assert sites._random_effects(np.array([0.3, 0.3]), np.array([0.1, 0.2])) == pytest.approx(
        (0.3, 1 / np.sqrt(125), 0)
    )


def test_a_measure_of_the_region_may_be_a_covariate(rng):
    table, tidy = confounded(rng, 60)
    tidy['region_volume_mm3'] = rng.normal(1000, 100, len(tidy))
    both = regression.regress(tidy, ['region_volume_mm3']).query('outcome == "volume_mm3"')
    alone = regression.regress(tidy[tidy['region'] == 'more'], ['region_volume_mm3'])
    assert both['p_permutation'].iloc[1] == alone['p_permutation'].iloc[0]
    pairs = {('a', 'b'): tuple(part.assign(count=1.0) for _, part in table.groupby('group'))}
    found = effects.cohort_effects(tidy, pairs, design.of_covariates(['age', 'count']))
    notes = found[found['adjusted_for'] == 'age'].groupby('outcome')['note'].unique()
    assert notes['count'] == ['the outcome is a covariate']
    assert notes['volume_mm3'] == ['']
