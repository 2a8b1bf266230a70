"""The interactive figures of a cohort's page, as plotly draws them.

Text in them is that of people: plotly takes some of it for markup, from which `plain` keeps it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..group import collect, distributions
from ..group.cohort import Cohort
from ..group.effects import NOTHING
from ..group.exclusions import level_text
from ..group.mixed import years_since_first
from ..group.results import GroupOptions, GroupResults
from ..group.sites import HEDGES, ONE, POOLED
from ..messages.message import one_line
from .columns import measure_in_words
from .palette import SERIES

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: Points of a line; people that are shown as points; choices of a figure.
MOST_POINTS, MOST_DOTS, MOST_CHOICES = 1000, 2000, 200
#: Characters of a text in a figure.
LONGEST = 60
#: Measures of a scan, with their names.
MEASURES = {
    'count': 'number of spaces', 'volume_mm3': 'volume (mm³)',
    'standard_volume_mm3': 'volume, standardised (mm³)',
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An interactive figure, of which a reader chooses one of several.

    Attributes
    ----------
    key : str
        Its name in the page.
    title, caption : str
        The caption says in words what is drawn.
    choices : list of (str, dict)
        Names of the choices, and what plotly draws, as JSON.
    """

    key: str
    title: str
    caption: str
    choices: list[tuple[str, dict[str, Any]]]


def cut(text: object) -> str:
    """Text in one line, without its end if it is long."""
    line = one_line(str(text)[: 4 * LONGEST])
    return line if len(line) <= LONGEST else f'{line[: LONGEST - 1]}…'


def plain(text: object) -> str:
    """Text for a figure: cut, and without signs that plotly takes for markup."""
    return escape(cut(text), quote=False)


def draw_figures(options: GroupOptions, cohort: Cohort, results: GroupResults) -> list[Figure]:
    """Draw all figures for which there are results.

    Parameters
    ----------
    options : GroupOptions
    cohort : Cohort
    results : GroupResults
    """
    made = [
        _distributions(options, results),
        _effects(results.effects),
        _sites(results.sites),
        _forest(results.regression),
        _covariates(options, cohort, results),
        _mixed(results.mixed),
        _change(results.change),
        _courses(options, cohort),
        _rating(options, cohort, results),
        _thresholds(results.rating),
        _repeated(cohort.scans, results.repeated),
    ]
    return [figure for figure in made if figure is not None and figure.choices]


def _new(**layout: Any) -> go.Figure:
    """An empty figure without colours of its own: the page gives those of its scheme."""
    import plotly.graph_objects as go

    return go.Figure(layout={'template': 'none', 'margin': {'l': 70, 'r': 20, 't': 30, 'b': 60}} | layout)


def _as_json(figure: go.Figure) -> dict[str, Any]:
    return json.loads(figure.to_json(engine='json'))


def _numbers(values: Any) -> list[float | None]:
    """Finite numbers as a list, which JSON can hold."""
    array = np.asarray(values, float)
    return [float(f'{v:.6g}') if np.isfinite(v) else None for v in array]


def _thin(values: np.ndarray) -> np.ndarray:
    """Indices of at most `MOST_POINTS` values, the first and the last among them."""
    return np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).round().astype(int))


def _distributions(options: GroupOptions, results: GroupResults) -> Figure | None:
    measures = MEASURES | {'dwm_volume_mm3': 'deep white matter: volume (mm³)'}
    measures |= {
        distributions.column(size): f'deep white matter: number of clusters of {size:g} mm³ or more'
        for size in options.size_filters
    }
    choices = [
        (title, _as_json(_distribution(results.cohorts, column, title)))
        for column, title in measures.items()
        if all(column in part for part in results.cohorts.values())
    ]
    return Figure(
        key='distributions',
        title='Distributions',
        caption='Fraction of people with at most so much, by cohort; below it median, quartiles and range.',
        choices=choices if results.cohorts else [],
    )


