"""The scans of a training on the network's grid: prepared once, and kept in a folder.

Scans and labels are kept in separate files. A scan is prepared in the same way whether its label is used
or not, and a corrected label does not require a new preparation of its scan.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ..anatomy.brain import extract_brain
from ..anatomy.conform import ScanImage, load_scan, working_image
from ..anatomy.coregistration import coregister_t2w
from ..anatomy.native import NativeScan, brain_to_native, labels_to_native, to_native
from ..anatomy.registration import deterministic
from ..anatomy.resampling import Grid, resample
from ..bids.labelled_scans import LabelledScan
from ..errors import ImageError
from ..runtime.files import atomic_write
from ..runtime.processes import map_in_processes
from ..segmentation.grid import Spacing
from ..segmentation.intensity import TissueNormalization
from ..segmentation.network_input import BrainAnatomy, NetworkInput
from ..training.datasets import TrainingImage

LOG = logging.getLogger(__name__)
#: Of the registrations.
SEED = 1


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
        map_in_processes(prepare_image, missing, nprocs, 'scans', stop=stop)
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
    files = [p for p in (scan.t1w, t2w, scan.brain, scan.tissues) if p is not None]
    key = (preparation.normalization.card(), preparation.spacing, preparation.channels)
    return CachedImage(
        scan=scan,
        image=cache_dir / f'{scan.name}_{_digest(files, key)}.npz',
        label=None
        if scan.label is None
        else cache_dir / f'{scan.name}_tracing_{_digest([*files, scan.label], key)}.npz',
    )


def _digest(files: Sequence[Path], key: Any) -> str:
    stamp = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr((stamp, key)).encode()).hexdigest()[:16]


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
        native_grid, inputs = _prepare(cached.scan, preparation)
        _write(
            cached.image,
            image=inputs.image.astype(np.float16),
            brain=inputs.brain,
            affine=inputs.grid.affine,
            scan_shape=np.array(native_grid.shape),
            scan_affine=native_grid.affine,
        )
    if cached.label is not None and cached.scan.label is not None and not cached.label.exists():
        with np.load(cached.image) as arrays:
            grid = Grid(arrays['brain'].shape, arrays['affine'])
            native_grid = Grid(tuple(int(n) for n in arrays['scan_shape']), arrays['scan_affine'])
        _write(cached.label, target=_prepare_label(cached.scan.label, native_grid, grid))


def _write(path: Path, **arrays: np.ndarray) -> None:
    with atomic_write(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def read_cached(cached: CachedImage) -> TrainingImage:
    """Read a prepared scan. A label without any PVS is reported.

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
            label = arrays['target']
        if not label.any():
            LOG.warning('%s: the label is empty; the scan counts as one without PVS', cached.scan.label.name)
    return TrainingImage(
        name=cached.scan.name,
        image=image,
        brain=brain,
        label=label,
        voxel_volume=float(abs(np.linalg.det(affine[:3, :3]))),
    )


def _prepare(scan: LabelledScan, preparation: Preparation) -> tuple[Grid, NetworkInput]:
    """The T1w's grid, and the scan on the network's grid."""
    deterministic(SEED)
    t1w = load_scan(scan.t1w)
    with tempfile.TemporaryDirectory() as folder:
        anatomy = _anatomy(scan, t1w, Path(folder))
        # unlike a participant run, training corrects the bias field by N4 alone
        native = to_native(t1w, anatomy.brain, anatomy.tissues, anatomy.affine, bias_field=None)
        images = [native.image]
        if 'T2w' in preparation.channels and scan.t2w is not None:
            images.append(_coregister(scan.t2w, t1w, native, Path(folder)))
    inputs = NetworkInput.build(
        images,
        native.grid,
        BrainAnatomy(brain=native.brain, tissues=native.tissues, affine=native.grid.affine),
        normalization=preparation.normalization,
        spacing=preparation.spacing,
        box=(1, 1, 1),
    )
    return native.grid, inputs


def _anatomy(scan: LabelledScan, t1w: ScanImage, folder: Path) -> BrainAnatomy:
    """Brain mask and tissue classes: ready-made ones on the T1w's grid, or those found at 1 mm."""
    grid, brain_mask = t1w.grid, None
    if scan.brain is not None:
        data, affine = _read(scan.brain)
        brain_mask = resample(data, affine, grid, order=0) > 0
        if scan.tissues is not None:
            tissues = labels_to_native(*_read(scan.tissues), grid)
            return BrainAnatomy(brain=brain_mask, tissues=tissues, affine=grid.affine)
    image, working = working_image(t1w)
    if brain_mask is not None:
        brain_mask = brain_to_native(brain_mask, grid.affine, working)
    brain = extract_brain(image, working.affine, folder, brain_mask=brain_mask)
    return BrainAnatomy(brain=brain.mask, tissues=brain.tissues, affine=working.affine)


def _coregister(t2w: Path, t1w: ScanImage, native: NativeScan, folder: Path) -> np.ndarray:
    """The T2w on the T1w's grid, bias corrected."""
    image, working = working_image(t1w)
    brain = brain_to_native(native.brain, native.grid.affine, working)
    return coregister_t2w(load_scan(t2w), image, brain, working.affine, native.grid, folder)


def _prepare_label(path: Path, native_grid: Grid, grid: Grid) -> np.ndarray:
    """A label on the network's grid, by way of its scan's; uint8."""
    label = match_label(*_read(path), native_grid, path.name)
    return (resample(label, native_grid.affine, grid, order=1) > 0.5).astype(np.uint8)


def match_label(
    label: np.ndarray, affine: np.ndarray, grid: Grid, name: str, tolerance: float = 1e-3
) -> np.ndarray:
    """Bring a label to its scan's grid. If it is on another grid, it is resampled with a warning.

    Parameters
    ----------
    label : ndarray, shape (x, y, z)
        Above 0.5 in perivascular spaces.
    affine : ndarray, shape (4, 4)
        Of the label.
    grid : Grid
        Of the scan.
    name : str
        Name of the label's file, for messages.
    tolerance : float
        Affines that differ by less (mm) count as equal.

    Returns
    -------
    label : ndarray of bool
        Of the grid's shape.

    Raises
    ------
    ImageError
        If more than half of the label is outside the scan.
    """
    mask = label > 0.5
    if label.shape == grid.shape and np.allclose(affine, grid.affine, atol=tolerance):
        return mask
    resampled = resample(mask, affine, grid, order=1) > 0.5
    before = mask.sum() * abs(np.linalg.det(affine[:3, :3]))
    after = resampled.sum() * abs(np.linalg.det(grid.affine[:3, :3]))
    if before and after < 0.5 * before:
        raise ImageError(
            f'{name}: is on another grid than its scan, and only {100 * after / before:.0f} % of its '
            'volume would be left there; is it the label of this scan? resample it to the T1w'
        )
    LOG.warning('%s: is on another grid than its scan and was resampled to it', name)
    return resampled


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Data and affine of an image."""
    image = nib.load(path)
    return np.asarray(image.dataobj, np.float32), image.affine
