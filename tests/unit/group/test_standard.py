"""Numbers and volumes at the reference quality: laws that are known, and their place in the analyses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvs_bidsapp.group import change, design, effects, harmonize, quality, regression, standard
from pvs_bidsapp.group.measures import STANDARD_VOLUME, outcomes_in
from pvs_bidsapp.group.standard import COLUMNS, NOISE_RANGE, VOXEL_RANGE, Law

LAWS = {measure: Law(noise=-1.0, voxel=-0.5) for measure in COLUMNS}
EXPONENT = st.floats(-2, 2)


def repeated_scans(rng, people=6):
    """Each person on five scanners; burdens are so large that what is added before logarithms is nothing."""
    noise, voxel = rng.uniform(*NOISE_RANGE, (people, 5)), rng.uniform(*VOXEL_RANGE, (people, 5))
    burden = 1e6 * rng.uniform(1, 30, (people, 1)) * noise**-0.9 * voxel**-0.4
    table = {'person': np.repeat(range(people), 5), 'noise': noise.ravel(), 'voxel_mm3': voxel.ravel()}
    return pd.DataFrame(table | dict.fromkeys(COLUMNS, burden.ravel()))


def test_a_scan_of_the_reference_quality_stays_as_it_is():
    assert Law(noise=-0.7, voxel=0.3).factor(np.array(0.04), np.array(1.0)) == pytest.approx(1)


def test_twice_the_noise_and_four_times_the_voxel():
    assert Law(noise=-1, voxel=-0.5).factor(np.array([0.08]), np.array([1.0])) == pytest.approx([2])
    assert Law(noise=-1, voxel=-0.5).factor(np.array([0.04]), np.array([0.36])) == pytest.approx([0.6])


@given(EXPONENT, EXPONENT, st.floats(1e-6, 1e3), st.floats(1e-6, 1e3))
def test_beyond_the_measured_range_the_nearer_end_counts(noise, voxel, level, volume):
    law = Law(noise=noise, voxel=voxel)
    nearest = np.clip(level, *NOISE_RANGE), np.clip(volume, *VOXEL_RANGE)
    assert law.factor(np.array(level), np.array(volume)) == pytest.approx(law.factor(*nearest))
    assert law.factor(np.array(level), np.array(volume)) > 0


def test_the_law_is_found_again_whatever_the_burdens(rng):
    for law in standard.fit_laws(repeated_scans(rng)).values():
        assert (law.noise, law.voxel) == pytest.approx((-0.9, -0.4), abs=1e-3)


def test_measures_of_one_person_agree_after_it(rng):
    scans = repeated_scans(rng).assign(scan=lambda t: [f's{k}' for k in range(len(t))])
    known = scans.set_index('scan')[['noise', 'voxel_mm3']]
    found = standard.standardize(scans, known, standard.fit_laws(scans))
    spread = found.groupby('person')[STANDARD_VOLUME].agg(lambda v: v.std() / v.mean())
    assert (spread < 1e-3).all()
    assert found['volume_mm3'].equals(scans['volume_mm3'])


def test_what_does_not_vary_tells_nothing(rng):
    scans = repeated_scans(rng).assign(voxel_mm3=1.0)
    with pytest.raises(ValueError, match='same voxels'):
        standard.fit_laws(scans)


def test_a_scan_without_quality_has_no_standard_measures():
    table = pd.DataFrame({'scan': ['a', 'a', 'b'], **{key: [2.0, 4, 8] for key in COLUMNS}})
    known = pd.DataFrame({'noise': [0.08], 'voxel_mm3': [1.0]}, ['a'])
    found = standard.standardize(table, known, LAWS)
    np.testing.assert_allclose(found['standard_count'], [4, 8, np.nan])


def test_scans_beyond_the_measured_range_are_counted():
    inside = standard.explain(pd.Series([0.1, np.nan]), pd.Series([1.0, np.nan]))
    assert 'nearer end' not in inside
    beyond = standard.explain(pd.Series([0.01, 0.1, 0.1]), pd.Series([1.0, 1.0, 8.0]))
    assert beyond.startswith(inside)
    assert beyond.endswith(': 2.')


def test_entries_of_cards_come_back():
    assert standard.laws_of(standard.entry_of(LAWS)) == LAWS


def regional(rng, people=24):
    """Volumes that age explains, of scans half of which have twice the noise, and their standard volumes."""
    age, noise = rng.uniform(20, 80, people), np.resize([0.04, 0.08], people)
    volumes = np.exp(5 + 0.02 * age + rng.normal(0, 0.1, (3, people)))
    names = [f's{k:02d}' for k in range(people)]
    parts = [
        pd.DataFrame({
            'scan': names, 'participant_id': names, 'age': age, 'region': region, 'hemisphere': 'both',
            'site': np.resize(['A', 'A', 'B'], people),
            'count': volume.round(), 'volume_mm3': volume / noise / 25, 'volume_fraction': volume / 1e6,
            'count_5mm3': volume.round(), 'volume_5mm3': volume,
        })
        for region, volume in zip(('all', 'basal ganglia', 'midbrain'), volumes, strict=True)
    ]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    known = pd.DataFrame({'noise': noise, 'voxel_mm3': 1.0}, names)
    return standard.standardize(table, known, LAWS)


def test_analyses_take_the_standard_volume_where_there_is_one(rng):
    table = regional(rng)
    assert outcomes_in(table)[-1] == STANDARD_VOLUME
    assert STANDARD_VOLUME not in outcomes_in(table.drop(columns=STANDARD_VOLUME))
    fitted = regression.regress(table, ['age']).set_index(['region', 'outcome'])
    plain, standardised = (fitted.loc[('all', name)] for name in ('volume_mm3', STANDARD_VOLUME))
    assert standardised['standard_error'] < plain['standard_error'] / 2  # the noise is no longer in it
    assert standardised['estimate'] == pytest.approx(0.02, abs=0.005)
    assert standardised['p_permutation'] < 0.05
    halves = dict(list(table.drop_duplicates('scan').groupby('site')))
    compared = effects.cohort_effects(table, {('A', 'B'): (halves['A'], halves['B'])})
    assert STANDARD_VOLUME in set(compared['outcome'])
    yearly = change.change_per_year(table.assign(years_since_first_scan=0.0))
    assert STANDARD_VOLUME in set(yearly['outcome'])


def test_the_standard_volume_is_harmonized_like_the_plain_one(rng):
    table = regional(rng)
    table.loc[table['site'] == 'B', [STANDARD_VOLUME, 'volume_mm3']] *= 3
    changed, unchanged = harmonize.harmonize(table, 'site', design.of_covariates(['age']))
    for measure in ('volume_mm3', STANDARD_VOLUME):
        sites = changed.groupby('site')[measure].median()
        assert sites['B'] / sites['A'] < 1.5
    assert not unchanged


def test_two_scans_are_compared_by_standard_measures_too():
    totals = pd.DataFrame({
        'participant_id': ['a', 'a', 'b', 'b', 'c', 'c'], 'scan': list('uvwxyz'),
        'count': [10, 5, 20, 10, 40, 20], 'volume_mm3': [10.0, 5, 20, 10, 40, 20],
        'standard_count': [10.0, 10, 20, 20, 40, 40], 'standard_volume_mm3': [10.0, 10, 20, 20, 40, 40],
    })  # fmt: skip
    table = quality.repeated(totals).set_index('measure')
    assert table.loc['standard_volume_mm3', 'icc'] == pytest.approx(1)
    assert table.loc['volume_mm3', 'icc'] < 0.8
    assert 'standard_count' in table.index
