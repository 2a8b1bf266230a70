"""Which sites can be harmonized, and what harmonizing leaves as it is."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from pvs_bidsapp.group import design, harmonize
from pvs_bidsapp.messages import people

pytest.importorskip('neuroCombat')


def scans(sites, **columns):
    names = [f's{k}' for k in range(len(sites))]
    return pd.DataFrame({'scan': names, 'participant_id': names, 'site': sites, **columns})


@pytest.mark.parametrize('sites', [['a'] * 4, ['a', 'a', 'b'], [1.0] * 4, []])
def test_two_sites_of_two_people_are_needed(sites):
    with refused(people.FEW_SITES, naming='--harmonize site'):
        harmonize.check_sites(scans(sites), 'site', design.of_covariates([]))


@pytest.mark.parametrize('values', [[1.5, 1.5, 2.5, 2.5], ['x', 'x', 'y', 'y']])
def test_a_covariate_that_follows_from_the_site_is_refused(values):
    table = scans([1, 1, 2, 2], kind=values, age=[30.0, 41, 35, 52])
    with refused(people.SITE_CONFOUNDED, naming='kind'):
        harmonize.check_sites(table, 'site', design.of_covariates(['kind', 'age']))
    harmonize.check_sites(table, 'site', design.of_covariates(['age']))


def test_without_the_library_there_is_a_word(monkeypatch):
    monkeypatch.setitem(sys.modules, 'neuroCombat', None)
    monkeypatch.setattr(harmonize.importlib.util, 'find_spec', lambda name: None)
    with refused(people.NO_HARMONIZING):
        harmonize.check_sites(scans([1, 1, 2, 2]), 'site', design.of_covariates([]))


def test_regions_that_cannot_be_harmonized_are_named_and_unchanged(rng):
    people_ = scans(np.repeat(['a', 'b'], 10), age=rng.uniform(20, 80, 20))
    parts = []
    for region in ('one', 'two', 'three', 'constant', 'gap'):
        volume = np.exp(rng.normal(3, 0.2, 20)) * np.repeat([1, 2], 10)
        parts.append(
            people_.assign(region=region, hemisphere='both', volume_mm3=volume, volume_fraction=volume / 1e4)
        )
    tidy = pd.concat(parts, ignore_index=True)
    tidy.loc[tidy['region'] == 'constant', 'volume_mm3'] = 7.0
    tidy.loc[(tidy['region'] == 'gap') & (tidy['scan'] == 's3'), 'volume_fraction'] = np.nan
    out, unchanged = harmonize.harmonize(tidy, 'site', design.of_covariates(['age']))
    assert unchanged == ['volume_mm3 of constant (both)', 'volume_fraction of gap (both)']
    same = tidy['region'] == 'constant'
    assert np.allclose(out.loc[same, 'volume_mm3'], 7.0)
    logs = np.log(out['volume_mm3']).where(out['region'] == 'one')
    shift = logs.groupby(out['site']).mean().diff().iloc[-1]
    assert abs(shift) < 0.25 * np.log(2)


def test_a_fraction_of_0_is_replaced_by_half_of_the_smallest_of_its_region(rng):
    people_ = scans(np.repeat(['a', 'b'], 10))
    parts = []
    for region, size in (('large', 1e6), ('small', 1e3), ('other', 1e3)):
        volume = np.exp(rng.normal(3, 0.2, 20)) * (1 if region == 'large' else np.arange(20) > 1)
        parts.append(
            people_.assign(region=region, hemisphere='both', volume_mm3=volume, volume_fraction=volume / size)
        )
    tidy = pd.concat(parts, ignore_index=True)
    out, _ = harmonize.harmonize(tidy, 'site', design.of_covariates([]))
    small = out.loc[out['region'] == 'small', 'volume_fraction'].to_numpy()
    assert 0.2 < small[0] / small[2:].min() < 1  # the fractions of the large region are a thousand times less


@pytest.mark.parametrize('formula', ['C(arm)', '0 + C(arm)', 'arm + I(arm ** 2)'])
def test_the_effects_of_all_terms_of_a_formula_are_kept(rng, formula):
    arm = np.r_[np.tile([1, 2, 2, 2, 3], 6), np.tile([1, 1, 2, 3, 3], 6)]  # more of the second at one site
    people_ = scans(np.repeat(['a', 'b'], 30), arm=arm)
    parts = []
    for region in ('one', 'two', 'three'):
        volume = np.exp(5 + (arm == 2) + rng.normal(0, 0.1, 60))
        parts.append(
            people_.assign(region=region, hemisphere='both', volume_mm3=volume, volume_fraction=volume / 1e5)
        )
    terms = design.of_formula(formula, ['arm', 'site'])
    harmonize.check_sites(people_, 'site', terms)
    out, _ = harmonize.harmonize(pd.concat(parts, ignore_index=True), 'site', terms)
    logs, is_second = np.log(out['volume_fraction']), out['arm'] == 2
    assert logs[is_second].mean() - logs[~is_second].mean() == pytest.approx(1, abs=0.06)
