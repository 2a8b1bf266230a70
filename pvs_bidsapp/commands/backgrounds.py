"""Outputs of ``participant`` as backgrounds of training patches: ``pvs train --backgrounds``.

Brain mask, tissue classes, regions and probability map are those of the outputs; no anatomy is found anew.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes

from ..anatomy.native import labels_to_native
from ..anatomy.resampling import Grid, resample
from ..bids.naming import Naming
from ..messages import training
from ..outputs.region_labels import differing_label
from ..outputs.result_tables import find_results
from ..outputs.unfinished import split_finished
from ..runtime.files import atomic_write, read_image
from ..segmentation.grid import Spacing
from ..segmentation.intensity import TissueNormalization
from ..segmentation.network_input import BrainAnatomy, NetworkInput
from ..simulation.background import ScanMaps, prepare_background, write_background
from ..training.config import TrainingConfig
from .training_cache import digest, make_missing
from .training_limits import Limits

LOG = logging.getLogger(__name__)
#: Of the way in which scans are prepared; what was cached otherwise is made anew.
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class BackgroundScan:
    """Outputs of one scan, all on its own grid.

    Attributes
    ----------
    name : str
    images : tuple of Path
        Bias corrected, one per channel.
    brain, tissues, regions, probability : Path
    """

    name: str
    images: tuple[Path, ...]
    brain: Path
    tissues: Path
    regions: Path
    probability: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return (*self.images, self.brain, self.tissues, self.regions, self.probability)


def find_backgrounds(folders: Sequence[Path], channels: tuple[str, ...]) -> list[BackgroundScan]:
    """Find the finished scans in outputs of ``participant``.

    Scans of which a channel is not there are left out with a word.

    Parameters
    ----------
    folders : sequence of Path
    channels : tuple of str
        ``T1w``, ``T2w``.

    Raises
    ------
    InputError
        If a folder holds no such scan, a scan lacks a mask or map, or has the regions of another version.
    """
    found = []
    for folder in folders:
        names, _ = find_results(folder)
        finished, _ = split_finished(names, folder)
        if not finished:
            raise training.NO_BACKGROUND.error(f'--backgrounds {folder}')
        scans = [_find_scan(scan, channels) for scan in sorted(finished, key=lambda n: n.stem)]
        usable = [scan for scan in scans if scan is not None]
        if not usable:
            raise training.BACKGROUND_CHANNELS.error(
                f'--backgrounds {folder}', modality='+'.join(channels), count=len(scans)
            )
        if len(usable) < len(scans):
            training.BACKGROUND_SKIPPED.log(
                LOG, folder, modality='+'.join(channels), count=len(scans) - len(usable), total=len(scans)
            )
        found += usable
    return found


def _find_scan(names: Naming, channels: tuple[str, ...]) -> BackgroundScan | None:
    """The files of a scan; None if a channel is not there."""
    images = [_find_image(names, channel, channels) for channel in channels]
    if None in images:
        return None
    scan = BackgroundScan(
        name=names.stem,
        images=tuple(path for path in images if path is not None),
        brain=names.anat('mask', desc='brain'),
        tissues=names.anat('dseg', seg='tissue'),
        regions=names.anat('dseg', seg='regions'),
        probability=names.anat('probseg', label='PVS'),
    )
    for path in scan.files:
        if not path.exists():
            raise training.BACKGROUND_INCOMPLETE.error(path)
    if difference := differing_label(table := names.anat('dseg', '.tsv', seg='regions')):
        raise training.BACKGROUND_REGIONS.error(table, difference=difference)
    return scan


def _find_image(names: Naming, channel: str, channels: tuple[str, ...]) -> Path | None:
    """The image of a channel: a T2w alone, or one on the grid of its T1w."""
    paths = [names.anat(channel, desc='preproc')]
    if channel == 'T2w':
        on_t1w = names.anat('T2w', space='T1w', desc='preproc')
        paths = [on_t1w] if 'T1w' in channels else [*paths, on_t1w]
    return next((path for path in paths if path.exists()), None)


def cache_backgrounds(scans: Sequence[BackgroundScan], config: TrainingConfig, limits: Limits) -> list[Path]:
    """Prepare the scans that are not in the cache yet.

    Parameters
    ----------
    scans : sequence of BackgroundScan
    config : TrainingConfig
    limits : Limits

    Returns
    -------
    files : list of Path
        For `pvs_bidsapp.simulation.background.read_background`, in the order of the scans.

    Raises
    ------
    InputError
        If a scan has no region.
    Stopped, TimeUp
        If a stop was requested, or the time is over.
    """
    folder, spacing = config.data.cache_dir, config.recipe.spacing
    key = (VERSION, TissueNormalization().card(), spacing)
    calls = [
        (scan, spacing, folder / f'{scan.name}_background_{digest(scan.files, key)}.npz') for scan in scans
    ]
    return make_missing(
        _cache_background, calls, [scan.name for scan in scans], 'backgrounds', config, limits
    )


def _cache_background(scan: BackgroundScan, spacing: Spacing, file: Path) -> None:
    maps = read_maps(scan, spacing)
    if not maps.regions.any():
        raise training.BACKGROUND_EMPTY.error(scan.regions)
    background = prepare_background(scan.name, maps, TissueNormalization())
    with atomic_write(file) as temporary:
        write_background(background, temporary)


def read_maps(scan: BackgroundScan, spacing: Spacing) -> ScanMaps:
    """Read a scan, and bring it to a network's grid and intensities.

    Parameters
    ----------
    scan : BackgroundScan
    spacing : float or tuple of float
        Voxel size of the grid in mm, or the range within which the scan keeps its own.

    Raises
    ------
    ImageError
        If white matter and CSF cannot be told apart.
    """
    channels = [read_image(path)[0] for path in scan.images]
    brain, affine = read_image(scan.brain)
    tissues, regions, probability = (
        read_image(path)[0] for path in (scan.tissues, scan.regions, scan.probability)
    )
    inputs = NetworkInput.build(
        channels,
        Grid(brain.shape, affine),
        BrainAnatomy(brain=brain > 0, tissues=tissues, affine=affine),
        normalization=TissueNormalization(),
        spacing=spacing,
        box=(1, 1, 1),
    )
    return ScanMaps(
        image=inputs.image,
        brain=inputs.brain,
        tissues=labels_to_native(tissues, affine, inputs.grid),
        regions=labels_to_native(regions, affine, inputs.grid),
        probability=np.asarray(resample(probability, affine, inputs.grid, order=1)),
        spacing=voxel_sizes(inputs.grid.affine),
    )
