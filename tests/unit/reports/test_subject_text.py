"""The words and numbers of a subject's page."""

from __future__ import annotations

import numpy as np
import pytest
from finished_scans import cluster_rows, head
from hypothesis import given
from hypothesis import strategies as st

from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.outputs.methods import command
from pvs_bidsapp.reports import subject_page
from pvs_bidsapp.reports.columns import CLUSTERS, Column, fixed, shown_columns
from pvs_bidsapp.reports.subject_page import distribution, headline


@pytest.fixture
def rows():
    return cluster_rows(head()['clusters'], ['thalamus', 'deep white matter frontal', 'caudate'])


def test_the_headline_says_how_many_how_much_and_where(rows):
    for row, volume in zip(rows, (96.13, 40, 5, 4.9), strict=True):
        row['volume_mm3'] = str(volume)
    first, second, third = headline(rows)
    assert first == '4 perivascular spaces were found: 3 in the basal ganglia, 1 in the deep white matter.'
    assert second == 'Together they take 146 mm³; 3 measure 5 mm³ or more.'
    assert third == 'The largest, PVS1, measures 96.1 mm³ and is 1.5 mm long (thalamus, left).'


def test_the_headline_of_one_and_of_none(rows):
    first, second = headline(rows[:1])
    assert first == '1 perivascular space was found: 1 in the basal ganglia.'
    assert second.startswith('It measures ')
    rows[1]['volume_mm3'], rows[0]['volume_mm3'] = '1', '6'
    assert headline(rows[:2])[1] == 'Together they take 7 mm³; 1 measures 5 mm³ or more.'
    assert headline([]) == ['No perivascular space was found.']


@pytest.mark.parametrize(
    ('value', 'decimals', 'shown'),
    [('95.001', 1, '95.0'), ('-0.04', 1, '0.0'), ('1e-07', 3, '0.000'), ('n/a', 1, 'n/a'), ('inf', 0, '–')],
)
def test_numbers_have_fixed_decimals(value, decimals, shown):
    assert fixed(value, decimals) == shown


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_fixed_is_near(value, decimals):
    shown = fixed(value, decimals)
    assert abs(float(shown) - value) <= 0.5 * 10**-decimals * (1 + 1e-6)
    assert len(shown.partition('.')[2]) == decimals


def test_missing_values_are_dashes_and_columns_follow_the_table():
    assert Column('a', 1).show('n/a') == '–'
    assert Column('a').show('<b>') == '<b>'
    assert Column('a', 1, 100).show('0.1234') == '12.3'
    assert list(shown_columns(CLUSTERS, ['width_mm', 'region', 'unknown'])) == ['region', 'width_mm']


def test_a_distribution_holds_all_clusters(rows):
    shown = distribution('length', rows)
    assert sum(bar['count'] for bar in shown['bars']) == len(rows)
    assert max(bar['share'] for bar in shown['bars']) == 1
    assert shown['median'] == f'{np.median([1.5, 3, 4.5, 6]):.1f}'
    assert distribution('length', []) is None


def test_how_good_the_mask_should_be_is_said_where_it_is_known():
    rows = [{'metric': 'snr', 'value': '12'}, {'metric': 'expected_dice', 'value': '0.5691'}]
    (sentence,) = subject_page.agreement(rows)
    assert 'a Dice of 0.57 (1 is perfect)' in sentence
    assert subject_page.agreement(rows[:1]) == []
    assert subject_page.agreement([{'metric': 'expected_dice', 'value': 'n/a'}]) == []


def test_expected_numbers_stand_with_their_intervals(rows):
    row = {
        'region': 'all', 'hemisphere': 'both', 'count': '4', 'expected_count': '4.44',
        'expected_count_low': '2.6', 'expected_count_high': '7.1',
    }  # fmt: skip
    table = subject_page._region_table([row])
    assert table['headings'] == ['region', 'side', 'number', 'expected number (90 % interval)']
    assert table['rows'][0]['cells'] == ['all', 'both', '4', '4 (3 to 7)']


@pytest.mark.parametrize(
    ('name', 'hemisphere', 'total'),
    [('midbrain', 'both', False), ('deep white matter', 'both', True), ('all', 'both', True)],
)
def test_totals_are_told_from_regions_of_both_sides(name, hemisphere, total):
    places = [('deep white matter frontal', 'left'), ('midbrain', 'both'), ('deep white matter', 'both')]
    places.append(('all', 'both'))
    rows = [{'region': r, 'hemisphere': h} for r, h in places]
    assert subject_page._is_total({'region': name, 'hemisphere': hemisphere}, rows) == total


def test_a_measure_of_quality_has_words_a_range_and_its_finding():
    row = {'metric': 'icv', 'value': '1402.7', 'unit': 'ml', 'low': '850', 'high': 'n/a', 'finding': 'n/a'}
    shown = subject_page._quality(row, {'icv': {'Description': 'volume of the brain'}})
    assert shown == {
        'metric': 'icv', 'description': 'volume of the brain', 'value': '1403', 'unit': 'ml',
        'range': '850 to …', 'finding': '',
    }  # fmt: skip
    assert subject_page._quality({'metric': 'x', 'value': '1'}, {'x': 5})['range'] == '–'


def test_a_grade_says_where_it_was_counted():
    grades = {
        'a': {'Description': 'd', 'Value': 2, 'Count': 14, 'Hemisphere': 'left', 'SectionMm': 12.34},
        'b': {'Description': 'e', 'Value': 0, 'Count': 0, 'SectionMm': None},
        'm': {'Description': 'e', 'Value': 1, 'Hemisphere': 'both', 'SectionMm': -3},
        'c': {'Description': 'f', 'Value': 1},
    }
    places = [place for _, _, place in subject_page._grades(grades)]
    assert places == [
        '14 spaces, left hemisphere, section 12.3 mm above the AC-PC plane', '0 spaces',
        'both hemispheres, section 3.0 mm below the AC-PC plane', '–',
    ]  # fmt: skip


def test_the_command_gives_the_results_again(tmp_path):
    names = Naming.of(tmp_path, tmp_path / 'sub-01_ses-a_T1w.nii.gz')
    analysis = {'model_name': 'my model', 'threshold': 0.3, 'random_seed': 1}
    assert command({'analysis': analysis}, names) == (
        "pvs BIDS_DIR OUT_DIR participant --participant-label 01 --session-label a --model 'my model' "
        '--threshold 0.3 --random-seed 1'
    )
    analysis = {'exclude_wmh': 0.5, 'output_spaces': ['MNI152NLin2009cSym']}
    given = {'t1w': ['a', 1, 2], 'lesions': ['b', 1, 2]}
    assert command({'analysis': analysis, 'inputs': given}, names).endswith(
        ' --exclude-wmh 0.5 --output-spaces MNI152NLin2009cSym --derivatives NAME=DERIVATIVES_DIR'
    )
    status = {'analysis': {}, 'inputs': {'source': '/a/b.nii'}}
    assert command(status, names) == 'pvs predict T1W OUT_DIR'
    assert command({'analysis': 5}, names) == ''