def _distribution(cohorts: dict[str, pd.DataFrame], column: str, title: str) -> go.Figure:
    """Cumulative fractions above, boxes below, on one axis."""
    figure = _new(
        xaxis={'title': {'text': title}, 'rangemode': 'tozero', 'anchor': 'y2'},
        yaxis={'title': {'text': 'fraction of people'}, 'domain': [0.35, 1], 'range': [0, 1.02]},
        yaxis2={'domain': [0, 0.28], 'showticklabels': False},
    )
    for k, (name, part) in enumerate(cohorts.items()):
        values = np.sort(part[column].dropna().to_numpy(float))
        if not values.size:
            continue
        colour, label = SERIES[k % len(SERIES)], f'{plain(name)} (n = {len(values)})'
        kept = _thin(values)
        share = (np.arange(len(values)) + 1) / len(values)
        figure.add_scatter(
            x=_numbers(values[kept]), y=_numbers(share[kept]), name=label, mode='lines',
            line={'shape': 'hv', 'color': colour}, legendgroup=str(k),
        )  # fmt: skip
        figure.add_box(
            x=_numbers(values[kept]), name=label, yaxis='y2', marker={'color': colour}, boxpoints=False,
            legendgroup=str(k), showlegend=False,
        )  # fmt: skip
    return figure


def _forest(table: pd.DataFrame | None) -> Figure | None:
    """One choice for each outcome and term."""
    if table is None or table.empty:
        return None
    choices = _forests(table, ['outcome', 'term'], 'estimate', 'coefficient of {1}')
    return Figure(
        key='forest',
        title='Regression by region',
        caption='Coefficient of each region with its 95 % interval; filled where q, which is corrected over '
        'the regions, is below 0.05.',
        choices=choices,
    )


def _effects(table: pd.DataFrame | None) -> Figure | None:
    """One choice for each outcome, pair of cohorts and set of confounders."""
    if table is None:
        return None
    # adjusted effects are to be seen first
    choices = _forests(
        table.sort_values('adjusted_for', key=lambda c: c == NOTHING, kind='stable'),
        ['outcome', 'cohort_2', 'cohort_1', 'adjusted_for'], 'g', "Hedges' g of {1} minus {2}",
        name='{0}: {1} - {2}, adjusted for {3}',
    )  # fmt: skip
    return Figure(
        key='effects',
        title='Effects of cohorts by region',
        caption="Hedges' g of each region with its 95 % interval: right of 0, the first-named cohort has "
        'more. Filled where q, which is corrected over the regions, is below 0.05.',
        choices=choices,
    )


def _sites(table: pd.DataFrame | None) -> Figure | None:
    """One choice for each outcome, contrast and region; nothing where no sites are named."""
    if table is None or set(table['site']) <= {ONE}:
        return None
    known = _in_words(table[(table['hemisphere'] == 'both') & table['effect'].notna()])
    keys = ['outcome', 'contrast', 'measure', 'region']
    choices = []
    for (outcome, contrast, measure, region), part in islice(known.groupby(keys, sort=False), MOST_CHOICES):
        rows = part.iloc[::-1]
        labels = [f'{site} (n = {n:.0f})' for site, n in zip(rows['site'], rows['n'], strict=True)]
        axis = f"Hedges' g of {contrast}" if measure == HEDGES else f"Fisher's z of {contrast}"
        drawn = _forest_of(rows.assign(estimate=rows['effect']), labels, axis, rows['site'] == POOLED)
        choices.append((f'{cut(region)}: {cut(outcome)}: {cut(contrast)}', _as_json(drawn)))
    return Figure(
        key='sites',
        title='Effects by site',
        caption='Effect size at each site with its 95 % interval, and filled the random-effects mean of all.',
        choices=choices,
    )


def _mixed(table: pd.DataFrame | None) -> Figure | None:
    if table is None:
        return None
    return Figure(
        key='mixed',
        title='Mixed models by region',
        caption='Coefficient of each region, of all scans, with its 95 % interval; filled where q is below '
        '0.05.',
        choices=_forests(table, ['outcome', 'term'], 'estimate', 'coefficient of {1}'),
    )


