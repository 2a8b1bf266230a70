"""``--bids-filter-file``: which T1w and T2w are wanted, by the entities in their names.

A filter is data: no value of it is run, searched for as a pattern, or looked up as a path.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..messages import datasets

LOG = logging.getLogger(__name__)
#: Largest size of a filter file, in bytes.
MAX_SIZE = 2**20
#: Values that stand for any label, and for none, beside ``null``.
_ANY, _NONE = ('*', 'Query.ANY', 'Query.REQUIRED'), (None, 'Query.NONE')

#: Wanted labels, in text, by the short name of an entity; None for no label at all.
Filter = dict[str, tuple[str | None, ...]]


@lru_cache(maxsize=1)
def known_entities() -> dict[str, str]:
    """Short names of the entities by their long names, from the schema of BIDS, and what else is filtered."""
    from bidsschematools.schema import load_schema

    schema = load_schema()
    names = {str(name): str(schema.objects.entities[name]['name']) for name in schema.rules.entities}
    return names | {name: name for name in ('suffix', 'extension', 'datatype')}


@lru_cache(maxsize=1)
def _indices() -> frozenset[str]:
    """Short names of the entities whose labels are numbers."""
    from bidsschematools.schema import load_schema

    schema = load_schema()
    entities = (schema.objects.entities[name] for name in schema.rules.entities)
    return frozenset(str(entity['name']) for entity in entities if entity.get('format') == 'index')


def read_filters(path: Path) -> dict[str, Filter]:
    """Read a ``--bids-filter-file`` in the format of fMRIPrep: ``{"t1w": {"acquisition": "mprage"}}``.

    Entries other than ``t1w`` and ``t2w`` are ignored with a warning.

    Parameters
    ----------
    path : Path

    Returns
    -------
    filters : dict of str to Filter
        By ``t1w`` and ``t2w``.

    Raises
    ------
    InputError
        If it cannot be read as JSON, or does not have this format.
    """
    shown = f'--bids-filter-file {path}'
    content = _read_json(Path(path), shown)
    if not isinstance(content, dict):
        raise datasets.FILTER_FORMAT.error(shown, what='not a JSON object')
    filters: dict[str, Filter] = {}
    for name, entry in content.items():
        if name.lower() not in ('t1w', 't2w'):
            continue
        if name.lower() in filters:
            raise datasets.FILTER_FORMAT.error(shown, what=f'{name.lower()} stands there twice')
        filters[name.lower()] = _parse(entry, f'{shown}, {name}')
    if unused := sorted(name for name in content if name.lower() not in ('t1w', 't2w')):
        datasets.FILTER_UNUSED.log(LOG, path, names=_shorten(unused))
    return filters


def _read_json(path: Path, shown: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise datasets.FILTER_FORMAT.error(
                shown, what=f'{max(keys, key=keys.count)[:50]} stands there twice'
            )
        return dict(pairs)

    try:
        if path.exists() and not path.is_file():
            raise datasets.FILTER_UNREADABLE.error(shown, reason='not a file')
        if path.stat().st_size > MAX_SIZE:
            raise datasets.FILTER_UNREADABLE.error(shown, reason=f'more than {MAX_SIZE} bytes')
        return json.loads(path.read_text(encoding='utf-8-sig'), object_pairs_hook=once)
    except OSError as error:
        raise datasets.FILTER_UNREADABLE.error(shown, reason=error.strerror) from error
    except RecursionError as error:
        raise datasets.FILTER_UNREADABLE.error(shown, reason='nested too deeply') from error
    except ValueError as error:
        raise datasets.FILTER_UNREADABLE.error(shown, reason=str(error)[:100]) from error


def _parse(entry: Any, shown: str) -> Filter:
    if not isinstance(entry, dict):
        raise datasets.FILTER_FORMAT.error(shown, what='not a JSON object')
    known = known_entities()
    short_names = set(known.values())
    if unknown := sorted(name for name in entry if name not in known and name not in short_names):
        raise datasets.FILTER_ENTITY.error(shown, names=_shorten(unknown), known=', '.join(known))
    parsed: Filter = {}
    for name, value in entry.items():
        values = value if isinstance(value, list) else [value]
        if bad := [v for v in values if isinstance(v, bool) or not isinstance(v, str | int | None)]:
            raise datasets.FILTER_FORMAT.error(
                shown,
                what=f'{name}: {type(bad[0]).__name__} {str(bad[0])[:50]!r} cannot be the value of an entity',
            )
        key = str(known.get(name, name))
        if key in parsed:
            raise datasets.FILTER_FORMAT.error(shown, what=f'{name} stands there twice')
        if values != ['Query.OPTIONAL']:
            parsed[key] = tuple(_label(key, v) for v in values)
    return parsed


def _label(key: str, value: str | int | None) -> str | None:
    """A wanted label as it stands in names."""
    if value in _NONE:
        return None
    text = str(value)
    if text in _ANY:
        return '*'
    if key == 'extension':
        return '.' + text.lstrip('.')
    return plain_label(key, text.removeprefix(f'{key}-'))


def plain_label(key: str, label: str) -> str:
    """A label; numbers without leading zeros."""
    return label.lstrip('0') or '0' if key in _indices() and label.isdigit() else label


def _shorten(names: list[str]) -> str:
    """Some names, in one line of bounded length."""
    more = f', ... ({len(names)} in all)' if len(names) > 10 else ''
    return ', '.join(name[:50] for name in names[:10]) + more
