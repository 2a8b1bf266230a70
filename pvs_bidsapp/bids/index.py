"""Which images of a dataset pass the filters of ``--bids-filter-file``: the index of pybids.

pybids looks for entities in whole paths. Here its patterns begin at the root of the dataset, so that folders
above it, whatever they are called, do not count.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..messages import datasets
from .filters import Filter, known_entities

LOG = logging.getLogger(__name__)
#: Name that no file has: pybids would take patterns for names from a file in the dataset.
_NO_CONFIG = f'{os.devnull}/none'
_SCANS = {'suffix': ['T1w', 'T2w'], 'datatype': ['anat'], 'extension': ['.nii', '.nii.gz']}
#: Bytes of a file name that are no UTF-8, which a database does not take.
_NOT_UNICODE = re.compile('[\ud800-\udfff]')
#: Largest description of a dataset that is read, in bytes.
_MAX_DESCRIPTION = 20_000_000
#: A label that a name can have.
_LABEL = re.compile(r'[a-zA-Z0-9+.]{1,255}')


class ImageIndex:
    """The index of some subjects of a dataset.

    Parameters
    ----------
    bids_dir : Path
    subjects : sequence of str
        Labels of those that are looked into.
    present : sequence of str
        Labels of all subjects.
    images : collection of str
        Paths of the images of `subjects`, relative to `bids_dir`. An index in `database_dir` that does not
        know them, or knows others, is of another state of the dataset, and made anew.
    database_dir : Path, optional
        Where the index of all subjects is kept from run to run. Without it, `subjects` alone are indexed.

    Raises
    ------
    InputError
        If the path of the dataset is no Unicode, or its description cannot be used.
    """

    def __init__(
        self,
        bids_dir: Path,
        subjects: Sequence[str],
        present: Sequence[str],
        images: Collection[str],
        database_dir: Path | None = None,
    ) -> None:
        self._root, self._subjects = bids_dir.absolute(), list(subjects)
        if _NOT_UNICODE.search(str(self._root)):
            raise datasets.ROOT_NAME.error(bids_dir)
        _check_description(self._root / 'dataset_description.json')
        if database_dir is None:
            self._layout = self._index(subjects if len(subjects) < len(present) else None)
        else:
            self._layout = self._kept_index(database_dir.absolute(), set(images))

    def passing(self, suffix: str, wanted: Filter) -> set[str]:
        """The images that pass a filter.

        Parameters
        ----------
        suffix : str
            ``T1w`` or ``T2w``.
        wanted : Filter

        Returns
        -------
        paths : set of str
            Relative to the dataset.
        """
        from bids.layout import Query

        names, special = _pybids_names(), {None: Query.NONE, '*': Query.ANY}
        conditions: dict[str, list[Any]] = {**_SCANS, 'suffix': [suffix], 'subject': self._subjects}
        for key, labels in wanted.items():
            name = names.get(key, key)
            if name in conditions:
                conditions[name] = [v for v in conditions[name] if v in labels or '*' in labels]
            else:
                possible = [v for v in dict.fromkeys(labels) if v in special or _can_occur(v)]
                conditions[name] = [special.get(v, v) for v in possible]
        return self._find(self._layout, conditions) if all(conditions.values()) else set()

    def _find(self, layout: Any, conditions: dict[str, list[Any]]) -> set[str]:
        found = layout.get(return_type='filename', **conditions)
        return {Path(path).relative_to(self._root).as_posix() for path in found}

    def _index(self, subjects: Sequence[str] | None, database: Path | None = None) -> Any:
        """Index the dataset, or some subjects alone; no metadata is read."""
        from bids import BIDSLayout, BIDSLayoutIndexer

        labels = '|'.join(map(re.escape, subjects)) if subjects is not None else '[a-zA-Z0-9+]+'
        # beyond these folders lies nothing that is wanted, but links may lead anywhere, and in circles
        elsewhere = re.compile(
            rf'^(?!/sub-({labels})(/ses-[a-zA-Z0-9+]+)?(/anat(/[^/.][^/]*)?)?\Z)', re.DOTALL
        )
        indexer = BIDSLayoutIndexer(
            validate=False, index_metadata=False, ignore=[elsewhere, _NOT_UNICODE], config_filename=_NO_CONFIG
        )
        kept = {'database_path': str(database)} if database is not None else {}
        config = [_anchored_config(self._root)]
        return BIDSLayout(str(self._root), validate=False, indexer=indexer, config=config, **kept)

    def _kept_index(self, folder: Path, images: set[str]) -> Any:
        """The index in a folder if it is of the dataset as it is now; else a new one, which replaces it."""
        kept = folder / 'layout_index.sqlite'
        if kept.exists():
            if (layout := self._read(kept, images)) is not None:
                return layout
            datasets.INDEX_OUTDATED.log(LOG, folder)
        folder.mkdir(parents=True, exist_ok=True)
        # under another name first: other jobs may read the index, or make it, at the same time
        with tempfile.TemporaryDirectory(prefix='.index-', dir=folder) as scratch:
            self._index(None, Path(scratch))
            os.replace(Path(scratch) / kept.name, kept)
        layout = self._read(kept, images)
        return self._index(self._subjects) if layout is None else layout

    def _read(self, kept: Path, images: set[str]) -> Any | None:
        """A kept index, or None if it cannot be read or is not of the dataset as it is now."""
        with tempfile.TemporaryDirectory() as scratch:  # a copy, in which SQLite needs no lock
            try:
                shutil.copyfile(kept, Path(scratch) / kept.name)
                layout = self._index(None, Path(scratch))
                known = self._find(layout, {**_SCANS, 'subject': self._subjects})
                return layout if known == images else None
            except Exception as error:  # of pybids, SQLAlchemy or SQLite, for a file that may be anything
                LOG.debug('%s: %s', kept, error)
                return None


def _check_description(path: Path) -> None:
    """Refuse a description that pybids cannot read; one that is no JSON, or empty, is none to it."""
    if not path.exists():
        return
    if not path.is_file():
        raise datasets.DESCRIPTION.error(path, reason='it is no file')
    if path.stat().st_size > _MAX_DESCRIPTION:
        raise datasets.DESCRIPTION.error(path, reason=f'more than {_MAX_DESCRIPTION / 1e6:.0f} MB')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (UnicodeDecodeError, json.JSONDecodeError):
        return
    except (RecursionError, ValueError) as error:
        raise datasets.DESCRIPTION.error(path, reason=str(error)[:100]) from error
    if not content:
        return
    if not isinstance(content, dict):
        raise datasets.DESCRIPTION.error(path, reason='it is no JSON object')
    if content.get('DatasetType') == 'derivative':
        _check_pipelines(path, content)


def _check_pipelines(path: Path, content: dict[str, Any]) -> None:
    """Refuse a description of derivatives in which pybids does not find who made them."""
    made_by = content.get('GeneratedBy', [])
    if not isinstance(made_by, list) or not all(isinstance(entry, dict) for entry in made_by):
        raise datasets.DESCRIPTION.error(path, reason='its GeneratedBy is no list of JSON objects')
    if not isinstance(content.get('PipelineDescription', {}), dict):
        raise datasets.DESCRIPTION.error(path, reason='its PipelineDescription is no JSON object')


def _can_occur(label: str | None) -> bool:
    """Whether a name can have a label; a database takes no other ones, and whole numbers of 64 bits."""
    if label is None or _LABEL.fullmatch(label) is None:
        return False
    return not label.isdigit() or int(label) < 2**63


def _anchored_config(root: Path) -> dict[str, Any]:
    """The configuration of pybids, with patterns that begin at the root, and all entities of BIDS."""
    config = _pybids_config()
    known = _pybids_names()
    written = {str(entity['name']) for entity in config['entities']}
    missing = [(short, name) for short, name in known.items() if name not in written]
    entities = [*config['entities']]
    entities += [{'name': name, 'pattern': rf'[_/\\]+{short}-([a-zA-Z0-9+]+)'} for short, name in missing]
    start = f'^{re.escape(str(root))}(?=[/\\\\]).*?'
    anchored = [entity | {'pattern': start + entity['pattern']} for entity in entities]
    return config | {'entities': anchored}


def _pybids_config() -> dict[str, Any]:
    text = files('bids.layout.config').joinpath('bids.json').read_text(encoding='utf-8')
    content: dict[str, Any] = json.loads(text)
    return content


def _pybids_names() -> dict[str, str]:
    """Names that pybids gives to the entities, by short names; what it does not know keeps the short one."""
    names = {short: short for short in known_entities().values()}
    for entity in _pybids_config()['entities']:
        if match := re.search(r'([a-z]+)-\(', entity['pattern']):
            names[match[1]] = str(entity['name'])
    return names
