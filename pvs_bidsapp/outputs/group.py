"""Writing the tables, maps and page of the group level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..anatomy import template
from ..bids.naming import GroupNaming
from ..clusters.tables import REGION_COLUMNS, describe, to_tsv
from ..clusters.visual_grades import GRADES
from ..group import (
    change,
    collect,
    distributions,
    effects,
    exclusions,
    maps,
    mixed,
    regression,
    sites,
    standard,
    table_one,
)
from ..group.cohort import Cohort
from ..group.results import GroupOptions, GroupResults
from ..messages.message import one_line
from ..reports.group_page import render
from ..runtime.files import save_image, write_json, write_text
from .cohort import map_grid


def write_group(options: GroupOptions, cohort: Cohort, results: GroupResults) -> Path:
    """Write all results of the group level.

    Parameters
    ----------
    options : GroupOptions
    cohort : Cohort
    results : GroupResults

    Returns
    -------
    page : Path
    """
    names = GroupNaming(options.out_dir)
    names.page.unlink(missing_ok=True)  # until all is written again, there is no page
    _write_tables(names, options, cohort, results)
    _write_maps(names, results)
    write_text(names.page, render(options, cohort, results))
    return names.page


def _write_tables(names: GroupNaming, options: GroupOptions, cohort: Cohort, results: GroupResults) -> None:
    people = _describe_people(cohort) | _IDS
    findings = {'Findings': [f.row() | {'File': one_line(f.file)} for f in results.findings]}
    scans = _describe_scans(options, cohort)
    tables: dict[str, tuple[pd.DataFrame | None, dict[str, Any]]] = {
        'regions': (exact(cohort.tidy, cohort.columns), people | _describe_results(cohort)),
        'scans': (exact(cohort.scans, cohort.columns), people | scans | findings),
        'summary': (results.summary, _SUMMARY),
        'comparison': (
            results.comparison,
            _describe_all(distributions.COLUMNS) | _describe_matching(results),
        ),
        'rating': (results.rating, _describe_all(_RATING)),
        'regression': (results.regression, _describe_all(regression.COLUMNS)),
        'table1': (results.table_one, _describe_table_one(results)),
        'effects': (results.effects, _describe_all(effects.COLUMNS)),
        'sites': (results.sites, _describe_all(sites.COLUMNS)),
        'mixed': (results.mixed, _describe_all(mixed.COLUMNS)),
        'change': (results.change, _describe_all(change.COLUMNS)),
        'outliers': (
            results.outliers,
            _describe_all(_OUTLIERS),
        ),
        'repeated': (results.repeated if len(results.repeated) else None, _describe_all(_REPEATED)),
        'exclusions': (
            results.exclusions.map(one_line, na_action='ignore'),
            _describe_all(exclusions.COLUMNS),
        ),
    }
    for name, (table, described) in tables.items():
        text, sidecar = names.table(name), names.table(name, '.json')
        if table is None:  # left by an earlier run with more options
            text.unlink(missing_ok=True)
            sidecar.unlink(missing_ok=True)
        else:
            write_text(text, to_tsv(table))
            write_json(sidecar, described)


def exact(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A table in which some columns of numbers are text, so that no digit is lost when it is written.

    Parameters
    ----------
    table : DataFrame
    columns : sequence of str
        Those that come from elsewhere and are to be written as they were.
    """
    texts = {}
    for name in columns:
        if pd.api.types.is_float_dtype(table[name]):
            texts[name] = table[name].map({v: f'{v:.15g}' for v in table[name].dropna().unique()})
    return table.assign(**texts)


def map_labels(cohorts: Iterable[str]) -> dict[str, str]:
    """A label for the file name of each cohort's map: letters and digits, and each once.

    Parameters
    ----------
    cohorts : iterable of str
        Names, which may hold anything.
    """
    labels: dict[str, str] = {}
    taken: set[str] = set()
    for name in cohorts:
        bare = ''.join(c for c in name if c.isascii() and c.isalnum())[:40] or 'cohort'
        label, number = bare, 2
        while label.casefold() in taken:
            label, number = f'{bare}{number}', number + 1
        taken.add(label.casefold())
        labels[name] = label
    return labels


def describe_map(number: int, masked: int) -> str:
    """How the scans of a frequency map are drawn, in words.

    Parameters
    ----------
    number : int
        Scans in the map.
    masked : int
        Those of them with a mask in the template's space.
    """
    parts = []
    if masked:
        parts.append(f'of {masked} scans, the voxels of the mask in template space')
    if number > masked or not parts:
        lines = 'each cluster as a straight line through its centre in template space'
        parts.append(f'of {number - masked} scans, {lines}')
    return '; '.join(parts)


def _write_maps(names: GroupNaming, results: GroupResults) -> None:
    _, affine = map_grid()
    written = set()
    for name, label in map_labels(results.maps).items():
        image, sidecar = (names.frequency_map(label, template.SPACE, e) for e in ('.nii.gz', '.json'))
        save_image(image, results.maps[name], affine, np.float32)
        people = [results.cohorts[name]] if name in results.cohorts else list(results.cohorts.values())
        scans = [scan for part in people for scan in part['scan']]
        write_json(sidecar, {
            'Description': 'fraction of people with a perivascular space near each voxel',
            'Cohort': name, 'NumberOfPeople': len(scans), 'SmoothingFWHM': maps.SMOOTHING,
            'Method': describe_map(len(scans), sum(scan in results.masked for scan in scans)),
        })  # fmt: skip
        written |= {image, sidecar}
    pattern = names.frequency_map('LABEL', template.SPACE, '.*').name.replace('LABEL', '*')
    for path in names.root.glob(pattern):
        if path not in written:  # left by an earlier run with other cohorts
            path.unlink()


