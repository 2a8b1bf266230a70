"""The page of an evaluation: one self-contained HTML file with scores, intervals and figures."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import __version__
from ..bids.naming import EvaluationNaming
from ..evaluation.detection import is_total
from ..evaluation.masks import Evaluation, whole_scans
from . import html
from .columns import DASH, fixed
from .group_page import shown

#: Scores in the order of the page, in words.
SCORES = {
    'dice': 'voxel Dice',
    'recall': 'recall of voxels',
    'precision': 'precision of voxels',
    'avd': 'absolute volume difference (%)',
    'auprc': 'area under the precision-recall curve (AUPRC)',
    'cldice': 'clDice (centre lines)',
    'cluster_dice': 'cluster Dice',
    'cluster_recall': 'recall of clusters',
    'cluster_precision': 'precision of clusters',
    'large_recall': 'recall of clusters of the size or more',
    'large_precision': 'precision of clusters of the size or more',
    'false_clusters': 'false clusters a scan',
}
#: Decimals of scores that have other than 3.
DECIMALS = {'avd': 1, 'false_clusters': 1}
#: Columns of the table of scans that the page shows; the table itself has more.
SCAN_COLUMNS = ('dice', 'avd', 'auprc', 'cldice', 'cluster_dice', 'false_clusters')


def render(evaluation: Evaluation, left_out: pd.DataFrame, out_dir: Path) -> str:
    """Write the page's HTML; figures and numbers are inside, nothing is loaded from elsewhere.

    Parameters
    ----------
    evaluation : Evaluation
    left_out : DataFrame
        Masks that take no part: ``scan dataset file reason``.
    out_dir : Path
        Where the figures are.
    """
    names = EvaluationNaming(out_dir)
    recall = evaluation.recall
    return html.template('evaluation.html', shown=shown).render(
        version=__version__,
        n_scans=evaluation.scans['scan'].nunique(),
        scores=_scores(evaluation.summary),
        regions=_regions(evaluation.summary),
        by_detectability=_recalls(recall[recall['measure'] == 'detectability']),
        by_volume=_recalls(recall[recall['measure'] == 'volume_mm3']),
        recall_figure=_figure(names.table('recall', '.png')),
        sweep_figure=_figure(names.table('sweep', '.png')),
        agreement=_agreement(evaluation.agreement),
        scan_headings=[SCORES[name] for name in SCAN_COLUMNS],
        scans=_scans(evaluation.scans),
        left_out=left_out[['scan', 'dataset', 'reason']].to_numpy().tolist(),
    )


def _interval(row: Mapping[Any, Any], name: str, decimals: int) -> str:
    """A value with its interval, where there is one."""
    value, low, high = (fixed(row[key], decimals) for key in (name, 'ci_low', 'ci_high'))
    return value if DASH in (value, low) else f'{value} ({low} to {high})'


def _scores(summary: pd.DataFrame) -> dict[str, Any]:
    """Means of the whole scans: a row per score, a column per size filter."""
    whole = summary[summary['region'] == 'all']
    sizes = sorted(whole['min_size_mm3'].unique())
    cells = {
        (row['score'], row['min_size_mm3']): _interval(row, 'mean', DECIMALS.get(row['score'], 3))
        for row in whole.to_dict('records')
    }
    names = [name for name in SCORES if any((name, size) in cells for size in sizes)]
    rows = [[SCORES[name], *(cells.get((name, size), DASH) for size in sizes)] for name in names]
    return {'sizes': [f'{size:g}' for size in sizes], 'rows': rows}


def _regions(summary: pd.DataFrame) -> list[list[str]]:
    """Voxel and cluster Dice by region."""
    rows = []
    for region, part in summary[summary['region'] != 'all'].groupby('region', sort=False):
        found = {row['score']: _interval(row, 'mean', 3) for row in part.to_dict('records')}
        rows.append([str(region), found.get('dice', DASH), found.get('cluster_dice', DASH)])
    return rows


def _recalls(recall: pd.DataFrame) -> list[tuple[bool, list[str]]]:
    """Whether a row is a total; range, number of spaces, recall with its interval, and the ideal one."""
    rows = [
        [
            _range(row['low'], row['high']),
            f'{row["n_spaces"]}',
            _interval(row, 'recall', 3),
            fixed(row['ideal_recall'], 3),
        ]
        for row in recall.to_dict('records')
    ]
    return list(zip(is_total(recall), rows, strict=True))


def _range(low: float, high: float) -> str:
    if np.isfinite(high):
        return f'{low:g} to {high:g}'
    return f'{low:g} and more' if low else 'all'


def _agreement(table: pd.DataFrame) -> list[list[str]]:
    rows = []
    for row in table.to_dict('records'):
        bounds = (fixed(row[key], 3) for key in ('icc', 'icc_low', 'icc_high'))
        limits = (fixed(row[key], 1) for key in ('bias', 'limit_low', 'limit_high'))
        rows.append([str(row['measure']), str(row['n']), *bounds, *limits])
    return rows


def _scans(scans: pd.DataFrame) -> list[list[str]]:
    """Scores of each whole scan without a size filter, or with the smallest."""
    return [
        [shown(row['scan']), *(fixed(row[name], DECIMALS.get(name, 3)) for name in SCAN_COLUMNS)]
        for row in whole_scans(scans).to_dict('records')
    ]


def _figure(path: Path) -> str | None:
    """A picture as a data address; None if it is not there."""
    if not path.exists():
        return None
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()
