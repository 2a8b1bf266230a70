"""The page of each subject and session, made from the files and records in the output folder.

A page shows all scans that the folder holds, whichever run has finished them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..bids.naming import Naming
from ..bids.query import Selection
from ..errors import InputError
from ..reports.subject_page import (
    CAPTIONS,
    CLUSTER_COLUMNS,
    QUALITY_COLUMNS,
    REGION_COLUMNS,
    ScanSection,
    render,
)
from ..reports.viewer import IMAGES
from ..runtime.files import write_text
from ..settings import Analysis, Settings
from .methods import READY_MADE, command, methods, references
from .records import find_records, read_record
from .result_tables import read_rows

#: How often a page is written again because another job has finished a scan of it meanwhile.
_TRIES = 5
EARLIER = ' (the results below are those of an earlier run)'
#: In the head of a page: which records it shows.
_STATE = re.compile(r'<meta name="records" content="([0-9a-f]*)">')
INCOMPLETE = 'its outputs are no longer complete, or damaged; run again'
NOT_DONE = 'not done yet'


def write_pages(
    selection: Selection, settings: Settings, *, changed: Collection[Naming] = (), all_records: bool = False
) -> list[Path]:
    """Write the page of every subject and session of the selection.

    A page of which nothing is left to show is removed.

    Parameters
    ----------
    selection : Selection
    settings : Settings
    changed : collection of Naming
        Further scans whose pages are written.
    all_records : bool
        Also write the pages of those sessions of the subjects of which only the output folder knows.

    Returns
    -------
    pages : list of Path
    """
    missing = _names_without_results(selection, settings)
    pages = {names.report for names in (*missing, *changed)}
    if all_records:
        pages |= {
            names.report
            for names in find_records(settings.out_dir)
            if dict(names.entities)['sub'] in selection.subjects
        }
    seen: dict[Path, dict[Naming, dict[str, tuple[int, int]]]] = {}
    for _ in range(_TRIES):
        now: dict[Path, dict[Naming, dict[str, tuple[int, int]]]] = {page: {} for page in pages}
        for names, record in find_records(settings.out_dir).items():
            if names.report in now:
                now[names.report][names] = record
        outdated = sorted(page for page in pages if seen.get(page) != now[page])
        for page in outdated:
            own = {names: text for names, text in missing.items() if names.report == page}
            _write_page(page, now[page], own, settings)
        if not outdated:
            break
        seen = now
    return sorted(page for page in pages if page.exists())


def find_outdated(scans: Sequence[Naming]) -> list[Naming]:
    """Scans whose page does not show their records: a run was killed after their results, before their page.

    Times of files are not looked at, since clocks are set.

    Parameters
    ----------
    scans : sequence of Naming
        Of one output folder.
    """
    if not scans:
        return []
    records: dict[Path, list[Naming]] = {names.report: [] for names in scans}
    for names in find_records(scans[0].root):
        if names.report in records:
            records[names.report].append(names)
    outdated = {page for page, members in records.items() if _state_on(page) != _state(members)}
    return [names for names in scans if names.report in outdated]


def _state(records: Collection[Naming]) -> str:
    """Checksum of what the records of a page say, but for their times."""
    content = [
        [names.stem, read_record(names.status).get('fingerprint'), read_record(names.failure).get('reason')]
        for names in sorted(records, key=lambda n: n.stem)
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _state_on(page: Path) -> str | None:
    """The checksum on a page; None without one."""
    try:
        with page.open(encoding='utf-8', errors='replace') as stream:
            match = _STATE.search(stream.read(2000))
    except OSError:
        return None
    return match[1] if match else None


def _names_without_results(selection: Selection, settings: Settings) -> dict[Naming, tuple[str, str]]:
    """What a page says of the scans of which there is no record, by their names: file and reason."""
    missing = {Naming.of(settings.out_dir, s.anat): (s.name, NOT_DONE) for s in selection.scans}
    refused = {
        Naming(settings.out_dir, r.entities): (r.name, r.reason) for r in selection.refused if r.entities
    }
    return missing | refused


def _write_page(
    page: Path, records: Collection[Naming], missing: dict[Naming, tuple[str, str]], settings: Settings
) -> None:
    if not records and not missing:
        page.unlink(missing_ok=True)
        return
    sections: list[ScanSection] = []
    errors: dict[str, str] = {}
    for names in sorted({*records, *missing}, key=lambda n: n.stem):
        section, failure = _section(names), read_record(names.failure)
        if section is not None:
            sections.append(section)
        if 'reason' in failure:
            scan = str(failure.get('scan', names.stem))
            reason = str(failure['reason']) + (EARLIER if section is not None else '')
            errors[_unused(scan.rsplit('/', 1)[-1], scan, errors)] = reason
        elif names.status.exists() and section is None:
            errors[names.stem] = INCOMPLETE
        elif section is None and names in missing:
            errors[missing[names][0]] = missing[names][1]
    title, state = f'Perivascular spaces: {page.stem}', _state(records)
    analyses = _analyses(records) or [settings.analysis]
    papers = references(*analyses)
    given = _ready_made(records)
    text = '\n\n'.join(dict.fromkeys(methods(each, given) for each in analyses))
    write_text(page, render(title, sections, errors, text, references=papers, state=state))


def _analyses(records: Collection[Naming]) -> list[Analysis]:
    """How the finished scans of a page were analysed."""
    found = (
        Analysis.of_record(read_record(names.status).get('analysis'))
        for names in sorted(records, key=lambda n: n.stem)
    )
    return [analysis for analysis in found if analysis is not None]


def _ready_made(records: Collection[Naming]) -> set[str]:
    """Which files of other programs were given for some of the scans."""
    inputs = [read_record(names.status).get('inputs') for names in records]
    return {key for given in inputs if isinstance(given, dict) for key in given if key in READY_MADE}


def _unused(short: str, long: str, taken: Collection[str]) -> str:
    return long if short in taken else short


def _section(names: Naming) -> ScanSection | None:
    """What the page shows of a scan; None if it is not finished, or its tables are not there, or damaged."""
    status, stats = read_record(names.status), read_record(names.anat('stats', '.json', desc='pvs'))
    if not status or not stats:
        return None
    try:
        regions = read_rows(names.anat('stats', '.tsv', desc='pvs'), REGION_COLUMNS)
        clusters = read_rows(names.anat('dseg', '.tsv', desc='pvs'), CLUSTER_COLUMNS)
    except InputError:
        return None
    return ScanSection(
        name=_name_of(status, names),
        stem=names.stem,
        regions=regions,
        clusters=clusters,
        stats=stats,
        descriptions=read_record(names.anat('dseg', '.json', desc='pvs')),
        quality=_optional_rows(names.anat('stats', '.tsv', desc='qc'), QUALITY_COLUMNS),
        measures=_measures(names),
        labels=_optional_rows(names.anat('dseg', '.tsv', seg='regions'), ('index', 'name')),
        figures=_figures(names),
        command=command(status, names),
    )


def _measures(names: Naming) -> dict[str, Any]:
    """What the measures of quality are, by name; empty if their sidecar is damaged, or not there."""
    measures = read_record(names.anat('stats', '.json', desc='qc')).get('Measures')
    return measures if isinstance(measures, dict) else {}


def _optional_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a table that older results do not have; none if it is damaged."""
    try:
        return read_rows(path, columns)
    except InputError:
        return []


def _figures(names: Naming) -> dict[str, Path]:
    """Pictures, and images of the viewer, that are there."""
    found = {}
    for descs, extensions in (
        (CAPTIONS, ('.webp', '.png')),
        (('clusters',), ('.webp',)),
        (IMAGES, ('.nii.gz',)),
    ):
        for desc in descs:
            paths = (names.figure(desc, extension) for extension in extensions)
            if path := next((p for p in paths if p.exists()), None):
                found[desc] = path
    return found


def _name_of(status: dict[str, object], names: Naming) -> str:
    """Name of the file in which the anatomy was found."""
    inputs = status.get('inputs')
    files = [inputs.get(key) for key in ('t1w', 't2w')] if isinstance(inputs, dict) else []
    return next((str(file[0]) for file in files if isinstance(file, list) and file), names.stem)
