"""The page of each subject and session, made from the files in the output folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..bids.naming import Naming
from ..bids.query import Scan
from ..reports.subject_page import CAPTIONS, ScanSection, render
from ..runtime.files import write_text
from ..settings import Settings
from .methods import methods


def write_pages(scans: Sequence[Scan], settings: Settings, failed: dict[str, str]) -> list[Path]:
    """Write the page of every subject and session.

    Parameters
    ----------
    scans : sequence of Scan
    settings : Settings
    failed : dict of str to str
        Why a scan failed, by the name of its T1w.

    Returns
    -------
    pages : list of Path
    """
    by_page: dict[Path, list[Scan]] = {}
    for scan in scans:
        by_page.setdefault(Naming.of(settings.out_dir, scan.t1w).report, []).append(scan)
    for page, members in by_page.items():
        errors = {scan.t1w.name: failed[scan.t1w.name] for scan in members if scan.t1w.name in failed}
        finished = [scan for scan in members if scan.t1w.name not in errors]
        sections = [s for scan in finished if (s := _section(scan, settings)) is not None]
        write_text(page, render(f'Perivascular spaces: {page.stem}', sections, errors, methods(settings)))
    return list(by_page)


def _section(scan: Scan, settings: Settings) -> ScanSection | None:
    """What the page shows of a scan; None if the scan is not finished."""
    names = Naming.of(settings.out_dir, scan.t1w)
    if not names.status.exists():
        return None
    figures = {desc: names.figure(desc) for desc in CAPTIONS}
    return ScanSection(
        name=scan.t1w.name,
        region_table=names.anat('stats', '.tsv', desc='pvs'),
        cluster_table=names.anat('dseg', '.tsv', desc='pvs'),
        stats=names.anat('stats', '.json', desc='pvs'),
        figures={desc: path for desc, path in figures.items() if path.exists()},
    )
