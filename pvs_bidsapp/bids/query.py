"""Which scans are processed, and which T2w goes with which T1w."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .naming import Naming, parse_entities

LOG = logging.getLogger(__name__)
_IGNORED = ('derivatives', 'sourcedata', 'code', 'stimuli', 'models', 'phenotype')


def files_below(folder: Path, pattern: str) -> list[Path]:
    """Files of this name anywhere below a folder, sorted; subjects may be links to folders elsewhere.

    Other links are not followed: one to the source data may lead back to where it lies.
    """
    return sorted({*folder.rglob(pattern), *folder.glob(f'sub-*/**/{pattern}')})


@dataclass(frozen=True)
class Scan:
    """One T1w to process.

    Attributes
    ----------
    t1w : Path
    t2w : Path or None
        T2w of the same session.
    brain_mask, segmentation : Path or None
        A ready-made mask, or segmentation of the T1w, from a derivative dataset.
    """

    t1w: Path
    t2w: Path | None = None
    brain_mask: Path | None = None
    segmentation: Path | None = None

    @property
    def entities(self) -> dict[str, str]:
        """Entities of the T1w."""
        return dict(parse_entities(self.t1w.name))

    @property
    def inputs(self) -> dict[str, Any]:
        """Name, size in bytes and modification time in ns of each input file."""
        files = {
            't1w': self.t1w,
            't2w': self.t2w,
            'brain_mask': self.brain_mask,
            'segmentation': self.segmentation,
        }
        return {
            key: [path.name, path.stat().st_size, path.stat().st_mtime_ns]
            for key, path in files.items()
            if path is not None
        }


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which scans are wanted.

    Attributes
    ----------
    subjects, sessions : tuple of str
        Labels without prefix; empty means all.
    filters : dict or None
        Content of a ``--bids-filter-file``: by ``t1w`` and ``t2w``, pybids entities and values.
    use_t2w : bool
        Whether T2w scans are looked for.
    database_dir : Path or None
        Where pybids keeps, or finds, its index.
    derivatives : tuple of Path
        Datasets that may hold ready-made brain masks and segmentations.
    """

    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: dict[str, dict[str, Any]] | None = None
    use_t2w: bool = True
    database_dir: Path | None = None
    derivatives: tuple[Path, ...] = ()


def read_filters(path: Path) -> dict[str, dict[str, Any]]:
    """Read a ``--bids-filter-file`` in the format of fMRIPrep: ``{"t1w": {"acquisition": "mprage"}}``.

    Entries other than ``t1w`` and ``t2w`` are ignored with a warning.

    Raises
    ------
    InputError
        If it cannot be read as JSON, or does not have this format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise InputError(f'--bids-filter-file {path}: cannot be read as JSON ({error})') from error
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise InputError(f'--bids-filter-file {path}: give {{"t1w": {{"entity": "value"}}}}')
    if unused := set(content) - {'t1w', 't2w'}:
        LOG.warning('%s: entries not used here: %s', path, ', '.join(sorted(unused)))
    return {key.lower(): value for key, value in content.items() if key in ('t1w', 't2w')}


def list_subjects(bids_dir: Path) -> list[str]:
    """Labels of the subjects' folders, sorted."""
    return sorted(p.name[4:] for p in bids_dir.glob('sub-*') if p.is_dir())


