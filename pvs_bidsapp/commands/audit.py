"""The audit of the inputs before the work: what their headers tell, in a table and in the log."""

from __future__ import annotations

import csv
import io
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..anatomy.conform import audit_scan
from ..bids.naming import logs_dir
from ..bids.query import Refused, Scan, Selection
from ..messages import scans as messages
from ..messages.message import Finding
from ..outputs.records import relative_path
from ..outputs.scan import status
from ..runtime.files import write_text
from ..runtime.locks import Lock
from ..settings import Settings

LOG = logging.getLogger(__name__)
COLUMNS = ('file', 'is_refused', 'code', 'finding', 'mend')


def audit_inputs(selection: Selection, settings: Settings, *, is_dry_run: bool = False) -> Selection:
    """Read the headers of all scans, and sort out those that cannot be used, unless they are done already.

    Each finding is written to ``logs/input_audit.tsv``; what concerns a scan that is not done is logged. What
    the table says of other scans of the dataset stays there.

    Parameters
    ----------
    selection : Selection
    settings : Settings
    is_dry_run : bool
        Write no table.

    Returns
    -------
    selection : Selection
        With the scans that cannot be used among the refused ones.
    """
    good, refused = [], []
    findings = {r.path: [replace(r.finding, file=r.path)] for r in selection.refused}
    told = [finding for found in findings.values() for finding in found]
    for scan in selection.scans:
        path, found = relative_path(scan, settings), audit_one(scan, settings)
        findings[path] = found
        if status(scan, settings) == 'done':
            good.append(scan)
            continue
        told += found
        reason = next((f for f in found if f.is_refused), None)
        if reason is None:
            good.append(scan)
        else:
            refused.append(Refused(path=path, finding=reason, entities=tuple(scan.entities.items())))
    for finding in told:
        LOG.log(logging.ERROR if finding.is_refused else logging.WARNING, '%s', finding)
    if not is_dry_run:
        _update_table(findings, settings)
    return replace(selection, scans=tuple(good), refused=(*selection.refused, *refused))


def audit_one(scan: Scan, settings: Settings) -> list[Finding]:
    """What the headers of a scan's files tell.

    A T2w that cannot be used is a fault of the scan only if the model needs it. Else it is left out while the
    scan is worked on.

    Parameters
    ----------
    scan : Scan
    settings : Settings

    Returns
    -------
    findings : list of Finding
        Named by the path of the scan.
    """
    path = relative_path(scan, settings)
    found = [replace(f, file=path) for f in audit_scan(scan.source or scan.anat)]
    if scan.t2w is not None and 'T2w' in settings.analysis.channels:
        for finding in audit_scan(scan.files['t2w']):
            if finding.is_refused:
                reason = f'{finding.finding}; {finding.mend}'
                found.append(messages.T2W_UNUSABLE.finding(path, reason=reason))
    return found


def _update_table(findings: Mapping[str, Sequence[Finding]], settings: Settings) -> None:
    """Put the findings, by the path of the scan, in place of what the table says of these scans."""
    folder = logs_dir(settings.out_dir)
    path, lock = folder / 'input_audit.tsv', Lock(folder / '.input_audit.lock')
    while not lock.acquire():  # by a job on other scans of the dataset
        time.sleep(0.1)
    try:
        rows = [row for row in _read(path) if row[0] not in findings and _is_there(row[0], settings)]
        rows += [
            [file, str(f.is_refused), *(f.row()[key] for key in ('Code', 'Finding', 'Mend'))]
            for file, found in findings.items()
            for f in found
        ]
        stream = io.StringIO()
        csv.writer(stream, delimiter='\t', lineterminator='\n').writerows([COLUMNS, *sorted(rows)])
        write_text(path, stream.getvalue())
    finally:
        lock.release()


def _read(path: Path) -> list[list[str]]:
    """Rows of the table, without its header; none if there is no table, or one of other columns."""
    try:
        with path.open(encoding='utf-8', newline='') as stream:
            rows = list(csv.reader(stream, delimiter='\t'))
    except (OSError, ValueError, csv.Error):
        return []
    return [row for row in rows[1:] if len(row) == len(COLUMNS)] if rows[:1] == [[*COLUMNS]] else []


def _is_there(file: str, settings: Settings) -> bool:
    return os.path.lexists(settings.bids_dir / file)
