"""Records of the scans in an output folder: which are done, which failed and why, and from which files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..bids.naming import Naming, logs_dir, parse_entities
from ..bids.query import Refused, Scan, Selection
from ..errors import InputError
from ..messages import datasets
from ..runtime.files import write_json
from ..settings import Settings

#: Largest record that is read, in bytes.
MAX_RECORD = 20_000_000
_RECORD = re.compile(r'(sub-.+)_(status|failure)\.json')


def find_records(out_dir: Path) -> dict[Naming, dict[str, tuple[int, int]]]:
    """The scans of which an output folder holds a record, whichever run has written it.

    Parameters
    ----------
    out_dir : Path

    Returns
    -------
    records : dict of Naming to dict
        Size in bytes and modification time in ns of each record, by ``status`` and ``failure``.
    """
    records: dict[Naming, dict[str, tuple[int, int]]] = {}
    try:
        entries = sorted(os.scandir(logs_dir(out_dir)), key=lambda entry: entry.name)
    except OSError:
        return {}
    for entry in entries:
        if (match := _RECORD.fullmatch(entry.name)) is None:
            continue
        try:
            names, state = Naming(Path(out_dir), parse_entities(entry.name)), entry.stat()
        except (InputError, OSError):  # of somebody else, or just removed by another job
            continue
        if names.stem == match[1]:
            records.setdefault(names, {})[match[2]] = (state.st_size, state.st_mtime_ns)
    return records


def read_record(path: Path) -> dict[str, Any]:
    """Content of a record, or of a sidecar; empty if there is none, or none that can be read."""
    try:
        with path.open('rb') as stream:
            data = stream.read(MAX_RECORD + 1)
        content = json.loads(data.decode('utf-8')) if len(data) <= MAX_RECORD else None
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_failure(names: Naming, scan: str, reason: str) -> None:
    """Record why a scan is not done.

    Parameters
    ----------
    names : Naming
    scan : str
        Path of its T1w relative to the dataset; the whole path without BIDS.
    reason : str
        One line.
    """
    write_json(names.failure, {'scan': scan, 'reason': reason})


def clear_failure(names: Naming) -> bool:
    """Remove the record of a failure; whether there was one."""
    there = names.failure.exists()
    names.failure.unlink(missing_ok=True)
    return there


def forget_gone(settings: Settings, subjects: Collection[str]) -> list[Naming]:
    """Remove the records of failures of files that these subjects no longer have; returns their names."""
    gone = []
    for names, record in find_records(settings.out_dir).items():
        if 'failure' in record and dict(names.entities)['sub'] in subjects:
            scan = read_record(names.failure).get('scan')
            if isinstance(scan, str) and not os.path.lexists(settings.bids_dir / scan):
                clear_failure(names)
                gone.append(names)
    return gone


def refuse_other_sources(selection: Selection, settings: Settings) -> Selection:
    """Refuse scans whose outputs would overwrite those of another file of the same name.

    That can only be where files were named without BIDS: their subjects have made-up labels.

    Parameters
    ----------
    selection : Selection
    settings : Settings

    Returns
    -------
    selection : Selection
        Its scans have an output folder of their own, or results of themselves in it, or none.
    """
    scans, refused = [], list(selection.refused)
    for scan in selection.scans:
        names = Naming.of(settings.out_dir, scan.anat)
        if (other := _other_source(names, scan)) is None:
            scans.append(scan)
            continue
        path = relative_path(scan, settings)
        finding = datasets.OTHER_SOURCE.finding(path, label=scan.entities['sub'], source=other)
        refused.append(Refused(path=path, finding=finding))
    return replace(selection, scans=tuple(scans), refused=tuple(refused))


def _other_source(names: Naming, scan: Scan) -> str | None:
    """From which other file the results, or the failure, under these names come; None if from this one."""
    own = str(scan.source or scan.anat.parent.resolve() / scan.anat.name)
    inputs = read_record(names.status).get('inputs')
    inputs = inputs if isinstance(inputs, dict) else {}
    failed = read_record(names.failure).get('scan')
    failed = failed if isinstance(failed, str) else None
    recorded = inputs.get('source') or (failed if failed and os.path.isabs(failed) else None)
    if recorded is not None:
        return None if recorded == own else str(recorded)
    if scan.source is None:
        return None
    key = scan.suffix.lower()
    file = inputs.get(key)
    if isinstance(file, list) and file:  # from a BIDS dataset
        return None if file[1:] == scan.inputs[key][1:] else f'{file[0]} of a BIDS dataset'
    return failed


def relative_path(scan: Scan, settings: Settings) -> str:
    """Path of a scan relative to the dataset; the whole path without BIDS."""
    if scan.source is not None:
        return str(scan.source)
    return scan.anat.relative_to(settings.bids_dir).as_posix()
