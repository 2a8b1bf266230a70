"""Compare masks of one data set with those of another, scan by scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cc3d
import nibabel as nib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..anatomy.regions import REGIONS
from ..anatomy.resampling import Grid, resample
from ..bids.query import files_below
from ..clusters.tables import to_tsv
from ..errors import InputError
from ..evaluation.agreement import agreement
from ..evaluation.metrics import cluster_scores, remove_small, score
from ..evaluation.sweep import THRESHOLDS, bootstrap, sweep
from ..runtime.files import write_json, write_text

PATTERN = 'sub-*_label-PVS_mask.nii.gz'
PLACES = ('deep white matter', 'basal ganglia', 'midbrain', 'hippocampus')
SCORES = ('dice', 'recall', 'precision', 'avd', 'cluster_dice', 'cluster_recall', 'cluster_precision')
COLUMNS = {
    'scan': 'name of the scan',
    'region': 'all, or the region of the predicted map to which both masks are cut',
    'threshold': 'probability threshold',
    'min_size_mm3': 'clusters below this volume are left out of both masks',
    'dice': 'Dice coefficient of the voxels; 1 where both masks are empty',
    'recall': 'share of true voxels that were found',
    'precision': 'share of found voxels that are true',
    'avd': 'absolute volume difference in percent of the true volume; inf where only the truth is empty',
    'cluster_dice': 'harmonic mean of cluster recall and precision; a hit is any overlap, 26-connectivity',
    'cluster_recall': 'share of true clusters that were hit',
    'cluster_precision': 'share of found clusters that hit one',
    'large_recall': 'share of true clusters of this size or more that were hit by a cluster of any size',
    'large_precision': 'share of found clusters of this size or more that hit a true one of any size',
    'mean': 'mean over scans',
    'ci_low': 'lower end of the 95 % bootstrap interval over scans',
    'ci_high': 'upper end of the 95 % bootstrap interval over scans',
}


@dataclass(frozen=True)
class Pair:
    """Found and true maps of one scan, on the truth's grid.

    Attributes
    ----------
    name : str
    found, truth : ndarray of bool
    probability : ndarray of float or None
    regions : ndarray of int or None
    voxel : float
        Volume of a voxel in mm3.
    """

    name: str
    found: np.ndarray
    truth: np.ndarray
    probability: np.ndarray | None
    regions: np.ndarray | None
    voxel: float


@dataclass(frozen=True)
class Evaluation:
    """Tables of an evaluation.

    Attributes
    ----------
    scans : DataFrame
        One row a scan, region and size filter.
    summary : DataFrame
        Means with intervals.
    sweep : DataFrame or None
        One row a scan, threshold and size filter; None without probability maps.
    agreement : DataFrame
        Of the scans' numbers and volumes.
    """

    scans: pd.DataFrame
    summary: pd.DataFrame
    sweep: pd.DataFrame | None
    agreement: pd.DataFrame


def pairs(found_dir: Path, truth_dir: Path) -> list[tuple[str, Path, Path]]:
    """Masks of the same name in both data sets: name, found, truth.

    Raises
    ------
    InputError
        If there is none.
    """
    truth = {p.name: p for p in files_below(truth_dir, PATTERN)}
    both = [(p.name, p, truth[p.name]) for p in files_below(found_dir, PATTERN) if p.name in truth]
    if not both:
        raise InputError(f'no {PATTERN} of the same name in {found_dir} and {truth_dir}')
    return both


def run(
    found_dir: Path,
    truth_dir: Path,
    out_dir: Path,
    sizes: Sequence[float],
    thresholds: Sequence[float] = THRESHOLDS,
) -> Evaluation:
    """Write ``evaluation*.tsv`` and the figure of the sweep, and return the tables.

    Parameters
    ----------
    found_dir, truth_dir : Path
        Derivative data sets with masks; probability and region maps of the first are used where
        they are.
    out_dir : Path
    sizes : sequence of float
        Cluster-size filters in mm3, applied to both masks.
    thresholds : sequence of float
        Of the sweep.
    """
    rows: list[dict[str, object]] = []
    sweeps, totals = [], []
    for name, found_path, truth_path in tqdm(pairs(found_dir, truth_dir), desc='scans', disable=None):
        pair = load(name, found_path, truth_path)
        rows += score_pair(pair, sizes)
        totals.append(_totals(pair))
        if pair.probability is not None:
            made = sweep(pair.probability, pair.truth, pair.voxel, thresholds=thresholds, sizes=sizes)
            sweeps.append(made.assign(scan=pair.name))
    scans = pd.DataFrame(rows)
    result = Evaluation(
        scans, _summary(scans), pd.concat(sweeps, ignore_index=True) if sweeps else None, _agreement(totals)
    )
    _write(result, out_dir)
    return result


def load(name: str, found_path: Path, truth_path: Path) -> Pair:
    """Read a pair; what was found is brought to the truth's grid where it is on another."""
    truth_image = nib.load(truth_path)
    truth = np.asarray(truth_image.dataobj) > 0
    grid = Grid(truth.shape, truth_image.affine)

    def read(path: Path, order: int) -> np.ndarray | None:
        if not path.exists():
            return None
        image = nib.load(path)
        data = np.asarray(image.dataobj, np.float32)
        if image.shape != truth.shape or not np.allclose(image.affine, truth_image.affine, atol=1e-3):
            data = resample(data, image.affine, grid, order=order)
        return data

    found = read(found_path, 1)
    if found is None:
        raise InputError(f'{found_path}: not there')
    regions = read(found_path.with_name(name.replace('label-PVS_mask', 'seg-regions_dseg')), 0)
    return Pair(
        name.removesuffix('_label-PVS_mask.nii.gz'), found > 0.5, truth,
        read(found_path.with_name(name.replace('_mask', '_probseg')), 1), regions,
        abs(float(np.linalg.det(truth_image.affine[:3, :3]))),
    )  # fmt: skip


