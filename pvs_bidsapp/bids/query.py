"""Which scans are processed, and which T2w goes with which T1w."""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InputError, PVSError
from ..messages import datasets
from ..messages.message import Finding, one_line
from ..runtime.input_files import check_file
from .filters import Filter, plain_label
from .image_files import ImageFile, Listing, check_name, list_images, list_subjects
from .index import ImageIndex
from .naming import Entities, Naming, parse_entities

LOG = logging.getLogger(__name__)


def files_below(folder: Path, pattern: str) -> list[Path]:
    """Files of this name anywhere below a folder, sorted; subjects may be links to folders elsewhere.

    So may be the folders within a subject, such as those of its sessions. Other links are not followed: one
    to the source data may lead back to where it lies. No folder is entered twice.
    """
    found, seen = [], set()
    for root, folders, names in os.walk(folder, followlinks=True):
        state = os.stat(root)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        found += [Path(root, name) for name in fnmatch.filter([*names, *folders], pattern)]
        is_of_subject = any(part.startswith('sub-') for part in Path(root).relative_to(folder).parts)
        folders[:] = sorted(
            name
            for name in folders
            if is_of_subject or name.startswith('sub-') or not os.path.islink(os.path.join(root, name))
        )
    return sorted(found)


@dataclass(frozen=True)
class Scan:
    """One T1w to process, or one T2w where there is nothing else.

    Attributes
    ----------
    anat : Path
        In which the anatomy is found: a T1w, or with `Query.suffix` a T2w. With a BIDS name, from which the
        names of all outputs come.
    t2w : Path or None
        T2w of the same session as a T1w.
    brain_mask, segmentation : Path or None
        A ready-made mask, or segmentation of `anat`, from a derivative dataset.
    lesions : Path or None
        A mask of white matter hyperintensities, from a derivative dataset.
    pvs_mask : Path or None
        A ready-made mask of PVS, which is measured in place of what a model finds.
    source, t2w_source : Path or None
        The files to which `anat` and `t2w` are links, if somebody named them without BIDS.
    """

    anat: Path
    t2w: Path | None = None
    brain_mask: Path | None = None
    segmentation: Path | None = None
    lesions: Path | None = None
    pvs_mask: Path | None = None
    source: Path | None = None
    t2w_source: Path | None = None

    @property
    def entities(self) -> dict[str, str]:
        """Entities of `anat`."""
        return dict(parse_entities(self.anat.name))

    @property
    def suffix(self) -> str:
        """What `anat` is: ``T1w`` or ``T2w``."""
        return 'T2w' if self.anat.name.split('.')[0].endswith('_T2w') else 'T1w'

    @property
    def name(self) -> str:
        """Name of the file of `anat`, as its owner knows it."""
        return (self.source or self.anat).name

    @property
    def files(self) -> dict[str, Path]:
        """The files of the scan, by what they are."""
        others = {
            't2w': self.t2w_source or self.t2w,
            'brain_mask': self.brain_mask,
            'segmentation': self.segmentation,
            'lesions': self.lesions,
            'pvs_mask': self.pvs_mask,
        }
        there = {key: path for key, path in others.items() if path is not None}
        return {self.suffix.lower(): self.source or self.anat} | there

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Name, size in bytes and modification time in ns of each input file, as they are at first use.

        Files that are named without BIDS are told apart by their path, too. A file that is not there has
        neither size nor time.
        """
        inputs: dict[str, Any] = {key: [path.name, *_stamp(path)] for key, path in self.files.items()}
        if self.source is not None:
            inputs['source'] = str(self.source)
        if self.t2w_source is not None:
            inputs['t2w_source'] = str(self.t2w_source)
        return inputs

    @property
    def key(self) -> str:
        """Tells this scan's intermediate files from those of another scan of the same name, elsewhere."""
        paths = [f'{key}={path.absolute()}' for key, path in self.files.items()]
        return hashlib.sha256('\n'.join(paths).encode('utf-8', 'surrogateescape')).hexdigest()[:8]