def find_scans(bids_dir: Path, query: Query) -> list[Scan]:
    """Find all T1w scans that are wanted, sorted by path, each with its T2w.

    Only the folders of the wanted subjects are indexed, and no metadata is read.

    Parameters
    ----------
    bids_dir : Path
    query : Query

    Raises
    ------
    InputError
        If a subject is not there (the message lists those that are), or nothing is found.
    """
    present = list_subjects(bids_dir)
    if not present:
        raise InputError(f'{bids_dir}: no sub-* folder in it; give the root of a BIDS dataset')
    if missing := sorted(set(query.subjects) - set(present)):
        raise InputError(f'no subject {", ".join(missing)} in {bids_dir}; there are: {_shorten(present)}')
    subjects = query.subjects or tuple(present)
    layout = _layout(bids_dir, subjects, present, query.database_dir)
    t1w = _images(layout, 'T1w', subjects, query)
    if not t1w:
        asked = f' for {", ".join(query.subjects)}' if query.subjects else ''
        asked += f' in session {", ".join(query.sessions)}' if query.sessions else ''
        raise InputError(f'{bids_dir}: no T1w found{asked} (sub-*/[ses-*/]anat/*_T1w.nii[.gz])')
    for subject in sorted(set(subjects) - {dict(parse_entities(p.name))['sub'] for p in t1w}):
        LOG.warning('sub-%s: no T1w, nothing to do', subject)
    t2w = _images(layout, 'T2w', subjects, query) if query.use_t2w else []
    return [
        Scan(
            t1w=path,
            t2w=choose_t2w(path, t2w),
            brain_mask=_find_ready(path, query.derivatives, 'mask'),
            segmentation=_find_ready(path, query.derivatives, 'dseg'),
        )
        for path in t1w
    ]


def _shorten(labels: Sequence[str], most: int = 20) -> str:
    more = f', ... ({len(labels)} in all)' if len(labels) > most else ''
    return ', '.join(labels[:most]) + more


def _layout(bids_dir: Path, subjects: Sequence[str], present: Sequence[str], database: Path | None) -> Any:
    from bids import BIDSLayout, BIDSLayoutIndexer

    ignored: list[Any] = [*_IGNORED, re.compile(r'/\.')]
    if len(subjects) < len(present):
        wanted = '|'.join(re.escape(s) for s in subjects)
        ignored.append(re.compile(rf'/sub-(?!(?:{wanted})(?:/|_|$))'))
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignored)
    options = {'database_path': str(database), 'reset_database': False} if database else {}
    return BIDSLayout(str(bids_dir), validate=False, indexer=indexer, **options)


def _images(layout: Any, suffix: str, subjects: Sequence[str], query: Query) -> list[Path]:
    """Images of one suffix that pass the filters."""
    from bids.layout import Query as Wildcard

    wanted: dict[str, Any] = {'session': list(query.sessions)} if query.sessions else {}
    special = {None: Wildcard.NONE, '*': Wildcard.ANY}
    for entity, value in ((query.filters or {}).get(suffix.lower()) or {}).items():
        if entity not in ('datatype', 'suffix', 'extension'):
            wanted[entity] = special.get(value, value) if not isinstance(value, list) else value
    found = layout.get(
        return_type='filename', subject=list(subjects), suffix=suffix, datatype='anat',
        extension=['.nii', '.nii.gz'], **wanted,
    )  # fmt: skip
    images = sorted(Path(f) for f in found)
    phase = [p for p in images if dict(parse_entities(p.name)).get('part') in ('phase', 'real', 'imag')]
    for path in phase:
        LOG.warning('%s: not a magnitude image, left out', path.name)
    return [p for p in images if p not in phase]


def choose_t2w(t1w: Path, candidates: Sequence[Path]) -> Path | None:
    """The T2w that goes with a T1w: of the same subject and session.

    If there are several, it is the one that shares most entities with the T1w (same run, same
    acquisition, ...); among equals, the one with the fewest other entities, then the first by name.
    The choice is logged.

    Parameters
    ----------
    t1w : Path
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
        shared = sum(own.get(k) == v for k, v in other.items())
        return -shared, len(other), path.name

    chosen = min(session, key=rank)
    if len(session) > 1:
        LOG.info('%s: of %d T2w in the session %s is taken', t1w.name, len(session), chosen.name)
    return chosen


#: Entities of ready-made files, the best first: FreeSurfer's codes before three tissue classes.
_READY: dict[str, tuple[dict[str, str], ...]] = {
    'mask': ({'desc': 'brain'},),
    'dseg': ({'desc': 'aseg'}, {'desc': 'aparcaseg'}, {}),
}


def _find_ready(t1w: Path, derivatives: Sequence[Path], suffix: str) -> Path | None:
    """A ready-made brain mask or segmentation of this very scan in one of the derivative datasets."""
    for root in derivatives:
        for entities in _READY[suffix]:
            path = Naming.of(root, t1w).anat(suffix, **entities)
            if path.exists():
                LOG.info('%s: %s is used', t1w.name, path)
                return path
    return None
