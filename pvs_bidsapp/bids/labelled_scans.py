"""The scans of a training, found in BIDS data sets with their tracings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from ..errors import InputError
from ..segmentation.grid import Spacing, spacing_range
from ..simulation.patch_synthesis import HeadGeometry, make_head_geometry
from .naming import Naming, parse_entities
from .query import Query, files_below, find_scans

LOG = logging.getLogger(__name__)
PATTERN = 'sub-*_label-PVS_mask.nii*'
#: Entities that a tracing may have and its scan has not.
_DERIVED = ('space', 'res', 'label', 'desc')


@dataclass(frozen=True)
class LabelledScan:
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


def find_all_labelled_scans(
    data_dirs: Sequence[tuple[Path, Path]], channels: Sequence[str]
) -> list[LabelledScan]:
    """The scans of several data sets, each with the folder of its tracings, see `find_cases`.

    Raises
    ------
    InputError
        As `find_cases`, or if two data sets have the same name.
    """
    if len(data_dirs) == 1:
        return find_labelled_scans(*data_dirs[0], channels)
    names = [data_dir.resolve().name for data_dir, _ in data_dirs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f'two data sets are named {min(twice)}; rename the folder of one')
    return [
        replace(case, data_set=name)
        for name, (data_dir, labels_dir) in zip(names, data_dirs, strict=True)
        for case in find_labelled_scans(data_dir, labels_dir, channels)
    ]


def find_labelled_scans(
    data_dir: Path, labels_dir: Path, channels: Sequence[str] = ('T1w',)
) -> list[LabelledScan]:
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
        cases.append(LabelledScan(names.stem, scan.t1w, scan.t2w, target, brain, tissues))
    if tracings:
        orphan = next(iter(tracings.values()))
        raise InputError(f'{orphan}: no T1w with the same entities in {data_dir}')
    if not any(case.target for case in cases):
        raise InputError(f'{data_dir}: no traced scan has all of {", ".join(channels)}')
    return sorted(cases, key=lambda case: case.name)


def _tracings(labels_dir: Path) -> dict[frozenset[tuple[str, str]], Path]:
    found: dict[frozenset[tuple[str, str]], Path] = {}
    for path in files_below(labels_dir, PATTERN):
        key = frozenset(pair for pair in parse_entities(path.name) if pair[0] not in _DERIVED)
        if key in found:
            raise InputError(f'{path}: a second tracing of a scan, beside {found[key].name}; keep one')
        found[key] = path
    return found


def read_head_geometry(case: LabelledScan, spacing: Spacing) -> HeadGeometry:
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
    low, high = spacing_range(spacing)
    if not low - 1e-3 < found < high + 1e-3:
        raise InputError(
            f'{path}: voxels of {found:g} mm; --paint needs those of the recipe: '
            f'`pvs simulate --spacing {low:g}`'
        )
    labels, occupancy, index, kind, brain = parts
    return make_head_geometry(case.name, labels, occupancy, index, kind, brain, found)
