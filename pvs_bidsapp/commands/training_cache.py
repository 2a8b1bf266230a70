"""Scans as a network learns from them: prepared once, kept in a cache, apart from their tracings.

A scan is prepared alike whether its tracing is looked at or not, and a tracing that was mended
costs no new preparation of its scan.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ..anatomy import bias
from ..anatomy.brain import extract_brain
from ..anatomy.conform import load_scan, working_image
from ..anatomy.coregistration import coregister_t2w
from ..anatomy.registration import deterministic
from ..anatomy.resampling import Grid, resample
from ..bids.labelled_scans import LabelledScan
from ..runtime.processes import map_in_processes
from ..segmentation.grid import Spacing
from ..segmentation.intensity import TissueNormalization
from ..segmentation.network_input import Prepared, match_target, prepare
from ..training.patches import TrainingImage

LOG = logging.getLogger(__name__)
SEED = 1
Arrays = dict[str, np.ndarray]


def load_training_images(
    cases: Sequence[LabelledScan],
    cache: Path,
    rule: TissueNormalization,
    *,
    spacing: Spacing,
    channels: Sequence[str],
    nprocs: int,
    stop: Callable[[], bool] = lambda: False,
) -> list[TrainingImage]:
    """Prepared volumes of the cases, in their order; what was prepared before comes from the cache.

    Raises
    ------
    Stopped
        If `stop`, asked every second, says so; what has been prepared by then is kept.
    """
    cache.mkdir(parents=True, exist_ok=True)
    arguments = [(case, cache, rule, spacing, tuple(channels)) for case in cases]
    volumes = map_in_processes(load_training_image, arguments, nprocs, 'scans', stop=stop)
    for volume, case in zip(volumes, cases, strict=True):
        if case.target is not None and not volume.target.any():
            LOG.warning('%s: the tracing is empty; the scan counts as one without spaces', case.target.name)
    return volumes


def load_training_image(
    case: LabelledScan, cache: Path, rule: TissueNormalization, spacing: Spacing, channels: tuple[str, ...]
) -> TrainingImage:
    """One prepared volume, from the cache where the same files were prepared the same way."""
    t2w = case.t2w if 'T2w' in channels else None
    files = [p for p in (case.t1w, t2w, case.brain, case.tissues) if p is not None]
    key = (rule.card(), spacing, channels)
    scan = _cached(cache, case.name, files, key, lambda: _prepare(case, rule, spacing, channels))
    target = np.zeros(scan['brain'].shape, np.uint8)
    if (tracing := case.target) is not None:
        name = f'{case.name}_tracing'
        traced = _cached(cache, name, [*files, tracing], key, lambda: _trace(tracing, scan))
        target = traced['target']
    voxel = float(abs(np.linalg.det(scan['affine'][:3, :3])))
    return TrainingImage(case.name, scan['image'], scan['brain'], target, voxel)


def _cached(cache: Path, name: str, files: Sequence[Path], key: Any, make: Callable[[], Arrays]) -> Arrays:
    """Arrays of an earlier call for the same files, or newly made ones."""
    stamp = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    digest = hashlib.sha256(repr((stamp, key)).encode()).hexdigest()[:16]
    stored = cache / f'{name}_{digest}.npz'
    if stored.exists():
        with np.load(stored) as arrays:
            return dict(arrays)
    made = make()
    temporary = stored.with_suffix('.part.npz')
    np.savez(temporary, **made)  # type: ignore[arg-type]
    temporary.replace(stored)
    return made


def _prepare(
    case: LabelledScan, rule: TissueNormalization, spacing: Spacing, channels: tuple[str, ...]
) -> Arrays:
    """The scan on the network's grid, and both grids."""
    deterministic(SEED)
    scan = load_scan(case.t1w)
    grid = Grid(tuple(scan.shape), scan.affine)
    with tempfile.TemporaryDirectory() as folder:
        brain, tissues = _anatomy(case, scan, grid, Path(folder))
        images = [bias.correct(scan.get_fdata(dtype=np.float32), grid.affine, brain)]
        if 'T2w' in channels and case.t2w is not None:
            work = working_image(scan)
            inside = resample(brain, grid.affine, Grid(work.shape, work.affine), order=1) > 0.5
            t1w = work.get_fdata(dtype=np.float32)
            t2w = load_scan(case.t2w)
            images.append(coregister_t2w(t2w, t1w, inside, work.affine, grid, Path(folder)))
    made: Prepared = prepare(images, grid.affine, brain, tissues, rule, spacing=spacing)
    return {
        'image': made.image, 'brain': made.brain, 'affine': made.grid.affine,
        'scan_shape': np.array(grid.shape), 'scan_affine': grid.affine,
    }  # fmt: skip


def _trace(tracing: Path, scan: Arrays) -> Arrays:
    """The tracing on the network's grid."""
    traced = nib.load(tracing)
    own = Grid(tuple(int(n) for n in scan['scan_shape']), scan['scan_affine'])
    target = match_target(np.asarray(traced.dataobj, np.float32), traced.affine, own, tracing.name)
    grid = Grid(scan['brain'].shape, scan['affine'])
    return {'target': (resample(target, own.affine, grid, order=1) > 0.5).astype(np.uint8)}


def _anatomy(
    case: LabelledScan, scan: nib.Nifti1Image, grid: Grid, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Brain mask and tissue classes on the scan's grid: ready-made, or found as at work."""
    brain = _on_grid(case.brain, grid)
    tissues = _on_grid(case.tissues, grid)
    if brain is None or tissues is None:
        work = working_image(scan)
        own = Grid(work.shape, work.affine)
        given = None if brain is None else resample(brain > 0, grid.affine, own, order=1) > 0.5
        found = extract_brain(work.get_fdata(dtype=np.float32), work.affine, folder, given=given)
        brain = resample(found.mask, own.affine, grid, order=1) > 0.5
        tissues = resample(found.tissues, own.affine, grid, order=0)
    return brain > 0, np.rint(tissues).astype(np.uint8)


def _on_grid(path: Path | None, grid: Grid) -> np.ndarray | None:
    if path is None:
        return None
    image = nib.load(path)
    return resample(np.asarray(image.dataobj, np.float32), image.affine, grid, order=0)
