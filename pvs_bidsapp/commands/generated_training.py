"""A training on patches that are made anew from label maps: ``pvs train --generate``.

Some of the patches may be cut from real scans (`pvs_bidsapp.commands.backgrounds`). Some label maps are kept
for validation: whole heads are simulated in them, by the simulator of whole heads. Prepared label maps, scans
and heads are kept in the folder of prepared scans.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..bids.labelled_scans import LabelledScan
from ..runtime.files import atomic_write
from ..runtime.processes import map_in_processes
from ..segmentation.grid import spacing_range
from ..simulation.label_maps import load_label_map
from ..simulation.patch_generator import allows_slices
from ..simulation.patch_source import prepare_source, write_source
from ..training.config import TrainingConfig
from ..training.packaging import TrainingSummary
from ..training.simulated_images import simulate_image
from ..training.splits import hold_out
from .backgrounds import cache_backgrounds, find_backgrounds
from .comparison_training import add_comparison
from .training_cache import CachedImage, digest, make_missing, write_arrays
from .training_limits import Limits
from .training_run import DataSplit, TrainingRun, check_earlier, train_and_package, write_split

LOG = logging.getLogger(__name__)
#: Suites of the heads for validation, by turns; smallest number of heads.
SUITES, HEADS = ('easy', 'shift', 'hard'), 6
#: Of the way in which label maps are prepared and heads simulated; what was cached otherwise is made anew.
VERSION = 1


def train_generated(config: TrainingConfig, limits: Limits) -> Path | None:
    """Train on patches made from label maps, and from real scans if there are any, and write the model.

    Parameters
    ----------
    config : TrainingConfig
    limits : Limits

    Returns
    -------
    folder : Path or None
        With the model; None if training was stopped and can be resumed.

    Raises
    ------
    Stopped
        If a stop was requested while label maps were prepared.
    TimeUp
        If the time was over before the first step of the training.
    ImageError
        If a label map or a scan cannot be used.
    InputError
        If the folder holds a training that is not to be resumed, or another one, or outputs of
        ``participant`` are not complete.
    """
    folder = config.model_dir
    check_earlier(config, folder)
    scans = find_backgrounds(config.data.backgrounds, config.recipe.channels)
    maps = {path.name: path for path in config.data.generate}
    split = hold_out(list(maps), config.data.validation_fraction, config.schedule.seed)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {'training': sorted(split.training), 'validation': sorted(split.validation)}
    if scans:
        parts['backgrounds'] = [scan.name for scan in scans]
        LOG.info('%d real scans as backgrounds', len(scans))
    write_split(folder, parts)
    LOG.info(
        'patches from %d label maps, validation in %d others', len(split.training), len(split.validation)
    )
    sources = cache_sources([maps[name] for name in sorted(split.training)], config, limits)
    backgrounds = cache_backgrounds(scans, config, limits)
    validation = cache_heads([maps[name] for name in sorted(split.validation)], config, limits)
    run = TrainingRun(
        config=config,
        folder=folder,
        heads=[],
        cached=DataSplit(labelled=[], unlabelled=[], validation=validation),
        sources=sources,
        backgrounds=backgrounds,
        deadline=limits.deadline,
    )
    summary = TrainingSummary(label_maps=len(sources), backgrounds=len(backgrounds))
    if config.adds_comparison:
        return add_comparison(run, summary, limits)
    return train_and_package(run, summary, limits)


def cache_sources(maps: Sequence[Path], config: TrainingConfig, limits: Limits) -> list[Path]:
    """Prepare the label maps that are not in the cache yet.

    Parameters
    ----------
    maps : sequence of Path
    config : TrainingConfig
    limits : Limits

    Returns
    -------
    files : list of Path
        For `pvs_bidsapp.simulation.patch_source.read_source`, in the order of the maps.
    """
    folder = config.data.cache_dir
    calls = [(path, folder / f'{_stem(path)}_source_{digest([path], VERSION)}.npz') for path in maps]
    return make_missing(_cache_source, calls, [path.name for path in maps], 'label maps', config, limits)


def _cache_source(label_map: Path, file: Path) -> None:
    source = prepare_source(load_label_map(label_map))
    with atomic_write(file) as temporary:
        write_source(source, temporary)


def cache_heads(maps: Sequence[Path], config: TrainingConfig, limits: Limits) -> list[CachedImage]:
    """Simulate the heads for validation that are not in the cache yet.

    Parameters
    ----------
    maps : sequence of Path
        Label maps that are not trained on; without any there are no heads.
    config : TrainingConfig
    limits : Limits
    """
    if not maps:
        return []
    heads = []
    for number in range(max(HEADS, len(SUITES) * len(maps))):
        place, suite = divmod(number, len(SUITES))
        heads.append((maps[place % len(maps)], SUITES[suite], (config.schedule.seed, number)))
    recipe, cache_dir = config.recipe, config.data.cache_dir
    options = recipe.channels, _keeps_t2w(config), spacing_range(recipe.spacing)
    calls = [(_locate_head((*head, *options), cache_dir), *head, *options) for head in heads]
    missing = [call for call in calls if not call[0].is_complete]
    names = [cached.scan.name for cached, *_ in missing]
    map_in_processes(_cache_head, missing, config.nprocs, 'heads', names=names, stop=limits)
    return [cached for cached, *_ in calls]


def _keeps_t2w(config: TrainingConfig) -> bool:
    """Whether a T2w alone stays on its own grid, as in `participant`: its slices are not too thick for it."""
    recipe = config.recipe
    return recipe.channels == ('T2w',) and allows_slices(spacing_range(recipe.spacing))


def _locate_head(head: tuple[Any, ...], cache_dir: Path) -> CachedImage:
    """Name the files of a head, by all that `_cache_head` makes it of."""
    label_map, suite, seed, *_ = head
    key = digest([label_map], (VERSION, *head[1:]))
    name = f'{_stem(label_map)}-{suite}-{seed[1]}'
    scan = LabelledScan(
        name=name, anat=label_map, t2w=None, label=label_map, brain=None, tissues=None, labels_dir=cache_dir
    )
    return CachedImage(
        scan=scan, image=cache_dir / f'{name}_{key}.npz', label=cache_dir / f'{name}_label_{key}.npz'
    )


def _cache_head(
    cached: CachedImage,
    label_map: Path,
    suite: str,
    seed: tuple[int, int],
    channels: tuple[str, ...],
    keeps_t2w: bool,
    spacing: tuple[float, float],
) -> None:
    source = load_label_map(label_map)
    image = simulate_image(source, suite, seed, channels=channels, keeps_t2w=keeps_t2w, spacing=spacing)
    assert cached.label is not None
    edge = float(image.voxel_volume ** (1 / 3))
    write_arrays(cached.label, target=image.label, marked=np.array(image.label.sum()))
    write_arrays(cached.image, image=image.image, brain=image.brain, affine=np.diag([edge, edge, edge, 1.0]))


def _stem(path: Path) -> str:
    return path.name.split('.')[0]
