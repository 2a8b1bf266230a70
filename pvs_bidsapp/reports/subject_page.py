"""The page of a subject and session: one self-contained HTML file."""

from __future__ import annotations

import hashlib
import mimetypes
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..clusters.burden import COVERAGE
from . import columns, html
from .columns import CLUSTERS, DASH, REGIONS, fixed, shown_columns
from .contact_sheet import COLUMNS as SHEET_COLUMNS
from .contact_sheet import MOST as MOST_PICTURES
from .palette import group_of
from .viewer import IMAGES, SCANS, encode, niivue_module

#: Pictures of the page by ``desc``, with their captions.
CAPTIONS = {
    'glass': 'All perivascular spaces, seen through the brain and coloured by region. The left hemisphere is '
    'seen from the left, the right one from the right; in the others the left is the left of the brain.',
    'grades': 'The axial sections from which the grades are estimated, plain, and with the spaces that are '
    'counted (orange) and others (grey).',
    'brain': 'Brain mask (yellow) over the bias-corrected scan.',
    'regions': 'Regions that are searched for perivascular spaces, in the colours of the first picture.',
    't2w': 'Outline of dark tissue of the T1w (yellow) over the registered T2w. It should follow the CSF.',
}
#: Pictures that are shown under Quality.
QUALITY_FIGURES = ('brain', 'regions', 't2w')
#: Columns of the tables that the page needs.
REGION_COLUMNS = (
    'region', 'hemisphere', 'count', 'volume_mm3', 'volume_fraction', 'mean_length_mm', 'mean_width_mm',
)  # fmt: skip
CLUSTER_COLUMNS = (
    'index', 'name', 'region', 'hemisphere', 'volume_mm3', 'n_voxels', 'x_mm', 'y_mm', 'z_mm', 'length_mm',
    'width_mm', 'linearity', 'mni_x_mm', 'mni_y_mm', 'mni_z_mm', 'mean_probability',
)  # fmt: skip
QUALITY_COLUMNS = ('metric', 'value')
#: Decimals of the measures of quality by their unit; 3 without one.
QUALITY_DECIMALS = {'mm': 1, 'mm3': 2, 'ml': 0}
#: Columns of the table of marks that the page gives, in its order.
MARK_COLUMNS = ('index', 'mark', 'x_mm', 'y_mm', 'z_mm', 'volume_mm3', 'n_voxels', 'region', 'hemisphere')
#: Measures whose distributions are shown, with their column, unit and decimals.
MEASURES = {
    'length': ('length_mm', 'mm', 1),
    'width': ('width_mm', 'mm', 1),
    'volume': ('volume_mm3', 'mm³', 0),
}
_BARS = 16
#: Expected values of a region with the ends of their intervals, by heading.
EXPECTED = {
    f'expected number ({100 * COVERAGE:.0f} % interval)': (
        'expected_count',
        'expected_count_low',
        'expected_count_high',
    ),
    f'expected volume (mm³; {100 * COVERAGE:.0f} % interval)': (
        'expected_volume_mm3',
        'expected_volume_low_mm3',
        'expected_volume_high_mm3',
    ),
}
_SETTINGS = (
    'ModelName', 'ModelVersion', 'ModelSHA256', 'Threshold', 'MinimumClusterSize', 'Device', 'Engine',
    'Precision', 'RandomSeed', 'TemplateCorrelation', 'SoftwareVersions',
)  # fmt: skip

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ScanSection:
    """What the page shows of one scan.

    Attributes
    ----------
    name : str
        Name of the T1w.
    stem : str
        Its entities: begin of the names of its outputs.
    regions, clusters : list of dict
        Rows of the tables: text by column, with `REGION_COLUMNS` and `CLUSTER_COLUMNS`.
    stats : dict
        Sidecar of the region statistics.
    descriptions : dict
        Sidecar of the cluster table: descriptions by column.
    quality : list of dict
        Rows of the table of quality, with `QUALITY_COLUMNS`.
    figures : dict of str to Path
        Pictures, and images of the viewer, by ``desc``.
    measures : dict
        What the measures of quality are, by name: objects with a ``Description``.
    labels : list of dict
        Rows of the table of the region map: ``index name``.
    command : str
        Which gives these results again.
    """

    name: str
    stem: str
    regions: list[Row]
    clusters: list[Row]
    stats: dict[str, Any]
    figures: dict[str, Path]
    descriptions: dict[str, Any] = field(default_factory=dict)
    quality: list[Row] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)
    labels: list[Row] = field(default_factory=list)
    command: str = ''


