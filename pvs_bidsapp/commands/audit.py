"""The audit of the inputs before the work: what their headers tell, in a table and in the log."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import replace

from ..anatomy.conform import audit_scan
from ..bids.naming import logs_dir
from ..bids.query import Refused, Scan, Selection
from ..messages import scans as messages
from ..messages.message import Finding
from ..outputs.records import relative_path
from ..outputs.scan import status
from ..runtime.files import write_text
from ..settings import Settings

LOG = logging.getLogger(__name__)
COLUMNS = ('file', 'is_refused', 'code', 'finding', 'mend')


def audit_inputs(selection: Selection, settings: Settings, *, is_dry_run: bool = False) -> Selection:
    """Read the headers of all scans that are not done yet, and sort out those that cannot be used.

    Each finding is logged, and written to ``logs/input_audit.tsv``.

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
    good, refused, findings = [], [], []
    for scan in selection.scans:
        found = [] if status(scan, settings) == 'done' else audit_one(scan, settings)
        findings += found
        reason = next((f for f in found if f.is_refused), None)
        if reason is None:
            good.append(scan)
        else:
            path = relative_path(scan, settings)
            refused.append(Refused(path=path, finding=reason, entities=tuple(scan.entities.items())))
    findings += [replace(r.finding, file=r.path) for r in selection.refused]
    for finding in findings:
        LOG.log(logging.ERROR if finding.is_refused else logging.WARNING, '%s', finding)
    if not is_dry_run:
        write_text(logs_dir(settings.out_dir) / 'input_audit.tsv', _table(findings))
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
        Named by the path of the T1w.
    """
    path = relative_path(scan, settings)
    found = [replace(f, file=path) for f in audit_scan(scan.files['t1w'])]
    if scan.t2w is not None and 'T2w' in settings.analysis.channels:
        for finding in audit_scan(scan.files['t2w']):
            if finding.is_refused:
                reason = f'{finding.finding}; {finding.mend}'
                found.append(messages.T2W_UNUSABLE.finding(path, reason=reason))
    return found


def _table(findings: Sequence[Finding]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter='\t', lineterminator='\n')
    writer.writerow(COLUMNS)
    for finding in findings:
        row = finding.row()
        writer.writerow([finding.file, finding.is_refused, row['Code'], row['Finding'], row['Mend']])
    return stream.getvalue()
