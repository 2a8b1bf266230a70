"""The part of the group level that estimates effects: of cohorts, by site, over time; and table 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..group import change, collect, effects, mixed, sites, table_one
from ..group.cohort import Cohort
from ..group.design import Design
from ..group.exclusions import Exclusion, level_text, without_missing
from ..group.results import GroupOptions, GroupResults
from ..messages import people

MIXED = 'mixed models'
CHANGE = 'change per year'


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Who is compared with whom.

    Attributes
    ----------
    cohort : Cohort
        That of OUT_DIR.
    others : mapping of str to Cohort
        Those of other folders.
    people : mapping of str to DataFrame
        One row per person, by cohort.
    everybody : DataFrame
        One row per person of OUT_DIR.
    pairs : mapping of (str, str) to (DataFrame, DataFrame)
        The people of each pair of cohorts that are compared.
    """

    cohort: Cohort
    others: Mapping[str, Cohort]
    people: Mapping[str, pd.DataFrame]
    everybody: pd.DataFrame
    pairs: Mapping[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]]

    def tidy(self) -> pd.DataFrame:
        """One row per scan and region, of all folders; scans of others as cohorts name them."""
        further = [
            other.tidy.assign(scan=f'{name}/' + other.tidy['scan']) for name, other in self.others.items()
        ]
        return pd.concat([self.cohort.tidy, *further], ignore_index=True)

    def all_people(self) -> pd.DataFrame:
        """One row per person of all folders."""
        further = [part for name, part in self.people.items() if name in self.others]
        return pd.concat([self.everybody, *further], ignore_index=True)


def check_times(options: GroupOptions, cohort: Cohort) -> None:
    """Whether somebody has scans at two times, if change over time is asked for.

    Parameters
    ----------
    options : GroupOptions
    cohort : Cohort

    Raises
    ------
    InputError
        If not.
    """
    if options.time is None:
        return
    years = mixed.years_since_first(cohort.scans[options.time], cohort.scans['participant_id'])
    if not (years > 0).any():
        raise people.NO_TIME.error(column=options.time, known=int(years.notna().sum()), scans=len(years))


def estimate(
    options: GroupOptions, sample: Sample, design: Design | None, results: GroupResults
) -> list[Exclusion]:
    """Estimate effects, and describe the people; returns who is left out.

    Parameters
    ----------
    options : GroupOptions
    sample : Sample
    design : Design or None
        Covariates, which are confounders here.
    results : GroupResults
        To which the tables are added.
    """
    results.table_one = _describe(sample, options.cohort)
    if sample.pairs:
        results.effects = effects.cohort_effects(sample.tidy(), sample.pairs, design, options.cohort)
        if len(sample.pairs) > effects.MOST_PAIRS:
            results.notes.append(
                f'Effects have no permutation tests, as more than {effects.MOST_PAIRS} pairs are compared.'
            )
    left_out = _by_site(options, sample, design, results)
    left_out += _over_time(options, sample, design, results)
    if options.harmonize:
        results.notes.append(
            f'Values are harmonized in the regression only; name {options.harmonize} as a covariate to hold '
            'it in the other models.'
        )
    return left_out


def _describe(sample: Sample, column: str | None) -> pd.DataFrame:
    """Table 1, without the column that names the cohorts."""
    everybody = sample.all_people()
    scans: dict[str | None, int] = {
        None: len(sample.cohort.scans) + sum(len(o.scans) for o in sample.others.values())
    }
    for name, part in sample.people.items():
        source = sample.others.get(name, sample.cohort)
        scans[name] = int(source.scans['participant_id'].isin(part['participant_id']).sum())
    return table_one.table_one(
        sample.people, everybody, [c for c in sample.cohort.columns if c != column], scans
    )


def _by_site(
    options: GroupOptions, sample: Sample, design: Design | None, results: GroupResults
) -> list[Exclusion]:
    """Effects by site; the cohorts of other folders are not of one study, and have none."""
    cohorts = {} if sample.others or len(sample.people) < 2 else sample.people
    if design is None and not cohorts and not options.site:
        return []
    everybody = sample.everybody
    left_out: list[Exclusion] = []
    site = options.site or options.harmonize
    if site:
        everybody, left_out = without_missing(everybody, [site], 'effects by site', sample.cohort.unlisted)
    found = sites.site_effects(
        sample.cohort.tidy, everybody, design, site=site, cohorts=cohorts, column=options.cohort
    )
    if not found.empty:
        results.sites = found
        return left_out
    if options.site:
        nothing = f'nobody has a value of {site}' if everybody.empty else (
            'no cohorts of this dataset are compared, and no covariate is a column of numbers'
        )  # fmt: skip
        results.notes.append(f'There are no effects by {site}: {nothing}.')
    return []


def _over_time(
    options: GroupOptions, sample: Sample, design: Design | None, results: GroupResults
) -> list[Exclusion]:
    """Mixed models and change per year of people with several scans."""
    cohort, scans = sample.cohort, sample.cohort.scans
    if len(scans) == scans['participant_id'].nunique() or (design is None and options.time is None):
        return []
    is_timed, group = options.time is not None, None
    used = list(design.columns) if design else []
    if options.time is not None:
        scans = _at_first(scans, options.time, used)
        used.append(mixed.YEARS)
        if options.cohort and len(sample.people) > 1:
            group = options.cohort
            used.append(group)
            # a person stays in the cohort of the first scan, as in all other tables
            first = sample.everybody.set_index('participant_id')[group].map(level_text, na_action='ignore')
            scans = scans.assign(**{group: scans['participant_id'].map(first)})
            scans = scans[scans[group].isna() | scans[group].isin(list(sample.people))]
    kept, left_out = without_missing(scans, used, MIXED, cohort.unlisted)
    tidy = cohort.tidy[cohort.tidy['scan'].isin(kept['scan'])]
    results.mixed = mixed.mixed_models(tidy, design, time=is_timed, cohort=group, scans=kept)
    if is_timed:
        timed, untimed = without_missing(scans, [mixed.YEARS], CHANGE, cohort.unlisted)
        groups = {n: part['participant_id'] for n, part in sample.people.items()} if group else {}
        years = cohort.tidy['scan'].map(timed.set_index('scan')[mixed.YEARS])
        results.change = change.change_per_year(cohort.tidy.assign(**{mixed.YEARS: years}), groups)
        left_out += untimed
    return left_out


def _at_first(scans: pd.DataFrame, time: str, columns: list[str]) -> pd.DataFrame:
    """Years since the first scan, and covariates as they were then: age at each scan is age and time."""
    years = mixed.years_since_first(scans[time], scans['participant_id'])
    scans = collect.in_order(scans.assign(**{mixed.YEARS: years})).sort_values(mixed.YEARS, kind='stable')
    # what is missing at the first scan stays missing: a later value would hold part of the change
    first = scans.drop_duplicates('participant_id').set_index('participant_id')
    return scans.assign(**{c: scans['participant_id'].map(first[c]) for c in columns})
