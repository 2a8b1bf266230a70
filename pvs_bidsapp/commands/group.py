"""Cohort tables, tests, maps and page from the outputs of ``participant``."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..anatomy import template
from ..clusters.tables import REGION_COLUMNS, describe, to_tsv
from ..errors import InputError
from ..group import collect, distributions, maps, quality, ratings, regression
from ..outputs.cohort import Cohort, map_grid, read_cohort
from ..runtime.files import save_image, write_json, write_text

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroupOptions:
    """What `group` was asked for.

    Attributes
    ----------
    bids_dir, out_dir : Path
    size_filters : tuple of float
        In mm3.
    cohort : str or None
        Column that parts the scans into cohorts.
    compare : dict of str to Path
        Further cohorts: output folders by name.
    match : tuple of str
        Columns on which cohorts are matched.
    rating : str or None
        Column with a visual rating.
    covariates : tuple of str
    formula : str or None
    harmonize : str or None
        Column with the site.
    """

    bids_dir: Path
    out_dir: Path
    size_filters: tuple[float, ...] = (0, 5, 10, 15)
    cohort: str | None = None
    compare: dict[str, Path] = field(default_factory=dict)
    match: tuple[str, ...] = ()
    rating: str | None = None
    covariates: tuple[str, ...] = ()
    formula: str | None = None
    harmonize: str | None = None


@dataclass
class GroupResults:
    """Everything that the page shows; tables are None where nothing was asked for."""

    summary: pd.DataFrame
    outliers: pd.DataFrame
    repeated: pd.DataFrame
    comparison: pd.DataFrame | None = None
    rating: pd.DataFrame | None = None
    rating_fit: ratings.RatingFit | None = None
    regression: pd.DataFrame | None = None
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    cohorts: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def run_group(job: GroupOptions) -> Path:
    """Write the tables, maps and page; returns the page.

    Raises
    ------
    InputError
        If there is nothing to work on, a column does not exist, or cohorts were made differently.
    """
    cohort = read_cohort(job.bids_dir, job.out_dir, job.size_filters)
    _check_columns(job, cohort)
    found = GroupResults(
        collect.summarise(cohort.tidy), quality.outliers(cohort.scans), quality.repeated(cohort.scans)
    )
    independent = collect.first_scans(cohort.scans)
    if len(independent) < len(cohort.scans):
        found.notes.append('Of people with several scans, tests and models use the first scan.')
    found.cohorts, voxels = _cohorts(job, cohort, independent)
    if len(found.cohorts) > 1:
        found.comparison = distributions.compare(found.cohorts, job.size_filters, matched_by=job.match)
    if job.rating:
        found.rating, found.rating_fit = _rate(job.rating, cohort, independent)
    if job.covariates or job.formula:
        found.regression = _regress(job, cohort, independent, found.notes)
    found.maps = _maps(found.cohorts, voxels)
    _write_tables(job, cohort, found)
    from ..reports.group_page import render

    page = job.out_dir / 'group.html'
    write_text(page, render(job, cohort, found))
    return page


def _check_columns(job: GroupOptions, cohort: Cohort) -> None:
    """Every column that is asked for must be there."""
    for option, names in (
        ('--cohort', [job.cohort]), ('--rating', [job.rating]), ('--harmonize', [job.harmonize]),
        ('--match', job.match), ('--covariates', job.covariates),
    ):  # fmt: skip
        for name in filter(None, names):
            if name not in cohort.scans:
                there = ', '.join(('ICV', *cohort.columns)) or 'none'
                raise InputError(f'{option} {name}: no such column in participants.tsv; there are: {there}')


def _cohorts(
    job: GroupOptions, cohort: Cohort, independent: pd.DataFrame
) -> tuple[dict[str, pd.DataFrame], dict[str, np.ndarray]]:
    """Cohorts by name, one row a person, and the map voxels of all their scans."""
    voxels = dict(cohort.voxels)
    if job.cohort:
        known = independent.dropna(subset=[job.cohort])
        groups = {str(name): part for name, part in known.groupby(job.cohort)}
        if len(groups) < 2:
            raise InputError(
                f'--cohort {job.cohort}: only one value ({", ".join(groups)}); nothing to compare'
            )
        return groups, voxels
    groups = {'this': independent}
    for name, folder in job.compare.items():
        other = read_cohort(None, folder, job.size_filters)
        if other.model != cohort.model:
            raise InputError(
                f'--compare {name}={folder}: made with {other.model[0]} at {other.model[2]}, here '
                f'{cohort.model[0]} at {cohort.model[2]}; run participant alike on both'
            )
        if lacking := [c for c in job.match if c not in other.scans]:
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


def _regress(job: GroupOptions, cohort: Cohort, scans: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    tidy = cohort.tidy[cohort.tidy['scan'].isin(scans['scan'])]
    tidy = tidy.assign(ICV=tidy['scan'].map(scans.set_index('scan')['ICV']))
    if job.harmonize:
        from ..group.harmonize import harmonize

        tidy = harmonize(tidy, job.harmonize, [c for c in job.covariates if c != job.harmonize])
        notes.append(f'Volumes and fractions were harmonized over {job.harmonize} by ComBat.')
    lacking = (
        int(tidy.drop_duplicates('scan')[list(job.covariates)].isna().any(axis=1).sum())
        if job.covariates
        else 0
    )
    if lacking:
        notes.append(f'{lacking} scans lack a covariate and are left out of the regression.')
    try:
        return regression.regress(tidy, job.covariates, formula=job.formula)
    except Exception as error:
        if type(error).__name__ in (
            'PatsyError',
            'FactorEvaluationError',
            'FormulaicError',
            'FormulaSyntaxError',
            'NameError',
        ):
            raise InputError(f'--formula {job.formula!r}: {" ".join(str(error).split())[:150]}') from error
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
    half = template.load().brain_mask[::2, ::2, ::2]
    return half[: shape[0], : shape[1], : shape[2]]


def _write_tables(job: GroupOptions, cohort: Cohort, found: GroupResults) -> None:
    out = job.out_dir
    tables: dict[str, tuple[pd.DataFrame | None, dict[str, Any]]] = {
        'regions': (cohort.tidy, describe(REGION_COLUMNS)),
        'scans': (cohort.scans, _describe_scans(job, cohort)),
        'summary': (found.summary, {}),
        'comparison': (found.comparison, _COMPARISON),
        'rating': (found.rating, _RATING),
        'regression': (found.regression, {k: {'Description': v} for k, v in regression.COLUMNS.items()}),
        'outliers': (
            found.outliers,
            {'robust_z': {'Description': '0.6745 (x - median) / MAD of logarithms'}},
        ),
        'repeated': (found.repeated if len(found.repeated) else None, _REPEATED),
    }
    for name, (table, described) in tables.items():
        for suffix in ('.tsv', '.json'):
            if table is None:  # of an earlier run that asked for more
                (out / f'group_{name}{suffix}').unlink(missing_ok=True)
        if table is not None:
            write_text(out / f'group_{name}.tsv', to_tsv(table))
            write_json(out / f'group_{name}.json', described)
    _, affine = map_grid()
    for name, share in found.maps.items():
        label = ''.join(c for c in name if c.isalnum()) or 'all'
        path = out / f'group_cohort-{label}_space-{template.SPACE}_desc-pvs_frequency.nii.gz'
        save_image(path, share, affine, np.float32)
        number = len(found.cohorts[name]) if name in found.cohorts else sum(map(len, found.cohorts.values()))
        write_json(path.with_suffix('').with_suffix('.json'), {
            'Description': 'share of people with a perivascular space at (about) each voxel',
            'Cohort': name, 'NumberOfPeople': number, 'SmoothingFWHM': maps.SMOOTHING,
            'Method': 'each cluster as a straight line through its centre in the template',
        })  # fmt: skip


def _describe_scans(job: GroupOptions, cohort: Cohort) -> dict[str, Any]:
    described: dict[str, Any] = dict(describe(REGION_COLUMNS))
    described['ICV'] = {'Description': 'volume of the brain mask (with ventricles)', 'Units': 'mm3'}
    for size in job.size_filters:
        described[distributions.column(size)] = {
            'Description': f'clusters of deep white matter of {size:g} mm3 or more'
        }
    for t in collect.thresholds(cohort.threshold):
        described[collect.threshold_column(t)] = {
            'Description': f'clusters of deep white matter whose highest probability reaches {t:g}'
        }
    return described


_COMPARISON = {
    'size_filter_mm3': {'Description': 'smaller clusters are left out', 'Units': 'mm3'},
    'd': {
        'Description': 'two-sample Kolmogorov-Smirnov statistic of the number of clusters of deep white matter'
    },
    'p': {'Description': 'two-sided'},
    'p_holm': {'Description': 'corrected over the pairs of cohorts (Holm 1979)'},
}
_RATING = {
    'threshold': {'Description': 'probability threshold'},
    'coefficient': {'Description': 'log-odds of a higher grade by one more cluster'},
    'r2_nagelkerke': {'Description': 'pseudo-R2 of Nagelkerke 1991'},
    'r2_mcfadden': {'Description': 'pseudo-R2 of McFadden 1974'},
    'r2_cox_snell': {'Description': 'pseudo-R2 of Cox and Snell 1989'},
    'p_proportional': {'Description': 'of the proportional-odds check (Brant 1990)'},
}
_REPEATED = {
    'icc': {'Description': 'ICC(2,1), absolute agreement, of the first two scans of each person'},
    'bias': {'Description': 'mean difference, second minus first'},
    'limit_low': {'Description': 'lower limit of agreement (Bland and Altman 1986)'},
    'limit_high': {'Description': 'upper limit of agreement'},
}
