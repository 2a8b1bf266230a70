"""The scans of a training on the network's grid: prepared once, and kept in a folder.

Scans and labels are kept in separate files. A scan is prepared in the same way whether its label is used
or not, and a corrected label does not require a new preparation of its scan.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..anatomy.brain import extract_brain
from ..anatomy.conform import ScanImage, audit_scan, load_scan, working_image
from ..anatomy.coregistration import WELL_COVERED, coregister_t2w
from ..anatomy.mask_image import Partner, map_on_grid, mask_on_grid, read_label_map, read_mask
from ..anatomy.native import NativeScan, brain_to_native, to_native
from ..anatomy.registration import deterministic
from ..anatomy.resampling import Grid, resample
from ..anatomy.tissues import WM
from ..anatomy.volume import open_image
from ..bids.labelled_scans import LabelledScan
from ..errors import ImageError
from ..messages import masks, scans
from ..messages.message import Finding, error_of
from ..outputs.marks import files_of_label, read_label
from ..runtime.files import atomic_write
from ..runtime.processes import map_in_processes
from ..runtime.signals import Stopped
from ..segmentation.grid import Spacing
from ..segmentation.intensity import TissueNormalization
from ..segmentation.network_input import BrainAnatomy, NetworkInput
from ..settings import anatomical_suffix
from ..training.config import TrainingConfig
from ..training.datasets import TrainingImage

LOG = logging.getLogger(__name__)
#: Of the registrations.
SEED = 1
#: Of the way in which scans and labels are read; what was cached in another way is prepared anew.
READING = 3


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What decides on the cached arrays besides the scan's files.

    Attributes
    ----------
    spacing : float or tuple of float
        Voxel size of the network's grid in mm, or its range.
    channels : tuple of str
        ``T1w``, ``T2w``.
    normalization : TissueNormalization
    """

    spacing: Spacing
    channels: tuple[str, ...]
    normalization: TissueNormalization = field(default_factory=TissueNormalization)


@dataclass(frozen=True, kw_only=True)
class CachedImage:
    """Files of a prepared scan.

    Attributes
    ----------
    scan : LabelledScan
    image : Path
        Holds image, brain mask and both grids.
    label : Path or None
        Holds the label on the network's grid; None if the scan has none.
    """

    scan: LabelledScan
    image: Path
    label: Path | None

    @property
    def is_complete(self) -> bool:
        """Whether all files exist."""
        return self.image.exists() and (self.label is None or self.label.exists())


