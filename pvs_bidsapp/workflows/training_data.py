"""The scans of a training: found in BIDS data sets, prepared once, kept in a cache."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from ..anatomy import bias
from ..anatomy.brain import extract
from ..anatomy.conform import load_scan, working_image
from ..anatomy.coregistration import bring_t2w
from ..anatomy.registration import deterministic
from ..anatomy.resampling import Grid, resample
from ..bids.naming import Naming, parse_entities
from ..bids.query import Query, find_scans
from ..errors import InputError
from ..segmentation.intensity import TissueLevels
from ..simulation.stream import Scene, make_scene
from ..training.data import match_target, prepare
from ..training.patches import Volume
from .parallel import in_parallel

LOG = logging.getLogger(__name__)
PATTERN = 'sub-*_label-PVS_mask.nii*'
#: Entities that a tracing may have and its scan has not.
_DERIVED = ('space', 'res', 'label', 'desc')
SEED = 1


@dataclass(frozen=True)
class Case:
    """Files of one scan to learn from.

    Attributes
    ----------
    name : str
        The T1w's entities.
    t1w : Path
    t2w, target, brain, tissues : Path or None
        The T2w of its session, its tracing, and ready-made brain mask and tissue classes.
    data_set : str
        Name of the data set where there are several: each counts its persons for itself.
    """

    name: str
    t1w: Path
    t2w: Path | None
    target: Path | None
    brain: Path | None
    tissues: Path | None
    data_set: str = ''

    @property
    def person(self) -> str:
        """``sub-LABEL``, or ``NAME/sub-LABEL`` where there are several data sets."""
        label = self.name.split('_')[0]
        return f'{self.data_set}/{label}' if self.data_set else label

    @property
    def files(self) -> list[Path]:
        """All that are there."""
        found = (self.t1w, self.t2w, self.target, self.brain, self.tissues)
        return [p for p in found if p is not None]


def find_all_cases(data_dirs: Sequence[tuple[Path, Path]], channels: Sequence[str]) -> list[Case]:
    """The scans of several data sets, each with the folder of its tracings, see `find_cases`.

    Raises
    ------
    InputError
        As `find_cases`, or if two data sets have the same name.
    """
    if len(data_dirs) == 1:
        return find_cases(*data_dirs[0], channels)
    names = [data_dir.resolve().name for data_dir, _ in data_dirs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f'two data sets are named {min(twice)}; rename the folder of one')
    return [
        replace(case, data_set=name)
        for name, (data_dir, labels_dir) in zip(names, data_dirs, strict=True)
        for case in find_cases(data_dir, labels_dir, channels)
    ]


def find_cases(data_dir: Path, labels_dir: Path, channels: Sequence[str] = ('T1w',)) -> list[Case]:
    """All scans of a data set that have the channels, traced or not, sorted by name.

    A tracing is a ``*_label-PVS_mask.nii[.gz]`` of the labels' data set with the same entities as
    its T1w (``space-``, ``res-`` and ``desc-`` aside). Brain masks (``desc-brain_mask``) and tissue
    classes (``seg-tissue_dseg``: 1 CSF, 2 grey, 3 white matter) are taken from there, too, where
    they are.

    Raises
    ------
    InputError
        If there is no tracing, a tracing has no scan, or no traced scan has all channels.
    """
    tracings = _tracings(labels_dir)
    if not tracings:
        raise InputError(f'{labels_dir}: no sub-*_label-PVS_mask.nii.gz; give the tracings with --labels')
    cases = []
    for scan in find_scans(data_dir, Query(use_t2w='T2w' in channels)):
        target = tracings.pop(frozenset(parse_entities(scan.t1w.name)), None)
        if 'T2w' in channels and scan.t2w is None:
            LOG.warning('%s: left out, the recipe needs a T2w of the same session', scan.t1w.name)
            continue
        names = Naming.of(labels_dir, scan.t1w)
        ready = (names.anat('mask', desc='brain'), names.anat('dseg', seg='tissue'))
        brain, tissues = (p if p.exists() else None for p in ready)
        cases.append(Case(names.stem, scan.t1w, scan.t2w, target, brain, tissues))
    if tracings:
        orphan = next(iter(tracings.values()))
        raise InputError(f'{orphan}: no T1w with the same entities in {data_dir}')
    if not any(case.target for case in cases):
        raise InputError(f'{data_dir}: no traced scan has all of {", ".join(channels)}')
    return sorted(cases, key=lambda case: case.name)


def _tracings(labels_dir: Path) -> dict[frozenset[tuple[str, str]], Path]:
    found: dict[frozenset[tuple[str, str]], Path] = {}
    for path in sorted(labels_dir.rglob(PATTERN)):
        key = frozenset(pair for pair in parse_entities(path.name) if pair[0] not in _DERIVED)
        if key in found:
            raise InputError(f'{path}: a second tracing of a scan, beside {found[key].name}; keep one')
        found[key] = path
    return found


def load_volumes(
    cases: Sequence[Case],
    cache: Path,
    rule: TissueLevels,
    *,
    spacing: float,
    channels: Sequence[str],
    nprocs: int,
    stop: Callable[[], bool] = lambda: False,
) -> list[Volume]:
    """Prepared volumes of the cases, in their order; what was prepared before comes from the cache.

    Raises
    ------
    Stopped
        If `stop`, asked every second, says so; what has been prepared by then is kept.
    """
    cache.mkdir(parents=True, exist_ok=True)
    arguments = [(case, cache, rule, spacing, tuple(channels)) for case in cases]
    volumes = in_parallel(load_volume, arguments, nprocs, 'scans', stop=stop)
    for volume, case in zip(volumes, cases, strict=True):
        if case.target is not None and not volume.target.any():
            LOG.warning('%s: the tracing is empty; the scan counts as one without spaces', case.target.name)
    return volumes


def load_volume(
    case: Case, cache: Path, rule: TissueLevels, spacing: float, channels: tuple[str, ...]
) -> Volume:
    """One prepared volume, from the cache where the same files were prepared the same way."""
    stamp = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in case.files]
    key = hashlib.sha256(repr((stamp, rule.card(), spacing, channels)).encode()).hexdigest()[:16]
    stored = cache / f'{case.name}_{key}.npz'
    if stored.exists():
        with np.load(stored) as arrays:
            return Volume(case.name, arrays['image'], arrays['brain'], arrays['target'])
    volume = _prepare(case, rule, spacing, channels)
    temporary = stored.with_suffix('.part.npz')
    np.savez(temporary, image=volume.image, brain=volume.brain, target=volume.target)
    temporary.replace(stored)
    return volume


def _prepare(case: Case, rule: TissueLevels, spacing: float, channels: tuple[str, ...]) -> Volume:
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
            images.append(bring_t2w(t2w, t1w, inside, work.affine, grid, Path(folder)))
    target = np.zeros(grid.shape, bool)
    if case.target is not None:
        traced = nib.load(case.target)
        data = np.asarray(traced.dataobj, np.float32)
        target = match_target(data, traced.affine, grid, case.target.name)
    return prepare(case.name, images, grid.affine, brain, tissues, target, rule, spacing=spacing)


def _anatomy(case: Case, scan: nib.Nifti1Image, grid: Grid, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Brain mask and tissue classes on the scan's grid: ready-made, or found as at work."""
    brain = _on_grid(case.brain, grid)
    tissues = _on_grid(case.tissues, grid)
    if brain is None or tissues is None:
        work = working_image(scan)
        own = Grid(work.shape, work.affine)
        given = None if brain is None else resample(brain > 0, grid.affine, own, order=1) > 0.5
        found = extract(work.get_fdata(dtype=np.float32), work.affine, folder, given=given)
        brain = resample(found.mask, own.affine, grid, order=1) > 0.5
        tissues = resample(found.tissues, own.affine, grid, order=0)
    return brain > 0, np.rint(tissues).astype(np.uint8)


