"""The scans of a training, found in BIDS datasets with their labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..messages import masks
from ..messages.people import listed
from ..settings import anatomical_suffix
from .label_layouts import select_valdo_scans
from .labels import ANY_LABELS, LabelChoice, ScanKey, find_labels, in_own_space, only_one, scan_key
from .naming import Naming
from .query import Query, Scan, find_usable_scans, usable_scans

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LabelledScan:
    """Files of a scan to learn from. It is called labelled even if its label is missing.

    Attributes
    ----------
    name : str
        The T1w's entities.
    anat : Path
        Its T1w, or its T2w if the network gets nothing else.
    t2w, label, brain, tissues : Path or None
        The T2w of its session, its label, and ready-made brain mask and tissue classes.
    labels_dir : Path
        Derivative dataset with the labels.
    data_set : str
        Name of the dataset if there are several: each counts its persons separately.
    """

    name: str
    anat: Path
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
    data_sets: Sequence[tuple[Path, Path]], channels: Sequence[str], choice: LabelChoice = ANY_LABELS
) -> list[LabelledScan]:
    """Find the scans of several datasets, see `find_labelled_scans`.

    Parameters
    ----------
    data_sets : sequence of (Path, Path)
        BIDS datasets, each with the folder of its labels.
    channels : sequence of str
        ``T1w``, ``T2w``.
    choice : LabelChoice
        Which labels are meant, in all datasets.

    Raises
    ------
    InputError
        As `find_labelled_scans`, or if two datasets have the same name.
    """
    if len(data_sets) == 1:
        return find_labelled_scans(*data_sets[0], channels, choice)
    names = [data_dir.resolve().name for data_dir, _ in data_sets]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise masks.SAME_NAME.error(name=min(duplicates))
    return [
        replace(scan, data_set=name)
        for name, (data_dir, labels_dir) in zip(names, data_sets, strict=True)
        for scan in find_labelled_scans(data_dir, labels_dir, channels, choice)
    ]


def find_labelled_scans(
    data_dir: Path,
    labels_dir: Path,
    channels: Sequence[str] = ('T1w',),
    choice: LabelChoice = ANY_LABELS,
) -> list[LabelledScan]:
    """Find all scans of a dataset that have the channels, labelled or not.

    A label is a ``*_label-PVS_mask.nii[.gz]`` in `labels_dir` with the same entities as its T1w, a mask that
    is named as in another of the layouts of `pvs_bidsapp.bids.label_layouts`, or a table of marks, see
    `pvs_bidsapp.bids.labels.find_labels`. The scans are those of a BIDS dataset, or of one like VALDO's.
    Brain masks (``desc-brain_mask``) and tissue classes (``seg-tissue_dseg``: 1 CSF, 2 grey, 3 white matter)
    are also looked for in `labels_dir`.

    Parameters
    ----------
    data_dir : Path
    labels_dir : Path
        Derivative dataset.
    channels : sequence of str
        ``T1w``, ``T2w``.
    choice : LabelChoice
        Which labels are meant.

    Returns
    -------
    scans : list of LabelledScan
        Sorted by name.

    Raises
    ------
    InputError
        If there is no label, a scan has two, a label has no scan or is in the space of a template, or no
        labelled scan has all channels.
    """
    labels = _find_labels(labels_dir, choice)
    if not labels:
        raise masks.NONE_FOUND.error(labels_dir, wanted=choice.wanted)
    scans = []
    for scan in _find_scans(data_dir, channels):
        label = labels.pop(scan_key(scan.anat.name), None)
        if {*channels} == {'T1w', 'T2w'} and scan.t2w is None:
            masks.NO_T2W.log(LOG, scan.source or scan.anat)
            continue
        names = Naming.of(labels_dir, scan.anat)
        scans.append(
            LabelledScan(
                name=names.stem,
                anat=scan.source or scan.anat,
                t2w=scan.t2w_source or scan.t2w,
                label=label,
                brain=_ready_made(names, 'mask', desc='brain'),
                tissues=_ready_made(names, 'dseg', seg='tissue'),
                labels_dir=labels_dir,
            )
        )
    if labels:
        raise masks.NO_SCAN.error(min(labels.values()), folder=data_dir)
    if not any(scan.label for scan in scans):
        raise masks.NO_LABELLED_SCAN.error(data_dir, channels=', '.join(channels))
    if unlabelled := [scan.name for scan in scans if scan.label is None]:
        masks.NO_LABEL.log(LOG, labels_dir, count=len(unlabelled), names=listed(sorted(unlabelled)))
    return sorted(scans, key=lambda scan: scan.name)


def _find_scans(data_dir: Path, channels: Sequence[str]) -> list[Scan]:
    """The scans of a dataset that can be used; the others are logged."""
    query = Query(suffix=anatomical_suffix(channels), use_t2w='T2w' in channels)
    if (selection := select_valdo_scans(data_dir, query)) is not None:
        return usable_scans(selection, data_dir)
    return find_usable_scans(data_dir, query)


def _ready_made(names: Naming, suffix: str, **entities: str) -> Path | None:
    """A file of a scan in the dataset of its label, compressed or not; a link that leads nowhere counts."""
    paths = (names.anat(suffix, extension, **entities) for extension in ('.nii.gz', '.nii'))
    return next((path for path in paths if os.path.lexists(path)), None)


def _find_labels(labels_dir: Path, choice: LabelChoice) -> dict[ScanKey, Path]:
    """The label of each scan, in the scan's own space."""
    found, findings = find_labels(labels_dir, choice)
    for finding in findings:
        LOG.warning('%s', finding)
    labels = {}
    for key, candidates in found.items():
        label = only_one(in_own_space(candidates))
        if label.is_on_template:
            raise masks.TEMPLATE_SPACE.error(label.path, space=label.space)
        if label.space:
            masks.OTHER_SPACE.log(LOG, label.path, space=label.space)
        labels[key] = label.path
    return labels
