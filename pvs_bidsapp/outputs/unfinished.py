"""Scans of a dataset that have no results, with the reasons."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from pathlib import Path

from ..bids.image_files import check_name, list_images, list_subjects
from ..bids.naming import Naming, logs_dir, parse_entities
from ..errors import InputError
from ..messages import people
from ..messages.message import Finding, one_line
from ..settings import anatomical_suffix
from .records import MAX_RECORD, find_records, read_record

LOG = logging.getLogger(__name__)
#: Images that are no scans of their own.
_PARTS = ('phase', 'real', 'imag')
_LONGEST_REASON = 500
NOT_RUN = 'not run'
NOT_FINISHED = 'not finished: the run was ended while its results were written'


def split_finished(names: Collection[Naming], out_dir: Path) -> tuple[set[Naming], list[Finding]]:
    """Which of the scans with results are finished, as their records say.

    Parameters
    ----------
    names : collection of Naming
        Scans with a table of results.
    out_dir : Path

    Returns
    -------
    finished : set of Naming
        All of them if the folder holds no records of finished scans.
    findings : list of Finding
        Scans that are not finished, or failed when they were last run.
    """
    records = find_records(out_dir)
    with_status = {n for n, states in records.items() if 'status' in states}
    findings, finished = [], set()
    for scan in sorted(names, key=lambda n: n.stem):
        if with_status and scan not in with_status:
            findings.append(people.RESULT_UNFINISHED.log(LOG, scan.stem))
            continue
        finished.add(scan)
        if 'failure' in records.get(scan, {}):
            reason = _failure(scan, records[scan]['failure'][0])[0]
            findings.append(people.RESULT_STALE.log(LOG, scan.stem, reason=reason))
    return finished, findings


def find_unfinished(
    bids_dir: Path | None, out_dir: Path, finished: Collection[Naming], with_results: Collection[Naming]
) -> tuple[dict[str, str], dict[str, str], list[Finding]]:
    """Scans without results, and subjects without scans.

    Parameters
    ----------
    bids_dir : Path or None
        None if the dataset is not known.
    out_dir : Path
    finished : collection of Naming
        Scans with results.
    with_results : collection of Naming
        Those, and scans of which only a part of the results is there.

    Returns
    -------
    missing : dict of str to str
        Reason by name of the scan.
    without_t1w : dict of str to str
        Reason by ``sub-LABEL``.
    findings : list of Finding
        Records that cannot be read.
    """
    findings: list[Finding] = []
    reasons = {n.stem: NOT_FINISHED for n in with_results if n not in finished}
    reasons |= _failures(out_dir, finished, findings)
    suffix = _suffix_of(finished)
    subjects, scans = _scans_of(bids_dir, out_dir, suffix, findings) if bids_dir else ([], {})
    done = {n.stem for n in finished}
    older: dict[str, str] | None = None
    for stem, finding in scans.items():
        if stem in done or stem in reasons:
            continue
        if older is None:  # many files, and seldom needed
            older = _run_failures(out_dir, findings)
        reasons[stem] = finding.finding if finding else older.get(stem, NOT_RUN)
    known = {stem.split('_')[0] for stem in (*scans, *reasons, *done)}
    without = {name: f'no {suffix}' for name in subjects if name not in known}
    return dict(sorted(reasons.items())), without, findings


def _suffix_of(finished: Collection[Naming]) -> str:
    """What the finished scans are, ``T1w`` or ``T2w``; all were analysed with one model."""
    for names in finished:
        analysis = read_record(names.status).get('analysis')
        if isinstance(analysis, dict):
            channels = analysis.get('channels')
            return anatomical_suffix(channels if isinstance(channels, list) else ())
    return anatomical_suffix(())


def _scans_of(
    bids_dir: Path, out_dir: Path, suffix: str, findings: list[Finding]
) -> tuple[list[str], dict[str, Finding | None]]:
    """Subjects, and scans of a suffix by the names of their outputs, with what is wrong in them."""
    try:
        labels = list_subjects(bids_dir)
    except OSError:
        findings.append(people.NO_DATASET.log(LOG, out_dir, folder=bids_dir))
        return [], {}
    scans: dict[str, Finding | None] = {}
    for image in list_images(bids_dir, labels).images:
        if image.suffix == suffix and dict(image.named).get('part') not in _PARTS:
            scans.setdefault(Naming(out_dir, image.entities).stem, check_name(image))
    return [f'sub-{label}' for label in labels], scans


def _failures(out_dir: Path, finished: Collection[Naming], findings: list[Finding]) -> dict[str, str]:
    """Reasons from the records of failures, by scan."""
    reasons = {}
    for names, states in find_records(out_dir).items():
        if 'failure' in states and names not in finished:
            reasons[names.stem], problem = _failure(names, states['failure'][0])
            if problem:
                findings.append(people.RECORD_DAMAGED.log(LOG, names.failure, reason=problem))
    return reasons


def _failure(names: Naming, size: int) -> tuple[str, str]:
    """Reason in a record of a failure, and what is wrong with the record itself."""
    problem = f'{size / 1e6:.0f} MB' if size > MAX_RECORD else ''
    reason = read_record(names.failure).get('reason') if not problem else None
    if isinstance(reason, str) and reason.strip():
        return one_line(reason)[:_LONGEST_REASON], ''
    return 'failed, for a reason that is not known', problem or 'it gives no reason'


def _run_failures(out_dir: Path, findings: list[Finding]) -> dict[str, str]:
    """Reasons by scan from the records of whole runs, which are all that earlier versions have written."""
    reasons: dict[str, str] = {}
    for path in sorted(logs_dir(out_dir).glob('run_*.json')):
        try:
            if path.stat().st_size > MAX_RECORD:
                raise ValueError(f'more than {MAX_RECORD / 1e6:.0f} MB')
            failed = json.loads(path.read_text(encoding='utf-8'))['failed']
            entries = [(str(name).rsplit('/', 1)[-1], str(reason)) for name, reason in failed.items()]
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            reason = one_line(str(error))[:100]
            findings.append(people.RECORD_DAMAGED.log(LOG, path, reason=reason))
            continue
        for name, reason in entries:
            try:
                stem = Naming(out_dir, parse_entities(name)).stem
            except InputError:
                continue
            reasons[stem] = one_line(reason)[:_LONGEST_REASON]
    return reasons
