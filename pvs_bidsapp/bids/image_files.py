"""The T1w and T2w files of subjects: where they lie, and what they are called."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..messages import datasets
from ..messages.message import Finding
from .naming import LABEL, Entities, Naming, parse_entities

LOG = logging.getLogger(__name__)
EXTENSIONS = ('.nii', '.nii.gz')
SUFFIXES = ('T1w', 'T2w')
#: Files that somebody may have meant as a T1w or T2w.
_MEANT = re.compile(r'.*t[12]w.*\.(nii|nii\.gz|mgz|mgh|img|hdr|nrrd|mnc|mha)', re.IGNORECASE | re.DOTALL)
_IMAGE = re.compile(r'[^.]*_([a-zA-Z0-9+]+)(\.nii|\.nii\.gz)')


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A T1w or T2w with a BIDS name.

    Attributes
    ----------
    path : Path
    relative : str
        The same, relative to the dataset.
    suffix, extension : str
        ``T1w`` or ``T2w``; ``.nii`` or ``.nii.gz``.
    named : tuple of (str, str)
        Entities in its name.
    folders : dict of str to str
        ``sub`` and, below a folder of a session, ``ses``: where it lies.
    """

    path: Path
    relative: str
    suffix: str
    extension: str
    named: Entities
    folders: dict[str, str] = field(hash=False)

    @property
    def entities(self) -> Entities:
        """Entities of the name, with subject and session by the folders in which it lies."""
        others = tuple((k, v) for k, v in self.named if k not in ('sub', 'ses'))
        return (*self.folders.items(), *others)

    @property
    def session(self) -> str | None:
        """Session by its folder, or else by its name."""
        return self.folders.get('ses', dict(self.named).get('ses'))


@dataclass
class Listing:
    """What lies in the folders of some subjects.

    Attributes
    ----------
    images : list of ImageFile
    unreadable : list of (str, dict, Finding)
        Folders that cannot be listed, relative to the dataset, with their subject and session.
    sessions : set of str
        Labels of all sessions, by folders and names.
    hidden : int
        Number of hidden files that look like images.
    """

    images: list[ImageFile] = field(default_factory=list)
    unreadable: list[tuple[str, dict[str, str], Finding]] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    hidden: int = 0


def list_subjects(bids_dir: Path) -> list[str]:
    """Labels of the subjects' folders, sorted; folders with odd names are logged.

    A link that leads nowhere counts: it is named once it is looked into.
    """
    labels = []
    for entry in os.scandir(bids_dir):
        if entry.name.startswith('sub-') and _is_folder(entry):
            if LABEL.fullmatch(entry.name[4:]):
                labels.append(entry.name[4:])
            else:
                datasets.ODD_FOLDER.log(LOG, entry.name)
    return sorted(labels)


def list_images(bids_dir: Path, subjects: list[str]) -> Listing:
    """The T1w and T2w files of some subjects; files that are skipped are logged.

    Only ``sub-*/[ses-*/]anat`` is looked into; no file is opened.

    Parameters
    ----------
    bids_dir : Path
    subjects : list of str
        Labels.
    """
    listing = Listing()
    for subject in subjects:
        _list_folder(bids_dir, bids_dir / f'sub-{subject}', {'sub': subject}, listing)
    if listing.hidden:
        datasets.HIDDEN.log(LOG, bids_dir, count=listing.hidden)
    return listing


def _list_folder(root: Path, folder: Path, labels: dict[str, str], listing: Listing) -> None:
    """List the folder of a subject, with its sessions, or of a session."""
    for entry in _entries(root, folder, labels, listing):
        if entry.name == 'anat' and _is_folder(entry):
            _list_anat(root, folder / 'anat', labels, listing)
        elif entry.name.startswith('ses-') and _is_folder(entry) and 'ses' not in labels:
            if LABEL.fullmatch(entry.name[4:]):
                listing.sessions.add(entry.name[4:])
                _list_folder(root, folder / entry.name, labels | {'ses': entry.name[4:]}, listing)
            else:
                datasets.ODD_FOLDER.log(LOG, _relative(root, folder / entry.name))
        elif _MEANT.fullmatch(entry.name) and not entry.name.startswith('.'):
            datasets.MISPLACED.log(LOG, _relative(root, folder / entry.name))


def _list_anat(root: Path, folder: Path, labels: dict[str, str], listing: Listing) -> None:
    for entry in _entries(root, folder, labels, listing):
        if entry.name.startswith('.'):
            listing.hidden += bool(_MEANT.fullmatch(entry.name))
            continue
        relative = _relative(root, folder / entry.name)
        try:
            named, suffix, extension = split_name(entry.name)
        except InputError as error:
            if _MEANT.fullmatch(entry.name):
                datasets.MALFORMED.log(
                    LOG, relative, reason=error.finding.finding if error.finding else error
                )
            continue
        if suffix in SUFFIXES:
            image = ImageFile(
                path=folder / entry.name, relative=relative, suffix=suffix, extension=extension,
                named=named, folders=labels,
            )  # fmt: skip
            listing.images.append(image)
            listing.sessions.update(filter(None, [image.session]))


def _reason(error: InputError) -> str:
    """What an error about a name says, without the name."""
    return error.finding.finding if error.finding is not None else str(error)


def split_name(name: str) -> tuple[Entities, str, str]:
    """Entities, suffix and extension of an image with a BIDS name.

    Raises
    ------
    InputError
        If the name is not BIDS, or its extension not that of NIfTI.
    """
    match = _IMAGE.fullmatch(name)
    if match is None or (match[1] not in SUFFIXES and match[1].lower() in ('t1w', 't2w')):
        raise datasets.SUFFIX.error(name)
    return parse_entities(name), match[1], match[2]


def _entries(
    root: Path, folder: Path, labels: dict[str, str], listing: Listing
) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder, by name; a folder that cannot be listed is noted."""
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        relative = _relative(root, folder)
        finding = datasets.FOLDER_UNREADABLE.finding(relative, reason=error.strerror)
        listing.unreadable.append((relative, labels, finding))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link that leads to one, or nowhere."""
    try:
        return entry.is_dir() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True  # it will be named once it is looked into


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def check_name(image: ImageFile) -> Finding | None:
    """Why the name of an image cannot be used where it lies; None if it can."""
    named, folders = dict(image.named), image.folders
    own = {key: named[key] for key in ('sub', 'ses') if key in named}
    if own != folders:
        if own['sub'] == folders['sub'] and 'ses' not in own:
            stem = Naming(Path(), image.entities).stem
            return datasets.NAME_LACKS_SESSION.finding(
                image.relative,
                session=f'ses-{folders["ses"]}',
                name=f'{stem}_{image.suffix}{image.extension}',
            )
        if own['sub'] == folders['sub'] and 'ses' not in folders:
            folder = f'sub-{own["sub"]}/ses-{own["ses"]}/anat'
            return datasets.NO_SESSION_FOLDER.finding(
                image.relative, session=f'ses-{own["ses"]}', folder=folder
            )
        named_as, lies_in = ('_'.join(f'{k}-{v}' for k, v in labels.items()) for labels in (own, folders))
        return datasets.OTHER_FOLDER.finding(image.relative, named=named_as, folder=lies_in)
    size = len(Naming(Path(), image.named).stem)
    if size > Naming.LONGEST_STEM:
        return datasets.LONG_NAME.finding(image.relative, size=size, limit=Naming.LONGEST_STEM)
    return None
