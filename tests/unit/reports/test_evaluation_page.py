"""What the page of an evaluation shows, in words and in a browser."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from browser import open_browser, show

from pvs_bidsapp.evaluation.masks import Evaluator, MaskPair
from pvs_bidsapp.outputs.evaluation import UNMATCHED_COLUMNS
from pvs_bidsapp.reports.evaluation_page import render
from pvs_bidsapp.reports.recall import draw_recall

NOBODY = pd.DataFrame(columns=list(UNMATCHED_COLUMNS))


def evaluated(*scans):
    """Scans of four spaces, of which three are found, with two false clusters each."""
    numbers = np.zeros((30, 20, 20), np.int32)
    for k in range(4):
        numbers[2 : 4 + 3 * k, 4 * k + 2, 10] = k + 1
    predicted = (numbers > 1) & (np.arange(30)[:, None, None] < 9)
    predicted[20, 18, 18] = predicted[25:28, 1, 1] = True
    evaluator = Evaluator((0.0, 5.0), (0.3, 0.5))
    for name in scans:
        evaluator.add(
            MaskPair(
                name=name,
                predicted=predicted,
                reference=numbers > 0,
                probability=0.4 * predicted + 0.3 * (numbers > 0),
                regions=np.full(numbers.shape, 21),
                voxel_volume=1.0,
                spaces=numbers,
                detectability=pd.Series([1.0, 5.5, 7.0, 25.0], index=[1, 2, 3, 4]),
            )
        )
    return evaluator.tables()


@pytest.fixture(scope='module')
def evaluation():
    return evaluated('sub-01', 'sub-02')


def test_the_page_shows_recall_by_detectability_beside_the_ideal_observer(evaluation, tmp_path):
    draw_recall(evaluation.recall, evaluation.threshold, tmp_path / 'evaluation_recall.png')
    page = render(evaluation, NOBODY, tmp_path)
    for text in ('2 scans compared', '5 and more', 'ideal observer', 'AUPRC', 'clDice', 'data:image/png'):
        assert text in page
    assert '<tr class="total"><td class="text">all</td><td class="number">8</td>' in page
    assert '0.750 (0.750 to 0.750)' in page
    assert '2.0 (2.0 to 2.0)' in page  # false clusters a scan
    assert 'Left out' not in page


@pytest.mark.filterwarnings('error')
def test_one_scan_has_no_intervals(tmp_path):
    one = evaluated('sub-01')
    assert one.summary[['ci_low', 'ci_high']].isna().all(axis=None)
    draw_recall(one.recall, one.threshold, tmp_path / 'evaluation_recall.png')
    page = render(one, NOBODY, tmp_path)
    assert '0.750' in page
    assert '0.750 (' not in page


def test_without_detectability_there_is_recall_by_volume_alone(evaluation, tmp_path):
    recall = evaluation.recall[evaluation.recall['measure'] == 'volume_mm3']
    page = render(type(evaluation)(**(vars(evaluation) | {'recall': recall})), NOBODY, tmp_path)
    assert 'Recall by volume' in page
    assert 'ideal observer' not in page.lower()
    assert '<img' not in page


def test_names_of_files_are_text(evaluation, tmp_path):
    row = ['<script>alert(1)</script>', 'reference', 'f', '<b>\u202ex', 'm']
    page = render(evaluation, pd.DataFrame([row], columns=list(UNMATCHED_COLUMNS)), tmp_path)
    assert '1 mask left out' in page
    assert '&lt;script&gt;alert(1)' in page
    assert '<script>alert' not in page
    assert '\u202e' not in page


def test_a_click_sorts_the_scans_in_a_browser(evaluation, tmp_path):
    path = tmp_path / 'evaluation.html'
    path.write_text(render(evaluation, NOBODY, tmp_path))
    with open_browser() as browser, show(browser, path) as page:
        heading = page.locator('table.sortable th').first
        heading.locator('button').click()
        heading.locator('button').click()
        assert page.locator('table.sortable tbody td').first.inner_text() == 'sub-02'
        for width in (1280, 380):
            page.set_viewport_size({'width': width, 'height': 800})
            assert page.evaluate('document.documentElement.scrollWidth <= window.innerWidth + 1')