def render(
    title: str,
    sections: list[ScanSection],
    errors: dict[str, str],
    methods: str,
    *,
    references: str = '',
    state: str = '',
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
    references : str
        The papers that it names, as BibTeX.
    state : str
        For the head of the page, where `pvs_bidsapp.outputs.reports` looks for it.
    """
    is_viewed = any({*SCANS} & {*section.figures} for section in sections)
    return html.template('subject.html').render(
        title=title,
        version=__version__,
        sections=[_content(s) for s in sections],
        errors=errors,
        methods=methods,
        references=references,
        state=state,
        niivue=niivue_module() if is_viewed else None,
    )


def _content(section: ScanSection) -> dict[str, Any]:
    stats, figures = section.stats, section.figures
    return {
        'name': section.name,
        'stem': section.stem,
        'command': section.command,
        'headline': headline(section.clusters) + agreement(section.quality),
        'findings': _pairs(stats.get('InputFindings'), 'Finding', 'Mend'),
        'regions': _region_table(section.regions),
        'clusters': _cluster_table(section),
        'distributions': [d for name in MEASURES if (d := distribution(name, section.clusters))],
        'grades': _grades(stats.get('EstimatedVisualGrades')),
        'quality': [_quality(row, section.measures) for row in section.quality],
        'settings': [(key, stats[key]) for key in _SETTINGS if key in stats],
        'figures': {d: (text, _data_uri(figures[d])) for d, text in CAPTIONS.items() if d in figures},
        'quality_figures': [desc for desc in QUALITY_FIGURES if desc in figures],
        'sheet': _sheet(figures.get('clusters'), len(section.clusters)),
        'volumes': {name: encode(figures[name].read_bytes()) for name in IMAGES if name in figures},
        'data': html.as_json(_script_data(section)),
    }


def headline(clusters: list[Row]) -> list[str]:
    """Sentences on how many spaces there are, how much they take, and where they are.

    Parameters
    ----------
    clusters : list of dict
        Rows of the cluster table.
    """
    if not clusters:
        return ['No perivascular space was found.']
    volumes = np.array([_number(row['volume_mm3']) for row in clusters])
    counts = Counter(group_of(row['region']).name for row in clusters)
    places = ', '.join(f'{count} in the {name}' for name, count in counts.most_common())
    largest = clusters[int(np.nan_to_num(volumes).argmax())]
    side = '' if largest['hemisphere'] == 'both' else f', {largest["hemisphere"]}'
    size, length = fixed(largest['volume_mm3'], 1), fixed(largest['length_mm'], 1)
    shape = f'measures {size} mm³ and is {length} mm long ({largest["region"]}{side}).'
    if len(clusters) == 1:
        return [f'1 perivascular space was found: {places}.', f'It {shape}']
    total, large = fixed(np.nansum(volumes), 0), int((volumes >= 5).sum())
    verb = 'measures' if large == 1 else 'measure'
    return [
        f'{len(clusters)} perivascular spaces were found: {places}.',
        f'Together they take {total} mm³; {large} {verb} 5 mm³ or more.',
        f'The largest, {largest["name"]}, {shape}',
    ]


def agreement(quality: list[Row]) -> list[str]:
    """A sentence on how good the mask should be, if that was measured.

    Parameters
    ----------
    quality : list of dict
        Rows of the table of quality.
    """
    values = {row['metric']: _number(row['value']) for row in quality}
    dice = values.get('expected_dice', float('nan'))
    if not np.isfinite(dice):
        return []
    by = f'by a Dice of {fixed(dice, 2)} (1 is perfect)'
    return [f"By the network's probabilities, the mask should agree with the spaces that are there {by}."]


def _number(text: str) -> float:
    """A cell as a number; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return float('nan')


def distribution(measure: str, clusters: list[Row]) -> dict[str, Any] | None:
    """Numbers of clusters by a measure, as bars.

    Parameters
    ----------
    measure : str
        One of `MEASURES`.
    clusters : list of dict
        Rows of the cluster table.

    Returns
    -------
    content : dict or None
        ``name unit median most`` and ``bars``: lower and upper end, number, and share of the highest bar. The
        last bar holds all clusters above the 99th percentile. None if no cluster has the measure.
    """
    column, unit, decimals = MEASURES[measure]
    values = np.array([_number(row[column]) for row in clusters])
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    top = max(float(np.percentile(values, 99)), 1e-6)
    edges = np.linspace(0, top, _BARS + 1)
    counts, _ = np.histogram(np.minimum(values, top), edges)
    most = int(counts.max())
    ends = [fixed(edge, decimals) for edge in edges]
    return {
        'name': measure,
        'unit': unit,
        'median': fixed(np.median(values), decimals),
        'most': most,
        'ends': ends,
        'bars': [
            {
                'span': f'{ends[k]} to {ends[k + 1]} {unit}' if k < _BARS - 1 else f'from {ends[k]} {unit}',
                'count': int(count),
                'share': round(float(count) / most, 4),
            }
            for k, count in enumerate(counts)
        ],
    }


def _region_table(rows: list[Row]) -> dict[str, Any]:
    """Headings and cells; the expected numbers stand with their intervals."""
    header = list(rows[0]) if rows else list(REGION_COLUMNS)
    shown = shown_columns(REGIONS, header)
    expected = {heading: names for heading, names in EXPECTED.items() if set(names) <= set(header)}
    return {
        'headings': [column.heading for column in shown.values()] + list(expected),
        'rows': [
            {
                'cells': [column.show(row[name]) for name, column in shown.items()]
                + [_with_interval(*(row[name] for name in names)) for names in expected.values()],
                'is_total': _is_total(row, rows),
                'colour': 'transparent' if row['region'] == 'all' else group_of(row['region']).colour,
            }
            for row in rows
        ],
    }


def _is_total(row: Row, rows: list[Row]) -> bool:
    """Whether a row sums up others: those of its parts, or of both hemispheres."""
    parts = sum(other['region'].startswith(row['region']) for other in rows)
    return row['hemisphere'] == 'both' and (row['region'] == 'all' or parts > 1)


def _with_interval(value: str, low: str, high: str) -> str:
    """An expected value and its interval."""
    if columns.MISSING in (value, low, high):
        return DASH
    return f'{fixed(value, 0)} ({fixed(low, 0)} to {fixed(high, 0)})'


def _cluster_table(section: ScanSection) -> dict[str, Any]:
    rows = section.clusters
    shown = shown_columns(CLUSTERS, list(rows[0]) if rows else list(CLUSTER_COLUMNS))
    titles = {
        name: text['Description']
        for name, text in section.descriptions.items()
        if isinstance(text, dict) and isinstance(text.get('Description'), str)
    }
    return {
        'headings': [(c.heading, titles.get(name, ''), c.decimals is not None) for name, c in shown.items()],
        'rows': [
            {
                'index': row['index'],
                'name': row['name'],
                'colour': group_of(row['region']).colour,
                'cells': [
                    (column.show(row[name]), column.decimals is None) for name, column in shown.items()
                ],
                'label': f'{row["name"]}, {row["region"]}, {row["hemisphere"]}, '
                f'{fixed(row["volume_mm3"], 1)} mm³',
            }
            for row in rows
        ],
    }


def _script_data(section: ScanSection) -> dict[str, Any]:
    """What the page's script knows of a scan."""
    clusters = [{name: row[name] for name in MARK_COLUMNS if name != 'mark'} for row in section.clusters]
    return {
        'stem': section.stem,
        'columns': MARK_COLUMNS,
        'table': hashlib.sha256(repr(clusters).encode()).hexdigest()[:16],
        'clusters': [
            own | {'name': row['name'], 'colour': group_of(row['region']).rgb}
            for own, row in zip(clusters, section.clusters, strict=True)
        ],
        'regions': [
            {'index': row['index'], 'name': row['name'], 'colour': group_of(row['name']).rgb}
            for row in section.labels
        ],
    }


def _grades(grades: Any) -> list[tuple[str, str, str]]:
    """Description, value and place of each estimated grade in a sidecar, which may be damaged."""
    entries = [*grades.values()] if isinstance(grades, dict) else []
    return [
        (str(entry['Description']), str(entry['Value']), _place(entry))
        for entry in entries
        if isinstance(entry, dict) and 'Description' in entry and 'Value' in entry
    ]


def _place(entry: dict[str, Any]) -> str:
    """How many spaces a grade stands on, and in which section they are."""
    parts = []
    if 'Count' in entry:
        parts.append(f'{entry["Count"]} spaces')
    if side := entry.get('Hemisphere'):
        parts.append('both hemispheres' if side == 'both' else f'{side} hemisphere')
    if entry.get('SectionMm') is not None:
        height = fixed(entry['SectionMm'], 1)
        place = f'{height.removeprefix("-")} mm {"below" if height.startswith("-") else "above"}'
        parts.append(f'section {place} the AC-PC plane')
    return ', '.join(parts) or DASH


def _quality(row: Row, measures: dict[str, Any]) -> dict[str, str]:
    """A measure of quality in words; value and range have the decimals of its unit."""
    unit, finding, described = row.get('unit', ''), row.get('finding', ''), measures.get(row['metric'])
    column = columns.Column('', QUALITY_DECIMALS.get(unit, 3))
    low, high = (column.show(row.get(end, '')) for end in ('low', 'high'))
    return {
        'metric': row['metric'],
        'description': str(described.get('Description', '')) if isinstance(described, dict) else '',
        'value': column.show(row['value']),
        'unit': '' if unit == columns.MISSING else unit.replace('mm3', 'mm³'),
        'range': DASH if low == high == DASH else f'{low} to {high}'.replace(DASH, '…'),
        'finding': '' if finding == columns.MISSING else finding,
    }


def _sheet(path: Path | None, number: int) -> dict[str, Any] | None:
    """The contact sheet, and how many clusters it shows; None without one."""
    if path is None or not number:
        return None
    return {'uri': _data_uri(path), 'columns': SHEET_COLUMNS, 'shown': min(number, MOST_PICTURES)}


def _pairs(entries: Any, first: str, second: str) -> list[tuple[Any, Any]]:
    """Two entries of each object in a list, which may be damaged, of a sidecar."""
    objects = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [(entry[first], entry[second]) for entry in objects if first in entry and second in entry]


def _data_uri(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or 'image/webp'
    return f'data:{kind};base64,{encode(path.read_bytes())}'
