"""Cross-validation: a training per fold, tests on persons that it has not seen, one model of all folds."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..bids.labelled_scans import LabelledScan
from ..clusters.tables import to_tsv
from ..evaluation.metrics import Scores, score
from ..evaluation.sweep import SIZES, bootstrap, sweep
from ..messages import training
from ..messages.message import one_line
from ..reports.sweep import draw_sweep
from ..runtime.deadline import TimeUp
from ..runtime.files import write_json, write_text
from ..segmentation.model import load_model
from ..training.config import TrainingConfig
from ..training.packaging import is_cut_short, join_folds
from ..training.splits import Split
from ..training.validation import Validator
from .training_cache import CachedImage, cache_images, read_cached
from .training_limits import Limits
from .training_run import (
    cache_parts,
    check_plan,
    check_split,
    parts_of,
    preparation_of,
    split_scans,
    train_split,
)

LOG = logging.getLogger(__name__)
SUMMARY = ('dice', 'avd', 'recall', 'precision', 'cluster_dice', 'cluster_recall', 'cluster_precision')


def cross_validate(
    config: TrainingConfig, scans: Sequence[LabelledScan], splits: Sequence[Split], limits: Limits
) -> Path | None:
    """Train and test each fold that has not been done before, and write all of them as one model.

    All scans are prepared first. The folds that are to be done then share the time that is left. If training
    is resumed, a fold that the time limit has ended is continued, and one that it has left without tests is
    tested.

    Parameters
    ----------
    config : TrainingConfig
    scans : sequence of LabelledScan
    splits : sequence of Split
        One per fold.
    limits : Limits

    Returns
    -------
    folder : Path or None
        With the model and the results; None if a stop was requested, and training can be resumed.

    Raises
    ------
    Stopped
        If a stop was requested while scans were prepared or tested.
    TimeUp
        If the time was over while scans were prepared.
    InputError
        If a fold was trained by other options, or on other people.
    PVSError
        If the time was over before each fold had a model.
    """
    folder, total = config.model_dir, len(splits)
    for number, split in enumerate(splits, start=1):
        check_plan(config, folder / f'fold-{number}')
        check_split(folder / f'fold-{number}', parts_of(split))
    for split in splits:
        cache_parts(config, split_scans(scans, split, config.data.training_size), limits)
        _cache_tests(config, scans, split, limits)
    left = [k for k in range(1, total + 1) if not _is_done(folder / f'fold-{k}', config)]
    for number in left:
        LOG.info('fold %d of %d', number, total)
        share = limits.part(1 / (len(left) - left.index(number)))
        fold, split = folder / f'fold-{number}', splits[number - 1]
        (fold / 'test.tsv').unlink(missing_ok=True)  # of the fold before it was continued
        try:
            if train_split(config, scans, split, fold, share) is None:
                return None
        except TimeUp:
            limit = f'--time-limit {config.schedule.time_limit:g}'
            raise training.NO_TIME_IN_FOLDS.error(limit, number=number, total=total) from None
        with contextlib.suppress(TimeUp):  # the model is there: what is missing is said below
            _test(config, fold, _cache_tests(config, scans, split, limits), limits)
    return _join(folder, total)


def _is_done(fold: Path, config: TrainingConfig) -> bool:
    """Whether a fold was trained and tested; not if the time limit has ended it and training is resumed."""
    return (fold / 'test.tsv').exists() and not (config.resume and is_cut_short(fold))


def _join(folder: Path, number: int) -> Path:
    """Write the scores of the folds that were tested, and all folds as one model."""
    tested = [k for k in range(1, number + 1) if (folder / f'fold-{k}' / 'test.tsv').exists()]
    if len(tested) < number:
        training.UNTESTED.log(LOG, folder, number=number - len(tested), total=number)
    tables, sweeps = (
        [_read_table(folder / f'fold-{k}' / name).assign(fold=k) for k in tested]
        for name in ('test.tsv', 'test_sweep.tsv')
    )
    table = pd.concat(tables, ignore_index=True) if tested else pd.DataFrame(columns=list(SUMMARY))
    summary = summarize(table)
    if tested:
        write_text(folder / 'crossval.tsv', to_tsv(table))
        write_json(folder / 'crossval.json', summary)
        all_sweeps = pd.concat(sweeps, ignore_index=True)
        write_text(folder / 'crossval_sweep.tsv', to_tsv(all_sweeps))
        draw_sweep(all_sweeps, folder / 'crossval_sweep.png')
    return join_folds(folder, number, summary)


def _read_table(path: Path) -> pd.DataFrame:
    """A table of a fold, which another run may have written."""
    try:
        table = pd.read_csv(path, sep='\t')
        if missing := [name for name in ('scan', *SUMMARY) if name not in table]:
            raise ValueError(f'it has no column {missing[0]}')
        return table.assign(**{name: pd.to_numeric(table[name]) for name in SUMMARY})
    except (ValueError, OSError) as error:
        raise training.RESULTS_DAMAGED.error(path, reason=one_line(str(error))[:120]) from error


def _cache_tests(
    config: TrainingConfig, scans: Sequence[LabelledScan], split: Split, limits: Limits
) -> list[CachedImage]:
    """Prepare the scans that a fold is tested on."""
    tests = [scan for scan in scans if scan.person in split.test and scan.label]
    preparation = preparation_of(config)
    return cache_images(tests, config.data.cache_dir, preparation, nprocs=config.nprocs, stop=limits)


def _test(config: TrainingConfig, folder: Path, cached: Sequence[CachedImage], limits: Limits) -> None:
    """Write the scores of a fold's model on persons that it has not seen."""
    model, device = load_model(folder), config.devices[0]
    images = [read_cached(files) for files in cached]
    validator = Validator.of(config.recipe, images, device)
    network, threshold = model.network().to(device), model.card.threshold
    rows, sweeps = [], []
    for image in images:
        limits.check()
        probability, reference = validator.probability(network, image), image.label > 0
        scores = _scores(probability >= threshold, reference)
        rows.append({'scan': image.name, 'threshold': threshold} | scores)
        table = sweep(probability, reference, image.voxel_volume, sizes=SIZES)
        if not reference.any():
            table = table.assign(**scores, large_dice=np.nan)
        sweeps.append(table.assign(scan=image.name))
    write_text(folder / 'test_sweep.tsv', to_tsv(pd.concat(sweeps, ignore_index=True)))
    write_text(folder / 'test.tsv', to_tsv(pd.DataFrame(rows)))  # last: it marks the fold as done


def _scores(predicted: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Scores of a scan; NaN if its label is empty: they would be 1 or 0, whatever a network has learnt."""
    if not reference.any():
        return {score_field.name: np.nan for score_field in fields(Scores)}
    return asdict(score(predicted, reference))


def summarize(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Summarize the scores of all tested scans.

    Parameters
    ----------
    table : DataFrame
        One row per scan, with the columns of `SUMMARY`.

    Returns
    -------
    summary : dict
        For each score ``mean``, ``ci_low`` and ``ci_high`` (95 % bootstrap interval), ``sd``, and the number
        ``n`` of scans that have it. None in place of numbers if no scan has it, of the interval and ``sd`` if
        one has.
    """
    summary: dict[str, dict[str, Any]] = {}
    for name in SUMMARY:
        values = table[name].to_numpy(float)
        mean, low, high = bootstrap(values)
        finite = values[np.isfinite(values)]
        deviation = float(finite.std(ddof=1)) if len(finite) > 1 else np.nan
        numbers = {'mean': mean, 'ci_low': low, 'ci_high': high, 'sd': deviation}
        known = {k: v if len(finite) and np.isfinite(v) else None for k, v in numbers.items()}
        summary[name] = known | {'n': len(finite)}
    return summary
