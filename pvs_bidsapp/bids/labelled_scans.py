"""The scans of a training, found in BIDS datasets with their labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from .naming import Naming, parse_entities
from .query import Query, files_below, find_scans

LOG = logging.getLogger(__name__)
PATTERN = 'sub-*_label-PVS_mask.nii*'
#: Entities that a label may have in addition to those of its scan.
_DERIVED = ('space', 'res', 'label', 'desc')


@dataclass(frozen=True, kw_only=True)
class LabelledScan:
    """Files of a scan to learn from. It is called labelled even if its label is missing.

    Attributes
    ----------
    name : str
        The T1w's entities.
    t1w : Path
    t2w, label, brain, tissues : Path or None
        The T2w of its session, its label, and ready-made brain mask and tissue classes.
    labels_dir : Path
        Derivative dataset with the labels.
    data_set : str
        Name of the dataset if there are several: each counts its persons separately.
    """

    name: str
    t1w: Path
    t2w: Path | None
    label: Path | None
    brain: Path | None
    tissues: Path | None
    labels_dir: Path
    data_set: str = ''

    @property
    def person(self) -> str:
        """``sub-LABEL``, or ``NAME/sub-LABEL`` if there are several datasets."""
        subject = self.name.split('_')[0]
        return f'{self.data_set}/{subject}' if self.data_set else subject


def find_all_labelled_scans(
    data_sets: Sequence[tuple[Path, Path]], channels: Sequence[str]
) -> list[LabelledScan]:
    """Find the scans of several datasets, see `find_labelled_scans`.

    Parameters
    ----------
    data_sets : sequence of (Path, Path)
        BIDS datasets, each with the folder of its labels.
    channels : sequence of str
        ``T1w``, ``T2w``.

    Raises
    ------
    InputError
        As `find_labelled_scans`, or if two datasets have the same name.
    """
    if len(data_sets) == 1:
        return find_labelled_scans(*data_sets[0], channels)
    names = [data_dir.resolve().name for data_dir, _ in data_sets]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise InputError(f'two datasets are named {min(duplicates)}; rename the folder of one')
    return [
        replace(scan, data_set=name)
        for name, (data_dir, labels_dir) in zip(names, data_sets, strict=True)
        for scan in find_labelled_scans(data_dir, labels_dir, channels)
    ]


def find_labelled_scans(
    data_dir: Path, labels_dir: Path, channels: Sequence[str] = ('T1w',)
) -> list[LabelledScan]:
    """Find all scans of a dataset that have the channels, labelled or not.

    A label is a ``*_label-PVS_mask.nii[.gz]`` in `labels_dir` with the same entities as its T1w
    (``space-``, ``res-`` and ``desc-`` aside). Brain masks (``desc-brain_mask``) and tissue
    classes (``seg-tissue_dseg``: 1 CSF, 2 grey, 3 white matter) are also looked for there.

    Parameters
    ----------
    data_dir : Path
    labels_dir : Path
        Derivative dataset.
    channels : sequence of str
        ``T1w``, ``T2w``.

    Returns
    -------
    scans : list of LabelledScan
        Sorted by name.

    Raises
    ------
    InputError
        If there is no label, a label has no scan, or no labelled scan has all channels.
    """
    labels = _find_labels(labels_dir)
    if not labels:
        raise InputError(f'{labels_dir}: no sub-*_label-PVS_mask.nii.gz; name their folder with --labels')
    scans = []
    for scan in find_scans(data_dir, Query(use_t2w='T2w' in channels)):
        label = labels.pop(frozenset(parse_entities(scan.t1w.name)), None)
        if 'T2w' in channels and scan.t2w is None:
            LOG.warning('%s: left out, the recipe needs a T2w of the same session', scan.t1w.name)
            continue
        names = Naming.of(labels_dir, scan.t1w)
        ready_made = (names.anat('mask', desc='brain'), names.anat('dseg', seg='tissue'))
        brain, tissues = (p if p.exists() else None for p in ready_made)
        scans.append(
            LabelledScan(
                name=names.stem,
                t1w=scan.t1w,
                t2w=scan.t2w,
                label=label,
                brain=brain,
                tissues=tissues,
                labels_dir=labels_dir,
            )
        )
    if labels:
        orphan = next(iter(labels.values()))
        raise InputError(f'{orphan}: no T1w with the same entities in {data_dir}')
    if not any(scan.label for scan in scans):
        raise InputError(f'{data_dir}: no labelled scan has all of {", ".join(channels)}')
    return sorted(scans, key=lambda scan: scan.name)


def _find_labels(labels_dir: Path) -> dict[frozenset[tuple[str, str]], Path]:
    """The labels by the entities of their scans."""
    labels: dict[frozenset[tuple[str, str]], Path] = {}
    for path in files_below(labels_dir, PATTERN):
        key = frozenset(pair for pair in parse_entities(path.name) if pair[0] not in _DERIVED)
        if key in labels:
            raise InputError(f'{path}: a second label of a scan, beside {labels[key].name}; keep one')
        labels[key] = path
    return labels
