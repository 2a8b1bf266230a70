"""Scores of whole scans, and their summary over scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import cc3d
import numpy as np
import pandas as pd

from ..anatomy.regions import indices_of
from .agreement import agreement
from .cldice import centre_line_dice, skeleton
from .detection import recall_table, searched_threshold, space_table
from .metrics import cluster_scores, count_false, remove_small, score
from .sweep import average_precision, bootstrap, sweep

#: Regions that are scored separately: totals of `pvs_bidsapp.anatomy.regions.TOTALS`.
SCORED_REGIONS = ('deep white matter', 'basal ganglia', 'midbrain', 'hippocampus')
#: Scores whose means over scans are reported.
SUMMARISED_SCORES = (
    'dice', 'recall', 'precision', 'avd', 'cluster_dice', 'cluster_recall', 'cluster_precision',
    'large_recall', 'large_precision', 'false_clusters', 'cldice', 'auprc',
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
    brain : ndarray of bool, shape (x, y, z), or None
        Brain mask.
    spaces : ndarray of int, shape (x, y, z), or None
        Number of the true space of each voxel, 0 elsewhere.
    detectability : Series or None
        Detectability index d' of the true spaces by number.
    """

    name: str
    predicted: np.ndarray
    reference: np.ndarray
    probability: np.ndarray | None
    regions: np.ndarray | None
    voxel_volume: float
    brain: np.ndarray | None = None
    spaces: np.ndarray | None = None
    detectability: pd.Series | None = None

    @cached_property
    def clusters(self) -> np.ndarray:
        """Numbered clusters (26-connected) of the prediction, 0 elsewhere."""
        return cc3d.connected_components(self.predicted, connectivity=26)

    @property
    def searched_volume(self) -> float:
        """Volume of the regions, or else of the brain, where PVS are looked for, in mm3; NaN if unknown."""
        mask = self.brain if self.regions is None else self.regions > 0
        return np.nan if mask is None else float(mask.sum() * self.voxel_volume)


def leave_out(pair: MaskPair, unknown: np.ndarray) -> MaskPair:
    """A pair without what nobody knows: it counts neither as found nor as missed.

    Parameters
    ----------
    pair : MaskPair
    unknown : ndarray of bool, shape (x, y, z)
        Where it is not known whether there is a space. Predicted clusters that reach into it and hit no
        reference are left out as a whole.
    """
    doubtful = np.setdiff1d(pair.clusters[unknown], pair.clusters[pair.reference])
    left = pair.predicted & ~unknown & ~np.isin(pair.clusters, doubtful[doubtful > 0])
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
    spaces : DataFrame
        One row per true space.
    recall : DataFrame
        Recall of the true spaces by volume and detectability.
    threshold : float or None
        That of the ideal observer, see `pvs_bidsapp.evaluation.detection.ideal_threshold`.
    """

    scans: pd.DataFrame
    summary: pd.DataFrame
    sweep: pd.DataFrame | None
    agreement: pd.DataFrame
    spaces: pd.DataFrame
    recall: pd.DataFrame
    threshold: float | None


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
        self._spaces: list[pd.DataFrame] = []
        self._false_clusters: list[float] = []
        self._searched: list[float] = []

    def add(self, pair: MaskPair) -> None:
        """Score one scan.

        Parameters
        ----------
        pair : MaskPair
        """
        self._rows += score_pair(pair, self.sizes)
        self._totals.append(_totals(pair))
        self._spaces.append(_spaces_of(pair))
        self._false_clusters.append(count_false(pair.clusters, pair.reference, 0, pair.voxel_volume))
        self._searched.append(pair.searched_volume)
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
        spaces = pd.concat(self._spaces, ignore_index=True)
        threshold = searched_threshold(spaces, self._false_clusters, self._searched)
        return Evaluation(
            scans=scans,
            summary=summarise(scans),
            sweep=pd.concat(self._sweeps, ignore_index=True) if self._sweeps else None,
            agreement=_agreement_table(self._totals),
            spaces=spaces,
            recall=recall_table(spaces, threshold),
            threshold=threshold,
        )


def _spaces_of(pair: MaskPair) -> pd.DataFrame:
    return space_table(
        pair.name,
        pair.predicted,
        pair.reference,
        pair.voxel_volume,
        spaces=pair.spaces,
        detectability=pair.detectability,
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
    area = (
        np.nan
        if pair.probability is None
        else average_precision(pair.probability, pair.reference, pair.brain)
    )
    lines = skeleton(pair.predicted), skeleton(pair.reference)
    for size in sizes:
        predicted, reference = (remove_small(m, size, volume) for m in (pair.predicted, pair.reference))
        scores = score(predicted, reference)
        recall, precision = cluster_scores(pair.predicted, pair.reference, size, volume)
        rows.append(
            {'scan': pair.name, 'region': 'all', 'min_size_mm3': size}
            | asdict(scores)
            | {'large_recall': recall, 'large_precision': precision}
            | _volumes(predicted, reference, volume)
            | {
                'false_clusters': count_false(pair.clusters, pair.reference, size, volume),
                'cldice': centre_line_dice(predicted, reference, lines[0] & predicted, lines[1] & reference),
                'auprc': area if size == min(sizes) else np.nan,
            }
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


def whole_scans(scans: pd.DataFrame) -> pd.DataFrame:
    """The row of each whole scan without a size filter, or with the smallest.

    Parameters
    ----------
    scans : DataFrame
        Rows of `score_pair`, of which those of regions have no filter whatever the others have.
    """
    whole = scans[scans['region'] == 'all']
    return whole[whole['min_size_mm3'] == whole['min_size_mm3'].min()]


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