def _describe_all(columns: Mapping[str, str]) -> dict[str, Any]:
    return {name: {'Description': text} for name, text in columns.items()}


def _describe_table_one(results: GroupResults) -> dict[str, Any]:
    cohorts = {table_one.cohort_column(name): f'people of cohort {name}' for name in results.cohorts}
    return _describe_all(table_one.COLUMNS | cohorts)


def _describe_people(cohort: Cohort) -> dict[str, Any]:
    """What the columns of participants.tsv are called there, and how they are used."""
    described = {}
    for name in cohort.columns:
        text = f'column {cohort.renamed.get(name, name)} of participants.tsv'
        if name in cohort.renamed:
            text += ', whose name is that of a column of the results'
        if name in cohort.coded:
            text += '; codes, as participants.json has Levels'
        described[name] = {'Description': text}
    return described


def _describe_matching(results: GroupResults) -> dict[str, Any]:
    rules = {name: str(rule) for name, rule in results.matching.items()}
    return {'Matching': rules} if rules else {}


def _describe_results(cohort: Cohort) -> dict[str, Any]:
    """Columns of the region statistics, and of the measures at the reference quality where there are any."""
    described: dict[str, Any] = dict(describe(REGION_COLUMNS))
    for measure, name in standard.COLUMNS.items():
        if name in cohort.tidy:
            described[name] = {
                'Description': f'{measure} at the reference quality: noise of {standard.REFERENCE_NOISE:g} '
                f'of the contrast of white matter to CSF, voxels of {standard.REFERENCE_VOXEL:g} mm3'
            }
    return described


def _describe_scans(options: GroupOptions, cohort: Cohort) -> dict[str, Any]:
    described = {name: text for name, text in _describe_results(cohort).items() if name in cohort.scans}
    described['ICV'] = {'Description': 'volume of the brain mask (with ventricles)', 'Units': 'mm3'}
    for measure in ('count', 'volume_mm3', 'volume_fraction'):
        described[f'dwm_{measure}'] = described[measure] | {'Description': f'{measure} of deep white matter'}
    described |= {name: {'Description': text} for name, text in GRADES.items() if name in cohort.scans}
    for name in [c for c in cohort.scans if str(c).startswith('qc_')]:
        described[str(name)] = {'Description': 'measure of quality, as in desc-qc_stats of the scan'}
    for size in options.size_filters:
        described[distributions.column(size)] = {
            'Description': f'clusters of deep white matter of {size:g} mm3 or more'
        }
    for t in collect.thresholds(cohort.threshold):
        described[collect.threshold_column(t)] = {
            'Description': f'clusters of deep white matter whose highest probability reaches {t:g}'
        }
    return described


_IDS = {
    'participant_id': {'Description': 'label of the person'},
    'session_id': {'Description': 'label of the session; n/a without sessions'},
    'scan': {'Description': 'name of the scan: its file name without suffix'},
}
_MEASURED = {'count': 'number of clusters', 'volume_mm3': 'volume of the clusters, in mm3'}
_SUMMARY = _describe_all(
    {'region': 'name of the region', 'hemisphere': 'left, right or both', 'n_scans': 'number of scans'}
    | {
        f'{measure}_{short}': f'{word} of the {text}'
        for measure, text in _MEASURED.items()
        for short, word in (('median', 'median'), ('mean', 'mean'), ('sd', 'standard deviation'))
    }
)
_OUTLIERS = {
    'scan': 'name of the scan',
    'measure': 'measure by which it lies far from the others',
    'value': 'its value',
    'robust_z': '0.6745 (x - median) / MAD, where x is log(1 + value)',
}
_RATING = {
    'threshold': 'probability threshold',
    'n': 'number of scans',
    'coefficient': 'log-odds of a higher grade by one more cluster',
    'standard_error': 'of the coefficient',
    'p': 'two-sided',
    'r2_nagelkerke': 'pseudo-R2 of Nagelkerke 1991',
    'r2_mcfadden': 'pseudo-R2 of McFadden 1974',
    'r2_cox_snell': 'pseudo-R2 of Cox and Snell 1989',
    'p_proportional': 'of the proportional-odds check (Brant 1990)',
    'note': 'why there is no estimate',
    'q': 'p, false-discovery corrected over the thresholds (Benjamini & Hochberg 1995)',
}
_REPEATED = {
    'measure': 'count or volume_mm3, of the scan or at the reference quality (standard_)',
    'n': 'number of people',
    'icc': 'ICC(2,1), absolute agreement, of the first two scans of each person',
    'icc_low': 'lower end of the 95 % interval of icc (McGraw & Wong 1996)',
    'icc_high': 'upper end of the 95 % interval of icc',
    'bias': 'mean difference, second minus first',
    'limit_low': 'lower limit of agreement (Bland and Altman 1986)',
    'limit_high': 'upper limit of agreement',
}
