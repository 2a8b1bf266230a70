"""The group level: statistics of a cohort from the outputs of ``participant``."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..anatomy import template
from ..group import collect, design, distributions, maps, quality, ratings, regression, standard
from ..group.cohort import Cohort, name_of_everybody
from ..group.design import Design
from ..group.exclusions import (
    ALL,
    Exclusion,
    exclude,
    exclusion_table,
    level_text,
    without_missing,
    without_single_levels,
)
from ..group.results import GroupOptions, GroupResults
from ..messages import people
from ..messages.message import Finding
from ..messages.people import listed
from ..outputs.cohort import map_grid, read_cohort
from ..outputs.group import write_group
from ..runtime.files import check_writable
from .group_effects import Sample, check_times, estimate

LOG = logging.getLogger(__name__)
#: Cohorts up to which all pairs are compared.
MOST_COHORTS = 50
COMPARISON, RATING, REGRESSION = 'comparison', 'rating', 'regression'
REPEATED, INDEPENDENT = 'agreement of two scans', 'tests and models'


@dataclass(frozen=True, kw_only=True)
class GroupOutcome:
    """What the group level came to.

    Attributes
    ----------
    page : Path
    damaged : tuple of str
        Scans that were left out since their results cannot be read.
    """

    page: Path
    damaged: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """1 if results of a scan cannot be read; scans that were not run are no failure."""
        return 1 if self.damaged else 0


def run_group(options: GroupOptions) -> GroupOutcome:
    """Run the chosen statistics, and write tables, maps and page.

    What cannot be computed is refused before anything is computed or written. Scans whose results cannot be
    read are named, and the others are used.

    Parameters
    ----------
    options : GroupOptions

    Returns
    -------
    outcome : GroupOutcome

    Raises
    ------
    InputError
        If there is nothing to work on, a column does not exist, cohorts were made differently, or the terms
        of the regression cannot be told apart.
    """
    if not os.path.isdir(options.out_dir):
        raise people.NO_RESULTS.error(options.out_dir)
    check_writable(options.out_dir, 'OUT_DIR')
    cohort = read_cohort(options.bids_dir, options.out_dir, options.size_filters)
    check_options(options, cohort)
    independent = collect.first_scans(cohort.scans).reset_index(drop=True)
    plan = _plan(options, cohort, independent)
    results = GroupResults(
        summary=collect.summarise(cohort.tidy),
        outliers=quality.outliers(cohort.scans),
        repeated=quality.repeated(cohort.scans),
        cohorts=plan.cohorts,
        findings=[f for c in (cohort, *plan.others.values()) for f in c.findings] + plan.findings,
    )
    if standard.COLUMNS['count'] in cohort.scans:
        results.notes.append(standard.explain(cohort.scans['qc_noise_to_csf'], cohort.scans['qc_voxel_mm3']))
    left_out = _without_results(cohort) + _repeated_scans(cohort, independent, results) + plan.left_out
    if len(plan.cohorts) > 1:
        left_out += _test_pairs(options, cohort, plan, results)
    sample = Sample(
        cohort=cohort, others=plan.others, people=plan.cohorts, everybody=independent, pairs=plan.pairs
    )
    left_out += estimate(options, sample, plan.terms, results)
    if plan.grades is not None:
        _rate(plan.grades, cohort, independent, results)
    if plan.terms is not None:
        left_out += _regress(options, cohort, plan, independent, results)
    results.maps = _maps(plan.cohorts, _voxels(cohort, plan.others))
    results.masked = cohort.masked.union(f'{n}/{s}' for n, other in plan.others.items() for s in other.masked)
    results.exclusions = exclusion_table(left_out)
    damaged = cohort.damaged + tuple(f'{n}/{s}' for n, other in plan.others.items() for s in other.damaged)
    return GroupOutcome(page=write_group(options, cohort, results), damaged=damaged)


@dataclass(kw_only=True)
class _Plan:
    """What is to be computed, of whom.

    Attributes
    ----------
    cohorts : dict of str to DataFrame
        One row per person.
    others : dict of str to Cohort
        The cohorts of other output folders.
    grades : Series or None
        The visual rating of each scan, by name; only of those that have one.
    terms : Design or None
        The terms of the regression.
    scans : DataFrame or None
        The scans of the regression.
    pairs : dict of (str, str) to (DataFrame, DataFrame)
        The people of each pair of cohorts, once they are matched.
    left_out : list of Exclusion
    findings : list of Finding
    """

    cohorts: dict[str, pd.DataFrame]
    others: dict[str, Cohort]
    grades: pd.Series | None = None
    terms: Design | None = None
    scans: pd.DataFrame | None = None
    pairs: dict[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)
    left_out: list[Exclusion] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def _plan(options: GroupOptions, cohort: Cohort, independent: pd.DataFrame) -> _Plan:
    """Choose the people of each analysis, and refuse what cannot be computed."""
    if options.cohort:
        plan = _split(options.cohort, cohort, independent)
    else:
        others = {name: _read_other(name, options, cohort) for name in options.compare}
        plan = _Plan(cohorts={'this': independent}, others=others)
        for name, other in others.items():
            first = collect.first_scans(other.scans)
            plan.cohorts[name] = first.assign(scan=f'{name}/' + first['scan']).reset_index(drop=True)
            later = other.scans[~other.scans['scan'].isin(first['scan'])]
            plan.left_out += _without_results(other, f'{name}/')
            plan.left_out += exclude(
                later.assign(scan=f'{name}/' + later['scan']),
                INDEPENDENT,
                'another scan of the person is used',
            )
    if options.rating:
        _plan_rating(options.rating, cohort, independent, plan)
    if options.covariates or options.formula is not None:
        _plan_regression(options, cohort, independent, plan)
    return plan


def check_options(options: GroupOptions, cohort: Cohort) -> None:
    """Check that options go together, and that every column named by them exists.

    Parameters
    ----------
    options : GroupOptions
    cohort : Cohort

    Raises
    ------
    InputError
        If not.
    """
    if options.covariates and options.formula is not None:
        raise people.TWO_DESIGNS.error()
    if options.harmonize and not options.covariates and options.formula is None:
        raise people.HARMONIZED_ALONE.error(column=options.harmonize)
    if options.site and not (options.cohort or options.covariates or options.formula is not None):
        raise people.SITE_ALONE.error(column=options.site)
    if options.cohort and options.cohort in options.match:
        raise people.MATCHED_ON_COHORT.error(column=options.cohort)
    for option, names in (
        ('--cohort', [options.cohort]), ('--rating', [options.rating]), ('--harmonize', [options.harmonize]),
        ('--match', options.match), ('--covariates', options.covariates), ('--site', [options.site]),
        ('--time', [options.time]),
    ):  # fmt: skip
        for name in filter(None, names):
            _check_column(option, name, cohort)
    check_times(options, cohort)


def _check_column(option: str, name: str, cohort: Cohort) -> None:
    # sites are those of people; other columns may be measures of the results
    if name not in (cohort.columns if option in ('--harmonize', '--site', '--time') else cohort.scans):
        own = {there: here for here, there in cohort.renamed.items()}
        hint = f' (participants.tsv has {name}, which is called {own[name]} here)' if name in own else ''
        columns = listed(('ICV', *cohort.columns), 30)
        raise people.NO_COLUMN.error(option=option, column=name, columns=columns, hint=hint)
    _check_listed(option, name, cohort)


def _check_listed(option: str, name: str, cohort: Cohort) -> None:
    """Whether anybody with results is in participants.tsv, if a column of it is to be used."""
    everybody = set(cohort.scans['participant_id'])
    if name in cohort.columns and everybody <= cohort.unlisted:
        raise people.NOBODY.error(
            option=f'{option} {name}', table='participants.tsv', listed=listed(cohort.listed) or 'nobody',
            people=listed(sorted(everybody)), hint=cohort.hint,
        )  # fmt: skip


def _without_results(cohort: Cohort, prefix: str = '') -> list[Exclusion]:
    """Scans that failed or were not run, and people without any scan."""
    found = [
        Exclusion(scan=prefix + scan, participant_id=scan.split('_')[0], analysis=ALL, reason=reason)
        for scan, reason in cohort.missing.items()
    ]
    return found + [
        Exclusion(scan=None, participant_id=who, analysis=ALL, reason=f'{prefix}{reason}')
        for who, reason in cohort.without_scans.items()
    ]


def _repeated_scans(cohort: Cohort, independent: pd.DataFrame, results: GroupResults) -> list[Exclusion]:
    """Scans that are not the first of their person, and those that agreement is not computed from."""
    later = cohort.scans[~cohort.scans['scan'].isin(independent['scan'])]
    if later.empty:
        return []
    results.notes.append('Of people with several scans, tests and models use the first scan.')
    first = independent.set_index('participant_id')['scan']
    reasons = [f'{first[who]} of the same person is used' for who in later['participant_id']]
    place = collect.in_order(cohort.scans).groupby('participant_id').cumcount()
    third = cohort.scans[place.reindex(cohort.scans.index) > 1]
    single = independent[~independent['participant_id'].isin(later['participant_id'])]
    return [
        *exclude(later, INDEPENDENT, reasons),
        *exclude(third, REPEATED, 'the first two scans of the person are used'),
        *exclude(single, REPEATED, 'the only scan of the person'),
    ]


def _voxels(cohort: Cohort, others: Mapping[str, Cohort]) -> dict[str, np.ndarray]:
    """Voxels of the map by scan, as scans are called in the cohorts of a plan."""
    further = {f'{name}/{scan}': v for name, other in others.items() for scan, v in other.voxels.items()}
    return dict(cohort.voxels) | further


def _split(column: str, cohort: Cohort, scans: pd.DataFrame) -> _Plan:
    """The groups of people that a column names."""
    known, left_out = without_missing(scans, [column], COMPARISON, cohort.unlisted)
    known = known.assign(**{column: known[column].map(level_text)})
    values = known[column].unique()
    if len(values) < 2:
        raise people.ONE_COHORT.error(column=column, values=listed(values) or 'none')
    kept, alone = without_single_levels(known, [column], COMPARISON)
    groups = {str(name): part.reset_index(drop=True) for name, part in kept.groupby(column)}
    if len(groups) > MOST_COHORTS:
        raise people.MANY_COHORTS.error(column=column, count=len(groups), limit=MOST_COHORTS)
    findings = [people.NOTHING_TO_COMPARE.log(LOG, column=column)] if len(groups) < 2 else []
    return _Plan(cohorts=groups, others={}, left_out=left_out + alone, findings=findings)


def _read_other(name: str, options: GroupOptions, cohort: Cohort) -> Cohort:
    """The outputs of another dataset, if they can be compared with these."""
    folder = options.compare[name]
    if os.path.isdir(folder) and os.path.samefile(folder, options.out_dir):
        raise people.COMPARED_WITH_ITSELF.error(name=name, folder=folder)
    other = read_cohort(None, folder, options.size_filters)
    if other.masks != cohort.masks:
        raise people.OTHER_MODEL.error(name=name, folder=folder, other=other.masks, own=cohort.masks)
    for column in options.match:
        if column not in other.scans:
            raise people.COMPARED_LACKS.error(column=column, folder=folder)
    return other


def _test_pairs(options: GroupOptions, cohort: Cohort, plan: _Plan, results: GroupResults) -> list[Exclusion]:
    """Match and compare all pairs of cohorts."""
    cohorts, left_out = dict(plan.cohorts), []
    if options.match:
        for name, part in cohorts.items():
            unlisted = plan.others.get(name, cohort).unlisted
            kept, out = without_missing(part, options.match, COMPARISON, unlisted)
            cohorts[name] = kept.reset_index(drop=True)
            left_out += out
        results.matching = _matching_rules(options, cohort, plan, cohorts)
    plan.pairs = distributions.pairs(cohorts, results.matching)
    for (one, two), matched in plan.pairs.items():
        for name, other, part in ((one, two, matched[0]), (two, one, matched[1])):
            alone = cohorts[name][~cohorts[name]['scan'].isin(part['scan'])]
            left_out += exclude(alone, f'comparison of {one} with {two}', f'no partner in {other}')
    results.comparison = distributions.compare(cohorts, options.size_filters, matched=plan.pairs)
    return left_out


def _matching_rules(
    options: GroupOptions, cohort: Cohort, plan: _Plan, cohorts: Mapping[str, pd.DataFrame]
) -> dict[str, distributions.MatchingRule]:
    sources = (cohort, *plan.others.values())
    return {
        name: distributions.matching_rule(
            name,
            [part[name] for part in cohorts.values()],
            is_coded=any(name in c.coded for c in sources),
            is_measured=any(name in c.measured or name not in c.columns for c in sources),
        )
        for name in dict.fromkeys(options.match)
    }


def _plan_rating(column: str, cohort: Cohort, scans: pd.DataFrame, plan: _Plan) -> None:
    scans = scans.assign(**{column: ratings.as_grades(scans[column], column)})
    kept, left_out = without_missing(scans, [column], RATING, cohort.unlisted)
    plan.grades = kept.set_index('scan')[column]
    plan.left_out += left_out


def _rate(grades: pd.Series, cohort: Cohort, scans: pd.DataFrame, results: GroupResults) -> None:
    graded = scans.set_index('scan').loc[grades.index]
    counts = {t: graded[collect.threshold_column(t)] for t in collect.thresholds(cohort.threshold)}
    results.rating, fits = ratings.by_threshold(counts, grades)
    results.rating_fit = fits[cohort.threshold]


def _plan_regression(options: GroupOptions, cohort: Cohort, scans: pd.DataFrame, plan: _Plan) -> None:
    if options.formula is not None:
        known = dict.fromkeys(('ICV', *cohort.columns, *(str(c) for c in scans if c != 'scan')))
        terms = design.of_formula(options.formula, known)
        for name in terms.columns:
            _check_listed('--formula', name, cohort)
    else:
        terms = design.of_covariates(options.covariates)
    kept, left_out = _usable(terms, options.harmonize, cohort, scans)
    findings = design.check(terms, kept, [e.reason for e in left_out])
    for finding in findings:
        LOG.warning('%s', finding)
    findings += _numbers_like_codes(terms, cohort, kept)
    if options.harmonize:
        from ..group.harmonize import check_sites

        check_sites(kept, options.harmonize, terms.beside(options.harmonize))
    plan.terms, plan.scans = terms, kept
    plan.left_out += left_out
    plan.findings += findings


def _usable(
    terms: Design, site: str | None, cohort: Cohort, scans: pd.DataFrame
) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Scans with all covariates, none of which is alone with a level."""
    columns = list(dict.fromkeys([*terms.columns, *filter(None, [site])]))
    kept, left_out = without_missing(scans, columns, REGRESSION, cohort.unlisted)
    levels = [
        c for c in columns
        if c in terms.factors or c == site or not pd.api.types.is_numeric_dtype(scans[c])
    ]  # fmt: skip
    kept, alone = without_single_levels(kept, levels, REGRESSION)
    return kept.reset_index(drop=True), left_out + alone


