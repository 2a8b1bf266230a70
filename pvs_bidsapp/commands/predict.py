"""Bring scans without BIDS names into a BIDS tree, so that they are processed like any other."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from ..anatomy.volume import EXTENSIONS
from ..bids.naming import Naming
from ..bids.query import Refused, Scan, Selection
from ..errors import InputError
from ..messages import datasets
from ..messages.message import Finding, error_of
from ..outputs.records import refuse_other_sources
from ..runtime.input_files import check_file
from ..settings import Settings

LOG = logging.getLogger(__name__)
#: Last parts of names that are surely not those of a T1w or T2w.
_OTHERS = r'flair|t2star|t2starw|pdw|swi|bold|sbref|dwi|adc|mask|dseg|probseg|angio'


def find_images(path: Path, suffix: str = 'T1w') -> list[Path]:
    """The scan, or the scans of a folder, sorted; folders in it are not looked into.

    Hidden files, and those that are something else by their name (``..._T2w.nii.gz``), are left out.

    Parameters
    ----------
    path : Path
    suffix : str
        ``T1w`` or ``T2w``: what is looked for.

    Raises
    ------
    InputError
        If there is no such file, it has another format, or a folder holds no image; the message says what
        the folder holds instead.
    """
    if not path.is_dir():
        if not path.exists() and not path.is_symlink():
            raise datasets.NO_FILE.error(path)
        if extension_of(path) is None:
            raise datasets.NOT_AN_IMAGE.error(path)
        return [path]
    other = 't2w' if suffix == 'T1w' else 't1w'
    is_other = re.compile(rf'.*_(?:{other}|{_OTHERS})', re.IGNORECASE | re.DOTALL).fullmatch
    there = sorted(p for p in path.iterdir() if not p.name.startswith('.'))
    images = []
    for p in there:
        if (extension := extension_of(p)) is None:
            continue
        if is_other(p.name[: -len(extension)]):
            datasets.NOT_THE_SUFFIX.log(LOG, p, suffix=suffix)
        else:
            images.append(p)
    if not images:
        instead, mend = _look_at(there)
        raise datasets.NO_IMAGES.error(path, instead=instead, mend=mend)
    return images


def extension_of(path: Path) -> str | None:
    """Extension of an image in lower case; None if it is of no type that is read."""
    found = [extension for extension in EXTENSIONS if path.name.lower().endswith(extension)]
    return max(found, key=len, default=None)


def _look_at(there: Sequence[Path]) -> tuple[str, str]:
    """What a folder without images holds, and what to do about it."""
    if any(p.name.startswith('sub-') and p.is_dir() for p in there):
        return ', but folders of subjects', 'it seems to be a BIDS dataset: pvs BIDS_DIR OUT_DIR participant'
    if any(_is_dicom(p) for p in there[:20]):
        return ', but DICOM', 'convert it to NIfTI (dcm2niix)'
    if folders := [p.name for p in there if p.is_dir()]:
        names = ', '.join(folders[:5]) + (', ...' if len(folders) > 5 else '')
        return f', but folders ({names})', 'give one of them, or arrange the scans as a BIDS dataset'
    return '', 'give a folder with T1w scans, or one scan'


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() in ('.dcm', '.ima') or path.name == 'DICOMDIR':
        return True
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open('rb') as file:
            return file.read(132)[128:] == b'DICM'
    except OSError:
        return False


def select_scans(images: Sequence[Path], t2w: Path | None, settings: Settings) -> Selection:
    """One scan for each file, as a subject that is labelled by the file's name.

    Nothing is written. Until `stage` is called, the scans' paths in the BIDS tree do not exist.

    Parameters
    ----------
    images : sequence of Path
        T1w scans.
    t2w : Path or None
        T2w of the only scan.
    settings : Settings

    Returns
    -------
    selection : Selection
        Refused are files that cannot be read, those of the same label, and those whose outputs would
        overwrite the results of another file.

    Raises
    ------
    InputError
        If the T2w cannot be used.
    """
    if t2w is not None:
        _check_t2w(t2w, images)
        if settings.analysis.modality == 'T1w' or settings.analysis.suffix == 'T2w':
            datasets.T2W_LEFT_OUT.log(LOG, t2w, reason=f'--modality {settings.analysis.suffix}')
            t2w = None
    labels = {path: label_of(path) for path in images}
    counts = Counter(label.casefold() for label in labels.values())
    scans, refused = [], []
    for path, label in labels.items():
        finding = _check_image(path, labels)
        if finding is None and t2w is None and settings.analysis.needs_t2w:
            finding = datasets.NO_T2W.finding(path)
        if finding is None:
            scans.append(_scan(path, t2w, label, settings.analysis.suffix))
        else:
            entities = (('sub', label),) if counts[label.casefold()] == 1 else None
            refused.append(Refused(path=str(_absolute(path)), finding=finding, entities=entities))
    selection = Selection(scans=tuple(scans), refused=tuple(refused), subjects=tuple(labels.values()))
    return refuse_other_sources(selection, settings)


def _check_t2w(t2w: Path, images: Sequence[Path]) -> None:
    if len(images) > 1:
        raise datasets.T2W_OF_ONE.error('--t2w')
    if not t2w.exists() and not t2w.is_symlink():
        raise datasets.NO_FILE.error(t2w)
    if (finding := check_file(t2w)) is not None:
        raise error_of(finding, InputError)
    if extension_of(t2w) is None:
        raise datasets.NOT_AN_IMAGE.error(t2w)
    if images[0].exists() and t2w.samefile(images[0]):
        raise datasets.T2W_IS_T1W.error(f'--t2w {t2w}')


def _check_image(path: Path, labels: dict[Path, str]) -> Finding | None:
    """Why a T1w cannot be used; None if it can."""
    for other, label in labels.items():
        if other != path and label.casefold() == labels[path].casefold():
            return datasets.SAME_LABEL.finding(path, label=labels[path], other=other.name)
    size = len(f'sub-{labels[path]}')
    if size > Naming.LONGEST_STEM:
        return datasets.LONG_NAME.finding(path, size=size, limit=Naming.LONGEST_STEM)
    return check_file(path)


def _scan(path: Path, t2w: Path | None, label: str, suffix: str) -> Scan:
    folder = Path(f'sub-{label}') / 'anat'
    return Scan(
        anat=folder / f'sub-{label}_{suffix}{extension_of(path)}',
        t2w=folder / f'sub-{label}_T2w{extension_of(t2w)}' if t2w else None,
        source=_absolute(path),
        t2w_source=_absolute(t2w) if t2w else None,
    )


def _absolute(path: Path) -> Path:
    """The path of a file, under its own name, by the folder in which it really lies."""
    return path.parent.resolve() / path.name


def stage(selection: Selection, folder: Path) -> Selection:
    """Link the files of the selected scans into a BIDS tree.

    Parameters
    ----------
    selection : Selection
        As `select_scans` returns it.
    folder : Path
        Root of the tree, for this call alone: nothing else is in it.

    Returns
    -------
    selection : Selection
        With the paths of the links.
    """
    scans = []
    for scan in selection.scans:
        staged = replace(scan, anat=folder / scan.anat, t2w=folder / scan.t2w if scan.t2w else None)
        for link, source in ((staged.anat, scan.source), (staged.t2w, scan.t2w_source)):
            if link is not None and source is not None:
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(source)
        scans.append(staged)
    return replace(selection, scans=tuple(scans))


def label_of(path: Path) -> str:
    """A BIDS label from a file's name.

    Letters lose their accents; those of other scripts are written as their numbers, so that two names that
    differ in them have different labels. A name without any letter or digit is labelled by its checksum.
    """
    extension = extension_of(path) or ''
    name = path.name[: len(path.name) - len(extension)].removeprefix('sub-')
    name = re.sub(r'_T1w$', '', name)
    plain = ''.join(c for c in unicodedata.normalize('NFKD', name) if not unicodedata.combining(c))
    label = ''.join(c if c.isascii() else f'u{ord(c):x}' for c in plain if c.isalnum())
    return label or f'scan{sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]}'
