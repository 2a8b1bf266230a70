"""The page of a subject and session: one self-contained HTML file."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from . import html

CAPTIONS = {
    'pvs': 'Perivascular spaces (red outlines) on the axial sections of the T1w that hold most of them. '
    'Above each section, the same section without outlines. The left of the figure is the left of the brain.',
    'brain': 'Brain mask (yellow) over the bias corrected T1w.',
    'regions': 'Regions that are searched for perivascular spaces: deep white matter (blue), basal ganglia '
    '(green), midbrain and hippocampus (violet).',
    't2w': 'Outline of dark tissue of the T1w (yellow) over the registered T2w. It should follow the CSF.',
}
#: Columns of the tables that the page shows.
REGION_COLUMNS = (
    'region', 'hemisphere', 'count', 'volume_mm3', 'volume_fraction', 'mean_length_mm', 'mean_width_mm',
)  # fmt: skip
CLUSTER_COLUMNS = (
    'name', 'region', 'hemisphere', 'volume_mm3', 'length_mm', 'width_mm', 'linearity',
    'mni_x_mm', 'mni_y_mm', 'mni_z_mm', 'mean_probability',
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ScanSection:
    """What the page shows of one scan.

    Attributes
    ----------
    name : str
        Name of the T1w.
    regions, clusters : list of dict
        Rows of the tables: text by column, with `REGION_COLUMNS` and `CLUSTER_COLUMNS`.
    stats : dict
        Sidecar of the region statistics.
    figures : dict of str to Path
        Pictures by ``desc``.
    """

    name: str
    regions: list[dict[str, str]]
    clusters: list[dict[str, str]]
    stats: dict[str, Any]
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
    return html.template('subject.html').render(
        title=title,
        version=__version__,
        sections=[_content(s) for s in sections],
        errors=errors,
        methods=methods,
        state=state,
    )


def _content(section: ScanSection) -> dict[str, Any]:
    stats = section.stats
    grades = stats.get('EstimatedVisualGrades')
    keys = (
        'ModelName', 'ModelVersion', 'ModelSHA256', 'Threshold', 'MinimumClusterSize', 'Device',
        'Engine', 'Precision', 'RandomSeed', 'TemplateCorrelation', 'SoftwareVersions',
    )  # fmt: skip
    return {
        'name': section.name,
        'findings': _pairs(stats.get('InputFindings'), 'Finding', 'Mend'),
        'regions': section.regions,
        'clusters': section.clusters[:50],
        'n_clusters': len(section.clusters),
        'grades': _pairs([*grades.values()] if isinstance(grades, dict) else None, 'Description', 'Value'),
        'settings': [(k, stats[k]) for k in keys if k in stats],
        'figures': [
            (desc, CAPTIONS.get(desc, desc), _data_uri(section.figures[desc]))
            for desc in (*CAPTIONS,)
            if desc in section.figures
        ],
    }


def _pairs(entries: Any, first: str, second: str) -> list[tuple[Any, Any]]:
    """Two entries of each object in a list, which may be damaged, of a sidecar."""
    objects = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [(entry[first], entry[second]) for entry in objects if first in entry and second in entry]


def _data_uri(path: Path) -> str:
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()
