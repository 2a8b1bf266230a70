"""Find and measure PVS from Python: the work of ``pvs predict`` and ``pvs ... group`` in three functions.

The functions run the same steps as the commands, in the process that calls them, and raise the errors of
`pvs_bidsapp.errors` where the commands would print them. Options have the names and the limits of those of
the command line, with underscores.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeAlias

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.spatialimages import SpatialImage

from . import __version__
from .bids.naming import GroupNaming, Naming
from .bids.query import Selection
from .messages import masks
from .settings import GIVEN_MASK, Analysis, Settings

LOG = logging.getLogger(__name__)
#: A file, or an image in memory.
Image: TypeAlias = str | os.PathLike[str] | SpatialImage
#: Share of the volume of a mask that may be lost, by resampling for example, before it is told.
_LOST = 0.01
#: Options of the group level that may be given several times.
_REPEATED = ('compare',)


@dataclass(frozen=True)
class PVSResult:
    """What was found in one scan.

    Images lie on the grid of the T1w. They are read when they are asked for; `folder` is removed with the
    result unless it was named by the caller.

    Attributes
    ----------
    folder : Path
        The derivative dataset with all outputs of the scan.
    """

    folder: Path
    _names: Naming
    _temporary: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    @cached_property
    def mask(self) -> nib.Nifti1Image:
        """Voxels of PVS, 0 or 1, uint8."""
        return self._image(np.uint8, 'mask', label='PVS')

    @cached_property
    def probability(self) -> nib.Nifti1Image:
        """Probability of PVS in [0, 1], float32; 0 outside the regions."""
        return self._image(np.float32, 'probseg', label='PVS')

    @cached_property
    def labels(self) -> nib.Nifti1Image:
        """Numbered clusters, int32; the numbers are those of `clusters`."""
        return self._image(np.int32, 'dseg', desc='pvs')

    @cached_property
    def regions(self) -> nib.Nifti1Image:
        """Regions that are searched, uint8; see `pvs_bidsapp.anatomy.regions.REGIONS`."""
        return self._image(np.uint8, 'dseg', seg='regions')

    @cached_property
    def clusters(self) -> pd.DataFrame:
        """One row a cluster, by falling volume; see `pvs_bidsapp.clusters.tables.CLUSTER_COLUMNS`."""
        return self._table('dseg')

    @cached_property
    def statistics(self) -> pd.DataFrame:
        """One row a region and hemisphere; see `pvs_bidsapp.clusters.tables.REGION_COLUMNS`."""
        return self._table('stats')

    @property
    def counts(self) -> pd.Series:
        """Number of clusters by region and hemisphere, such as ``counts['basal ganglia', 'both']``."""
        return self.statistics.set_index(['region', 'hemisphere'])['count']

    @property
    def volumes(self) -> pd.Series:
        """Volume of PVS in mm3 by region and hemisphere."""
        return self.statistics.set_index(['region', 'hemisphere'])['volume_mm3']

    @property
    def grades(self) -> dict[str, int]:
        """Estimated visual grades by name; see `pvs_bidsapp.clusters.visual_grades.GRADES`."""
        return {key: grade['Value'] for key, grade in self._sidecar['EstimatedVisualGrades'].items()}

    @property
    def findings(self) -> list[dict[str, str]]:
        """What is unclear about the scan: code, finding and mend of each."""
        return self._sidecar.get('InputFindings', [])

    @property
    def page(self) -> Path:
        """The report, a self-contained page of HTML."""
        return self._names.report

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Copy all outputs into a folder, beside what is in it; returns the folder."""
        target = Path(folder)
        shutil.copytree(self.folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns('work'))
        return target

    @cached_property
    def _sidecar(self) -> dict[str, Any]:
        return json.loads(self._names.anat('stats', '.json', desc='pvs').read_text(encoding='utf-8'))

    def _image(self, dtype: Any, suffix: str, **entities: str) -> nib.Nifti1Image:
        image = nib.load(self._names.anat(suffix, **entities))
        header = image.header.copy()
        header.set_data_dtype(dtype)
        header.set_slope_inter(1, 0)
        return nib.Nifti1Image(np.asarray(image.dataobj).astype(dtype), image.affine, header)

    def _table(self, suffix: str) -> pd.DataFrame:
        return _read_table(self._names.anat(suffix, '.tsv', desc='pvs'))


