"""Fit how far the numbers of a model may be off, on scans with reference masks, and write it to its card."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import cc3d
import numpy as np
from tqdm.auto import tqdm

from ..clusters.burden import COVERAGE, UNITS, Burden, Calibration, fit, owners, sum_probabilities
from ..clusters.tables import row_members
from ..errors import ImageError
from ..evaluation.masks import MaskPair
from ..messages import masks, models
from ..outputs.evaluation import MaskFiles, find_mask_pairs
from ..outputs.result_tables import read_sidecar
from ..segmentation.model import CARD, bundled_names, load_model, write_card

LOG = logging.getLogger(__name__)
#: Scans below which nothing is fitted, and from which the ends of the intervals are quantiles, not extremes.
FEWEST, ENOUGH = 10, 19
#: The row of all regions.
TOTAL = ('all', 'both')


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was fitted.

    Attributes
    ----------
    burden : Burden
    covered : dict of str to int
        Scans whose true total lies in the interval fitted without them, by quantity.
    n_failed : int
        Scans of which a file cannot be used.
    card : Path
        The card that was written.
    """

    burden: Burden
    covered: dict[str, int]
    n_failed: int
    card: Path

    @property
    def exit_status(self) -> int:
        """1 if a file cannot be used."""
        return 1 if self.n_failed else 0

    def report(self) -> str:
        """The calibrations, and how well they hold, for a terminal."""
        n = self.burden.n_scans
        lines = [f'{n} scans']
        for name in UNITS:
            c: Calibration = getattr(self.burden, name)
            lines.append(
                f'{name}: {c.scale:.2f} times the sum of probabilities; the {COVERAGE * 100:.0f} % interval, '
                f'fitted without it, holds the total of {self.covered[name]} of {n} scans'
            )
        return '\n'.join(lines)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Sums of probabilities and truth of one scan, the total first, then by region: arrays by quantity."""

    sums: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]


def run(predicted_dir: Path, reference_dir: Path, model_dir: Path) -> Outcome:
    """Fit the calibrations of a model and write them to its card.

    Parameters
    ----------
    predicted_dir : Path
        Output of `participant` with this model.
    reference_dir : Path
        Derivative dataset with reference masks of the same scans.
    model_dir : Path
        Folder of the model; the name of a bundled one is none.

    Raises
    ------
    InputError
        If no scan is in both datasets, too few are, they were made with another model, or the model is named
        as a bundled one.
    ModelError
        If the model's card cannot be used or written.
    """
    # a name would stand for the folder inside the program, whose card is that of all users
    if str(model_dir) in bundled_names():
        raise models.BUNDLED.error(f'MODEL_DIR {model_dir}')
    model = load_model(model_dir)
    found = find_mask_pairs(predicted_dir, reference_dir)
    for mask in found.unmatched:
        LOG.warning('%s', mask.finding)
    rows, failed = [], 0
    for files in tqdm(found.pairs, desc='scans', disable=None):
        _check_model(files, model.card.sha256)
        try:
            rows.append(measure(files))
        except ImageError as error:
            LOG.error('%s', error)
            failed += 1
    if len(rows) < FEWEST:
        raise masks.FEW_FOR_CALIBRATION.error(predicted_dir, count=len(rows), fewest=FEWEST)
    if len(rows) < ENOUGH:
        masks.NARROW_CALIBRATION.log(LOG, predicted_dir, count=len(rows), enough=ENOUGH)
    burden = _fit(rows)
    write_card(model.folder, replace(model.card, burden=burden.entry()))
    card = (model.folder / CARD).resolve()
    return Outcome(burden=burden, covered=_coverage(rows), n_failed=failed, card=card)


def _check_model(files: MaskFiles, sha256: str) -> None:
    """Refuse masks that another model made."""
    path = files.predicted.path
    sidecar = path.with_name(path.name.split('.')[0] + '.json')
    found = read_sidecar(sidecar)
    if found['ModelSHA256'] != sha256:
        raise masks.OTHER_MODEL.error(sidecar, name=found['ModelName'])


def measure(files: MaskFiles) -> Rows:
    """Measure the sums and the truth of a scan.

    Parameters
    ----------
    files : MaskFiles

    Raises
    ------
    ImageError
        If a file cannot be used, or there is no probability or region map beside the mask.
    """
    pair, findings = files.read()
    for finding in findings:
        LOG.warning('%s', finding)
    if pair.probability is None or pair.regions is None:
        raise masks.NOTHING_TO_CALIBRATE.error(files.predicted.path)
    sums = sum_probabilities(pair.probability, pair.clusters, pair.regions, pair.voxel_volume)
    rows = {row: members for row, members in row_members().items() if row != TOTAL}
    truth, total = count_reference(pair)
    return Rows(
        sums={q: np.array([s.sum(), *(s[m].sum() for m in rows.values())]) for q, s in sums.items()},
        truth={q: np.array([total[q], *(t[m].sum() for m in rows.values())]) for q, t in truth.items()},
    )


def count_reference(pair: MaskPair) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Number and volume of the reference's spaces, by region and in all.

    Parameters
    ----------
    pair : MaskPair
        With regions.

    Returns
    -------
    by_region : dict of str to ndarray of float, shape (256,)
        ``count`` and ``volume`` by the index of the region; a space belongs to that of most of its voxels.
    total : dict of str to float
        Those outside all regions included.
    """
    assert pair.regions is not None
    spaces, number = cc3d.connected_components(pair.reference, connectivity=26, return_N=True)
    sizes = np.bincount(spaces.ravel(), minlength=number + 1)[1:] * pair.voxel_volume
    inside = (spaces > 0) & (pair.regions > 0)
    owner = owners(spaces[inside].astype(int) - 1, pair.regions[inside].astype(int), number)
    is_inside = owner > 0
    return {
        'count': np.bincount(owner[is_inside], minlength=256).astype(float),
        'volume': np.bincount(owner[is_inside], sizes[is_inside], minlength=256),
    }, {'count': float(number), 'volume': float(sizes.sum())}


def _fit(rows: list[Rows]) -> Burden:
    parts = {q: fit([r.sums[q] for r in rows], [r.truth[q] for r in rows], u) for q, u in UNITS.items()}
    return Burden(n_scans=len(rows), **parts)


def _coverage(rows: list[Rows]) -> dict[str, int]:
    """Scans whose totals lie in the intervals that are fitted without them."""
    covered = dict.fromkeys(UNITS, 0)
    for left_out, row in enumerate(rows):
        burden = _fit(rows[:left_out] + rows[left_out + 1 :])
        for quantity, unit in UNITS.items():
            _, low, high = getattr(burden, quantity).interval(row.sums[quantity][:1], unit)
            covered[quantity] += int(low[0] <= row.truth[quantity][0] <= high[0])
    return covered
