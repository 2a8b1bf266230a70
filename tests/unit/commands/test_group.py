"""The group level on tables of a simulated cohort: columns, designs, exclusions, and what is refused."""

from __future__ import annotations

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from refusals import refused

from pvs_bidsapp.anatomy.template import SPACE
from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.commands.group import run_group
from pvs_bidsapp.errors import InputError
from pvs_bidsapp.group.results import GroupOptions
from pvs_bidsapp.messages import people
from pvs_bidsapp.outputs.cohort import map_grid
from pvs_bidsapp.outputs.group import describe_map
from pvs_bidsapp.simulation.cohort import Effects
from pvs_bidsapp.testing import write_cohort

NUMBER = 24


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp('cohort')
    write_cohort(root, NUMBER, Effects(), seed=3)
    return root


class Study:
    """A dataset and its results, of which participants.tsv may be changed."""

    def __init__(self, root):
        self.bids, self.out = root / 'bids', root / 'out'
        self.table = pd.read_csv(self.bids / 'participants.tsv', sep='\t', dtype=str)

    def run(self, described=None, **options):
        rows = [self.table.columns.tolist(), *self.table.fillna('n/a').to_numpy().tolist()]
        text = '\n'.join('\t'.join(map(str, row)) for row in rows) + '\n'
        (self.bids / 'participants.tsv').write_text(text, encoding='utf-8')
        if described is not None:
            (self.bids / 'participants.json').write_text(json.dumps(described))
        self.outcome = run_group(GroupOptions(bids_dir=self.bids, out_dir=self.out, **options))
        return self.outcome.page

    def read(self, name):
        return pd.read_csv(self.out / f'group_{name}.tsv', sep='\t', na_values='n/a', keep_default_na=False)

    def sidecar(self, name):
        return json.loads((self.out / f'group_{name}.json').read_text())

    def left_out(self, analysis):
        table = self.read('exclusions')
        part = table[table['analysis'] == analysis]
        return dict(zip(part['participant_id'], part['reason'], strict=True))

    def ids(self, *numbers):
        return [f'sub-{k:05d}' for k in numbers]


@pytest.fixture
def study(source, tmp_path, monkeypatch):
    """A copy of the cohort; without maps and most permutations, which take most of the time."""
    root = tmp_path / 'study'
    shutil.copytree(source, root)
    description = root / 'out' / 'dataset_description.json'
    description.write_text(description.read_text().replace(str(source), str(root)))
    monkeypatch.setattr('pvs_bidsapp.commands.group._maps', lambda cohorts, voxels: {})
    monkeypatch.setattr('pvs_bidsapp.group.permutation.MOST', 99)
    monkeypatch.setattr('pvs_bidsapp.group.permutation.FEWEST', 99)
    return Study(root)


OURS = [
    'ICV', 'count', 'region', 'hemisphere', 'volume_mm3', 'scan', 'table', 'session_id', 'count_5',
    'count_p0.7', 'dwm_count', 'mean_length_mm',
]  # fmt: skip


def test_columns_that_are_called_like_ours_keep_their_values_under_another_name(study):
    for name in OURS:
        study.table[name] = [f'{name}{k % 3}' for k in range(NUMBER)]
    study.table['ICV'] = [str(1412345 + k) for k in range(NUMBER - 1)] + ['n/a']
    study.table['participants_count'] = 'own'
    page = study.run(covariates=('age', 'ICV'))
    scans = study.read('scans')
    assert scans['ICV'].between(5e5, 2e6).all()
    assert scans['participants_ICV'].dropna().tolist() == [1412345 + k for k in range(NUMBER - 1)]
    assert scans['participants_participants_count'].tolist() == [f'count{k % 3}' for k in range(NUMBER)]
    assert scans['participants_count'].tolist() == ['own'] * NUMBER
    assert (scans['count'] > 0).all()
    described = study.sidecar('scans')
    assert 'column ICV of participants.tsv' in described['participants_ICV']['Description']
    assert {f['Code'] for f in described['Findings']} == {'people-column-taken'}
    assert len(described['Findings']) == len(OURS)
    text = page.read_text()
    assert (
        'its column ICV has the name of a column of the results and is called participants_ICV here' in text
    )
    with refused(people.NO_COLUMN, naming='which is called participants_region here'):
        study.run(covariates=('region',))
    study.run(covariates=('participants_ICV',))
    assert study.left_out('regression') == {study.ids(23)[0]: 'no participants_ICV'}