def _stamp(path: Path) -> tuple[int | None, int | None]:
    try:
        state = path.stat()
    except OSError:
        return None, None
    return state.st_size, state.st_mtime_ns


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A T1w, or a folder, that cannot be used.

    Attributes
    ----------
    path : str
        Relative to the dataset.
    finding : Finding
        Why.
    entities : tuple of (str, str), optional
        Identity of the scan; None if that belongs to another one.
    """

    path: str
    finding: Finding
    entities: Entities | None = None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.rsplit('/', 1)[-1]

    @property
    def reason(self) -> str:
        """Why, in one line, without the file."""
        return one_line(f'{self.finding.finding}; {self.finding.mend}')


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The scans that were asked for.

    Attributes
    ----------
    scans : tuple of Scan
        Those that can be used, sorted by path.
    refused : tuple of Refused
        The others.
    subjects : tuple of str
        Labels of all subjects that were looked into.
    """

    scans: tuple[Scan, ...] = ()
    refused: tuple[Refused, ...] = ()
    subjects: tuple[str, ...] = ()

    def check_usable(self, where: Path) -> None:
        """Check that a scan can be used.

        Raises
        ------
        InputError
            If all scans in `where` are refused.
        """
        if not self.scans:
            raise datasets.NONE_USABLE.error(where, count=len(self.refused))


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which scans are wanted.

    Attributes
    ----------
    subjects, sessions : tuple of str
        Labels without prefix; empty means all.
    filters : dict of str to Filter
        Content of a ``--bids-filter-file``, by ``t1w`` and ``t2w``.
    suffix : str
        ``T1w`` or ``T2w``: the scans in which the anatomy is found.
    use_t2w : bool
        Whether T2w scans are looked for that go with a T1w.
    needs_t2w, needs_lesions : bool
        Whether a scan without T2w is refused.
    database_dir : Path or None
        Where pybids keeps its index from run to run.
    derivatives : tuple of Path
        Datasets that may hold ready-made brain masks and segmentations.
    """

    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: dict[str, Filter] = field(default_factory=dict)
    suffix: str = 'T1w'
    use_t2w: bool = True
    needs_t2w: bool = False
    needs_lesions: bool = False
    database_dir: Path | None = None
    derivatives: tuple[Path, ...] = ()


def find_scans(bids_dir: Path, query: Query) -> Selection:
    """Find all scans that are wanted, sorted by path, each T1w with its T2w.

    Only the folders ``anat`` of the wanted subjects are looked into, and nothing above the dataset. A scan is
    identified by the entities of its name, which have to agree with its folders. Files whose names are not
    BIDS are logged and skipped. No image is opened.

    Parameters
    ----------
    bids_dir : Path
    query : Query

    Returns
    -------
    selection : Selection
        With the scans that cannot be used, of which there is at least one if no scan can.

    Raises
    ------
    InputError
        If a subject or session is not there (the message lists those that are), or there is no scan.
    """
    present = _list_present(bids_dir)
    subjects = _choose_subjects(bids_dir, query.subjects, present)
    listing = list_images(bids_dir, subjects)
    _check_sessions(bids_dir, listing, query)
    known = {image.relative for image in listing.images if not image.path.is_dir()}
    index = ImageIndex(bids_dir, subjects, present, known, query.database_dir)
    wanted = _wanted(listing, index, query.suffix, query)
    if not wanted and not listing.unreadable:
        raise _none_found(bids_dir, listing, query)
    with_scan = {image.folders['sub'] for image in wanted}
    with_scan |= {labels['sub'] for _, labels, _ in listing.unreadable}
    for subject in subjects:
        if subject not in with_scan:
            datasets.NO_SCAN_OF_SUBJECT.log(LOG, f'sub-{subject}', suffix=query.suffix)
    images, refused = _sort_out(wanted)
    has_t2w = query.use_t2w and query.suffix == 'T1w'
    t2w = _wanted(listing, index, 'T2w', query) if has_t2w else []
    scans, without = _pair_all(images, t2w, query)
    return Selection(
        scans=tuple(scans),
        refused=_one_record_each(scans, [*refused, *without, *_unreadable(listing)]),
        subjects=tuple(subjects),
    )


def _none_found(bids_dir: Path, listing: Listing, query: Query) -> PVSError:
    """The error of a dataset without any wanted scan; it says so if there are scans of the other kind."""
    asked = {'suffix': query.suffix, 'asked': _asked(query)}
    if query.suffix == 'T1w' and any(image.suffix == 'T2w' for image in listing.images):
        return datasets.ONLY_T2W.error(bids_dir, asked=asked['asked'])
    return datasets.NO_SCAN.error(bids_dir, **asked)


def find_usable_scans(bids_dir: Path, query: Query) -> list[Scan]:
    """Find the scans that can be used, see `find_scans`; the others are logged as errors.

    Raises
    ------
    InputError
        As `find_scans`, or if no scan can be used.
    """
    return usable_scans(find_scans(bids_dir, query), bids_dir)


def usable_scans(selection: Selection, where: Path) -> list[Scan]:
    """The scans of a selection that can be used; the others are logged as errors.

    Raises
    ------
    InputError
        If no scan in `where` can be used.
    """
    for refused in selection.refused:
        LOG.error('%s: %s', refused.path, refused.reason)
    selection.check_usable(where)
    return list(selection.scans)


def _list_present(bids_dir: Path) -> list[str]:
    present = list_subjects(bids_dir)
    if not present:
        raise datasets.NO_SUBJECT_FOLDERS.error(bids_dir)
    return present


def _choose_subjects(bids_dir: Path, asked: Sequence[str], present: list[str]) -> list[str]:
    if missing := sorted(set(asked) - set(present)):
        raise datasets.NO_SUBJECT.error(
            bids_dir, labels=_with_nearest(missing, present), present=_shorten(present)
        )
    return sorted(set(asked)) or present


def _check_sessions(bids_dir: Path, listing: Listing, query: Query) -> None:
    """Whether each session that was asked for is there for one of the subjects at least."""
    if missing := sorted(set(query.sessions) - listing.sessions):
        present = sorted(listing.sessions)
        asked = f' for {_shorten(query.subjects)}' if query.subjects else ''
        raise datasets.NO_SESSION.error(
            bids_dir,
            labels=_with_nearest(missing, present),
            asked=asked,
            present=_shorten(present) or 'no sessions at all',
        )


def _with_nearest(missing: Sequence[str], present: Sequence[str], most: int = 10) -> str:
    """Labels that are not there, each with the most similar ones that are."""
    shown = []
    for label in missing[:most]:
        near = difflib.get_close_matches(label, present)
        text = label[:50] if label.strip() else repr(label)
        shown.append(f'{text} (nearest: {", ".join(near)})' if near else text)
    more = f', ... ({len(missing)} in all)' if len(missing) > most else ''
    return ', '.join(shown) + more


def _shorten(labels: Sequence[str], most: int = 20) -> str:
    more = f', ... ({len(labels)} in all)' if len(labels) > most else ''
    return ', '.join(labels[:most]) + more


def _asked(query: Query) -> str:
    asked = f' for {_shorten(query.subjects)}' if query.subjects else ''
    asked += f' in session {_shorten(query.sessions)}' if query.sessions else ''
    return asked + (' that passes --bids-filter-file' if query.filters.get(query.suffix.lower()) else '')


def _wanted(listing: Listing, index: ImageIndex, suffix: str, query: Query) -> list[ImageFile]:
    """The images of one suffix that pass the filters."""
    filters, images = query.filters.get(suffix.lower(), {}), []
    passing = index.passing(suffix, filters)
    if not filters:  # a folder that is called like an image is no file to pybids; it is refused by name
        passing |= {i.relative for i in listing.images if i.suffix == suffix and i.path.is_dir()}
    for image in listing.images:
        if image.relative not in passing or (query.sessions and image.session not in query.sessions):
            continue
        if dict(image.named).get('part') in ('phase', 'real', 'imag'):
            datasets.NOT_MAGNITUDE.log(LOG, image.relative)
        else:
            images.append(image)
    return sorted(images, key=lambda image: image.path)


def _sort_out(images: Sequence[ImageFile]) -> tuple[list[ImageFile], list[Refused]]:
    """The images that can be used, and those that cannot, by their names and files."""
    named_well: dict[str, list[tuple[ImageFile, Naming]]] = {}
    findings: dict[str, Finding] = {}
    for image in images:
        if (finding := check_name(image)) is not None:
            findings[image.relative] = finding
        else:
            names = Naming(Path(), image.named)
            named_well.setdefault(names.core, []).append((image, names))
    for members in named_well.values():
        for image, names in members:
            finding = check_file(image.path, image.relative)
            for other, others_names in members:
                if finding is None and other is not image and names.shares_outputs(others_names):
                    finding = datasets.SAME_OUTPUTS.finding(image.relative, other=other.relative)
            if finding is not None:
                findings[image.relative] = finding
    good = [image for image in images if image.relative not in findings]
    refused = [
        Refused(path=image.relative, finding=findings[image.relative], entities=image.entities)
        for image in images
        if image.relative in findings
    ]
    return good, refused


def _unreadable(listing: Listing) -> list[Refused]:
    """Folders whose content is not known."""
    return [
        Refused(path=path, finding=finding, entities=tuple(labels.items()))
        for path, labels, finding in listing.unreadable
    ]


def _one_record_each(scans: Sequence[Scan], refused: Sequence[Refused]) -> tuple[Refused, ...]:
    """The refused ones by path, each with an identity that neither a good scan nor another one has."""
    taken = {Naming.of(Path(), scan.anat).stem.casefold() for scan in scans}
    result = []
    for one in sorted(refused, key=lambda r: r.path):
        stem = Naming(Path(), one.entities).stem.casefold() if one.entities else ''
        result.append(replace(one, entities=None) if stem in taken else one)
        taken.add(stem)
    return tuple(result)


def _pair_all(
    images: Sequence[ImageFile], candidates: Sequence[ImageFile], query: Query
) -> tuple[list[Scan], list[Refused]]:
    """The scans with the other files of each, and those that lack a file that is needed."""
    t2w, bad = _sort_out(candidates)
    for one in bad:
        datasets.T2W_LEFT_OUT.log(LOG, one.path, reason=one.reason)
    by_session: dict[tuple[tuple[str, str], ...], list[ImageFile]] = {}
    for image in t2w:
        by_session.setdefault(tuple(image.folders.items()), []).append(image)
    scans, refused = [], []
    for image in images:
        others = [o.path for o in by_session.get(tuple(image.folders.items()), ()) if _is_other(o, image)]
        scan = Scan(
            anat=image.path,
            t2w=choose_t2w(image.path, others),
            brain_mask=_find_ready(image.path, query.derivatives, 'brain_mask'),
            segmentation=_find_ready(image.path, query.derivatives, 'segmentation'),
            lesions=_find_lesions(image.path, query.derivatives),
        )
        if (finding := _check_others(scan, image, query)) is None:
            scans.append(scan)
        else:
            refused.append(Refused(path=image.relative, finding=finding, entities=image.entities))
    return scans, refused


def _is_other(t2w: ImageFile, t1w: ImageFile) -> bool:
    """Whether a T2w is not the file of the T1w under another name."""
    if not t2w.path.samefile(t1w.path):
        return True
    datasets.T2W_LEFT_OUT.log(LOG, t2w.relative, reason=f'the same file as {t1w.path.name}')
    return False


def _check_others(scan: Scan, image: ImageFile, query: Query) -> Finding | None:
    """Why a scan cannot be used for want of a file beside its T1w."""
    if query.needs_t2w and scan.t2w is None:
        return datasets.NO_T2W.finding(image.relative)
    if query.needs_lesions and scan.lesions is None:
        return datasets.NO_LESIONS.finding(image.relative)
    for path in filter(None, (scan.brain_mask, scan.segmentation, scan.lesions)):
        if (problem := check_file(path)) is not None:
            return datasets.READY_MADE.finding(image.relative, ready=path, reason=problem.finding)
    return None


def check_present(scan: Scan) -> Finding | None:
    """Which file of a scan can no longer be read; None if all can."""
    return next(filter(None, (check_file(path) for path in scan.files.values())), None)


def choose_t2w(t1w: Path, candidates: Sequence[Path]) -> Path | None:
    """The T2w that goes with a T1w: of the same subject and session.

    If there are several, it is the one that shares most entities with the T1w (same run, same
    acquisition, ...); among equals, the one with the fewest other entities, then the first by name.
    The choice is logged.

    Parameters
    ----------
    anat : Path
    candidates : sequence of Path
        T2w scans of any subject and session.

    Returns
    -------
    t2w : Path or None
        None if the session has none.
    """
    own = dict(parse_entities(t1w.name))
    session = [
        p
        for p in candidates
        if all(dict(parse_entities(p.name)).get(k) == own.get(k) for k in ('sub', 'ses'))
    ]
    if not session:
        return None

    def rank(path: Path) -> tuple[int, int, str]:
        other = dict(parse_entities(path.name))
        shared = sum(k in own and plain_label(k, own[k]) == plain_label(k, v) for k, v in other.items())
        return -shared, len(other), path.name

    chosen = min(session, key=rank)
    if len(session) > 1:
        LOG.info('%s: of %d T2w in the session %s is taken', t1w.name, len(session), chosen.name)
    return chosen


#: Suffix and entities of ready-made files, the best first: FreeSurfer's codes before three tissue classes.
_READY: dict[str, tuple[str, tuple[dict[str, str], ...]]] = {
    'brain_mask': ('mask', ({'desc': 'brain'},)),
    'segmentation': ('dseg', ({'desc': 'aseg'}, {'desc': 'aparcaseg'}, {})),
    'lesions': ('mask', ({'label': 'WMH'}, {'space': 'T1w', 'label': 'WMH'})),
}
#: Spaces of a subject's own scans, in which a mask may be.
_OWN_SPACES = (None, 'T1w', 'FLAIR', 'T2w', 'orig', 'individual')


def _find_ready(t1w: Path, derivatives: Sequence[Path], what: str) -> Path | None:
    """A ready-made file of this very scan in one of the derivative datasets."""
    suffix, choices = _READY[what]
    for root in derivatives:
        for entities in choices:
            for extension in ('.nii.gz', '.nii'):
                path = Naming.of(root, t1w).anat(suffix, extension, **entities)
                if path.exists() or path.is_symlink():
                    LOG.info('%s: %s is used', t1w.name, path)
                    return path
    return None


def _find_lesions(t1w: Path, derivatives: Sequence[Path]) -> Path | None:
    """A mask of white matter hyperintensities: of this very scan, or of the FLAIR of the same session."""
    if (path := _find_ready(t1w, derivatives, 'lesions')) is not None:
        return path
    own = dict(parse_entities(t1w.name))
    for root in derivatives:
        folder = Naming.of(root, t1w).anat('mask', label='WMH').parent
        for path in sorted(folder.glob(f'sub-{own["sub"]}_*label-WMH*_mask.nii*')):
            try:
                other = dict(parse_entities(path.name))
            except InputError as error:
                LOG.warning('%s: not used as a mask of lesions: %s', t1w.name, error)
                continue
            is_same = all(other.get(key) == own.get(key) for key in ('sub', 'ses'))
            is_same &= other.get('run', own.get('run')) == own.get('run', other.get('run'))
            if is_same and other.get('space') in _OWN_SPACES:
                LOG.info('%s: %s is used', t1w.name, path)
                return path
    return None