def cache_images(
    scans: Sequence[LabelledScan],
    cache_dir: Path,
    preparation: Preparation,
    *,
    nprocs: int,
    stop: Callable[[], bool] = lambda: False,
) -> list[CachedImage]:
    """Prepare all scans that are not in the cache yet.

    Parameters
    ----------
    scans : sequence of LabelledScan
    cache_dir : Path
        Made if it does not exist.
    preparation : Preparation
    nprocs : int
        Number of processes.
    stop : callable
        Called every second; preparation stops if it returns True.

    Returns
    -------
    cached : list of CachedImage
        In the order of the scans.

    Raises
    ------
    ImageError
        If a scan or label cannot be used.
    Stopped
        If `stop` returned True; the files of the scans prepared by then are kept.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    cached = [locate_cached(scan, cache_dir, preparation) for scan in scans]
    missing = [(files, preparation) for files in cached if not files.is_complete]
    if missing:
        names = [files.scan.name for files, _ in missing]
        map_in_processes(prepare_image, missing, nprocs, 'scans', names=names, stop=stop)
    return cached


def locate_cached(scan: LabelledScan, cache_dir: Path, preparation: Preparation) -> CachedImage:
    """Name the files of a prepared scan. The names depend on the scan's files and the preparation.

    Parameters
    ----------
    scan : LabelledScan
    cache_dir : Path
    preparation : Preparation

    Returns
    -------
    cached : CachedImage
        Its files need not exist.
    """
    t2w = scan.t2w if 'T2w' in preparation.channels else None
    files = [p for p in (scan.anat, t2w, scan.brain, scan.tissues) if p is not None]
    key = (READING, preparation.normalization.card(), preparation.spacing, preparation.channels)
    return CachedImage(
        scan=scan,
        image=cache_dir / f'{scan.name}_{digest(files, key)}.npz',
        label=None
        if scan.label is None
        else cache_dir / f'{scan.name}_tracing_{digest([*files, *files_of_label(scan.label)], key)}.npz',
    )


def digest(files: Sequence[Path], key: Any) -> str:
    """Part of a name that depends on files, by their size and time, and on how they are read.

    Parameters
    ----------
    files : sequence of Path
    key : object
        Its representation counts.
    """
    stamp = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr((stamp, key)).encode()).hexdigest()[:16]


def make_missing(
    make: Callable[..., None],
    calls: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    what: str,
    config: TrainingConfig,
    stop: Callable[[], bool],
) -> list[Path]:
    """Make the files that are not in the cache yet, in several processes.

    Parameters
    ----------
    make : callable
        Makes a file.
    calls : sequence of tuple
        Its arguments for each file, the path of which is the last.
    names : sequence of str
        Of what the files are made of, for messages.
    what : str
        What is made, for the progress.
    config : TrainingConfig
        Names the folder of the cache, which is made if it does not exist, and the number of processes.
    stop : callable
        As for `cache_images`.

    Returns
    -------
    files : list of Path
        All of them, in the order of the calls.
    """
    config.data.cache_dir.mkdir(parents=True, exist_ok=True)
    missing = [k for k, call in enumerate(calls) if not call[-1].exists()]
    wanted = [names[k] for k in missing]
    map_in_processes(make, [calls[k] for k in missing], config.nprocs, what, names=wanted, stop=stop)
    return [call[-1] for call in calls]


def prepare_image(cached: CachedImage, preparation: Preparation) -> None:
    """Write those files of a prepared scan that do not exist.

    Parameters
    ----------
    cached : CachedImage
    preparation : Preparation

    Raises
    ------
    ImageError
        If the scan or its label cannot be used.
    """
    if not cached.image.exists():
        inputs = _prepare(cached.scan, preparation)
        write_arrays(
            cached.image,
            image=inputs.image.astype(np.float16),
            brain=inputs.brain,
            affine=inputs.grid.affine,
        )
    if cached.label is not None and not cached.label.exists():
        with np.load(cached.image) as arrays:
            brain = arrays['brain']
            grid = Grid(brain.shape, arrays['affine'])
        mask, native_grid, _ = _placed_label(cached.scan)
        target = resample(mask, native_grid.affine, grid, order=1) > 0.5
        arrays = {'target': target.astype(np.uint8), 'marked': np.array(mask.sum())}
        if (traced := _traced(cached.scan)) is not None:
            arrays['traced'] = resample(traced, native_grid.affine, grid, order=0) > 0.5
            if not (brain & arrays['traced']).any():
                raise masks.NOTHING_TRACED.error(cached.scan.label or '')
        write_arrays(cached.label, **arrays)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays completely or not at all, uncompressed.

    Parameters
    ----------
    path : Path
        ``.npz``.
    **arrays : ndarray
    """
    with atomic_write(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def read_cached(cached: CachedImage) -> TrainingImage:
    """Read a prepared scan. A label whose PVS vanish on the network's grid is reported.

    Parameters
    ----------
    cached : CachedImage
        Whose files exist.
    """
    with np.load(cached.image) as arrays:
        image, brain, affine = arrays['image'], arrays['brain'], arrays['affine']
    label = np.zeros(brain.shape, np.uint8)
    if cached.label is not None and cached.scan.label is not None:
        with np.load(cached.label) as arrays:
            label, marked = arrays['target'], int(arrays['marked'])
            if 'traced' in arrays:  # nothing is learnt from, or scored on, what nobody looked at
                brain, label = brain & arrays['traced'], label * arrays['traced']
        if marked and not label.any():
            masks.LABEL_VANISHES.log(LOG, cached.scan.label, count=marked)
    return TrainingImage(
        name=cached.scan.name,
        image=image,
        brain=brain,
        label=label,
        voxel_volume=float(abs(np.linalg.det(affine[:3, :3]))),
    )


def _prepare(scan: LabelledScan, preparation: Preparation) -> NetworkInput:
    """A scan on the network's grid."""
    deterministic(SEED)
    source, suffix = load_scan(scan.anat), anatomical_suffix(preparation.channels)
    _warn(source.findings)
    with tempfile.TemporaryDirectory() as folder:
        anatomy = _anatomy(scan, source, suffix, Path(folder))
        # unlike a participant run, training corrects the bias field by N4 alone
        native = to_native(source, anatomy.brain, anatomy.tissues, anatomy.affine, bias_field=None)
        images = [native.image]
        if 'T2w' in preparation.channels and scan.t2w is not None:
            images.append(_coregister(scan.t2w, source, native, Path(folder)))
    return NetworkInput.build(
        images,
        native.grid,
        BrainAnatomy(brain=native.brain, tissues=native.tissues, affine=native.grid.affine),
        normalization=preparation.normalization,
        spacing=preparation.spacing,
        box=(1, 1, 1),
    )


def _anatomy(scan: LabelledScan, source: ScanImage, suffix: str, folder: Path) -> BrainAnatomy:
    """Brain mask and tissue classes: ready-made ones on the scan's grid, or those found at 1 mm."""
    grid, brain_mask = source.grid, None
    if scan.brain is not None:
        partner = Partner(path=scan.anat, source=source.source)
        ready_made = read_mask(scan.brain)
        brain_mask, findings = mask_on_grid(ready_made, partner)
        _warn([*ready_made.findings, *findings])
        if not brain_mask.any():
            raise masks.BRAIN_EMPTY.error(scan.brain)
        if scan.tissues is not None:
            tissues = _tissues_on_grid(scan.tissues, partner)
            return BrainAnatomy(brain=brain_mask, tissues=tissues, affine=grid.affine)
    image, working = working_image(source)
    if brain_mask is not None:
        brain_mask = brain_to_native(brain_mask, grid.affine, working)
    brain = extract_brain(image, working.affine, folder, brain_mask=brain_mask, suffix=suffix)
    _warn(replace(finding, file=str(scan.anat)) for finding in brain.findings)
    return BrainAnatomy(brain=brain.mask, tissues=brain.tissues, affine=working.affine)


def _tissues_on_grid(path: Path, partner: Partner) -> np.ndarray:
    """Ready-made tissue classes on the grid of their scan; uint8."""
    classes = read_label_map(path)
    _warn(classes.findings)
    if (highest := int(classes.data.max())) > WM:
        raise masks.NOT_TISSUES.error(path, value=highest)
    return map_on_grid(path, classes, partner, order=0).astype(np.uint8)


def _coregister(t2w: Path, t1w: ScanImage, native: NativeScan, folder: Path) -> np.ndarray:
    """The T2w on the T1w's grid, bias corrected."""
    image, working = working_image(t1w)
    brain = brain_to_native(native.brain, native.grid.affine, working)
    scan = load_scan(t2w)
    _warn(scan.findings)
    moved, alignment = coregister_t2w(scan, image, brain, working.affine, native.grid, folder)
    if alignment.covered < WELL_COVERED:
        scans.T2W_PARTIAL.log(LOG, t2w, percent=100 * alignment.covered)
    return moved


def _placed_label(scan: LabelledScan) -> tuple[np.ndarray, Grid, list[Finding]]:
    """The label of a scan on the scan's grid: mask, grid, and what a user should know about it."""
    assert scan.label is not None
    partner = Partner.of(scan.anat)
    label = read_label(scan.label)
    mask, findings = mask_on_grid(label.image, partner)
    if label.is_of_marks:
        marks = masks.MARKS_AS_LABEL.finding(scan.label, unsure=label.n_unsure, unmarked=label.n_unmarked)
        findings = [*findings, marks]
    return mask, partner.grid, [*label.image.findings, *findings]


def _traced(scan: LabelledScan) -> np.ndarray | None:
    """Where spaces were traced, on the scan's grid; None if that is everywhere."""
    assert scan.label is not None
    label = read_label(scan.label)
    if label.traced is None:
        return None
    traced = replace(label.image, mask=label.traced, findings=())
    return mask_on_grid(traced, Partner.of(scan.anat))[0]


def check_labels(
    scans: Sequence[LabelledScan], *, stop: Callable[[], bool] = lambda: False
) -> dict[LabelledScan, int]:
    """Read all labels before the long preparation of scans begins, and say what is odd about them.

    Parameters
    ----------
    scans : sequence of LabelledScan
    stop : callable
        Called after each label.

    Returns
    -------
    marked : dict
        Number of voxels that the label of each labelled scan marks.

    Raises
    ------
    InputError
        If a label, or by its header a labelled scan, cannot be used: a training on fewer labels than given
        would mislead.
    Stopped
        If `stop` returned True.
    """
    labelled = [scan for scan in scans if scan.label is not None]
    marked, reasons = {}, []
    for scan in tqdm(labelled, desc='labels', disable=None):
        if stop():
            raise Stopped
        try:
            _check_headers(scan)
            mask, _, findings = _placed_label(scan)
        except ImageError as error:
            LOG.error('%s', error)
            reasons.append(str(error))
            continue
        if not mask.any():
            findings.append(masks.LABEL_EMPTY.finding(scan.label or ''))
        _warn(findings)
        marked[scan] = int(mask.sum())
    if reasons:
        raise masks.LABELS_UNUSABLE.error(count=len(reasons), total=len(labelled), reason=reasons[0])
    return marked


def _check_headers(scan: LabelledScan) -> None:
    """Raise what the headers of a scan's images show to be unusable."""
    for path in (scan.anat, scan.t2w):
        for finding in () if path is None else audit_scan(path):
            if finding.is_refused:
                raise error_of(finding)
    for path in filter(None, (scan.brain, scan.tissues)):
        open_image(path)


def require_pvs(part: str, scans: Sequence[LabelledScan], marked: dict[LabelledScan, int]) -> None:
    """Refuse scans whose labels are all empty: nothing is learnt from them, and every score is 0 or 1.

    Parameters
    ----------
    part : str
        What the scans are, for the message.
    scans : sequence of LabelledScan
        With labels.
    marked : dict
        As `check_labels` returns it.

    Raises
    ------
    InputError
        If there are scans, but not one label marks a voxel.
    """
    if scans and not any(marked[scan] for scan in scans):
        raise masks.NO_PVS.error(part=part)


def _warn(findings: Iterable[Finding]) -> None:
    for finding in findings:
        LOG.warning('%s', finding)
