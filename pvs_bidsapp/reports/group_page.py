"""The page of a cohort: one self-contained HTML file with sortable tables and interactive figures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from .. import __version__
from ..anatomy import template
from ..clusters.tables import to_tsv
from ..group.cohort import Cohort
from ..group.effects import NOTHING
from ..group.exclusions import level_text
from ..group.results import GroupOptions, GroupResults
from ..group.sites import POOLED
from ..messages.message import one_line
from . import html
from .columns import fixed, group_heading, measure_in_words
from .figures import pyplot
from .group_figures import as_choices, draw_figures

#: Template heights (mm) of the sections on which maps are drawn.
SECTIONS = (-18, -6, 2, 10, 22, 34, 46, 58)
#: Name of the table that describes the cohorts.
TABLE_ONE = 'Table 1'
#: Rows of a list of scans that the page shows; the tables hold all.
MOST_ROWS = 1000
#: Characters of a text in a cell.
LONGEST = 200
#: Columns of p-values; and below, decimals of numbers by what their columns are called.
_P_VALUES = ('p', 'q')
#: Columns whose cells are names of measures, which are shown in words.
_OF_MEASURES = ('outcome', 'measure')
_DECIMALS = {'mm3': 1, 'count': 1, 'fraction': 6, 'estimate': 4, 'standard_error': 4, 'ci_': 4}


def render(options: GroupOptions, cohort: Cohort, results: GroupResults) -> str:
    """Write the page's HTML; figures and numbers are inside, nothing is loaded from elsewhere.

    Parameters
    ----------
    options : GroupOptions
    cohort : Cohort
    results : GroupResults
    """
    tables = {
        TABLE_ONE: results.table_one,
        'Regions': results.summary,
        'Comparison of cohorts': results.comparison,
        'Effects of cohorts': results.effects,
        'Effects by site': results.sites,
        'Rating by number of clusters': results.rating,
        'Regression': results.regression,
        'Mixed models': results.mixed,
        'Change per year': results.change,
        'Two scans of one person': results.repeated if len(results.repeated) else None,
    }
    drawn = draw_figures(options, cohort, results)
    return html.template('group.html', shown=shown).render(
        version=__version__, options=options, notes=[shown(note, 2000) for note in results.notes],
        findings=[shown(f, 1000) for f in results.findings],
        missing=cohort.missing | cohort.without_scans,
        exclusions=_exclusions(results.exclusions), most_rows=MOST_ROWS,
        n_scans=len(cohort.scans), n_people=cohort.scans['participant_id'].nunique(),
        masks=shown(_masks(cohort)),
        outliers=[_outlier(r) for r in results.outliers.to_dict('records')],
        tables=[(name, _download(t), _plain(name, t)) for name, t in tables.items() if t is not None],
        scans=_scan_rows(cohort), drawn=drawn, choices=html.as_json(as_choices(drawn)),
        plotly=_plotly() if drawn else None,
        figures=_figures(cohort, results), confusion=_confusion(results),
        methods=shown(methods(options, cohort, results), 10_000),
    )  # fmt: skip


def _plotly() -> Markup:
    """The script of plotly, from its wheel."""
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def _masks(cohort: Cohort) -> str:
    """What made the masks, in words."""
    masks = cohort.masks
    words = f'model {masks.model}, threshold {masks.threshold}'
    if masks.min_cluster_size not in ('0', '0.0', 'None'):
        words += f', clusters from {masks.min_cluster_size} mm³'
    if masks.excluded_wmh:
        words += f', without clusters of which {masks.excluded_wmh} or more lies in lesions'
    return words


def methods(options: GroupOptions, cohort: Cohort, results: GroupResults) -> str:
    """Paragraph for a methods section."""
    people = cohort.scans['participant_id'].nunique()
    scans = len(cohort.scans)
    parts = [
        f'{scans} scans of {people} people, processed with the PVS BIDS-App {__version__} ({_masks(cohort)}).'
    ]
    if results.comparison is not None:
        sizes = ', '.join(f'{s:g}' for s in options.size_filters)
        matched = (
            f' after matching on {" and ".join(f"{c} ({r})" for c, r in results.matching.items())}'
            if results.matching
            else ''
        )
        parts.append(
            f'Cohorts were compared{matched} by the two-sample Kolmogorov-Smirnov test of the number of '
            f'clusters in deep white matter, with clusters below {sizes} mm3 left out; p was corrected over '
            'pairs (Holm).'
        )
    if options.rating:
        parts.append(
            f'The rating {options.rating} was regressed on the number of clusters by ordinal logistic '
            'regression (statsmodels OrderedModel) at each probability threshold; proportional odds were '
            'checked (Brant 1990).'
        )
    if results.regression is not None:
        covariates = options.formula or ' + '.join(options.covariates)
        parts.append(
            'Log-transformed volume and fraction (ordinary least squares, HC3 errors) and count (negative '
            f'binomial, HC1 errors) of each region were regressed on {covariates}; p was corrected over '
            'regions (Benjamini-Hochberg). Terms of the linear models were also tested by permutation '
            '(Freedman & Lane 1983).'
        )
    parts += effect_methods(options, results)
    return ' '.join([*parts, *results.notes])


def effect_methods(options: GroupOptions, results: GroupResults) -> list[str]:
    """Sentences on effect sizes, sites and change over time."""
    parts = []
    if results.effects is not None:
        adjusted = [c for c in results.effects['adjusted_for'].unique() if c != NOTHING]
        held = f', without confounders and with {" and with ".join(adjusted)} held' if adjusted else ''
        # of many pairs of cohorts there are none
        is_permuted = results.effects['p_permutation'].notna().any()
        tests = ' and permutation tests (Freedman & Lane 1983)' if is_permuted else ''
        parts.append(
            f"Differences of cohorts are Hedges' g of log-transformed measures{held}, with 95 % intervals "
            f'(Hedges & Olkin 1985){tests}.'
        )
    sites = results.sites
    if sites is not None and sites.loc[sites['site'] == POOLED, 'effect'].notna().any():
        parts.append(
            f'Effects at each {options.site or options.harmonize} were pooled by random-effects '
            'meta-analysis (DerSimonian & Laird 1986).'
        )
    if results.mixed is not None:
        parts.append('All scans were analysed by linear mixed models with an intercept for each person.')
    if results.change is not None:
        parts.append(
            f'Change per year, by {options.time}, is the mean of the slopes of people with several scans '
            '(t-interval; p by sign flips).'
        )
    return parts


def _plain(title: str, table: pd.DataFrame) -> dict[str, Any]:
    """Columns (heading, name) and rows as text, with the same decimals in all of a column."""
    # columns of table 1 are cohorts, whose names are the user's
    heading = group_heading if title != TABLE_ONE else str
    cells = [_column(str(name), table.iloc[:, k]) for k, name in enumerate(table.columns)]
    return {
        'columns': [(shown(heading(str(c))), shown(c)) for c in table.columns],
        'rows': [list(row) for row in zip(*cells, strict=True)],
    }


def _column(name: str, values: pd.Series) -> list[str]:
    """The cells of a column of the results, which are shown by what it is called."""
    if name in _OF_MEASURES:
        values = values.map(measure_in_words)
    is_p = name in _P_VALUES or name.startswith(('p_', 'q_'))
    if is_p and pd.api.types.is_float_dtype(values):
        return ['n/a' if pd.isna(v) else '<0.001' if v < 0.001 else f'{v:.3f}' for v in values]
    return _texts(values, next((n for end, n in _DECIMALS.items() if end in name), 3))


def _texts(values: pd.Series, most: int = 3) -> list[str]:
    """The cells of a column, whatever it is called; numbers have at most so many decimals."""
    if not pd.api.types.is_float_dtype(values):
        return [_cell(value) for value in values]
    known = values[np.isfinite(values)].to_numpy(float)
    decimals = next((n for n in range(most) if np.allclose(known, known.round(n), rtol=0, atol=1e-9)), most)
    return [_number(v, decimals) if np.isfinite(v) else 'n/a' for v in values]


def _number(value: float, decimals: int) -> str:
    """A number with fixed decimals; with two digits if these would make it 0, which it is not."""
    text = fixed(value, decimals)
    return f'{value:.2g}' if value and not float(text) else text


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return 'n/a'
    return f'{value:.4g}' if isinstance(value, float) else shown(value)


def shown(value: object, longest: int = LONGEST) -> str:
    """A text in one line, without signs that hide or reverse others, and cut if it is long.

    Parameters
    ----------
    value : object
    longest : int
        Characters.
    """
    text = one_line(str(value)[: 4 * longest])
    return text if len(text) <= longest else f'{text[: longest - 1]}…'


def _exclusions(table: pd.DataFrame) -> list[tuple[str, int, str, list[list[str]]]]:
    """Of each analysis: its name, how many it leaves out, the reasons with their numbers, and the list."""
    sections = []
    for analysis, part in table.groupby('analysis', sort=False):
        counts = part['reason'].value_counts()
        reasons = '; '.join(f'{n} {shown(reason, 60)}' for reason, n in counts.head(5).items())
        more = '; …' if len(counts) > 5 else ''
        rows = part[['scan', 'participant_id', 'reason']].head(MOST_ROWS)
        cells = [[_cell(v) for v in row] for row in rows.itertuples(index=False)]
        sections.append((shown(analysis), len(part), reasons + more, cells))
    return sections


def _outlier(row: Mapping[Any, Any]) -> dict[str, str]:
    measure = measure_in_words(str(row['measure']))
    return {str(k): _cell(v) for k, v in row.items()} | {
        'measure': _cell(measure),
        'report': _report(str(row['scan'])),
    }


def _report(scan: str) -> str:
    """File name of the page that shows a scan."""
    parts = [p for p in scan.split('_') if p.startswith(('sub-', 'ses-'))]
    return '_'.join(parts) + '.html'


def _download(table: pd.DataFrame | None) -> str:
    """The table as a data address, so that the page alone holds its numbers."""
    text = '' if table is None else to_tsv(table)
    return 'data:text/tab-separated-values;base64,' + base64.b64encode(text.encode()).decode()


def _scan_rows(cohort: Cohort) -> Markup:
    """The scans' table as JSON."""
    own = [
        'scan', 'count', 'volume_mm3', 'standard_volume_mm3', 'volume_fraction', 'dwm_count',
        'dwm_volume_mm3', 'qc_out_of_range',
    ]  # fmt: skip
    columns = [c for c in dict.fromkeys([*own, *cohort.columns]) if c in cohort.scans]
    headings = [shown(group_heading(c) if c in own else c) for c in columns]
    # what a column of the people is called says nothing about what it holds
    cells = [_column(c, cohort.scans[c]) if c in own else _texts(cohort.scans[c]) for c in columns]
    rows = [list(row) for row in zip(*cells, strict=True)]
    links = [_report(s) for s in cohort.scans['scan']]
    names = [shown(c) for c in columns]
    return html.as_json({'columns': names, 'headings': headings, 'rows': rows, 'links': links})


