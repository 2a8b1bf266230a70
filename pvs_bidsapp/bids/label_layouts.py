"""How datasets name the masks of perivascular spaces that experts drew, and where these lie.

Besides BIDS, the layouts in which public datasets are downloaded:

- OpenNeuro ds005595 (Chai et al., HCP-Aging), doi:10.18112/openneuro.ds005595.v1.0.0:
  ``sub-001/anat/sub-001_T2w.nii.gz``, ``derivatives/mask/sub-001/sub-001_desc-mask_PVS.nii.gz``.
- Task 1 of the VALDO challenge (Sudre et al., MICCAI 2021), https://valdo.grand-challenge.org:
  ``sub-101/sub-101_space-T1_desc-masked_T1.nii.gz`` (also ``T2``, ``FLAIR``), all on the grid of the T1w; the
  masks of each rater, ``sub-101_space-T1_desc-Rater1_PVSSeg.nii.gz``; and for scans that were traced in part,
  ``sub-101_space-T1_desc-masked_Regions.nii.gz``, which is not 0 where they were.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..messages import masks
from ..runtime.input_files import check_file
from .naming import labels_dir
from .query import Query, Refused, Scan, Selection

#: T1w scans of VALDO, relative to the dataset.
_VALDO_T1W = 'sub-*/sub-*_space-T1_desc-masked_T1.nii*'


@dataclass(frozen=True, kw_only=True)
class LabelLayout:
    """How a dataset names its labels.

    Attributes
    ----------
    name : str
        Value of ``--labels-layout``.
    pattern : re.Pattern of str
        Of the names of labels.
    shown : str
        A name for messages.
    folder : Path
        Where the labels lie in their dataset.
    where : str
        Glob pattern, relative to the dataset, that something matches if it has this layout.
    is_one_of_several : bool
        Whether a scan may have labels of several raters, told apart by ``desc-``.
    """

    name: str
    pattern: re.Pattern[str]
    shown: str
    folder: Path
    where: str
    is_one_of_several: bool = False


BIDS = LabelLayout(
    name='bids',
    pattern=re.compile(r'sub-.*_label-(?i:pvs)_(?:.*_)?mask\.(?:nii\.gz|nii|mgz)'),
    shown='sub-*_label-PVS_mask.nii.gz (or .nii)',
    folder=Path('derivatives', 'labels'),
    where='derivatives/labels',
)
DS005595 = LabelLayout(
    name='ds005595',
    pattern=re.compile(r'sub-.+_desc-mask_PVS\.(?:nii\.gz|nii)'),
    shown='sub-*_desc-mask_PVS.nii.gz',
    folder=Path('derivatives', 'mask'),
    where='derivatives/mask/sub-*/sub-*_desc-mask_PVS.nii*',
)
VALDO = LabelLayout(
    name='valdo',
    pattern=re.compile(r'sub-[^_]+_space-T1_desc-Rater\w*_PVSSeg\.(?:nii\.gz|nii)'),
    shown='sub-*_space-T1_desc-Rater*_PVSSeg.nii.gz',
    folder=Path(),
    where='sub-*/sub-*_space-T1_desc-Rater*_PVSSeg.nii*',
    is_one_of_several=True,
)
#: All layouts by their names.
LAYOUTS = {layout.name: layout for layout in (BIDS, DS005595, VALDO)}


def choose_layout(folder: Path, names: Iterable[str], wanted: str | None) -> LabelLayout:
    """The layout of the labels in a folder.

    Parameters
    ----------
    folder : Path
        For messages.
    names : iterable of str
        Names of the files in it.
    wanted : str or None
        Name of a layout; None: that of the labels that are there, or BIDS if there are none.

    Raises
    ------
    InputError
        If the folder holds labels of several layouts, and none is named.
    """
    if wanted is not None:
        return LAYOUTS[wanted]
    names = list(names)
    return _only(folder, [one for one in LAYOUTS.values() if any(map(one.pattern.fullmatch, names))])


def default_labels_dir(data_dir: Path, wanted: str | None = None, channels: Sequence[str] = ('T1w',)) -> Path:
    """The folder in which a dataset has its labels.

    Parameters
    ----------
    data_dir : Path
        The dataset.
    wanted : str, optional
        Name of a layout; default: the one that the dataset has, or BIDS.
    channels : sequence of str
        ``T1w``, ``T2w``. For the T2w alone, labels that lie on it are taken where there are such.

    Raises
    ------
    InputError
        If the dataset has labels of several layouts, and none is named.
    """
    on_t2w = labels_dir(data_dir, 'T2w')
    if tuple(channels) == ('T2w',) and wanted in (None, BIDS.name) and on_t2w.is_dir():
        return on_t2w
    if wanted is not None:
        return data_dir / LAYOUTS[wanted].folder
    there = [layout for layout in LAYOUTS.values() if any(data_dir.glob(layout.where))]
    return data_dir / _only(data_dir, there).folder


def _only(folder: Path, layouts: list[LabelLayout]) -> LabelLayout:
    """The only one of the layouts that were found; BIDS if none was."""
    if len(layouts) > 1:
        found = ' and '.join(f'{layout.name} ({layout.shown})' for layout in layouts)
        raise masks.SEVERAL_LAYOUTS.error(folder, found=found)
    return layouts[0] if layouts else BIDS


def find_traced_regions(label: Path) -> Path | None:
    """The image that says in which parts of a scan spaces were traced; None if the whole scan was.

    Parameters
    ----------
    label : Path
        Mask of a scan, in any layout.
    """
    if not VALDO.pattern.fullmatch(label.name):
        return None
    stem = label.name.split('_')[0]
    places = (label.with_name(f'{stem}_space-T1_desc-masked_Regions.{end}') for end in ('nii.gz', 'nii'))
    return next((path for path in places if os.path.lexists(path)), None)


def select_valdo_scans(data_dir: Path, query: Query) -> Selection | None:
    """The scans of a dataset that is laid out as VALDO's; None if it has another layout.

    Each is called as in BIDS, and its files are those of the dataset.

    Parameters
    ----------
    data_dir : Path
        With folders ``sub-*``.
    query : Query
        Whose `suffix` and `use_t2w` count.
    """
    scans, refused = [], []
    for path in sorted(data_dir.glob(_VALDO_T1W.replace('_T1.nii', f'_{query.suffix[:2]}.nii'))):
        scan = _valdo_scan(path, query)
        finding = next(filter(None, map(check_file, scan.files.values())), None)
        if finding is None:
            scans.append(scan)
        else:
            refused.append(Refused(path=finding.file, finding=finding))
    return Selection(scans=tuple(scans), refused=tuple(refused)) if scans or refused else None


def _valdo_scan(path: Path, query: Query) -> Scan:
    """A scan by its T1w, with its T2w if that is used, or by its T2w alone."""
    t2w = path.with_name(path.name.replace('_T1.nii', '_T2.nii'))
    has_t2w = query.suffix == 'T1w' and query.use_t2w and os.path.lexists(t2w)
    subject = path.name.split('_')[0]
    anat = Path(subject, 'anat')
    return Scan(
        anat=anat / f'{subject}_{query.suffix}.nii.gz',
        t2w=anat / f'{subject}_T2w.nii.gz' if has_t2w else None,
        source=path,
        t2w_source=t2w if has_t2w else None,
    )