def test_outliers_are_told_by_the_formula_in_their_sidecar(study):
    study.run()
    listed = study.read('outliers').query('measure == "count"')
    logs = np.log1p(study.read('scans').set_index('scan')['count'])
    expected = 0.6745 * (logs - logs.median()) / (logs - logs.median()).abs().median()
    assert dict(zip(listed['scan'], listed['robust_z'], strict=True)) == pytest.approx(
        expected[expected.abs() > 3.5].to_dict(), rel=1e-3
    )
    assert 'x is log(1 + value)' in study.sidecar('outliers')['robust_z']['Description']


def test_sidecars_describe_the_columns_that_their_tables_have(study):
    study.run(covariates=('age',))
    for name in ('scans', 'regions', 'summary', 'regression'):
        described = {key for key, entry in study.sidecar(name).items() if 'Description' in entry}
        assert described == set(study.read(name)), name


ODD = ['k"e`y [x] ü', 'class', "it's", '{0}', '日本', 'Q("age")']


@pytest.mark.parametrize('name', ODD)
def test_columns_may_be_called_anything_in_every_option(study, name):
    study.table[name] = study.table['sex']
    study.run(cohort=name, match=('age',), covariates=(name, 'age'))
    terms = study.read('regression')['term'].unique()
    assert f'{name}[T.M]' in terms
    assert set(study.read('comparison')['cohort_1']) == {'F'}
    study.run(cohort='site', match=(name,))
    assert study.sidecar('comparison')['Matching'] == {name: 'equal (text)'}


def test_a_dash_is_no_sex(study):
    study.table.loc[[3, 7], 'sex'] = '-'
    study.run(covariates=('age', 'sex'), cohort='sex')
    regression = study.read('regression')
    assert set(regression['term']) == {'age', 'sex[T.M]'}
    assert set(regression['n']) == {NUMBER - 2}
    assert study.left_out('regression') == dict.fromkeys(study.ids(3, 7), 'no sex')
    assert study.left_out('comparison') == dict.fromkeys(study.ids(3, 7), 'no sex')
    assert set(study.read('comparison')['cohort_2']) == {'M'}


def test_the_only_person_with_a_level_is_left_out_and_named(study):
    study.table.loc[5, 'sex'] = 'X'
    study.table.loc[9, 'site'] = 'elsewhere'
    page = study.run(covariates=('sex', 'site'), cohort='site')
    assert set(study.read('regression')['n']) == {NUMBER - 2}
    assert study.left_out('regression') == {
        study.ids(5)[0]: 'the only one with sex X', study.ids(9)[0]: 'the only one with site elsewhere',
    }  # fmt: skip
    assert study.left_out('comparison') == {study.ids(9)[0]: 'the only one with site elsewhere'}
    text = page.read_text()
    assert 'the only one with sex X' in text
    assert 'regression: 2 (' in text


def test_designs_that_cannot_be_fitted_are_refused_before_anything_is_written(study):
    study.table['months'] = [f'{12 * float(a):.1f}' for a in study.table['age']]
    study.table['constant'] = '1'
    study.table['name'] = [f'n{k}' for k in range(NUMBER)]
    with refused(people.DESIGN_COLLINEAR, naming='age, months'):
        study.run(covariates=('age', 'months', 'sex'))
    with refused(people.DESIGN_COLLINEAR, naming='age, months'):
        study.run(formula='age * sex + months')
    with refused(people.DESIGN_CONSTANT, naming='constant'):
        study.run(covariates=('age', 'constant'))
    with refused(people.DESIGN_LARGE, naming='the only one with name n0'):
        study.run(covariates=('name',))
    with refused(people.TWO_DESIGNS):
        study.run(covariates=('age',), formula='age')
    with refused(people.FORMULA_NAME, naming='agge'):
        study.run(formula='agge')
    with refused(people.FORMULA):
        study.run(formula='')
    assert not list(study.out.glob('group*'))


