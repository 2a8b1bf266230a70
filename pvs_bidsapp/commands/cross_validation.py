"""Cross-validation: a training per fold, tests on persons that it has not seen, one model of all folds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from ..bids.labelled_scans import LabelledScan
from ..clusters.tables import to_tsv
from ..evaluation.metrics import score
from ..evaluation.sweep import SIZES, bootstrap, sweep
from ..reports.sweep import draw_sweep
from ..runtime.files import write_json, write_text
from ..runtime.signals import StopRequest
from ..segmentation.model import load_model
from ..training.config import TrainingConfig
from ..training.packaging import join_folds
from ..training.splits import Split
from ..training.validation import Validator
from .training_cache import cache_images, read_cached
from .training_run import preparation_of, train_split

LOG = logging.getLogger(__name__)
SUMMARY = ('dice', 'avd', 'recall', 'precision', 'cluster_dice', 'cluster_recall', 'cluster_precision')


def cross_validate(
    config: TrainingConfig, scans: Sequence[LabelledScan], splits: Sequence[Split], stop: StopRequest
) -> Path | None:
    """Train and test each fold that has not been done before, and write all of them as one model.

    Parameters
    ----------
    config : TrainingConfig
    scans : sequence of LabelledScan
    splits : sequence of Split
        One per fold.
    stop : StopRequest

    Returns
    -------
    folder : Path or None
        With the model and the results; None if a stop was requested, and training can be resumed.

    Raises
    ------
    Stopped
        If a stop was requested while scans were prepared.
    """
    folder = config.model_dir
    scores, sweeps = [], []
    for number, split in enumerate(splits, 1):
        LOG.info('fold %d of %d', number, len(splits))
        fold = folder / f'fold-{number}'
        if not (fold / 'test.tsv').exists():
            if train_split(config, scans, split, fold, stop) is None:
                return None
            _test(config, fold, [s for s in scans if s.person in split.test and s.label], stop)
        scores.append(pd.read_csv(fold / 'test.tsv', sep='\t').assign(fold=number))
        sweeps.append(pd.read_csv(fold / 'test_sweep.tsv', sep='\t').assign(fold=number))
    table = pd.concat(scores, ignore_index=True)
    summary = summarize(table)
    write_text(folder / 'crossval.tsv', to_tsv(table))
    write_json(folder / 'crossval.json', summary)
    all_sweeps = pd.concat(sweeps, ignore_index=True)
    write_text(folder / 'crossval_sweep.tsv', to_tsv(all_sweeps))
    draw_sweep(all_sweeps, folder / 'crossval_sweep.png')
    return join_folds(folder, len(splits), summary)


def _test(config: TrainingConfig, folder: Path, scans: Sequence[LabelledScan], stop: StopRequest) -> None:
    """Write the scores of a fold's model on persons that it has not seen."""
    model, device = load_model(folder), config.devices[0]
    cached = cache_images(
        scans, config.data.cache_dir, preparation_of(config), nprocs=config.nprocs, stop=stop
    )
    images = [read_cached(files) for files in cached]
    validator = Validator.of(config.recipe, images, device)
    network, threshold = model.network().to(device), model.card.threshold
    rows, sweeps = [], []
    for image in images:
        probability, reference = validator.probability(network, image), image.label > 0
        scores = score(probability >= threshold, reference)
        rows.append({'scan': image.name, 'threshold': threshold} | asdict(scores))
        sweeps.append(sweep(probability, reference, image.voxel_volume, sizes=SIZES).assign(scan=image.name))
    write_text(folder / 'test_sweep.tsv', to_tsv(pd.concat(sweeps, ignore_index=True)))
    write_text(folder / 'test.tsv', to_tsv(pd.DataFrame(rows)))  # last: it marks the fold as done


def summarize(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Summarize the scores of all tested scans.

    Parameters
    ----------
    table : DataFrame
        One row per scan, with the columns of `SUMMARY`.

    Returns
    -------
    summary : dict
        For each score ``mean``, ``ci_low`` and ``ci_high`` (95 % bootstrap interval) and ``sd``.
    """
    summary = {}
    for name in SUMMARY:
        values = table[name].to_numpy(float)
        mean, low, high = bootstrap(values)
        finite = values[np.isfinite(values)]
        deviation = float(finite.std(ddof=1)) if len(finite) > 1 else 0.0
        summary[name] = {'mean': mean, 'ci_low': low, 'ci_high': high, 'sd': deviation}
    return summary