def find_pvs(
    t1w: Image,
    t2w: Image | None = None,
    *,
    out_dir: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    device: str = 'auto',
    modality: str = 'auto',
    threshold: float | None = None,
    min_cluster_size: float | None = None,
    brain_mask: Image | None = None,
    segmentation: Image | None = None,
    random_seed: int = 1,
    precision: str = 'auto',
    threads: int | None = None,
) -> PVSResult:
    """Find and measure PVS in one scan, as ``pvs predict`` does.

    Parameters
    ----------
    t1w : path or image
        Whole head or skull-stripped.
    t2w : path or image, optional
        Of the same session; it is registered to the T1w.
    out_dir : path, optional
        Folder for the outputs, kept afterwards. A scan that is done there with the same settings is not
        analysed again. By default a temporary folder, which is removed with the result.
    model : str or path, optional
        A bundled model, or a model's folder; default: that of the command.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    modality : str
        ``auto``, or a choice of ``--modality``.
    threshold : float, optional
        Smallest probability of a voxel of PVS, in (0, 1]; default: the model's.
    min_cluster_size : float, optional
        In mm3; default: the model's.
    brain_mask, segmentation : path or image, optional
        Ready-made, on any grid in the space of the T1w; a segmentation has the labels of FreeSurfer.
    random_seed : int
        At least 1.
    precision : str
        ``auto``, ``fp32`` or ``bf16``.
    threads : int, optional
        Of a step that can use several; default: at most 8, and the cores there are.

    Returns
    -------
    result : PVSResult

    Raises
    ------
    InputError
        If a file or value cannot be used.
    ImageError
        If the scan could not be finished.
    ModelError
        If the model is missing or damaged.
    """
    from .cli.participant import make_settings
    from .cli.predict import parser

    options = {
        'model': model, 'device': device, 'modality': modality, 'threshold': threshold,
        'min_cluster_size': min_cluster_size, 'random_seed': random_seed, 'precision': precision,
        'omp_nthreads': threads,
    }  # fmt: skip

    def settings_for(scan: Path, out: Path, plugin: Path) -> Settings:
        arguments = [str(scan), str(out), *_spelt(options | {'plugin': plugin})]
        return make_settings(parser().parse_args(arguments), scan.resolve())

    ready_made = {'brain_mask': brain_mask, 'segmentation': segmentation}
    return _process(t1w, t2w, ready_made, out_dir, settings_for)


