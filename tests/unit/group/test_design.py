"""Terms of a regression: which columns they use, and whether their effects can be told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from pvs_bidsapp.group import design, regression
from pvs_bidsapp.messages import people

ODD = [
    'k"e`y [x] ü',
    'class',
    'x y',
    "it's",
    'C(sex)',
    '1',
    'a.b',
    '{x}',
    'Q("sex")',
    '日本',
    'Intercept',
    'x0_',
]


@pytest.fixture
def table(rng):
    n = 30
    scans = pd.DataFrame({
        'scan': [f's{k}' for k in range(n)], 'age': rng.uniform(20, 90, n).round(1),
        'sex': np.resize(['F', 'M', 'M'], n), 'site': np.resize([1.0, 2, 3, 4], n),
    })  # fmt: skip
    return scans.assign(months=scans['age'] * 12, constant=3, born=2020 - scans['age'])


def known(table):
    return [c for c in table if c != 'scan']


@pytest.mark.parametrize('name', ODD)
def test_columns_may_be_called_anything(table, name):
    terms = design.of_covariates([name, 'age'])
    named = table.assign(**{name: np.resize(['a', 'b'], 30)})
    assert design.check(terms, named) == []
    assert set(terms.matrix(named).columns) == {'Intercept', f'{name}[T.b]', 'age'}
    quoted = design.of_formula(f'Q({name!r}) + age', [*known(table), name])
    assert set(quoted.matrix(named).columns) == {'Intercept', f'{name}[T.b]', 'age'}
    assert quoted.columns in ((name, 'age'), ('age', name))


def test_a_name_of_a_column_is_not_evaluated(table, tmp_path):
    name = f'x)+__import__("pathlib").Path("{tmp_path}/made").touch()#'
    design.check(design.of_covariates([name]), table.assign(**{name: table['age']}))
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize(
    ('covariates', 'named'),
    [
        (['age', 'months'], 'age, months cannot'),
        (['sex', 'born', 'age'], ': born, age cannot'),
        (['sex', 'is_m', 'age'], 'sex[T.M], is_m cannot'),
        (['total', 'age', 'noise'], 'total, age, noise cannot'),
    ],
)
def test_what_follows_from_others_is_refused_by_name(table, rng, covariates, named):
    noise = rng.normal(size=30)
    whole = table.assign(is_m=(table['sex'] == 'M') * 1, noise=noise, total=table['age'] + 2 * noise)
    with refused(people.DESIGN_COLLINEAR, naming=named):
        design.check(design.of_covariates(covariates), whole)
    with refused(people.DESIGN_COLLINEAR, naming='--formula'):
        design.check(design.of_formula(' + '.join(covariates), known(whole)), whole)


def test_what_does_not_vary_is_refused_by_name(table):
    with refused(people.DESIGN_CONSTANT, naming='constant has'):
        design.check(design.of_covariates(['age', 'constant']), table)
    with refused(
        people.DESIGN_CONSTANT, naming='sex has the same value for all 20 people (2 are left out: no age)'
    ):
        design.check(design.of_covariates(['sex']), table[table['sex'] == 'M'], ['no age', 'no age'])
    with refused(people.DESIGN_CONSTANT, naming='I(age > 1)'):
        design.check(design.of_formula('I(age > 1)', known(table)), table)


def test_more_terms_than_people_are_refused(table):
    with refused(people.DESIGN_LARGE, naming='3 terms (age, sex) for 3 people'):
        design.check(design.of_covariates(['age', 'sex']), table.iloc[:3])
    with refused(people.DESIGN_LARGE, naming='0 people (1 are left out: no age)'):
        design.check(design.of_covariates(['age']), table.iloc[:0], ['no age'])
    design.check(design.of_covariates(['age', 'sex']), table.iloc[:4])


def test_a_term_of_one_person_is_refused_with_the_scan(table):
    with refused(people.DESIGN_LONE, naming='smoker rests on one person alone (s4)'):
        design.check(
            design.of_covariates(['smoker', 'age']),
            table.assign(smoker=np.arange(30) == 4).astype({'smoker': int}),
        )


def test_what_nearly_follows_is_told(table, rng):
    near = table.assign(rounded=table['age'].round(0))
    (finding,) = design.check(design.of_covariates(['age', 'rounded']), near)
    assert (finding.code, 'age, rounded' in finding.finding) == ('people-nearly-collinear', True)
    assert design.check(design.of_covariates(['age', 'sex']), table) == []


def test_levels_beside_a_rare_one_are_no_problem(table):
    rare = table.assign(kind=['a'] * 2 + ['b', 'c'] * 14)
    assert design.check(design.of_covariates(['kind']), rare) == []


@pytest.mark.parametrize(
    ('formula', 'columns', 'terms'),
    [
        ('age * sex', {'age', 'sex'}, ['sex[T.M]', 'age', 'age:sex[T.M]']),
        ('C(site)', {'site'}, ['C(site)[T.2.0]', 'C(site)[T.3.0]', 'C(site)[T.4.0]']),
        ('np.log(age) + I(age ** 2)', {'age'}, ['np.log(age)', 'I(age ** 2)']),
        ('0 + sex + age', {'age', 'sex'}, ['sex[F]', 'sex[M]', 'age']),
        ('C(sex, Treatment("M"))', {'sex'}, ['C(sex, Treatment("M"))[T.F]']),
        ('center(age) + C(sex, Sum)', {'age', 'sex'}, ['C(sex, Sum)[S.F]', 'center(age)']),
    ],
)  # fmt: skip
def test_formulas(table, formula, columns, terms):
    made = design.of_formula(formula, known(table))
    assert set(made.columns) == columns
    assert [c for c in made.matrix(table) if c != 'Intercept'] == terms
    assert made.factors == (
        {'site'} if formula == 'C(site)' else columns & {'sex'} if 'C(' in formula else set()
    )


def test_plain_terms_of_a_formula_are_columns_as_they_are():
    formula = 'age * dose + Q("my column") + np.log(eTIV) + ICV:age + C(ICV)'
    found = design.of_formula(formula, ['age', 'ICV', 'eTIV', 'my column', 'dose'])
    assert set(found.plain) == {'age', 'dose', 'my column'}
    assert design.of_covariates(['age', 'sex']).plain == ('age', 'sex')


@pytest.mark.parametrize(
    ('formula', 'name'),
    [
        ('agge', 'agge'), ('exit()', 'exit'), ('age.values', 'age.values'), ('Q("colour")', "'colour'"),
        ('__import__("os").system("true")', "__import__('os').system"), ('I(9 ** 9 ** 9)', '9 ** 9 ** 9'),
        ('np.linalg.norm(age)', 'np.linalg.norm'),
        ('I(age * "a")', "age * 'a'"), ('np', 'np'), ('age[0]', 'age[0]'), ('open', 'open'), ('scan', 'scan'),
        ('Q(age)', 'None'),
    ],
)  # fmt: skip
def test_a_formula_names_columns_and_functions_only(table, formula, name):
    with refused(people.FORMULA_NAME, naming=f'{name} is neither'):
        design.of_formula(formula, known(table))


@pytest.mark.parametrize(
    'formula',
    [
        '',
        ' ',
        '1',
        '0',
        'age +* sex',
        'age + (',
        'y ~ age',
        'age +' + ' age +' * 500,
        '"',
        'age\x00',
        '(' * 1000,
    ],
)
def test_what_is_no_formula_is_refused_in_one_line(table, formula):
    with refused(people.FORMULA, naming='--formula'):
        design.of_formula(formula, known(table))


def test_a_formula_that_gives_no_number_is_refused_with_the_scan(table):
    made = design.of_formula('np.log(age - 50)', known(table))
    with refused(people.FORMULA, naming='it gives no number for s'):
        design.check(made, table)


def regional(table, rng):
    parts = []
    for region in ('here', 'there'):
        volume = np.exp(rng.normal(3, 0.3, len(table)))
        parts.append(table.assign(
            participant_id=table['scan'], region=region, hemisphere='both', volume_mm3=volume,
            volume_fraction=volume / 1e4, count=rng.negative_binomial(5, 0.2, len(table)),
        ))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_a_region_where_effects_cannot_be_told_apart_has_a_note_and_no_numbers(table, rng):
    tidy = regional(table, rng)
    lost = (tidy['region'] == 'there') & (tidy['sex'] == 'F')
    tidy.loc[lost, ['volume_fraction']] = np.nan
    result = regression.regress(tidy, ['age', 'sex'])
    bad = result[(result['region'] == 'there') & (result['outcome'] == 'volume_fraction')]
    assert bad['note'].str.contains('sex has the same value for all 20 people').all()
    assert bad[['estimate', 'p', 'standard_error']].isna().all(axis=None)
    assert bad['n'].tolist() == [20]
    assert result.drop(bad.index)['estimate'].notna().all()
    left_out = regression.without_values(tidy, design.of_covariates(['age', 'sex']))
    assert {e.scan for e in left_out} == set(table.loc[table['sex'] == 'F', 'scan'])
    assert {e.analysis for e in left_out} == {'regression of volume_fraction in there (both)'}
    assert {e.reason for e in left_out} == {'no volume_fraction'}


def test_collinear_terms_never_have_numbers(table, rng):
    result = regression.regress(regional(table, rng), ['age', 'months'])
    assert result['estimate'].isna().all()
    assert result['note'].str.contains('age, months cannot be told apart').all()


def test_without_an_intercept_counts_agree_with_statsmodels(table, rng):
    import statsmodels.formula.api as smf

    tidy = regional(table, rng).query('region == "here"')
    found = regression.regress(tidy, design.of_formula('0 + sex + age', known(table)))
    found = found[found['outcome'] == 'count'].set_index('term')['estimate']
    expected = (
        smf.negativebinomial('count ~ 0 + sex + age', tidy).fit(method='bfgs', maxiter=2000, disp=0).params
    )
    assert found['sex[F]'] == pytest.approx(expected['sex[F]'], abs=0.02)
    assert found['age'] == pytest.approx(expected['age'], abs=1e-3)


def test_an_outcome_is_no_covariate_of_itself(table, rng):
    result = regression.regress(regional(table, rng), ['volume_mm3'])
    notes = result.set_index('outcome')['note']
    assert notes['volume_mm3'].str.contains('the outcome is a covariate').all()
    assert (notes['count'] == '').all()
