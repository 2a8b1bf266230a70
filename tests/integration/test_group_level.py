"""The group level as a user runs it, on the tables of simulated cohorts with known effects."""

from __future__ import annotations

import json
import shutil

import nibabel as nib
import pandas as pd
import pytest
from program import pvs, pvs_here

from pvs_bidsapp.simulation.cohort import Effects
from pvs_bidsapp.testing import write_cohort


def group(root, *options, run=pvs_here):
    return run(root / 'bids', root / 'out', 'group', *options)


def table(root, name):
    return pd.read_csv(root / 'out' / f'group_{name}.tsv', sep='\t', na_values='n/a')


@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp('cohort')
    write_cohort(root, 150, Effects(age_slope=0.015, site_shift=0.5, spread=0.35), seed=3, sessions=2)
    return root


@pytest.fixture
def few(tmp_path):
    write_cohort(tmp_path, 6, Effects(), seed=4)
    return tmp_path


def test_set_effects_are_recovered(cohort):
    options = ('--cohort', 'site', '--match', 'age', 'sex', '--rating', 'rating')
    done = group(cohort, *options, '--covariates', 'age', 'site', run=pvs)
    assert done.returncode == 0, done.stderr
    whole = table(cohort, 'regression').query('region == "all" and outcome == "count"').set_index('term')
    for term, effect in (('age', 0.015), ('site[T.s1]', 0.5)):
        assert whole.loc[term, 'ci_low'] <= effect <= whole.loc[term, 'ci_high']
    comparison = table(cohort, 'comparison')
    assert comparison['size_filter_mm3'].tolist() == [0, 5, 10, 15]
    assert comparison['p'].iloc[0] < 0.01
    assert comparison['n_1'].equals(comparison['n_2'])
    rating = table(cohort, 'rating')
    assert rating['threshold'].tolist() == [0.6, 0.7, 0.8, 0.9]
    assert rating['r2_nagelkerke'].iloc[0] > 0.2
    assert table(cohort, 'repeated')['icc'].iloc[0] > 0.9
    before, _, after = (cohort / 'out' / 'group.html').read_text().partition('<script id="plotly">')
    page = before + after.partition('</script>')[2]  # plotly names its licence and maps, which are not drawn
    assert 'http://' not in page.replace('http://www.w3.org', '')
    assert 'https://' not in page


@pytest.fixture(scope='module')
def plain(cohort):
    """The regression of the cohort without any other analysis."""
    done = group(cohort, '--covariates', 'age', 'site')
    assert done.returncode == 0, done.stderr
    return table(cohort, 'regression')


def test_maps_are_fractions_in_the_template(cohort, plain):
    (path,) = (cohort / 'out').glob('group_cohort-this_*_frequency.nii.gz')
    fraction = nib.load(path).get_fdata()
    assert 0 < fraction.max() <= 1
    assert json.loads(str(path.with_suffix('').with_suffix('.json').read_text()))['NumberOfPeople'] == 150
    assert not (cohort / 'out' / 'group_comparison.tsv').exists()  # of an earlier call that asked for it


def test_harmonizing_takes_the_site_out_of_the_volumes(cohort, plain):
    before = plain.query('region == "all" and outcome == "volume_mm3"').set_index('term')
    done = group(cohort, '--covariates', 'age', 'site', '--harmonize', 'site')
    assert done.returncode == 0, done.stderr
    after = table(cohort, 'regression').query('region == "all" and outcome == "volume_mm3"').set_index('term')
    assert abs(after.loc['site[T.s1]', 'estimate']) < 0.2 * before.loc['site[T.s1]', 'estimate']
    assert after.loc['age', 'estimate'] == pytest.approx(before.loc['age', 'estimate'], rel=0.4)


def test_two_output_folders_are_compared(few, tmp_path_factory):
    other = tmp_path_factory.mktemp('other')
    write_cohort(other, 8, Effects(level=6), seed=9)
    done = group(few, '--compare', f'rich={other / "out"}', '--match', 'sex')
    assert done.returncode == 0, done.stderr
    assert set(table(few, 'comparison')['cohort_2']) == {'rich'}
    sidecar = other / 'out' / 'sub-00000' / 'anat' / 'sub-00000_desc-pvs_stats.json'
    sidecar.write_text(sidecar.read_text().replace('0.6', '0.5'))
    assert 'different models' in group(few, '--compare', f'rich={other / "out"}').stderr


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--cohort', 'colour'], 'there are: ICV, age, sex, site, rating'),
        (['--covariates', 'weight'], '--covariates weight'),
        (['--rating', 'grade'], '--rating grade'),
        (['--match', 'age'], '--match'),
        (['--compare', 'x=/nowhere'], 'give NAME=OUT_DIR'),
        (['--formula', 'age +* sex'], '--formula'),
        (['--formula', 'agge'], '--formula'),
    ],
)
def test_wrong_use_is_said_in_one_line(few, options, message):
    done = group(few, *options)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert 'Traceback' not in done.stderr


def test_nothing_to_work_on(few):
    shutil.rmtree(few / 'out')
    (few / 'out').mkdir()
    done = group(few)
    assert done.returncode == 2
    assert 'run that first' in done.stderr