def test_an_infinite_value_counts_as_missing(study):
    study.table.loc[0, 'age'] = 'inf'
    study.run(covariates=('age',))
    assert study.left_out('regression') == {study.ids(0)[0]: 'no age'}
    assert np.isfinite(study.read('regression')['estimate']).all()


def test_levels_make_a_covariate_categorical_and_a_rule_for_matching(study):
    study.table['dx'] = [str(k % 3 + 1) for k in range(NUMBER)]
    study.table['visits'] = [str(20 + k) for k in range(NUMBER)]
    study.table['age'] = [str(30 + k // 2) for k in range(NUMBER)]
    page = study.run(covariates=('dx',))
    assert set(study.read('regression')['term']) == {'dx'}
    assert '3 different whole numbers are used as numbers, not as codes' in page.read_text()
    described = {'dx': {'Levels': {'1': 'healthy', '2': 'ill', '3': 'very ill'}}}
    page = study.run(described, covariates=('dx',), cohort='sex', match=('dx', 'age', 'visits'))
    assert set(study.read('regression')['term']) == {'dx[T.2]', 'dx[T.3]'}
    rules = study.sidecar('comparison')['Matching']
    assert rules['dx'] == 'equal (codes, as participants.json has Levels)'
    assert rules['age'] == 'may differ by at most 5 (a measurement)'
    assert rules['visits'].startswith('may differ by at most 5 (24 different whole numbers')
    text = page.read_text()
    assert 'dx (equal (codes, as participants.json has Levels))' in text
    assert 'are used as numbers' not in text


def test_codes_are_never_matched_within_five_years(study):
    study.table['centre'] = [str(k) for k in range(NUMBER)]  # everybody at another one
    study.run(cohort='sex', match=('centre',))
    assert set(study.read('comparison')['n_1']) == {0}
    reasons = study.left_out('comparison of F with M')
    assert len(reasons) == NUMBER
    assert set(reasons.values()) == {'no partner in F', 'no partner in M'}


def test_every_number_of_people_is_explained(study):
    study.table.loc[0, 'age'], study.table.loc[1, 'rating'] = None, None
    study.table = study.table.drop(index=2)
    study.table.loc[99] = ['sub-nobody', '50', 'F', 's1', '1']
    study.run(covariates=('age', 'sex'), rating='rating', cohort='sex', match=('age',))
    gone = {study.ids(2)[0]: 'no sex (not in participants.tsv)'}
    assert study.left_out('all') == {'sub-nobody': 'in participants.tsv, but without a scan'}
    assert study.read('rating')['n'].tolist() == [NUMBER - 2] * 4
    assert study.left_out('rating') == {
        study.ids(1)[0]: 'no rating', study.ids(2)[0]: 'no rating (not in participants.tsv)',
    }  # fmt: skip
    assert set(study.read('regression')['n']) == {NUMBER - 2}
    assert study.left_out('regression') == {
        study.ids(0)[0]: 'no age', study.ids(2)[0]: 'no age and no sex (not in participants.tsv)',
    }  # fmt: skip
    assert study.left_out('comparison') == gone | {study.ids(0)[0]: 'no age'}
    comparison = study.read('comparison').iloc[0]
    unmatched = study.left_out('comparison of F with M')
    assert comparison['n_1'] + comparison['n_2'] + len(unmatched) + 2 == NUMBER


def test_failed_sessions_and_third_scans_are_counted(source, tmp_path):
    root = tmp_path / 'study'
    write_cohort(root, 4, Effects(), seed=3, sessions=3)
    study = Study(root)
    out, gone = study.out, study.ids(1)[0]
    shutil.rmtree(out / gone / 'ses-1')
    (out / 'logs').mkdir()
    (out / 'logs' / f'{gone}_ses-1_failure.json').write_text(
        json.dumps({'scan': 'x', 'reason': '</script><script>alert(1)</script>'})
    )
    page = study.run().read_text()
    assert len(study.read('scans')) == 11
    assert study.left_out('all') == {gone: '</script><script>alert(1)</script>'}
    assert '&lt;/script&gt;&lt;script&gt;alert(1)' in page
    assert 'alert(1)</script>' not in page
    later = study.read('exclusions').query('analysis == "tests and models"')
    assert later.set_index('scan')['reason'][f'{gone}_ses-3'] == f'{gone}_ses-2 of the same person is used'
    assert len(later) == 7
    third = study.read('exclusions').query('analysis == "agreement of two scans"')
    assert third['scan'].tolist() == [f'{who}_ses-3' for who in study.ids(0, 2, 3)]
    assert study.read('repeated')['n'].tolist() == [4, 4]


def test_identifiers_that_match_nobody(study):
    study.table['participant_id'] = [f'{k}' for k in range(NUMBER)]
    page = study.run()
    text = page.read_text()
    assert 'nobody in it has results; it lists sub-0, sub-1' in text
    assert 'sub-00001 may be its sub-1' in text
    assert study.read('scans')['age'].isna().all()
    for options in ({'covariates': ('age',)}, {'cohort': 'sex'}, {'rating': 'rating'}, {'formula': 'age'}):
        with refused(people.NOBODY, naming='sub-00001 may be its sub-1'):
            study.run(**options)


def test_some_identifiers_that_match_nobody_are_named(study):
    study.table.loc[1, 'participant_id'] = 'SUB-1'
    study.run(covariates=('age',))
    findings = study.sidecar('scans')['Findings']
    assert [f['Code'] for f in findings] == ['people-unknown']
    assert 'sub-00001; sub-00001 may be its sub-1' in findings[0]['Finding']
    assert study.left_out('regression') == {study.ids(1)[0]: 'no age (not in participants.tsv)'}


def test_columns_that_are_not_there_are_refused_with_those_that_are(study):
    with refused(people.NO_COLUMN, naming='--cohort colour'):
        study.run(cohort='colour')
    with refused(people.NO_COLUMN, naming='there are: ICV, age, sex, site, rating'):
        study.run(cohort='sex', match=('colour',))
    with refused(people.NO_COLUMN, naming='--harmonize count'):
        study.run(harmonize='count', covariates=('age',))


def test_options_that_cannot_be_done(study):
    with refused(people.MATCHED_ON_COHORT, naming='--match sex'):
        study.run(cohort='sex', match=('sex',))
    with refused(people.RATING_WORDS, naming='F, M'):
        study.run(rating='sex')
    with refused(people.RATING_MANY, naming='--rating age'):
        study.run(rating='age')
    with refused(people.HARMONIZED_ALONE, naming='--harmonize site'):
        study.run(harmonize='site')
    with refused(people.SITE_ALONE, naming='--site site'):
        study.run(site='site')


def test_terms_of_a_formula_have_effects_by_site(study):
    study.table['sex'], study.table['site'] = ['F', 'M'] * 12, ['x'] * 12 + ['y'] * 12
    page = study.run(formula='age + sex', site='site').read_text()
    by_formula = study.read('sites')
    assert set(by_formula['contrast']) == {'age'}
    assert set(by_formula['site']) == {'x', 'y', 'pooled'}
    assert 'Effects at each site were pooled by random-effects meta-analysis' in page
    study.run(covariates=('age', 'sex'), site='site')
    pd.testing.assert_frame_equal(
        by_formula, study.read('sites').assign(adjusted_for=by_formula['adjusted_for'])
    )


def test_no_effects_by_site_are_no_table_but_a_note(study):
    study.table['sex'], study.table['site'] = ['F', 'M'] * 12, ['x'] * 12 + ['y'] * 12
    page = study.run(formula='sex + np.log(age)', site='site').read_text()
    assert not (study.out / 'group_sites.tsv').exists()
    assert 'There are no effects by site: no cohorts of this dataset are compared' in page
    assert 'random-effects meta-analysis' not in page
    assert study.left_out('effects by site') == {}


def test_cohorts_need_two_values_and_not_too_many(study):
    study.table['one'] = 'x'
    with refused(people.ONE_COHORT, naming='only one value (x)'):
        study.run(cohort='one')
    study.table['pair'] = [str(k // 2) for k in range(NUMBER)]
    with pytest.MonkeyPatch.context() as patch, refused(people.MANY_COHORTS, naming='12 values'):
        patch.setattr('pvs_bidsapp.commands.group.MOST_COHORTS', 11)
        study.run(cohort='pair')
    study.table['unique'] = [f'n{k}' for k in range(NUMBER)]
    page = study.run(cohort='unique')
    assert 'nothing is compared' in page.read_text()
    assert not (study.out / 'group_comparison.tsv').exists()


def test_grades_may_be_codes_and_averages(study):
    grades = [0, 1, 2, 3] * 6
    study.table['rating'] = [str(g + (k % 5 == 0) / 2) for k, g in enumerate(grades)]
    study.run(rating='rating')
    averaged = study.read('rating')
    assert averaged['coefficient'].notna().any()
    study.table['rating'] = [str(g) for g in grades]
    study.run({'rating': {'Levels': {str(g): 'grade' for g in range(4)}}}, rating='rating')
    assert study.read('rating')['n'].tolist() == [NUMBER] * 4
    study.table['rating'] = '2.0'
    study.run(rating='rating')
    assert study.read('rating')['note'].str.contains('one level').all()


def test_maps_say_how_many_scans_have_masks(study, monkeypatch):
    monkeypatch.undo()
    shape, affine = map_grid()
    study.table['kind'] = ['a', 'b'] * 12
    for who in study.ids(0, 2):
        mask = Naming(study.out, (('sub', who.removeprefix('sub-')),)).anat('mask', space=SPACE, label='PVS')
        nib.save(nib.Nifti1Image(np.ones(shape, np.uint8), affine), mask)
    study.run(cohort='kind')
    sidecars = [json.loads(p.read_text()) for p in study.out.glob('group_cohort-*.json')]
    methods = {sidecar['Cohort']: sidecar['Method'] for sidecar in sidecars}
    assert methods == {
        'all': describe_map(24, 2), 'a': describe_map(12, 2), 'b': describe_map(12, 0),
    }  # fmt: skip


def test_maps_of_all_cohorts_have_names_of_their_own(study, monkeypatch):
    monkeypatch.undo()
    study.table['kind'] = ['a b', 'ab', 'A-B', '+', '-?', 'all'] * 4
    study.run(cohort='kind')
    maps = sorted(study.out.glob('group_cohort-*.json'))
    assert {json.loads(p.read_text())['Cohort'] for p in maps} == {
        'a b',
        'ab',
        'A-B',
        '+',
        '-?',
        'all',
        'all people',
    }
    assert len({p.name.casefold() for p in maps}) == 7
    image = nib.load(maps[0].with_name(maps[0].name.replace('.json', '.nii.gz')))
    assert image.get_fdata().max() > 0
    study.run()
    assert [json.loads(p.read_text())['Cohort'] for p in study.out.glob('group_cohort-*.json')] == ['this']


def test_other_cohorts_have_to_be_alike(study, source, tmp_path):
    other = tmp_path / 'other'
    shutil.copytree(source, other)
    compare = {'other': other / 'out'}
    with refused(people.COMPARED_WITH_ITSELF):
        study.run(compare={'same': study.out})
    (other / 'bids' / 'participants.tsv').unlink()
    description = other / 'out' / 'dataset_description.json'
    description.write_text(description.read_text().replace(str(source), str(other)))
    with refused(people.COMPARED_LACKS, naming='--match age'):
        study.run(compare=compare, match=('age',))
    shutil.rmtree(other / 'bids')
    page = study.run(compare=compare)
    assert 'is not there: no columns' in page.read_text()
    assert study.read('comparison')['d'].tolist() == [0] * 4
    for path in (other / 'out').rglob('*_desc-pvs_stats.json'):
        path.write_text(path.read_text().replace('0.6', '0.5'))
    with refused(people.OTHER_MODEL, naming='different models'):
        study.run(compare=compare)


def test_results_that_cannot_be_read(study, tmp_path):
    with refused(people.NO_RESULTS, naming='nowhere'):
        run_group(GroupOptions(bids_dir=study.bids, out_dir=tmp_path / 'nowhere'))
    assert not (tmp_path / 'nowhere').exists()
    names = Naming(study.out, (('sub', '00003'),))
    sidecar = names.anat('stats', '.json', desc='pvs')
    text = sidecar.read_text()
    sidecar.write_text(text.replace('0.6', '0.7'))
    with refused(people.RESULTS_MIXED, naming='sub-00003'):
        study.run()
    sidecar.write_text(json.dumps(json.loads(text) | {'ExcludedFromLesionShare': 0.5}))
    with refused(people.RESULTS_MIXED, naming='--exclude-wmh 0.5'):
        study.run()


def test_masks_of_two_precisions_are_used_with_a_warning(study):
    for path in study.out.glob('sub-*/anat/*_desc-pvs_stats.json'):
        precision = 'fp16' if 'sub-00003' in path.name else 'fp32'
        path.write_text(json.dumps(json.loads(path.read_text()) | {'Precision': precision}))
    page = study.run()
    (finding,) = [f for f in study.sidecar('scans')['Findings'] if f['Code'] == people.PRECISION_MIXED.code]
    assert '1 in fp16' in finding['Finding']
    assert 'in different precisions' in page.read_text()


def test_a_scan_with_damaged_results_is_named_and_the_others_are_used(study, caplog):
    damaged = {}
    for label, (suffix, extension) in {
        '00003': ('stats', '.json'), '00005': ('dseg', '.tsv'), '00007': ('dseg', '.tsv'),
        '00009': ('stats', '.tsv'),
    }.items():  # fmt: skip
        names = Naming(study.out, (('sub', label),))
        damaged[names.stem] = names.anat(suffix, extension, desc='pvs')
    missing, cut, gone, odd = damaged.values()
    for path in (missing, gone):
        path.unlink()
    cut.write_bytes(cut.read_bytes()[:-10])
    header, _, rows = odd.read_text().partition('\n')
    odd.write_text(header.replace('volume_fraction', 'fraction', 1) + '\n' + rows)
    study.run()
    assert (study.outcome.damaged, study.outcome.exit_status) == (tuple(damaged), 1)
    assert len(study.read('scans')) == NUMBER - len(damaged)
    reasons = study.left_out('all')
    for scan, path in damaged.items():
        assert path.name in caplog.text
        assert path.name in reasons[scan]
        assert 'run participant again' in reasons[scan]
    codes = [f['Code'] for f in study.sidecar('scans')['Findings']]
    assert codes == [people.RESULT_MISSING.code, people.RESULT_DAMAGED.code] * 2


def test_results_with_a_column_more_than_the_others_are_left_out(study):
    path = Naming(study.out, (('sub', '00000'),)).anat('stats', '.tsv', desc='pvs')
    path.write_text(''.join(f'{line}\tmore\n' for line in path.read_text().splitlines()))
    study.run()
    assert study.outcome.damaged == ('sub-00000',)  # though it is the first


def test_results_that_are_all_damaged_are_refused(study):
    for path in study.out.rglob('*_desc-pvs_stats.tsv'):
        path.write_bytes(b'')
    with refused(people.RESULT_DAMAGED, naming='sub-00000_desc-pvs_stats.tsv'):
        study.run()


def test_a_dataset_that_is_gone_hides_no_results(study):
    shutil.rmtree(study.bids)
    run_group(GroupOptions(bids_dir=study.bids, out_dir=study.out))
    assert len(study.read('scans')) == NUMBER
    assert study.sidecar('scans')['Findings'][-1]['Code'] == 'people-no-dataset'


def test_people_of_another_dataset_are_told(study, source):
    description = study.out / 'dataset_description.json'
    text = description.read_text()
    description.write_text(text.replace(str(study.bids), str(source / 'bids')))
    study.run()
    assert [f['Code'] for f in study.sidecar('scans')['Findings']] == ['people-other-dataset']
    description.write_text('[]')
    study.run()
    assert study.sidecar('scans')['Findings'] == []


def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(study, monkeypatch):
    def refuse(folder, name):
        raise InputError(f'{name} {folder} cannot be written to')

    monkeypatch.setattr('pvs_bidsapp.commands.group.check_writable', refuse)
    monkeypatch.setattr('pvs_bidsapp.commands.group.read_cohort', None)
    with pytest.raises(InputError, match=r'OUT_DIR .* cannot be written to'):
        study.run()


def write_times(bids, number, sessions, ages):
    for k in range(number):
        rows = [f'ses-{s + 1}\t{ages[k] + 2 * s:.1f}' for s in range(sessions)]
        folder = bids / f'sub-{k:05d}'
        (folder / f'sub-{k:05d}_sessions.tsv').write_text('\n'.join(['session_id\tage', *rows]) + '\n')


def write_scan_times(folder, times):
    """Write when the scan of each session of a person was made."""
    for session, time in times.items():
        stem = f'{folder.name}_{session}'
        (folder / session).mkdir(exist_ok=True)
        text = f'filename\tacq_time\nanat/{stem}_T1w.nii.gz\t{time}\n'
        (folder / session / f'{stem}_scans.tsv').write_text(text)


@pytest.fixture
def longitudinal(tmp_path, monkeypatch):
    """Ten people with two scans each, and their age at both; without models of counts, which are slow."""
    monkeypatch.setattr('pvs_bidsapp.group.regression.OUTCOMES', {'volume_mm3': 'linear'})
    for name in ('MOST', 'FEWEST'):
        monkeypatch.setattr(f'pvs_bidsapp.group.permutation.{name}', 99)
    monkeypatch.setattr('pvs_bidsapp.commands.group._maps', lambda cohorts, voxels: {})
    write_cohort(tmp_path, 10, Effects(), seed=5, sessions=2)
    found = Study(tmp_path)
    found.table['sex'] = list('FMFMFMFMFM')
    found.table['site'] = list('xxxxxyyyyy')
    write_times(found.bids, 10, 2, found.table['age'].astype(float))
    return found


def test_effects_sites_and_change_are_written_and_described(longitudinal):
    study = longitudinal
    page = study.run(cohort='sex', covariates=('age',), site='site', time='age', rating='rating').read_text()
    names = ['table1', 'effects', 'sites', 'mixed', 'change']
    for name in (*names, 'regions', 'scans', 'summary', 'comparison', 'regression', 'rating', 'repeated'):
        assert set(study.read(name).columns) <= set(study.sidecar(name)), name
    assert set(study.read('effects')['adjusted_for']) == {'nothing', 'age'}
    assert set(study.read('sites')['site']) == {'x', 'y', 'pooled'}
    assert set(study.read('mixed')['n_scans']) == {20}
    mixed = study.read('mixed').query('region == "all" and outcome == "count"').set_index('term')
    assert set(mixed.index) == {
        'age', 'sex[M]', 'years_since_first_scan', 'years_since_first_scan:M',
    }  # fmt: skip
    change = study.read('change').query('region == "all" and outcome == "count" and cohort == "all"').iloc[0]
    both = study.read('scans').sort_values('scan').groupby('participant_id')['count']
    assert change['change_per_year'] == pytest.approx(((both.last() - both.first()) / 2).mean(), rel=1e-4)
    first = study.read('table1').set_index('characteristic')
    assert first.loc['scans', ['all', 'cohort_F', 'cohort_M']].tolist() == ['20', '10', '10']
    for title in ('Effects of cohorts', 'Effects by site', 'Mixed models', 'Change per year', 'Table 1'):
        assert f'>{title}</h2>' in page
    for figure in ('effects', 'sites', 'mixed', 'change', 'courses'):
        assert f'id="plot-{figure}"' in page
    study.run()
    assert not any((study.out / f'group_{name}.tsv').exists() for name in names[1:])


def test_the_scan_that_agreement_leaves_out_is_the_third_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr('pvs_bidsapp.commands.group._maps', lambda cohorts, voxels: {})
    write_cohort(tmp_path, 4, Effects(), seed=5, sessions=3)
    found = Study(tmp_path)
    for folder in found.bids.glob('sub-*'):
        write_scan_times(folder, {'ses-1': '1911-01-03', 'ses-2': '1911-01-01', 'ses-3': '1911-01-02'})
    found.run()
    table = found.read('exclusions')
    third = table.loc[table['analysis'] == 'agreement of two scans', 'scan']
    assert third.str.endswith('_ses-1').all()
    assert len(third) == 4


def test_a_covariate_that_the_first_scan_lacks_is_not_taken_from_a_later_one(longitudinal):
    study = longitudinal
    for k, folder in enumerate(sorted(study.bids.glob('sub-*'))):
        dose = 'n/a' if k == 3 else f'{(7 * k) % 10}.5'
        rows = ['session_id\tage\tdose', f'ses-1\t60\t{dose}', f'ses-2\t62\t{50 - k}.5']
        (folder / f'{folder.name}_sessions.tsv').write_text('\n'.join(rows) + '\n')
    study.run(covariates=('dose',), time='age')
    assert set(study.read('mixed')['n_scans']) == {18}
    table = study.read('exclusions').query('analysis == "mixed models"')
    assert table['scan'].tolist() == ['sub-00003_ses-1', 'sub-00003_ses-2']
    assert set(table['reason']) == {'no dose'}


def test_a_person_stays_in_the_cohort_of_the_first_scan(longitudinal):
    study, found = longitudinal, []
    for later in ('', 'converted'):
        for k, folder in enumerate(sorted(study.bids.glob('sub-*'))):
            dx = 'AB'[k % 2]
            second = 'B' if later else dx
            rows = ['session_id\tage\tdx', f'ses-1\t{60 + k}\t{dx}', f'ses-2\t{62 + k}\t{second}']
            (folder / f'{folder.name}_sessions.tsv').write_text('\n'.join(rows) + '\n')
        study.run(cohort='dx', time='age')
        found.append(study.read('mixed'))
    assert set(found[1]['n_scans']) == {20}
    pd.testing.assert_frame_equal(*found)


def test_the_age_at_a_session_goes_before_that_of_the_table(longitudinal):
    study = longitudinal
    study.run()
    scans = study.read('scans').set_index('scan')
    assert scans.loc['sub-00003_ses-2', 'age'] == pytest.approx(float(study.table['age'][3]) + 2, abs=0.05)
    assert 'people-session-values' in {f['Code'] for f in study.sidecar('scans')['Findings']}


def test_dates_of_scans_are_times(longitudinal):
    study = longitudinal
    for folder in study.bids.glob('sub-*'):
        (folder / f'{folder.name}_sessions.tsv').write_text('session\tage\n')
        write_scan_times(folder, {'ses-1': '1911-06-01T12:00:00', 'ses-2': '1914-06-01T12:00:00'})
    study.run(time='acq_time')
    change = study.read('change')
    assert change['mean_years'].unique() == pytest.approx([3.0], abs=0.01)
    codes = [f['Code'] for f in study.sidecar('scans')['Findings']]
    assert codes.count('people-sessions-unreadable') == 10


def test_sessions_that_do_not_match_or_are_repeated_are_told(longitudinal):
    study = longitudinal
    for k, rows in enumerate((['1\t40', '2\t42'], ['ses-1\t50', 'ses-2\t52', 'ses-2\t99'])):
        path = study.bids / f'sub-{k:05d}' / f'sub-{k:05d}_sessions.tsv'
        path.write_text('\n'.join(['session_id\tage', *rows]) + '\n')
    (study.bids / 'sub-00000' / 'sub-00000_sessions.tsv').write_text('session_id\tage\n01\t40\nses-02\t42\n')
    study.run()
    findings = {f['Code']: f['Finding'] for f in study.sidecar('scans')['Findings']}
    assert 'no row for ses-1, ses-2; there are rows for ses-01, ses-02' in findings['people-sessions-lacking']
    assert 'several rows of ses-2' in findings['people-sessions-repeated']
    scans = study.read('scans').set_index('scan')
    assert scans.loc['sub-00001_ses-2', 'age'] == 52


def test_a_missing_time_does_not_hide_that_of_the_scan(longitudinal):
    study = longitudinal
    for folder in study.bids.glob('sub-*'):
        rows = ['session_id\tacq_time', 'ses-1\tn/a', 'ses-2\tn/a']
        (folder / f'{folder.name}_sessions.tsv').write_text('\n'.join(rows) + '\n')
        write_scan_times(folder, {'ses-1': '1914-06-01', 'ses-2': '1911-06-01'})
    study.run(time='acq_time')
    assert study.read('change')['mean_years'].unique() == pytest.approx([3.0], abs=0.01)


def test_time_needs_two_times_of_one_person(study):
    with refused(people.NO_TIME, naming='--time age'):
        study.run(time='age')
    with refused(people.NO_TIME, naming='0 of 24 scans'):
        study.run(time='sex')
    with refused(people.NO_COLUMN, naming='--site colour'):
        study.run(site='colour', covariates=('age',))
