"""The interactive figures of a cohort: their numbers, and how a browser shows them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from browser import open_browser, pixels, show

from pvs_bidsapp.commands.group import run_group
from pvs_bidsapp.group import quality, ratings
from pvs_bidsapp.group.results import GroupOptions
from pvs_bidsapp.reports import group_figures
from pvs_bidsapp.simulation.cohort import Effects
from pvs_bidsapp.testing import write_cohort

HOSTILE = '<img src=x onerror=alert(1)><b>bold</b>'


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    """The page of a cohort whose sites have hostile names; with few permutations, which take time."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr('pvs_bidsapp.group.permutation.MOST', 99)
    monkeypatch.setattr('pvs_bidsapp.group.permutation.FEWEST', 99)
    root = tmp_path_factory.mktemp('cohort')
    write_cohort(root, 40, Effects(), seed=1, sessions=2)
    table = root / 'bids' / 'participants.tsv'
    people = pd.read_csv(table, sep='\t')
    people['site'] = people['site'].map({'s0': HOSTILE, 's1': 'other'})
    people.to_csv(table, sep='\t', index=False)
    options = GroupOptions(
        bids_dir=root / 'bids',
        out_dir=root / 'out',
        cohort='site',
        rating='rating',
        covariates=('age', 'site'),
    )
    page = run_group(options).page
    monkeypatch.undo()
    return page


@pytest.fixture(scope='module')
def browser():
    with open_browser() as opened:
        yield opened


def test_two_scans_of_a_person_are_those_of_the_table():
    scans = pd.DataFrame({
        'participant_id': list('aaabbbccc'), 'scan': [f'sub-{p}_ses-{s}' for p in 'abc' for s in (10, 2, 1)],
        'count': [90.0, 7, 5, 80, 9, 6, 70, 8, 4], 'volume_mm3': [90.0, 7, 5, 80, 9, 6, 70, 8, 4],
    })  # fmt: skip
    table = quality.repeated(scans)
    assert table['bias'].tolist() == [3, 3]
    for _, drawn in group_figures._repeated(scans, table).choices:
        assert drawn['data'][0]['y'] == [2, 3, 4]


def test_text_is_never_markup():
    assert group_figures.plain('<b>&amp;') == '&lt;b&gt;&amp;amp;'
    assert group_figures.plain('a\nb') == 'a b'
    assert len(group_figures.cut('x' * 500)) == group_figures.LONGEST


def test_lines_are_thinned_from_end_to_end():
    kept = group_figures._thin(np.arange(12_345))
    assert (kept[0], kept[-1], len(kept)) == (0, 12_344, group_figures.MOST_POINTS)
    assert group_figures._thin(np.arange(3)).tolist() == [0, 1, 2]


def test_the_interval_of_a_line_holds_it():
    x = np.arange(20.0)
    low, high, line = group_figures._fitted(x, 3 + 2 * x + np.tile([1, -1], 10))
    assert np.all((np.array(low['y']) < line['y']) & (np.array(line['y']) < high['y']))
    np.testing.assert_allclose(line['y'], 3 + 2 * np.array(line['x']), atol=0.5)
    assert list(group_figures._fitted(np.ones(9), np.arange(9.0))) == []


def test_the_curves_of_a_rating_are_those_of_its_model(rng):
    number = pd.Series(rng.uniform(0, 100, 400))
    latent = 0.05 * number + rng.logistic(size=400)
    fit = ratings.fit(number, pd.Series(np.digitize(latent, [1.0, 2.5, 4.0])))
    curves = fit.probabilities(np.array([0.0, 50, 100]))
    np.testing.assert_allclose(curves.sum(1), 1)
    np.testing.assert_allclose(fit.cuts, [1.0, 2.5, 4.0], atol=0.6)
    assert curves[0].argmax() == 0
    assert curves[-1].argmax() == 3
    predicted = fit.probabilities(number.to_numpy()).argmax(1)
    assert np.bincount(predicted, minlength=4).tolist() == fit.confusion.sum().tolist()


def test_all_figures_are_drawn_and_can_be_chosen(browser, path):
    with show(browser, path) as page:
        keys = page.locator('.plot').evaluate_all('all => all.map(e => e.id)')
        assert keys == [
            f'plot-{key}'
            for key in (
                'distributions', 'effects', 'forest', 'covariates', 'mixed', 'rating', 'thresholds',
                'repeated',
            )
        ]  # fmt: skip
        assert page.locator('.plot .main-svg').count() >= len(keys)
        for key, choices in (
            ('distributions', 7),
            ('effects', 6),
            ('forest', 6),
            ('covariates', 4),
            ('repeated', 2),
        ):
            select = page.locator(f'select[data-figure="{key}"]')
            assert select.locator('option').count() == choices
            plot = page.locator(f'#plot-{key}')
            before = pixels(plot)
            select.select_option(str(choices - 1))
            page.wait_for_timeout(200)
            after = pixels(plot)
            assert before.shape != after.shape or (before != after).any()
        assert page.locator('.plot').first.get_by_text('<img src=x onerror').count()  # in the legend, as text
        assert page.locator('.plot img, .plot b').count() == 0


def test_numbers_download(browser, path):
    with show(browser, path) as page:
        with page.expect_download() as caught:
            page.locator('[data-numbers="repeated"]').click()
        lines = caught.value.path().read_text().splitlines()
        assert lines[0] == 'series\tx\ty'
        assert len(lines) == 41
        with page.expect_download() as caught:
            page.locator('#filter').fill('sub-00003')
            page.locator('#scansdown').click()
        assert len(caught.value.path().read_text().splitlines()) == 3


def test_tables_are_sorted_and_searched(browser, path):
    with show(browser, path) as page:

        def first():
            return page.locator('#scantable tbody tr').first.locator('td').all_inner_texts()

        page.locator('#scantable').get_by_role('button', name='age').click()
        youngest = float(first()[6])
        page.locator('#scantable').get_by_role('button', name='age').click()
        assert float(first()[6]) > youngest + 20
        search = page.locator('.controls', has=page.locator('a[download="regions.tsv"]'))
        search.locator('.search').fill('hippocampus')
        regions = page.locator('table.sortable:below(a[download="regions.tsv"])').first
        assert regions.locator('tbody tr:visible').count() == 3


@pytest.mark.parametrize(('width', 'scheme'), [(1280, 'light'), (400, 'dark')])
def test_it_fits_a_screen_and_its_colours(browser, path, width, scheme):
    with show(browser, path, width=width, scheme=scheme) as page:
        assert page.evaluate('document.documentElement.scrollWidth') <= width
        legend = page.locator('.plot .legendtext').first.evaluate('e => getComputedStyle(e).fill')
        lightness = sum(int(part) for part in legend[4:-1].split(','))
        assert (lightness < 384) == (scheme == 'light')
