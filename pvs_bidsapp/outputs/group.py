"""Writing the tables, maps and page of the group level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..anatomy import template
from ..bids.naming import GroupNaming
from ..clusters.tables import REGION_COLUMNS, describe, to_tsv
from ..group import collect, distributions, maps, regression
from ..group.cohort import Cohort
from ..group.results import GroupOptions, GroupResults
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
    _write_tables(names, options, cohort, results)
    _write_maps(names, results)
    write_text(names.page, render(options, cohort, results))
    return names.page


def _write_tables(names: GroupNaming, options: GroupOptions, cohort: Cohort, results: GroupResults) -> None:
    tables: dict[str, tuple[pd.DataFrame | None, dict[str, Any]]] = {
        'regions': (cohort.tidy, describe(REGION_COLUMNS)),
        'scans': (cohort.scans, _describe_scans(options, cohort)),
        'summary': (results.summary, {}),
        'comparison': (results.comparison, _COMPARISON),
        'rating': (results.rating, _RATING),
        'regression': (results.regression, {k: {'Description': v} for k, v in regression.COLUMNS.items()}),
        'outliers': (
            results.outliers,
            {'robust_z': {'Description': '0.6745 (x - median) / MAD of logarithms'}},
        ),
        'repeated': (results.repeated if len(results.repeated) else None, _REPEATED),
    }
    for name, (table, described) in tables.items():
        text, sidecar = names.table(name), names.table(name, '.json')
        if table is None:  # left by an earlier run with more options
            text.unlink(missing_ok=True)
            sidecar.unlink(missing_ok=True)
        else:
            write_text(text, to_tsv(table))
            write_json(sidecar, described)


def _write_maps(names: GroupNaming, results: GroupResults) -> None:
    _, affine = map_grid()
    for name, fraction in results.maps.items():
        save_image(names.frequency_map(name, template.SPACE), fraction, affine, np.float32)
        number = (
            len(results.cohorts[name]) if name in results.cohorts else sum(map(len, results.cohorts.values()))
        )
        write_json(names.frequency_map(name, template.SPACE, '.json'), {
            'Description': 'fraction of people with a perivascular space near each voxel',
            'Cohort': name, 'NumberOfPeople': number, 'SmoothingFWHM': maps.SMOOTHING,
            'Method': 'each cluster is drawn as a straight line through its centre in template space',
        })  # fmt: skip


def _describe_scans(options: GroupOptions, cohort: Cohort) -> dict[str, Any]:
    described: dict[str, Any] = dict(describe(REGION_COLUMNS))
    described['ICV'] = {'Description': 'volume of the brain mask (with ventricles)', 'Units': 'mm3'}
    for size in options.size_filters:
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
        'Description': 'two-sample Kolmogorov-Smirnov statistic of the number of clusters in deep white '
        'matter'
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