def _change(table: pd.DataFrame | None) -> Figure | None:
    if table is None:
        return None
    return Figure(
        key='change',
        title='Change per year by region',
        caption='Mean of the slopes of people who were scanned several times, with its 95 % interval; filled '
        'where q is below 0.05.',
        choices=_forests(table, ['outcome', 'cohort'], 'change_per_year', '{0} per year, {1}'),
    )


def _courses(options: GroupOptions, cohort: Cohort) -> Figure | None:
    """Each person's measures over time."""
    if options.time is None:
        return None
    scans = cohort.scans.assign(
        years=years_since_first(cohort.scans[options.time], cohort.scans['participant_id'])
    ).dropna(subset=['years'])
    choices = [
        (title, _as_json(_course(scans, measure, title)))
        for measure, title in MEASURES.items()
        if measure in scans
    ]
    return Figure(
        key='courses',
        title='Measures over time',
        caption='One line a person, from the first scan on.',
        choices=choices,
    )


def _course(scans: pd.DataFrame, measure: str, title: str) -> go.Figure:
    figure = _new(
        xaxis={'title': {'text': 'years since the first scan'}, 'rangemode': 'tozero'},
        yaxis={'title': {'text': title}, 'rangemode': 'tozero'},
        showlegend=False,
    )
    x: list[float | None] = []
    y: list[float | None] = []
    names: list[str] = []
    for who, part in islice(scans.sort_values('years').groupby('participant_id'), MOST_DOTS):
        # a gap ends the line of a person
        x += [*_numbers(part['years']), None]
        y += [*_numbers(part[measure]), None]
        names += [plain(who)] * (len(part) + 1)
    figure.add_scatter(
        x=x, y=y, text=names, mode='lines+markers', opacity=0.6, marker={'color': SERIES[0], 'size': 5},
        line={'color': SERIES[0], 'width': 1}, connectgaps=False,
    )  # fmt: skip
    return figure


def _forests(
    table: pd.DataFrame, keys: list[str], value: str, axis: str, *, name: str = '{0}: {1}'
) -> list[tuple[str, dict[str, Any]]]:
    """One choice for each group of rows, of which `keys` are named by number in `axis` and `name`."""
    if value not in table:
        return []
    known = _in_words(table.dropna(subset=[value, 'ci_low', 'ci_high']))
    choices = []
    for key, part in islice(known.groupby(keys, sort=False), MOST_CHOICES):
        # the first region of the table at the top
        rows = part.sort_index(ascending=False)
        labels = [f'{r}, {side}' for r, side in zip(rows['region'], rows['hemisphere'], strict=True)]
        words = [cut(word) for word in key]
        drawn = _forest_of(rows.assign(estimate=rows[value]), labels, axis.format(*words), rows['q'] < 0.05)
        choices.append((name.format(*words), _as_json(drawn)))
    return choices