def _on_grid(path: Path | None, grid: Grid) -> np.ndarray | None:
    if path is None:
        return None
    image = nib.load(path)
    return resample(np.asarray(image.dataobj, np.float32), image.affine, grid, order=0)


def load_scene(case: Case, spacing: float) -> Scene:
    """The geometry of a simulated head, from its truth.

    Raises
    ------
    InputError
        If the labels are not those of `pvs simulate`, or the head has another voxel size.
    """
    parts = []
    for name in (
        'seg-aseg_dseg',
        'label-PVS_probseg',
        'desc-pvs_dseg',
        'desc-mimics_dseg',
        'desc-brain_mask',
    ):
        folder = case.target.parent if case.target else case.t1w.parent
        path = folder / f'{case.name}_{name}.nii.gz'
        if not path.exists():
            raise InputError(f'{path}: missing; --paint needs heads made by `pvs simulate`')
        image = nib.load(path)
        parts.append(np.asarray(image.dataobj))
    found = float(image.header.get_zooms()[0])
    if abs(found - spacing) > 1e-3:
        raise InputError(
            f'{path}: voxels of {found:g} mm; --paint needs those of the recipe: '
            f'`pvs simulate --spacing {spacing:g}`'
        )
    labels, occupancy, index, kind, brain = parts
    return make_scene(case.name, labels, occupancy, index, kind, brain, spacing)
