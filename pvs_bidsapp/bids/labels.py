"""Which PVS mask belongs to which scan, for training and evaluation alike."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..messages import masks
from ..messages.message import Finding
from .label_layouts import BIDS, LabelLayout, choose_layout
from .naming import Naming, parse_entities
from .query import files_below

LOG = logging.getLogger(__name__)
#: Ending of a table of marks on clusters.
MARKS_SUFFIX = '_desc-pvs_marks.tsv'
_MARKS = re.compile('sub-.*' + re.escape(MARKS_SUFFIX))
#: Endings of images that are read.
EXTENSIONS = ('.nii.gz', '.nii', '.mgz')
#: Entities that a mask may have in addition to those of its scan.
DERIVED = ('space', 'atlas', 'seg', 'scale', 'res', 'den', 'label', 'desc')
#: Values of ``space-`` for the scan's own space, which has no such entity as a rule.
OWN_SPACES = ('T1w', 'T1', 'T2w', 'T2', 'FLAIR', 'anat', 'orig', 'individual', 'native', 'scanner', 'subject')
#: Beginnings of the names of templates in BIDS.
TEMPLATES = ('MNI', 'ICBM', 'IXI549', 'fsaverage', 'fsLR', 'NIHPD', 'OASIS', 'Talairach', 'UNCInfant')

#: What tells two scans apart: their entities, in any order.
ScanKey = frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class MaskFile:
    """A PVS mask in a dataset.

    Attributes
    ----------
    path : Path
    entities : tuple of (str, str)
        Those of its scan, without what derivatives add.
    space : str
        Value of ``space-``; empty in the scan's own space.
    desc : str
        Value of ``desc-``, such as that of a rater; empty if there is none.
    """

    path: Path
    entities: tuple[tuple[str, str], ...]
    space: str
    desc: str = ''

    @property
    def key(self) -> ScanKey:
        """What tells its scan from others."""
        return frozenset(self.entities)

    @property
    def scan(self) -> str:
        """Name of its scan, without suffix."""
        return Naming(Path(), self.entities).stem

    @property
    def is_on_template(self) -> bool:
        """Whether it is in the space of a template of BIDS."""
        return self.space.startswith(TEMPLATES)

    @property
    def space_in_words(self) -> str:
        """Its space, for messages."""
        return f'the space {self.space}' if self.space else "the scan's own space"

    def beside(self, **entities: str) -> Path | None:
        """A file of the same scan and space beside the mask, compressed or not; None if there is none.

        Parameters
        ----------
        **entities : str
            `suffix`, and what takes the place of ``label-PVS``.
        """
        suffix = entities.pop('suffix')
        stem = re.sub(r'_mask\.[a-z.]+$', '', self.path.name)
        for key, value in entities.items():
            stem = re.sub(r'_label-PVS(?=_|$)', f'_{key}-{value}', stem, flags=re.IGNORECASE)
        for extension in EXTENSIONS:
            path = self.path.with_name(f'{stem}_{suffix}{extension}')
            if os.path.lexists(path):
                return path
        return None


@dataclass(frozen=True, kw_only=True)
class LabelChoice:
    """Which of the labels in a folder are meant.

    Attributes
    ----------
    layout : str or None
        How they are named, a key of `pvs_bidsapp.bids.label_layouts.LAYOUTS`; None: as those that are there.
    rater : str or None
        Value of ``desc-`` in their names, upper or lower case; None: any.
    """

    layout: str | None = None
    rater: str | None = None

    @property
    def wanted(self) -> str:
        """A name of such a label, for messages."""
        return choose_layout(Path(), (), self.layout).shown


#: Labels of any layout and rater.
ANY_LABELS = LabelChoice()


def scan_key(name: str) -> ScanKey:
    """What tells a scan from others: the entities of its file name, in any order.

    Raises
    ------
    InputError
        If it is not a BIDS name.
    """
    return frozenset(parse_entities(name))


def find_labels(
    folder: Path, choice: LabelChoice = ANY_LABELS
) -> tuple[dict[ScanKey, list[MaskFile]], list[Finding]]:
    """All labels below a folder, by their scans: masks, or tables of marks.

    Where there are marks, BIDS names are not labels, but what was marked. Of the masks of several raters in a
    layout that has them, the first is taken unless one is chosen.

    Parameters
    ----------
    folder : Path
    choice : LabelChoice

    Returns
    -------
    found, findings
        As those of `find_masks`.

    Raises
    ------
    InputError
        As `find_masks`, or if there are labels of several layouts or none of the rater.
    """
    files = _files(folder)
    marks = [path for path in files if _MARKS.fullmatch(path.name)]
    if marks and choice.layout in (None, BIDS.name):
        return _group(folder, marks)
    layout = choose_layout(folder, (path.name for path in files), choice.layout)
    found, findings = _group(folder, _of_layout(files, layout))
    return _of_rater(folder, found, layout, choice.rater), findings


def find_masks(folder: Path) -> tuple[dict[ScanKey, list[MaskFile]], list[Finding]]:
    """All PVS masks below a folder, by their scans.

    A mask has the entities of its scan and ``label-PVS``; ``space-``, ``res-``, ``den-`` and ``desc-`` may be
    added. Hidden files and folders are left out.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    found : dict
        Masks of each scan; several if they differ in what was added, or in their folder.
    findings : list of Finding
        Masks that are left out since their name is not one of BIDS.

    Raises
    ------
    InputError
        If a mask lies in the folder of another subject or session than its name says.
    """
    return _group(folder, _of_layout(_files(folder), BIDS))


def _files(folder: Path) -> list[Path]:
    """Files of subjects below a folder, without hidden ones."""
    files = files_below(folder, 'sub-*_*')
    return [path for path in files if not any(p.startswith('.') for p in path.relative_to(folder).parts)]


def _of_layout(files: Iterable[Path], layout: LabelLayout) -> list[Path]:
    return [path for path in files if layout.pattern.fullmatch(path.name)]


def _group(folder: Path, files: Iterable[Path]) -> tuple[dict[ScanKey, list[MaskFile]], list[Finding]]:
    """Labels by their scans, and findings about those whose names are not BIDS."""
    found: dict[ScanKey, list[MaskFile]] = defaultdict(list)
    findings = []
    for path in files:
        try:
            entities = parse_entities(path.name)
        except InputError:
            findings.append(masks.BAD_NAME.finding(path))
            continue
        _check_folder(path, path.relative_to(folder), dict(entities))
        mask = _mask_file(path, entities)
        found[mask.key].append(mask)
    return dict(found), findings


def _of_rater(
    folder: Path, found: dict[ScanKey, list[MaskFile]], layout: LabelLayout, rater: str | None
) -> dict[ScanKey, list[MaskFile]]:
    """The labels of one rater, or the first of each scan if the layout has several."""
    if rater is not None:
        own = {key: [m for m in part if m.desc.casefold() == rater.casefold()] for key, part in found.items()}
        if found and not any(own.values()):
            raise masks.NO_RATER.error(folder, rater=rater, present=_raters(found.values()) or 'none')
        return {key: part for key, part in own.items() if part}
    several = [part for part in found.values() if len(part) > 1]
    if not layout.is_one_of_several or not several:
        return found
    masks.FIRST_RATER.log(LOG, folder, count=len(several), raters=_raters(several))
    return {key: [min(part, key=lambda mask: mask.desc)] for key, part in found.items()}


def _raters(found: Iterable[Iterable[MaskFile]]) -> str:
    return ', '.join(sorted({mask.desc for part in found for mask in part if mask.desc}))


def _mask_file(path: Path, entities: Sequence[tuple[str, str]]) -> MaskFile:
    added = dict(entities)
    space = added.get('space', '')
    return MaskFile(
        path=path,
        entities=tuple(pair for pair in entities if pair[0] not in DERIVED),
        space='' if space in OWN_SPACES else space,
        desc=added.get('desc', ''),
    )


def _check_folder(path: Path, inside: Path, entities: dict[str, str]) -> None:
    """Whether folders that name a subject or session, such as sub-01 or sub-01_ses-a, agree with the name.

    A name without ``ses-`` in the folder of a session is accepted.
    """
    for folder in inside.parts[:-1]:
        if not folder.startswith(('sub-', 'ses-')):
            continue
        for part in folder.split('_'):
            key, _, value = part.partition('-')
            if entities.get(key, value if key == 'ses' else None) != value:
                own = '_'.join(f'{k}-{entities[k]}' for k in ('sub', 'ses') if k in entities)
                raise masks.MISPLACED.error(path, name=own, folder=folder)


def only_one(candidates: Iterable[MaskFile]) -> MaskFile:
    """The only one of several masks.

    Raises
    ------
    InputError
        If there are several; the message names two of them.
    """
    first, *others = sorted(candidates, key=lambda mask: mask.path)
    if others:
        raise masks.SECOND.error(others[0].path, other=first.path)
    return first


def in_own_space(candidates: Sequence[MaskFile]) -> list[MaskFile]:
    """Those of several masks of a scan that are in its own space; all of them if none is."""
    return [mask for mask in candidates if not mask.space] or list(candidates)
