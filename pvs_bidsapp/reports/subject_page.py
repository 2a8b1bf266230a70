"""The page of a subject and session: one self-contained HTML file."""

from __future__ import annotations

import base64
import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from .. import __version__

CAPTIONS = {
    'pvs': 'Perivascular spaces (red outlines) on the axial sections of the T1w that hold most of them. '
    'Above each section, the same section without outlines. The left of the figure is the left of the brain.',
    'brain': 'Brain mask (yellow) over the bias corrected T1w.',
    'regions': 'Regions that are searched for perivascular spaces: deep white matter (blue), basal ganglia '
    '(green), midbrain and hippocampus (violet).',
    't2w': 'Outline of dark tissue of the T1w (yellow) over the registered T2w. It should follow the CSF.',
}


@dataclass(frozen=True, kw_only=True)
class ScanSection:
    """What the page shows of one scan.

    Attributes
    ----------
    name : str
        Name of the T1w.
    region_table, cluster_table : Path
        TSV files.
    stats : Path
        Sidecar of the region statistics.
    figures : dict of str to Path
        Pictures by ``desc``.
    """

    name: str
    region_table: Path
    cluster_table: Path
    stats: Path
    figures: dict[str, Path]


def render(
    title: str, sections: list[ScanSection], errors: dict[str, str], methods: str, *, state: str = ''
) -> str:
    """The page's HTML; pictures are inside, nothing is loaded from elsewhere.

    Parameters
    ----------
    title : str
    sections : list of ScanSection
    errors : dict of str to str
        What went wrong, by name of the scan.
    methods : str
        Paragraph for a methods section.
    state : str
        For the head of the page, where `pvs_bidsapp.outputs.reports` looks for it.
    """
    environment = Environment(loader=PackageLoader('pvs_bidsapp.reports'), autoescape=True)
    return environment.get_template('subject.html').render(
        title=title,
        version=__version__,
        sections=[_content(s) for s in sections],
        errors=errors,
        methods=methods,
        state=state,
    )


def _content(section: ScanSection) -> dict[str, Any]:
    stats = json.loads(section.stats.read_text(encoding='utf-8'))
    grades = stats.pop('EstimatedVisualGrades', {})
    clusters = _rows(section.cluster_table)
    findings = stats.get('InputFindings', [])
    keys = (
        'ModelName', 'ModelVersion', 'ModelSHA256', 'Threshold', 'MinimumClusterSize', 'Device',
        'RandomSeed', 'TemplateCorrelation', 'SoftwareVersions',
    )  # fmt: skip
    return {
        'name': section.name,
        'findings': [(f['Finding'], f['Mend']) for f in findings],
        'regions': _rows(section.region_table),
        'clusters': clusters[:50],
        'n_clusters': len(clusters),
        'grades': [(g['Description'], g['Value']) for g in grades.values()],
        'settings': [(k, stats[k]) for k in keys if k in stats],
        'figures': [
            (desc, CAPTIONS.get(desc, desc), _data_uri(section.figures[desc]))
            for desc in (*CAPTIONS,)
            if desc in section.figures
        ],
    }


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding='utf-8')), delimiter='\t'))


def _data_uri(path: Path) -> str:
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()
