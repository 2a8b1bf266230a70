"""The group level: statistics of a cohort from the outputs of ``participant``."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ..anatomy import template
from ..errors import InputError
from ..group import collect, distributions, maps, quality, ratings, regression
from ..group.cohort import Cohort
from ..group.results import GroupOptions, GroupResults
from ..outputs.cohort import map_grid, read_cohort
from ..outputs.group import write_group

LOG = logging.getLogger(__name__)
#: What statsmodels' formula engines raise where a formula cannot be used.
_FORMULA_ERRORS = ('PatsyError', 'FactorEvaluationError', 'FormulaicError', 'FormulaSyntaxError', 'NameError')


def run_group(options: GroupOptions) -> Path:
    """Run the chosen statistics, and write tables, maps and page.

    Parameters
    ----------
    options : GroupOptions

    Returns
    -------
    page : Path

    Raises
    ------
    InputError
        If there is nothing to work on, a column does not exist, or cohorts were made differently.
    """
    cohort = read_cohort(options.bids_dir, options.out_dir, options.size_filters)
    _check_columns(options, cohort)
    results = GroupResults(
        summary=collect.summarise(cohort.tidy),
        outliers=quality.outliers(cohort.scans),
        repeated=quality.repeated(cohort.scans),
    )
    independent = collect.first_scans(cohort.scans)
    if len(independent) < len(cohort.scans):
        results.notes.append('Of people with several scans, tests and models use the first scan.')
    results.cohorts, voxels = _cohorts(options, cohort, independent)
    if len(results.cohorts) > 1:
        results.comparison = distributions.compare(
            results.cohorts, options.size_filters, matched_by=options.match
        )
    if options.rating:
        results.rating, results.rating_fit = _rate(options.rating, cohort, independent)
    if options.covariates or options.formula:
        results.regression = _regress(options, cohort, independent, results.notes)
    results.maps = _maps(results.cohorts, voxels)
    return write_group(options, cohort, results)


def _check_columns(options: GroupOptions, cohort: Cohort) -> None:
    """Check that every column named by an option exists."""
    for option, names in (
        ('--cohort', [options.cohort]), ('--rating', [options.rating]), ('--harmonize', [options.harmonize]),
        ('--match', options.match), ('--covariates', options.covariates),
    ):  # fmt: skip
        for name in filter(None, names):
            if name not in cohort.scans:
                there = ', '.join(('ICV', *cohort.columns)) or 'none'
                raise InputError(f'{option} {name}: no such column in participants.tsv; there are: {there}')


def _cohorts(
    options: GroupOptions, cohort: Cohort, independent: pd.DataFrame
) -> tuple[dict[str, pd.DataFrame], dict[str, np.ndarray]]:
    """Cohorts by name, one row per person, and the map voxels of all their scans."""
    voxels = dict(cohort.voxels)
    if options.cohort:
        known = independent.dropna(subset=[options.cohort])
        groups = {str(name): part for name, part in known.groupby(options.cohort)}
        if len(groups) < 2:
            raise InputError(
                f'--cohort {options.cohort}: only one value ({", ".join(groups)}); nothing to compare'
            )
        return groups, voxels
    groups = {'this': independent}
    for name, folder in options.compare.items():
        other = read_cohort(None, folder, options.size_filters)
        if other.model != cohort.model:
            raise InputError(
                f'--compare {name}={folder}: made with {other.model[0]} at {other.model[2]}, here '
                f'{cohort.model[0]} at {cohort.model[2]}; run participant alike on both'
            )
        if lacking := [c for c in options.match if c not in other.scans]:
            raise InputError(
                f'--match {lacking[0]}: {folder} has no such column (its participants.tsv was not found?)'
            )
        first = collect.first_scans(other.scans)
        groups[name] = first.assign(scan=f'{name}/' + first['scan'])
        voxels |= {f'{name}/{scan}': v for scan, v in other.voxels.items()}
    return groups, voxels


def _rate(column: str, cohort: Cohort, scans: pd.DataFrame) -> tuple[pd.DataFrame, ratings.RatingFit]:
    counts = {t: scans[collect.threshold_column(t)] for t in collect.thresholds(cohort.threshold)}
    table, fits = ratings.by_threshold(counts, scans[column])
    return table, fits[cohort.threshold]


def _regress(options: GroupOptions, cohort: Cohort, scans: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    tidy = cohort.tidy[cohort.tidy['scan'].isin(scans['scan'])]
    tidy = tidy.assign(ICV=tidy['scan'].map(scans.set_index('scan')['ICV']))
    if options.harmonize:
        from ..group.harmonize import harmonize

        tidy = harmonize(tidy, options.harmonize, [c for c in options.covariates if c != options.harmonize])
        notes.append(f'Volumes and fractions were harmonized over {options.harmonize} by ComBat.')
    lacking = (
        int(tidy.drop_duplicates('scan')[list(options.covariates)].isna().any(axis=1).sum())
        if options.covariates
        else 0
    )
    if lacking:
        notes.append(f'{lacking} scans lack a covariate and are left out of the regression.')
    try:
        return regression.regress(tidy, options.covariates, formula=options.formula)
    except Exception as error:
        if type(error).__name__ in _FORMULA_ERRORS:
            reason = ' '.join(str(error).split())[:150]
            raise InputError(f'--formula {options.formula!r}: {reason}') from error
        raise


def _maps(cohorts: dict[str, pd.DataFrame], voxels: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    shape, _ = map_grid()
    brain = _coarse_brain(shape)
    made = {
        name: maps.frequency([voxels[s] for s in part['scan']], shape, brain)
        for name, part in cohorts.items()
    }
    if len(cohorts) > 1:
        scans = [s for part in cohorts.values() for s in part['scan']]
        made = {'all': maps.frequency([voxels[s] for s in scans], shape, brain)} | made
    return made


def _coarse_brain(shape: tuple[int, int, int]) -> np.ndarray:
    brain_mask = template.load().brain_mask[::2, ::2, ::2]
    return brain_mask[: shape[0], : shape[1], : shape[2]]
