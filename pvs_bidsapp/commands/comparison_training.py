"""Put a comparison behind the network of a model: ``pvs train --generate --init MODEL --compare WIDTH``.

The network stays as it is. It goes over patches that are made anew from label maps, and from real scans if
there are any. What it leaves in doubt is kept in the folder of prepared scans until the comparison has learnt
from it, so that a training that was interrupted goes on where it was.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import Dataset, Subset
from tqdm.auto import tqdm

from ..messages import training
from ..runtime.deadline import TimeUp
from ..runtime.files import atomic_write
from ..segmentation.model import load_model
from ..segmentation.networks import build
from ..segmentation.networks.refinement import corrections
from ..training.checkpoint import FREE_ENTRIES, plan_entries, read_checkpoint
from ..training.comparison import Collector, DoubtfulVoxels, fit_comparison
from ..training.config import TrainingConfig
from ..training.datasets import Batch, GeneratedPatchDataset
from ..training.distributed import ProcessGroup
from ..training.loading import load_batches
from ..training.losses import calibrate_output
from ..training.packaging import TrainingSummary, package_network
from ..training.sampling import Sampling
from .training_cache import digest
from .training_limits import Limits
from .training_run import TrainingImages, TrainingRun

LOG = logging.getLogger(__name__)
#: Part of the time that is left in which patches are gone over, and part of the rest in which the comparison
#: learns; then the model is validated.
COLLECTING, LEARNING = 0.7, 0.6
#: Patches between two lines of the log.
REPORT = 200


def add_comparison(run: TrainingRun, summary: TrainingSummary, limits: Limits) -> Path | None:
    """Train a comparison behind the network of the initial model, and write the model.

    Parameters
    ----------
    run : TrainingRun
        Whose data are prepared.
    summary : TrainingSummary
        For the model's card.
    limits : Limits

    Returns
    -------
    folder : Path or None
        With the model; None if training was stopped and can be resumed.

    Raises
    ------
    TimeUp
        If the time was over before there was a patch to learn from.
    InputError
        If the network leaves nothing in doubt.
    """
    config, images = run.config, TrainingImages(run, limits)
    network, folder = initial_network(config), doubtful_folder(run)
    sampling = replace(Sampling.of(config, ProcessGroup()), batch_size=1)
    patches = collect(network, GeneratedPatchDataset(images.generator, sampling), folder, config, limits)
    if limits.stop():
        return None
    if not patches:
        if not (seen := len(list(folder.glob('*.npz')))):
            raise TimeUp
        raise training.NOTHING_IN_DOUBT.error(f'--init {config.init}', number=seen)
    LOG.info('the comparison learns from %d patches', len(patches))
    learning = limits.part(LEARNING)
    fit_comparison(
        network.comparison,  # type: ignore[arg-type]
        patches,
        seed=config.schedule.seed,
        wants_to_end=lambda: limits.stop() or learning.deadline.is_over(),
    )
    if limits.stop():
        return None
    images.limits = Limits()  # a model needs its validation scans, even if the time is over
    package_network(
        config,
        run.folder,
        network,
        summary,
        images.validation,
        entries={'comparison_patches': len(patches)},
        wants_to_end=limits.deadline.paced(),
    )
    shutil.rmtree(folder)
    return run.folder


def initial_network(config: TrainingConfig) -> torch.nn.Module:
    """The network of a training with the weights of its initial model, on the training's first device."""
    assert config.init is not None
    if config.init.endswith('.pt'):
        state = read_checkpoint(Path(config.init))
        weights = state['average']
        if state['plan']['extra'].get('loss') == 'dice-ce':  # as in the model that is made of it
            weights = calibrate_output(weights)
    else:
        weights = load_model(config.init).network().state_dict()
    torch.manual_seed(config.schedule.seed)  # of the comparison's first weights
    network = build(config.recipe.architecture)
    network.load_state_dict(corrections(network.state_dict()) | dict(weights))
    return network.to(config.devices[0]).eval()


def doubtful_folder(run: TrainingRun) -> Path:
    """Folder for what the network leaves in doubt: another one for each network and way to make patches."""
    config = run.config
    assert config.init is not None
    is_checkpoint = config.init.endswith('.pt')
    files = [*run.sources, *run.backgrounds, *([Path(config.init)] if is_checkpoint else [])]
    weights = '' if is_checkpoint else load_model(config.init).card.sha256
    # how long the training may take decides on no patch
    plan = {k: v for k, v in plan_entries(config).items() if k == 'precision' or k not in FREE_ENTRIES}
    return config.data.cache_dir / f'doubtful_{digest(files, (plan, weights))}'


def collect(
    network: torch.nn.Module, batches: Dataset[Batch], folder: Path, config: TrainingConfig, limits: Limits
) -> list[DoubtfulVoxels]:
    """Go over patches, and keep what the network leaves in doubt; what was kept before is read.

    Parameters
    ----------
    network : nn.Module
        With a comparison.
    batches : Dataset
        Of one patch each.
    folder : Path
        Where it is kept.
    config : TrainingConfig
    limits : Limits
        Patches are gone over in a part of the time that is left.

    Returns
    -------
    patches : list of DoubtfulVoxels
        Of those that were gone over; patches without a voxel in doubt are left out.
    """
    collector = Collector(network, torch.device(config.devices[0]), config.schedule.precision)
    files = [folder / f'{number:06d}.npz' for number in range(len(batches))]  # type: ignore[arg-type]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    part = limits.part(COLLECTING)

    def must_end() -> bool:
        return limits.stop() or part.deadline.is_over()

    loading = load_batches(Subset(batches, missing), config.loaders, must_end)
    with contextlib.closing(loading) as loaded:
        for number, batch in zip(missing, tqdm(loaded, 'patches', len(missing), disable=None), strict=False):
            (found,) = collector.collect(batch)
            with atomic_write(files[number]) as temporary:
                found.write(temporary)
            if (number + 1) % REPORT == 0:
                LOG.info('patch %d of %d', number + 1, len(files))
            if must_end():
                break
    patches = [DoubtfulVoxels.read(file) for file in files if file.exists()]
    return [patch for patch in patches if len(patch.label)]