def _numbers_like_codes(terms: Design, cohort: Cohort, scans: pd.DataFrame) -> list[Finding]:
    """Covariates that are used as numbers, but look like codes."""
    found = []
    for name in terms.columns:
        if name in terms.factors or name in cohort.measured or name not in cohort.columns:
            continue
        rule, count = distributions.matching_rule(name, [scans[name]]), scans[name].nunique()
        if pd.api.types.is_numeric_dtype(scans[name]) and not rule.is_measured and count > 2:
            found.append(people.NUMBER_OR_CODE.log(LOG, option=terms.option, column=name, count=count))
    return found


def _regress(
    options: GroupOptions, cohort: Cohort, plan: _Plan, scans: pd.DataFrame, results: GroupResults
) -> list[Exclusion]:
    if plan.terms is None or plan.scans is None:
        return []
    per_scan, tidy = scans.set_index('scan'), cohort.tidy[cohort.tidy['scan'].isin(plan.scans['scan'])]
    tidy = tidy.assign(**{str(c): tidy['scan'].map(per_scan[c]) for c in per_scan if c not in tidy})
    if options.harmonize:
        from ..group.harmonize import harmonize

        site = options.harmonize
        tidy, unchanged = harmonize(tidy, site, plan.terms.beside(site))
        results.notes.append(f'Volumes and fractions were harmonized over {site} by ComBat.')
        if unchanged:
            shown = listed(unchanged, 100)
            results.notes.append(f'Not harmonized, as they do not vary, or lack a value in a scan: {shown}.')
    results.regression = regression.regress(tidy, plan.terms)
    return regression.without_values(tidy, plan.terms)


def _maps(cohorts: dict[str, pd.DataFrame], voxels: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    shape, _ = map_grid()
    brain = _coarse_brain(shape)
    made = {
        name: maps.frequency([voxels[s] for s in part['scan']], shape, brain)
        for name, part in cohorts.items()
    }
    if len(cohorts) > 1:
        scans = [s for part in cohorts.values() for s in part['scan']]
        made = {name_of_everybody(cohorts): maps.frequency([voxels[s] for s in scans], shape, brain)} | made
    return made


def _coarse_brain(shape: tuple[int, int, int]) -> np.ndarray:
    brain_mask = template.load().brain_mask[::2, ::2, ::2]
    return brain_mask[: shape[0], : shape[1], : shape[2]]
