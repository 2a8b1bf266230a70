"""Cohort statistics against scipy, statsmodels, worked examples and known effects."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.discrete.discrete_model import Poisson
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.tools import add_constant

from pvs_bidsapp.evaluation.agreement import agreement
from pvs_bidsapp.group import distributions, maps, quality, ratings, regression


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def cohort(rng, n, shift=0.0, age=(60, 8)):
    counts = np.exp(rng.normal(3.5 + shift, 0.6, n)).round()
    return pd.DataFrame({
        'age': rng.normal(*age, n).round(1), 'sex': rng.choice(['F', 'M'], n),
        'count_0': counts, 'count_5': np.floor(counts / 2),
    })  # fmt: skip


def test_kolmogorov_smirnov_agrees_with_scipy(rng):
    cohorts = {'a': cohort(rng, 60), 'b': cohort(rng, 70, 0.4), 'c': cohort(rng, 50)}
    table = distributions.compare(cohorts, (0, 5))
    assert len(table) == 6
    row = table[(table.cohort_1 == 'a') & (table.cohort_2 == 'b') & (table.size_filter_mm3 == 5)].iloc[0]
    expected = stats.ks_2samp(cohorts['a']['count_5'], cohorts['b']['count_5'])
    assert row['d'] == pytest.approx(expected.statistic, abs=1e-9)
    assert row['p'] == pytest.approx(expected.pvalue, abs=1e-9)
    part = table[table.size_filter_mm3 == 5].sort_values('p')
    assert part['p_holm'].iloc[0] == pytest.approx(min(1, 3 * part['p'].iloc[0]))


def test_without_a_difference_p_is_uniform(rng):
    names = [f'count_{k}' for k in range(1000)]  # a thousand pairs in one call, coprime sizes: few ties in p
    a, b = (pd.DataFrame(rng.normal(size=(n, 1000)), columns=names) for n in (89, 97))
    values = distributions.compare({'a': a, 'b': b}, range(1000))['p'].to_numpy()
    false = int((values < 0.05).sum())
    low, high = stats.binom.ppf((0.025, 0.975), 1000, 0.05)
    assert low <= false <= high
    assert stats.kstest(values, 'uniform').pvalue > 1e-3


def test_matched_cohorts_agree_in_age_and_sex(rng):
    young, old = cohort(rng, 80, age=(50, 8)), cohort(rng, 120, age=(60, 8))
    one, two = distributions.match(young, old, ('age', 'sex'))
    assert len(one) == len(two) > 40
    assert (one['sex'].to_numpy() == two['sex'].to_numpy()).all()
    assert np.abs(one['age'].to_numpy() - two['age'].to_numpy()).max() <= distributions.CALIPER
    none, _ = distributions.match(young, old.assign(sex='X'), ('age', 'sex'))
    assert none.empty


def test_small_and_empty_cohorts_are_no_error():
    few = pd.DataFrame({'count_0': [1.0, 2, 3]})
    table = distributions.compare({'a': few, 'b': few.iloc[:0]}, (0,))
    assert np.isnan(table['p'].iloc[0])
    assert distributions.compare({'a': few, 'b': few}, (0,))['d'].iloc[0] == 0


def graded(rng, n=400, slope=0.03):
    number = pd.Series(rng.lognormal(4, 0.7, n).round())
    latent = slope * number + rng.logistic(size=n)
    return number, pd.Series(np.digitize(latent, (0.5, 2.0, 4.0)))


def test_ordinal_regression_agrees_with_statsmodels_and_finds_the_slope(rng):
    number, grade = graded(rng)
    found = ratings.fit(number, grade)
    model = OrderedModel(
        pd.Series(pd.Categorical(grade, ordered=True)), pd.DataFrame({'n': number}), distr='logit'
    )
    expected = model.fit(method='newton', disp=False, maxiter=200)
    assert found.coefficient == pytest.approx(expected.params['n'], abs=1e-6)
    assert found.standard_error == pytest.approx(expected.bse['n'], rel=1e-3)
    assert abs(found.coefficient - 0.03) < 2.6 * found.standard_error
    assert found.r2_mcfadden == pytest.approx(expected.prsquared, abs=1e-6)
    assert found.confusion.to_numpy().sum() == 400
    assert found.p_proportional > 0.001


def test_pseudo_r2_of_a_worked_example():
    # UCLA: null -115.64441, fitted -99.99 ... by hand: n = 200, ll0 = -115.644, ll = -80.118
    nagelkerke, mcfadden, cox_snell = ratings.pseudo_r2(-80.118, -115.644, 200)
    assert mcfadden == pytest.approx(1 - 80.118 / 115.644, abs=1e-9)
    assert cox_snell == pytest.approx(1 - np.exp(-2 * 35.526 / 200), abs=1e-9)
    assert nagelkerke == pytest.approx(cox_snell / (1 - np.exp(-2 * 115.644 / 200)), abs=1e-9)


def test_disproportional_odds_are_seen(rng):
    n = 800
    x = rng.normal(size=n)
    low = rng.random(n) < 1 / (1 + np.exp(-3 * x))
    high = low & (rng.random(n) < 0.5)  # the upper cut does not depend on x
    found = ratings.fit(pd.Series(x), pd.Series(low.astype(int) + high))
    assert found.p_proportional < 1e-3


@pytest.mark.parametrize(
    ('number', 'grade', 'word'),
    [
        ([1, 2, 3, 4], [1, 1, 1, 1], 'one level'),
        ([2, 2, 2, 2], [0, 1, 2, 1], 'same number'),
        ([1, 2, 10, 20], [0, 0, 3, 3], 'separates the grades'),
        ([0, 0, 0, 0, 0, 3], [0, 1, 0, 1, 0, 1], 'separates the grades'),  # ties at the border
        ([0, 0, 0, 0, 0, 3], [1, 0, 1, 0, 1, 0], 'separates the grades'),
        ([1, 2, 5, 5, 6, 7, 9, 9, 10, 12], [0, 0, 0, 1, 1, 1, 1, 2, 2, 2], 'separates the grades'),
        ([], [], 'one level'),
    ],
)
def test_what_cannot_be_fitted_is_said(number, grade, word):
    assert word in ratings.fit(pd.Series(number, dtype=float), pd.Series(grade, dtype=float)).note


def test_a_rating_model_that_is_stopped_early_has_no_estimate(rng, monkeypatch):
    number, grade = graded(rng, 40)
    assert ratings.fit(number, grade).note == ''
    fit = ratings.OrderedModel.fit
    monkeypatch.setattr(ratings.OrderedModel, 'fit', lambda self, **k: fit(self, **(k | {'maxiter': 2})))
    assert ratings.fit(number, grade).note == 'the fit did not converge'


def test_ratings_have_estimates_up_to_the_border_of_separation():
    found = ratings.fit(pd.Series([1.0, 2, 3, 4, 3, 4, 5, 6]), pd.Series([0, 0, 0, 0, 1, 1, 1, 1]))
    assert found.note == ''
    assert found.standard_error < 5


def test_a_level_that_nobody_has_is_no_error(rng):
    number, grade = graded(rng)
    found = ratings.fit(number, grade.replace({1: 0}))
    assert found.levels == (0, 2, 3)
    assert np.isfinite(found.coefficient)


def regional(rng, n=300):
    people = pd.DataFrame({
        'scan': [f's{k}' for k in range(n)], 'age': rng.uniform(20, 90, n), 'sex': rng.choice(['F', 'M'], n),
    })  # fmt: skip
    parts = []
    for region, slope in (('deep white matter', 0.02), ('midbrain', 0.0)):
        mean = np.exp(3 + slope * people['age'])
        count = rng.negative_binomial(5, 5 / (5 + mean))
        volume = np.expm1(2 + slope * people['age'] + rng.normal(0, 0.4, n))
        parts.append(people.assign(
            region=region, hemisphere='both', count=count, volume_mm3=volume, volume_fraction=volume / 1e5,
        ))  # fmt: skip
    return pd.concat(parts)


def test_regression_recovers_the_slopes(rng):
    table = regression.regress(regional(rng), ['age', 'sex'])
    age = table[table.term == 'age']
    for region, slope in (('deep white matter', 0.02), ('midbrain', 0.0)):
        for row in age[age.region == region].itertuples():
            assert row.ci_low - 0.002 <= slope <= row.ci_high + 0.002, row
    assert age.loc[age.region == 'deep white matter', 'q'].max() < 1e-6
    assert (age['q'] >= age['p'] - 1e-12).all()


def test_linear_regression_agrees_with_a_worked_example():
    # Longley-like by hand: y = 1 + 2 x, residuals known; HC3 of statsmodels checked by its formula
    x = np.array([0.0, 1, 2, 3, 4, 5])
    y = np.expm1(np.array([1.1, 2.9, 5.2, 6.8, 9.1, 10.9]) / 10)
    part = pd.DataFrame({'scan': range(len(x)), 'x': x,
                         'volume_mm3': y, 'volume_fraction': y, 'count': [1, 2, 3, 4, 5, 6],
                         'region': 'all', 'hemisphere': 'both'})  # fmt: skip
    row = regression.regress(part, ['x']).iloc[0]
    design = np.column_stack([np.ones(6), x])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ np.log1p(y)
    residual = np.log1p(y) - design @ beta
    leverage = np.einsum('ij,jk,ik->i', design, inverse, design)
    hc3 = inverse @ (design.T * (residual / (1 - leverage)) ** 2) @ design @ inverse
    assert row.estimate == pytest.approx(beta[1], abs=1e-9)
    assert row.standard_error == pytest.approx(np.sqrt(hc3[1, 1]), abs=1e-9)


def test_zero_and_few_are_said(rng):
    data = regional(rng, 40)
    data.loc[data.region == 'midbrain', ['count', 'volume_mm3', 'volume_fraction']] = 0
    notes = regression.regress(data, ['age']).query('region == "midbrain"')['note']
    assert notes.str.contains('constant').all()
    few = regression.regress(regional(rng, 2), ['age'])
    assert few['note'].str.len().gt(0).all()
    with pytest.raises(KeyError, match='ICV'):
        regression.regress(data, ['ICV'])


def counted(count, **covariates):
    """One region, of whose outcomes only the counts vary."""
    return pd.DataFrame({
        'scan': range(len(count)), 'region': 'all', 'hemisphere': 'both', 'count': count,
        'volume_mm3': 1.0, 'volume_fraction': 1.0,
    } | covariates)  # fmt: skip


@pytest.mark.parametrize('count', [[0] * 7 + [1] + [0] * 22, [0, 2] * 15, [0, 3, 0, 8, 0, 1] * 5])
def test_a_level_without_any_pvs_has_no_finite_estimate(count):
    row = regression.regress(counted(count, sex=['F', 'M'] * 15), ['sex']).query('outcome == "count"').iloc[0]
    assert row['note'] == regression.SEPARATED
    assert row[['estimate', 'standard_error', 'p']].isna().all()


def test_low_counts_have_estimates():
    # a single categorical term: the estimate is the logarithm of the ratio of the means, 0.1 and 0.3
    count = [1] + [0] * 9 + [1, 1, 1] + [0] * 7
    row = regression.regress(counted(count, sex=['F'] * 10 + ['M'] * 10), ['sex']).query('outcome == "count"')
    assert row['estimate'].item() == pytest.approx(np.log(3), abs=1e-3)
    assert row['note'].item() == ''


def test_counts_that_spread_no_more_than_a_poisson_distribution_have_estimates():
    x = np.arange(20)  # the optimizer reports a failure, as the overdispersion goes to 0
    part = counted(np.round(100 * np.exp(0.05 * x)), x=x)
    row = regression.regress(part, ['x']).query('outcome == "count"')
    assert row['estimate'].item() == pytest.approx(0.05, abs=2e-4)
    assert row['note'].item() == ''


def test_counts_that_spread_less_than_a_poisson_distribution_have_the_r2_of_its_model(rng):
    count, x = rng.binomial(8, 0.5, 40), rng.normal(size=40)
    row = regression.regress(counted(count, x=x), ['x']).query('outcome == "count"')
    poisson = Poisson(count, add_constant(x)).fit(disp=0)
    assert count.var() < 0.8 * count.mean()
    assert row['r2'].item() == pytest.approx(poisson.prsquared, abs=1e-4)


def test_a_count_model_that_is_stopped_early_has_no_estimate(monkeypatch):
    fit, x = regression.NegativeBinomial.fit, np.arange(12)
    monkeypatch.setattr(
        regression.NegativeBinomial, 'fit', lambda self, **k: fit(self, **(k | {'maxiter': 1}))
    )
    part = counted([2, 40, 11, 30] * 3, x=x)
    note = regression.regress(part, ['x']).query('outcome == "count"')['note'].item()
    assert note == 'no estimate: the fit did not converge'


def test_icc_of_the_published_example():
    # Shrout & Fleiss 1979, table 2, judges 1 and 4 of six targets: ICC(2,1) worked by their formula
    first, second = np.array([9, 6, 8, 7, 10, 6.0]), np.array([8, 2, 6, 5, 9, 7.0])
    found = agreement(first, second)
    pairs = np.column_stack([first, second])
    rows = 2 * pairs.mean(1).var(ddof=1)
    columns = 6 * pairs.mean(0).var(ddof=1)
    error = (((pairs - pairs.mean(1)[:, None] - pairs.mean(0) + pairs.mean()) ** 2).sum()) / 5
    assert found.icc == pytest.approx((rows - error) / (rows + error + 2 * (columns - error) / 6), abs=1e-9)
    assert found.icc_low < found.icc < found.icc_high
    assert found.bias == pytest.approx((second - first).mean())
    assert found.limit_high - found.bias == pytest.approx(1.96 * (second - first).std(ddof=1))


def test_outliers_are_found(rng):
    totals = pd.DataFrame({
        'scan': [f's{k}' for k in range(50)], 'count': rng.poisson(60, 50),
        'volume_mm3': rng.normal(400, 40, 50), 'region_volume_mm3': np.full(50, 4e5),
    })  # fmt: skip
    totals.loc[7, 'volume_mm3'] = 9000
    listed = quality.outliers(totals)
    assert listed['scan'].iloc[0] == 's7'
    assert listed['measure'].iloc[0] == 'volume_mm3'


def test_the_first_two_scans_of_a_person_are_compared():
    totals = pd.DataFrame({'participant_id': list('aabbccd'), 'scan': [f's{k}' for k in range(7)],
                           'count': [5, 6, 9, 9, 1, 2, 7], 'volume_mm3': [5, 6, 9, 9, 1, 2, 7]})  # fmt: skip
    table = quality.repeated(totals)
    assert table['n'].tolist() == [3, 3]
    assert table['bias'].iloc[0] == pytest.approx(2 / 3)
    assert quality.repeated(totals.drop_duplicates('participant_id')).empty


def test_a_line_is_found_where_it_is():
    shape, affine = maps.coarse_grid((97, 115, 97), np.diag([1.0, 1, 1, 1]))
    table = pd.DataFrame([[40, 50, 30, 0, 0, 1, 20]], columns=maps.COLUMNS)
    scans = maps.voxels_of(table, np.array([1]), 3, shape, affine)
    assert [len(s) > 0 for s in scans] == [False, True, False]
    share = maps.frequency(scans[:2], shape)
    peak = np.unravel_index(share.argmax(), shape)
    world = np.array(peak) @ affine[:3, :3].T + affine[:3, 3]
    assert np.abs(world[:2] - (40, 50)).max() < 2
    assert share[peak[0], peak[1], peak[2]] > 3 * share[peak[0] + 3, peak[1], peak[2]]
    assert 0 < share.max() <= 0.5


def test_published_examples_are_reproduced():
    # tonsil size of carriers of Streptococcus pyogenes, McCullagh 1980
    # (doi:10.1111/j.2517-6161.1980.tb01109.x): log odds ratio 0.603, standard error 0.225
    sizes = [(0, (497, 560, 269)), (1, (19, 29, 24))]
    rows = [(carrier, grade) for carrier, counts in sizes for grade, n in enumerate(counts) for _ in range(n)]
    frame = pd.DataFrame(rows, columns=['carrier', 'size'])
    found = ratings.fit(frame['carrier'], frame['size'])
    assert found.coefficient == pytest.approx(0.603, abs=0.0015)
    assert found.standard_error == pytest.approx(0.225, abs=0.003)
    # Anscombe 1973, first set: slope 0.5001, R2 0.6665
    x = np.array([10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5.0])
    y = np.array([8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68])
    part = pd.DataFrame({'scan': range(len(x)), 'x': x,
                         'volume_mm3': np.expm1(y), 'volume_fraction': y, 'count': np.arange(11),
                         'region': 'all', 'hemisphere': 'both'})  # fmt: skip
    row = regression.regress(part, ['x']).iloc[0]
    assert row.estimate == pytest.approx(0.5001, abs=5e-5)
    assert row.r2 == pytest.approx(0.6665, abs=5e-5)


@pytest.mark.filterwarnings('error')
def test_a_check_of_proportional_odds_that_does_not_converge_is_none():
    number, grade = pd.Series([15.0, 104, 16, 159, 12]), pd.Series([0, 1, 1, 1, 2])
    assert np.isnan(ratings.fit(number, grade).p_proportional)


def test_the_map_takes_the_voxels_of_a_mask():
    shape, affine = maps.coarse_grid((40, 40, 40), np.eye(4))
    mask = np.zeros((40, 40, 40), bool)
    mask[10:12, 10, 10] = mask[30, 30, 30] = True
    flat = maps.voxels_of_mask(mask, np.eye(4), shape, affine)
    places = np.stack(np.unravel_index(flat, shape), 1)
    np.testing.assert_array_equal(places, [[5, 5, 5], [15, 15, 15]])