def measure(
    mask: Image,
    t1w: Image,
    *,
    out_dir: str | os.PathLike[str] | None = None,
    min_cluster_size: float = 0.0,
    brain_mask: Image | None = None,
    segmentation: Image | None = None,
    random_seed: int = 1,
    threads: int | None = None,
) -> PVSResult:
    """Measure the PVS of a ready-made mask, such as an expert's tracing, as those that a model finds.

    Clusters of which less than a third lies within the regions are left out, as everywhere.

    Parameters
    ----------
    mask : path or image
        Marked voxels, on any grid in the space of the T1w; above 0.5 if it is a soft mask.
    t1w : path or image
        The scan, from which brain, tissues and regions come.
    out_dir, brain_mask, segmentation, random_seed, threads
        As for `find_pvs`.
    min_cluster_size : float
        Smaller clusters are dropped, in mm3.

    Returns
    -------
    result : PVSResult
        Its probability is 1 in the mask.

    Raises
    ------
    InputError
        If a file or value cannot be used.
    ImageError
        If the scan could not be finished.
    """
    from .cli.participant import make_execution
    from .cli.predict import parser

    options = {
        'min_cluster_size': min_cluster_size, 'random_seed': random_seed, 'omp_nthreads': threads,
        'device': 'cpu',
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        # without a folder for the results, nothing of this call is shared with another one
        owner = stack.enter_context(tempfile.TemporaryDirectory()) if out_dir is None else out_dir
        mask_path = _as_path(mask, Path(owner).absolute(), 'mask', stack)

        def settings_for(scan: Path, out: Path, plugin: Path) -> Settings:
            arguments = [str(scan), str(out), *_spelt(options | {'plugin': plugin})]
            args = parser().parse_args(arguments)
            return Settings(
                bids_dir=scan.resolve(),
                out_dir=out.resolve(),
                analysis=_analysis_of(mask_path, args),
                execution=make_execution(args, out.resolve()),
            )

        ready_made = {'brain_mask': brain_mask, 'segmentation': segmentation, 'pvs_mask': mask_path}
        result = _process(t1w, None, ready_made, out_dir, settings_for)
        _tell_lost(mask_path, result)
    return result


def group(
    out_dir: str | os.PathLike[str], bids_dir: str | os.PathLike[str] | None = None, **options: Any
) -> dict[str, pd.DataFrame]:
    """Statistics of a cohort, as ``pvs BIDS_DIR OUT_DIR group`` makes them; tables and page are written.

    Scans whose results cannot be read are named in the log and in ``exclusions``, and left out.

    Parameters
    ----------
    out_dir : path
        Outputs of ``participant``, of ``predict``, or of `find_pvs` for several scans.
    bids_dir : path, optional
        The dataset with ``participants.tsv``; default: the one that the outputs name.
    **options
        Those of the command, with underscores: ``cohort='group', match=['age', 'sex']``.

    Returns
    -------
    tables : dict of str to DataFrame
        By name, such as ``summary`` for ``group_summary.tsv``.

    Raises
    ------
    InputError
        If there is nothing to work on, or an option cannot be used.
    """
    from .cli.app import parser
    from .cli.group import make_options
    from .commands.group import run_group

    out = Path(out_dir).absolute()
    args = parser().parse_args(
        [str(out if bids_dir is None else bids_dir), str(out), 'group', *_spelt(options)]
    )
    wanted = make_options(args)
    outcome = run_group(wanted if bids_dir is not None else replace(wanted, bids_dir=None))
    folder = outcome.page.parent
    prefix = GroupNaming(folder).table('').stem
    return {
        path.stem.removeprefix(prefix): _read_table(path) for path in sorted(folder.glob(f'{prefix}*.tsv'))
    }


def _read_table(path: Path) -> pd.DataFrame:
    """A table of the program; only ``n/a`` is a missing value."""
    return pd.read_csv(path, sep='\t', na_values=['n/a'], keep_default_na=False)


def _spelt(options: dict[str, Any]) -> list[str]:
    """Options as they stand on the command line; those that are None are left out."""
    words: list[str] = []
    for name, value in options.items():
        option = f'--{name.replace("_", "-")}'
        if value is None or value is False:
            continue
        if value is True:
            words.append(option)
        elif name in _REPEATED and not isinstance(value, str):
            words += [f'{option}={each}' for each in value]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            words += [option, *map(str, value)]
        else:
            words.append(f'{option}={value}')
    return words


def _process(
    t1w: Image,
    t2w: Image | None,
    ready_made: dict[str, Any],
    out_dir: str | os.PathLike[str] | None,
    settings_for: Callable[[Path, Path, Path], Settings],
) -> PVSResult:
    """Process one scan with its ready-made images, in this process."""
    from .commands.predict import find_images, select_scans
    from .commands.single_scan import process_one

    temporary = tempfile.TemporaryDirectory() if out_dir is None else None
    out = Path(temporary.name if temporary is not None else os.fspath(out_dir or '')).absolute()
    plugin = files('pvs_bidsapp.data') / 'in_process.yml'
    with contextlib.ExitStack() as stack:
        plugin_file = stack.enter_context(as_file(plugin))
        scan, other = (_as_path(i, out, n, stack) for i, n in ((t1w, 'scan'), (t2w, 't2w')))
        given = {name: _as_path(i, out, name, stack) for name, i in ready_made.items()}
        images = find_images(scan)
        settings = settings_for(scan, out, plugin_file)
        selection: Selection = select_scans(images, other, settings)
        scans = tuple(replace(s, **given) for s in selection.scans)
        names = process_one(replace(selection, scans=scans), settings)
    return PVSResult(out, names, temporary)


def _as_path(image: Any, out: Path, name: str, stack: contextlib.ExitStack) -> Any:
    """The file of an image; one in memory is written to a temporary folder, under its own name if it has one.

    The folder is named by what is in the image, so that the same image in another call is known to be so.
    """
    if image is None or not isinstance(image, SpatialImage):
        return None if image is None else Path(image).absolute()
    own = image.get_filename()
    stem = Path(own).name.split('.nii')[0].split('.mg')[0] if own else name
    content = hashlib.sha256(f'{out} {name}'.encode('utf-8', 'surrogateescape'))
    content.update(np.asarray(image.affine).tobytes())
    content.update(np.asarray(image.dataobj).tobytes())
    folder = Path(tempfile.gettempdir()) / f'pvs-{content.hexdigest()[:16]}'
    folder.mkdir(mode=0o700, exist_ok=True)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f'{stem}.nii.gz'
    nib.save(nib.Nifti1Image.from_image(image), path)
    os.utime(path, (0, 0))
    return path


def _analysis_of(mask: Path, args: argparse.Namespace) -> Analysis:
    """The settings with which a ready-made mask is measured."""
    from .segmentation.model import file_sha256

    return Analysis(
        model_name=GIVEN_MASK,
        model_version='n/a',
        model_sha256=file_sha256(mask),
        model_dir='',
        channels=('T1w',),
        threshold=0.5,
        min_cluster_size=args.min_cluster_size,
        random_seed=args.random_seed,
        modality='T1w',
        version=__version__,
        architecture=GIVEN_MASK,
    )


def _tell_lost(mask: Path, result: PVSResult) -> None:
    """Tell that a part of a mask was not measured."""
    from .anatomy.mask_image import read_mask, volume_of
    from .anatomy.resampling import Grid

    given = read_mask(mask)
    volume = volume_of(given.mask, Grid(given.mask.shape, given.affine))
    measured = float(result.volumes['all', 'both'])
    if volume and measured < (1 - _LOST) * volume:
        masks.OUTSIDE.log(LOG, mask.name, percent=100 * (1 - measured / volume))