def _in_words(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose outcomes are named as its pages head them."""
    return table.assign(outcome=table['outcome'].map(measure_in_words))


def _forest_of(rows: pd.DataFrame, labels: Sequence[str], axis: str, filled: pd.Series) -> go.Figure:
    estimate = rows['estimate'].to_numpy(float)
    symbols = np.where(filled, 'circle', 'circle-open')
    figure = _new(
        xaxis={'title': {'text': plain(axis)}, 'zeroline': True},
        yaxis={'automargin': True, 'type': 'category'},
        height=140 + 22 * len(rows),
    )
    figure.add_scatter(
        x=_numbers(estimate), y=[plain(label) for label in labels], mode='markers',
        marker={'color': SERIES[0], 'size': 9, 'symbol': symbols.tolist()},
        error_x={
            'type': 'data', 'symmetric': False, 'color': SERIES[0],
            'array': _numbers(rows['ci_high'] - estimate), 'arrayminus': _numbers(estimate - rows['ci_low']),
        },
        showlegend=False,
    )  # fmt: skip
    return figure


def _covariates(options: GroupOptions, cohort: Cohort, results: GroupResults) -> Figure | None:
    """Each covariate of the regression, with each measure."""
    if results.regression is None:
        return None
    scans = collect.first_scans(cohort.scans)
    words = options.covariates or re.findall(r'\w+', options.formula or '')
    names = [name for name in dict.fromkeys(words) if name in scans and name not in MEASURES]
    pairs = [(name, measure) for name in names for measure in MEASURES if measure in scans]
    choices = []
    for name, measure in pairs[:MOST_CHOICES]:
        known = scans[[name, measure, 'scan']].dropna()
        drawn = _covariate(known, name, measure, MEASURES[measure])
        choices.append((f'{MEASURES[measure]} by {cut(name)}', _as_json(drawn)))
    return Figure(
        key='covariates',
        title='Measures by covariate',
        caption='One point a person. The line is one of least squares with its 95 % interval, without '
        'the other covariates; levels have boxes.',
        choices=choices,
    )


def _covariate(known: pd.DataFrame, name: str, measure: str, title: str) -> go.Figure:
    figure = _new(xaxis={'title': {'text': plain(name)}}, yaxis={'title': {'text': title}}, showlegend=False)
    y = known[measure].to_numpy(float)
    if not pd.api.types.is_numeric_dtype(known[name]) or pd.api.types.is_bool_dtype(known[name]):
        for k, (level, part) in enumerate(known.groupby(known[name].map(level_text))):
            values = _numbers(part[measure].iloc[:MOST_DOTS])
            figure.add_box(
                y=values, name=plain(level), boxpoints='all', marker={'color': SERIES[k % len(SERIES)]}
            )
        return figure
    x = known[name].to_numpy(float)
    for line in _fitted(x, y):
        figure.add_trace(line)
    dots = slice(MOST_DOTS)
    figure.add_scatter(
        x=_numbers(x[dots]), y=_numbers(y[dots]), mode='markers',
        text=[plain(name) for name in known['scan'][dots]],
        marker={'color': SERIES[0], 'opacity': 0.6},
    )  # fmt: skip
    return figure


def _fitted(x: np.ndarray, y: np.ndarray) -> Iterator[dict[str, Any]]:
    """Least squares and the 95 % interval of the mean; nothing if there is no line."""
    from statsmodels.regression.linear_model import OLS

    if len(x) < 3 or np.ptp(x) == 0:
        return
    grid = np.linspace(x.min(), x.max(), 50)
    centre, scale = x.mean(), x.std()
    design, points = (np.column_stack([np.ones(len(v)), (v - centre) / scale]) for v in (x, grid))
    found = OLS(y, design).fit().get_prediction(points)
    low, high = found.conf_int().T
    line = {'type': 'scatter', 'mode': 'lines', 'hoverinfo': 'skip'}
    yield line | {'x': _numbers(grid), 'y': _numbers(low), 'line': {'width': 0}}
    yield line | {
        'x': _numbers(grid), 'y': _numbers(high), 'line': {'width': 0}, 'fill': 'tonexty',
        'fillcolor': 'rgba(230,159,0,0.25)',
    }  # fmt: skip
    yield line | {'x': _numbers(grid), 'y': _numbers(found.predicted_mean), 'line': {'color': SERIES[1]}}


def _rating(options: GroupOptions, cohort: Cohort, results: GroupResults) -> Figure | None:
    """Clusters by grade, and the probability of each grade by the number of clusters."""
    fit, column = results.rating_fit, collect.threshold_column(cohort.threshold)
    if fit is None or not fit.cuts or options.rating not in cohort.scans or column not in cohort.scans:
        return None
    scans = collect.first_scans(cohort.scans)
    grades, numbers = pd.to_numeric(scans[options.rating], errors='coerce'), scans[column]
    figure = _new(
        xaxis={'title': {'text': 'clusters in deep white matter'}, 'rangemode': 'tozero', 'anchor': 'y2'},
        yaxis={'title': {'text': 'probability'}, 'domain': [0.5, 1], 'range': [0, 1.02]},
        yaxis2={'title': {'text': 'grade'}, 'domain': [0, 0.42], 'type': 'category'},
    )
    grid = np.linspace(0, float(numbers.max()), 200)
    curves = fit.probabilities(grid)
    for k, level in enumerate(fit.levels):
        colour, name = SERIES[k % len(SERIES)], plain(level_text(level))
        figure.add_scatter(
            x=_numbers(grid),
            y=_numbers(curves[:, k]),
            mode='lines',
            name=f'grade {name}',
            line={'color': colour},
        )
        own = numbers[grades == level].dropna().to_numpy(float)[:MOST_DOTS]
        figure.add_box(
            x=_numbers(own),
            name=name,
            yaxis='y2',
            boxpoints='all',
            marker={'color': colour},
            showlegend=False,
        )
    return Figure(
        key='rating',
        title='Rating by number of clusters',
        caption='Probability of each grade by the ordinal model, and the people who were given it.',
        choices=[(cut(options.rating), _as_json(figure))],
    )


def _thresholds(table: pd.DataFrame | None) -> Figure | None:
    if table is None or 'r2_nagelkerke' not in table or not table['r2_nagelkerke'].notna().any():
        return None
    figure = _new(
        xaxis={'title': {'text': 'probability threshold'}},
        yaxis={'title': {'text': 'pseudo-R²'}, 'rangemode': 'tozero'},
    )
    for k, name in enumerate(('nagelkerke', 'mcfadden', 'cox_snell')):
        figure.add_scatter(
            x=_numbers(table['threshold']), y=_numbers(table[f'r2_{name}']), mode='lines+markers',
            name=name.replace('_', ' and '), line={'color': SERIES[k]},
        )  # fmt: skip
    return Figure(
        key='thresholds',
        title='Rating by probability threshold',
        caption='How well the number of clusters explains the rating, by the threshold of their probability.',
        choices=[('pseudo-R²', _as_json(figure))],
    )


def _repeated(scans: pd.DataFrame, repeated: pd.DataFrame) -> Figure | None:
    if not len(repeated):
        return None
    ordered = collect.in_order(scans)  # as the table of these figures has them
    place = ordered.groupby('participant_id').cumcount()
    choices = []
    for measure, title in MEASURES.items():
        if measure not in ordered:
            continue
        one, two = (ordered[place == k].set_index('participant_id')[measure] for k in (0, 1))
        both = pd.concat([one, two], axis=1, join='inner').dropna()
        if len(both):
            choices.append((title, _as_json(_bland_altman(both, title))))
    return Figure(
        key='repeated',
        title='Two scans of one person (Bland-Altman)',
        caption='Difference of both scans by their mean, with its mean and the limits of agreement.',
        choices=choices,
    )


def _bland_altman(both: pd.DataFrame, title: str) -> go.Figure:
    values = both.to_numpy(float)
    mean, gap = values.mean(1), values[:, 1] - values[:, 0]
    figure = _new(
        xaxis={'title': {'text': f'mean {title}'}},
        yaxis={'title': {'text': 'second - first'}},
        showlegend=False,
    )
    dots = slice(MOST_DOTS)
    figure.add_scatter(
        x=_numbers(mean[dots]), y=_numbers(gap[dots]), mode='markers',
        text=[plain(p) for p in both.index[dots]],
        marker={'color': SERIES[0], 'opacity': 0.6},
    )  # fmt: skip
    spread = 1.96 * (gap.std(ddof=1) if len(gap) > 1 else 0.0)
    for level, dash in ((gap.mean() - spread, 'dot'), (gap.mean(), 'solid'), (gap.mean() + spread, 'dot')):
        figure.add_hline(y=float(level), line={'color': SERIES[1], 'dash': dash})
    return figure


def as_choices(figures: Sequence[Figure]) -> dict[str, list[dict[str, Any]]]:
    """What the page's script draws: the choices of each figure."""
    return {figure.key: [drawn for _, drawn in figure.choices] for figure in figures}
