"""Scores of whole scans, and their summary over scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import cc3d
import numpy as np
import pandas as pd

from ..anatomy.regions import indices_of
from .agreement import agreement
from .metrics import cluster_scores, remove_small, score
from .sweep import bootstrap, sweep

#: Regions that are scored separately: totals of `pvs_bidsapp.anatomy.regions.TOTALS`.
SCORED_REGIONS = ('deep white matter', 'basal ganglia', 'midbrain', 'hippocampus')
#: Scores whose means over scans are reported.
SUMMARISED_SCORES = (
    'dice', 'recall', 'precision', 'avd', 'cluster_dice', 'cluster_recall', 'cluster_precision',
    'large_recall', 'large_precision',
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MaskPair:
    """Predicted and reference masks of one scan, on the grid of the reference.

    Attributes
    ----------
    name : str
        Name of the scan.
    predicted, reference : ndarray of bool, shape (x, y, z)
    probability : ndarray of float, shape (x, y, z), or None
        Predicted probability of PVS, in [0, 1].
    regions : ndarray of int, shape (x, y, z), or None
        Indices of `pvs_bidsapp.anatomy.regions.REGIONS`.
    voxel_volume : float
        In mm3.
    """

    name: str
    predicted: np.ndarray
    reference: np.ndarray
    probability: np.ndarray | None
    regions: np.ndarray | None
    voxel_volume: float


def leave_out(pair: MaskPair, unknown: np.ndarray) -> MaskPair:
    """A pair without what nobody knows: it counts neither as found nor as missed.

    Parameters
    ----------
    pair : MaskPair
    unknown : ndarray of bool, shape (x, y, z)
        Where it is not known whether there is a space. Predicted clusters that reach into it and hit no
        reference are left out as a whole.
    """
    clusters = cc3d.connected_components(pair.predicted, connectivity=26)
    doubtful = np.setdiff1d(clusters[unknown], clusters[pair.reference])
    left = pair.predicted & ~unknown & ~np.isin(clusters, doubtful[doubtful > 0])
    probability = pair.probability
    if probability is not None:
        probability = np.where(unknown | (pair.predicted & ~left), 0, probability)
    return replace(pair, predicted=left, probability=probability)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Tables of an evaluation.

    Attributes
    ----------
    scans : DataFrame
        One row per scan, region and size filter.
    summary : DataFrame
        Means over scans with 95 % bootstrap intervals.
    sweep : DataFrame or None
        One row per scan, threshold and size filter; None without probability maps.
    agreement : DataFrame
        Agreement of the number and of the volume of PVS.
    """

    scans: pd.DataFrame
    summary: pd.DataFrame
    sweep: pd.DataFrame | None
    agreement: pd.DataFrame


class Evaluator:
    """Scores masks scan by scan.

    Parameters
    ----------
    sizes : sequence of float
        Cluster-size filters in mm3, applied to both masks.
    thresholds : sequence of float
        Thresholds of the sweep.
    """

    def __init__(self, sizes: Sequence[float], thresholds: Sequence[float]) -> None:
        self.sizes, self.thresholds = sizes, thresholds
        self._rows: list[dict[str, object]] = []
        self._sweeps: list[pd.DataFrame] = []
        self._totals: list[dict[str, float]] = []

    def add(self, pair: MaskPair) -> None:
        """Score one scan.

        Parameters
        ----------
        pair : MaskPair
        """
        self._rows += score_pair(pair, self.sizes)
        self._totals.append(_totals(pair))
        if pair.probability is not None:
            table = sweep(
                pair.probability,
                pair.reference,
                pair.voxel_volume,
                thresholds=self.thresholds,
                sizes=self.sizes,
            )
            self._sweeps.append(table.assign(scan=pair.name))

    def tables(self) -> Evaluation:
        """Tables of all scans that were added."""
        scans = pd.DataFrame(self._rows)
        return Evaluation(
            scans=scans,
            summary=summarise(scans),
            sweep=pd.concat(self._sweeps, ignore_index=True) if self._sweeps else None,
            agreement=_agreement_table(self._totals),
        )


def score_pair(pair: MaskPair, sizes: Sequence[float]) -> list[dict[str, object]]:
    """Scores of one scan: of the whole scan at each size filter, and of each region without a filter.

    Parameters
    ----------
    pair : MaskPair
    sizes : sequence of float
        Cluster-size filters in mm3, applied to both masks.

    Returns
    -------
    rows : list of dict
        Values by column.
    """
    rows: list[dict[str, object]] = []
    volume = pair.voxel_volume
    for size in sizes:
        predicted, reference = (remove_small(m, size, volume) for m in (pair.predicted, pair.reference))
        scores = score(predicted, reference)
        recall, precision = cluster_scores(pair.predicted, pair.reference, size, volume)
        rows.append(
            {'scan': pair.name, 'region': 'all', 'min_size_mm3': size}
            | asdict(scores)
            | {'large_recall': recall, 'large_precision': precision}
            | _volumes(predicted, reference, volume)
        )
    if pair.regions is not None:
        for region in SCORED_REGIONS:
            inside = np.isin(pair.regions, indices_of(region))
            predicted, reference = pair.predicted & inside, pair.reference & inside
            rows.append(
                {'scan': pair.name, 'region': region, 'min_size_mm3': 0.0}
                | asdict(score(predicted, reference))
                | _volumes(predicted, reference, volume)
            )
    return rows


def _volumes(predicted: np.ndarray, reference: np.ndarray, voxel_volume: float) -> dict[str, float]:
    """Volumes of both masks, which say whether scores of 0 or 1 are those of empty masks."""
    return {
        'predicted_volume_mm3': float(predicted.sum() * voxel_volume),
        'reference_volume_mm3': float(reference.sum() * voxel_volume),
    }


def summarise(scans: pd.DataFrame) -> pd.DataFrame:
    """Means over scans with 95 % bootstrap intervals, by region and size filter.

    Parameters
    ----------
    scans : DataFrame
        Rows of `score_pair`.

    Returns
    -------
    table : DataFrame
        Columns ``region min_size_mm3 score n_scans mean ci_low ci_high n_finite``. The means are those of the
        ``n_finite`` scans whose score is finite: that of ``avd`` is infinite if only the reference is empty.
    """
    rows = []
    for (region, size), part in scans.groupby(['region', 'min_size_mm3'], sort=False):
        for name in SUMMARISED_SCORES:
            if part[name].notna().any():
                values = part[name].to_numpy(float)
                mean, low, high = bootstrap(values)
                rows.append([region, size, name, len(part), mean, low, high, int(np.isfinite(values).sum())])
    names = ['region', 'min_size_mm3', 'score', 'n_scans', 'mean', 'ci_low', 'ci_high', 'n_finite']
    return pd.DataFrame(rows, columns=names)


def _totals(pair: MaskPair) -> dict[str, float]:
    totals = {}
    for key, mask in (('predicted', pair.predicted), ('reference', pair.reference)):
        totals[f'count_{key}'] = float(cc3d.connected_components(mask, connectivity=26, return_N=True)[1])
        totals[f'volume_{key}'] = float(mask.sum() * pair.voxel_volume)
    return totals


def _agreement_table(totals: list[dict[str, float]]) -> pd.DataFrame:
    table = pd.DataFrame(totals)
    rows = []
    for name, key in (('number of clusters', 'count'), ('volume_mm3', 'volume')):
        reference, predicted = (table[f'{key}_{k}'].to_numpy() for k in ('reference', 'predicted'))
        rows.append({'measure': name} | asdict(agreement(reference, predicted)))
    return pd.DataFrame(rows)