def _confusion(results: GroupResults) -> dict[str, Any] | None:
    fit = results.rating_fit
    if fit is None or fit.confusion is None:
        return None
    return {'levels': [level_text(v) for v in fit.levels], 'rows': fit.confusion.to_numpy().tolist()}


def _figures(cohort: Cohort, results: GroupResults) -> list[tuple[str, str]]:
    """Captions and pictures."""
    return [
        (f'Frequency of perivascular spaces, {shown(name)}', _map_figure(fraction))
        for name, fraction in results.maps.items()
    ]


def _map_figure(fraction: np.ndarray) -> str:
    plt = pyplot()
    atlas = template.load()
    background = atlas.t1w[::2, ::2, ::2]
    figure, axes = plt.subplots(1, len(SECTIONS), figsize=(16, 3.4), facecolor='black')
    top = max(float(np.percentile(fraction[fraction > 0], 99.5)) if (fraction > 0).any() else 0.0, 1e-3)
    for ax, z in zip(axes, SECTIONS, strict=True):
        k = round(float(z - atlas.affine[2, 3]) / 2)
        ax.imshow(background[:, :, k].T, origin='lower', cmap='gray')
        layer = np.ma.masked_less(fraction[:, :, k].T, 0.02 * top)
        drawn = ax.imshow(layer, origin='lower', cmap='hot', vmin=0, vmax=top, alpha=0.85)
        ax.set_title(f'z = {z} mm', color='white', fontsize=9)
        ax.axis('off')
    bar = figure.colorbar(drawn, ax=axes, fraction=0.012, pad=0.01, extend='max')
    bar.ax.tick_params(colors='white')
    bar.set_label('fraction of people, smoothed', color='white')
    return _png(plt, figure)


def _png(plt: Any, figure: Any) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format='png', dpi=85, facecolor=figure.get_facecolor())
    plt.close(figure)
    return 'data:image/png;base64,' + base64.b64encode(stream.getvalue()).decode()