def test_one_subject_without_participants(tmp_path):
    write_cohort(tmp_path, 1, Effects(), seed=4)
    (tmp_path / 'bids' / 'participants.tsv').unlink()
    (tmp_path / 'bids' / 'sub-x').mkdir()
    done = group(tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'lack age and sex' in done.stderr
    assert 'no T1w' in (tmp_path / 'out' / 'group.html').read_text()


def test_messy_participants_are_put_up_with(few):
    path = few / 'bids' / 'participants.tsv'
    rows = [line.split('\t') for line in path.read_text().splitlines()]
    rows[1][1], rows[2][1], rows[3][2] = 'n/a', 'old', ''
    rows[4][0] = rows[4][0].removeprefix('sub-')
    rows.append(rows[5])
    text = '\ufeff' + '\r\n'.join('\t'.join(row) for row in rows) + '\r\n'
    path.write_bytes(text.encode())
    done = group(few, '--cohort', 'sex', '--match', 'age', '--covariates', 'age', '--rating', 'rating')
    assert done.returncode == 0, done.stderr
    assert 'more than once' in done.stderr
    assert "'old' is not a number" in done.stderr
    scans = table(few, 'scans')
    assert len(scans) == 6
    assert scans['age'].notna().sum() == 4


def test_constant_rating_and_no_spaces_at_all(tmp_path):
    write_cohort(tmp_path, 5, Effects(level=-20), seed=4)
    done = group(tmp_path, '--rating', 'rating', '--covariates', 'age', '--cohort', 'sex')
    assert done.returncode == 0, done.stderr
    assert 'one level' in table(tmp_path, 'rating')['note'].iloc[0]
    assert table(tmp_path, 'regression')['note'].str.contains('constant').all()


def people(root, change):
    """Change each row of participants.tsv, of which the first is that of the names."""
    path = root / 'bids' / 'participants.tsv'
    rows = [line.split('\t') for line in path.read_text().splitlines()]
    path.write_text('\n'.join('\t'.join(change(k, row)) for k, row in enumerate(rows)) + '\n')


def test_a_column_of_intracranial_volumes_of_ones_own(tmp_path):
    write_cohort(tmp_path, 24, Effects(), seed=4)
    people(tmp_path, lambda k, row: [*row, str(1400000 + 1000 * k) if k else 'ICV'])
    done = group(tmp_path, '--covariates', 'age', 'ICV', 'participants_ICV')
    assert done.returncode == 0, done.stderr
    assert 'is called participants_ICV here' in done.stderr
    assert set(table(tmp_path, 'regression')['term']) == {'age', 'ICV', 'participants_ICV'}
    scans = table(tmp_path, 'scans')
    assert scans['participants_ICV'].tolist() == [1400000 + 1000 * k for k in range(1, 25)]
    assert 'is called participants_ICV here' in (tmp_path / 'out' / 'group.html').read_text()


def test_a_dash_is_no_level(tmp_path):
    write_cohort(tmp_path, 24, Effects(), seed=4)
    people(tmp_path, lambda k, row: [row[0], '-', '-', *row[3:]] if k == 3 else row)
    done = group(tmp_path, '--covariates', 'age', 'sex')
    assert done.returncode == 0, done.stderr
    assert "column sex: '-' counts as missing" in done.stderr
    regression = table(tmp_path, 'regression')
    assert set(regression['term']) == {'age', 'sex[T.M]'}
    assert set(regression['n']) == {23}
    left_out = table(tmp_path, 'exclusions')
    assert left_out.to_numpy().tolist() == [['sub-00002', 'sub-00002', 'regression', 'no age and no sex']]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--covariates', 'age', 'months'], 'age, months cannot be told apart'),
        (['--formula', 'age + months'], 'age, months cannot be told apart'),
        (['--covariates', 'age', 'one'], 'one has the same value for all 24 people'),
        (['--covariates', 'age', '--formula', 'age'], 'give one of them'),
        (['--formula', '__import__("os").system("false")'], 'is neither a column nor a function'),
        (['--rating', 'sex'], 'F, M are not numbers'),
    ],
)
def test_designs_that_give_no_numbers_end_with_status_2(tmp_path, options, message):
    write_cohort(tmp_path, 24, Effects(), seed=4)
    people(
        tmp_path, lambda k, row: [*row, f'{12 * float(row[1]):.1f}', '1'] if k else [*row, 'months', 'one']
    )
    done = group(tmp_path, *options)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
    assert not list((tmp_path / 'out').glob('group*'))


def test_a_failed_session_of_a_person_with_a_good_one_stands_on_the_page(tmp_path):
    write_cohort(tmp_path, 3, Effects(), seed=4, sessions=2)
    shutil.rmtree(tmp_path / 'out' / 'sub-00001' / 'ses-2')
    anat = tmp_path / 'bids' / 'sub-00001' / 'ses-2' / 'anat'
    anat.mkdir(parents=True)
    (anat / 'sub-00001_ses-2_T1w.nii.gz').touch()
    assert group(tmp_path).returncode == 0
    assert 'not run' in (tmp_path / 'out' / 'group.html').read_text()
    record = tmp_path / 'out' / 'logs' / 'sub-00001_ses-2_failure.json'
    record.parent.mkdir()
    record.write_text(json.dumps({'scan': 'sub-00001/ses-2/anat/x', 'reason': 'no <brain> in it'}))
    assert group(tmp_path).returncode == 0
    assert 'no &lt;brain&gt; in it' in (tmp_path / 'out' / 'group.html').read_text()
    left_out = table(tmp_path, 'exclusions')
    row = left_out[left_out['analysis'] == 'all'].iloc[0]
    assert row.tolist() == ['sub-00001_ses-2', 'sub-00001', 'all', 'no <brain> in it']
    assert len(table(tmp_path, 'scans')) == 5
