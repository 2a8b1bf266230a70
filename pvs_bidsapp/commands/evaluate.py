"""Compare predicted PVS masks with reference masks, scan by scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from ..evaluation.masks import Evaluation, Evaluator
from ..evaluation.sweep import THRESHOLDS
from ..outputs.evaluation import find_mask_pairs, write_evaluation


def run(
    predicted_dir: Path,
    reference_dir: Path,
    out_dir: Path,
    sizes: Sequence[float],
    thresholds: Sequence[float] = THRESHOLDS,
) -> Evaluation:
    """Score all masks that have the same name in both datasets; write and return the tables.

    Parameters
    ----------
    predicted_dir, reference_dir : Path
        Derivative datasets with masks; the first may also hold probability and region maps.
    out_dir : Path
    sizes : sequence of float
        Cluster-size filters in mm3, applied to both masks.
    thresholds : sequence of float
        Thresholds of the sweep.

    Raises
    ------
    InputError
        If no mask has the same name in both datasets.
    """
    evaluator = Evaluator(sizes, thresholds)
    for files in tqdm(find_mask_pairs(predicted_dir, reference_dir), desc='scans', disable=None):
        evaluator.add(files.read())
    evaluation = evaluator.tables()
    write_evaluation(evaluation, out_dir)
    return evaluation