def score_pair(pair: Pair, sizes: Sequence[float]) -> list[dict[str, object]]:
    """Scores of one scan: all of it at each size filter, each region without a filter."""
    rows: list[dict[str, object]] = []
    for size in sizes:
        scores = score(remove_small(pair.found, size, pair.voxel), remove_small(pair.truth, size, pair.voxel))
        recall, precision = cluster_scores(pair.found, pair.truth, size, pair.voxel)
        rows.append(
            {'scan': pair.name, 'region': 'all', 'min_size_mm3': size}
            | asdict(scores)
            | {'large_recall': recall, 'large_precision': precision}
        )
    if pair.regions is not None:
        for place in PLACES:
            inside = np.isin(pair.regions, [r.index for r in REGIONS if r.name.startswith(place)])
            scores = score(pair.found & inside, pair.truth & inside)
            rows.append({'scan': pair.name, 'region': place, 'min_size_mm3': 0.0} | asdict(scores))
    return rows


def _totals(pair: Pair) -> dict[str, float]:
    out = {}
    for key, mask in (('found', pair.found), ('true', pair.truth)):
        out[f'count_{key}'] = float(cc3d.connected_components(mask, connectivity=26, return_N=True)[1])
        out[f'volume_{key}'] = float(mask.sum() * pair.voxel)
    return out


def _agreement(totals: list[dict[str, float]]) -> pd.DataFrame:
    table = pd.DataFrame(totals)
    return pd.DataFrame([
        {'measure': name} | asdict(agreement(table[f'{key}_true'].to_numpy(), table[f'{key}_found'].to_numpy()))
        for name, key in (('number of clusters', 'count'), ('volume_mm3', 'volume'))
    ])  # fmt: skip


def _summary(scans: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (region, size), part in scans.groupby(['region', 'min_size_mm3'], sort=False):
        for name in (*SCORES, 'large_recall', 'large_precision'):
            if part[name].notna().any():
                mean, low, high = bootstrap(part[name].to_numpy(float))
                rows.append([region, size, name, len(part), mean, low, high])
    names = ['region', 'min_size_mm3', 'score', 'n_scans', 'mean', 'ci_low', 'ci_high']
    return pd.DataFrame(rows, columns=names)


def _write(result: Evaluation, out_dir: Path) -> None:
    tables = {
        'evaluation': result.scans, 'evaluation_summary': result.summary,
        'evaluation_agreement': result.agreement, 'evaluation_sweep': result.sweep,
    }  # fmt: skip
    for name, table in tables.items():
        if table is not None:
            write_text(out_dir / f'{name}.tsv', to_tsv(table))
    write_json(out_dir / 'evaluation.json', {k: {'Description': v} for k, v in COLUMNS.items()})
    if result.sweep is not None:
        from ..reports.sweep import draw_sweep

        draw_sweep(result.sweep, out_dir / 'evaluation_sweep.png')
