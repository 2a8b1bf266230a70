"""The page of a subject, in the browser of the machine: what it shows, and what a reader can do with it."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from browser import open_browser, pixels, show
from finished_scans import cluster_rows, finish_scan, head

from pvs_bidsapp.bids.query import Selection
from pvs_bidsapp.outputs.reports import write_pages

MM = ('x_mm', 'y_mm', 'z_mm')
VOXEL = 1.8  # the largest side of a voxel


@pytest.fixture(scope='module')
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope='module')
def rows():
    return cluster_rows(head()['clusters'], ['deep white matter frontal'])


def write_page(folder, **options):
    """The page of a finished scan."""
    from faults.made_up_results import make_settings

    settings = make_settings(folder / 'bids', folder)
    finish_scan(settings.out_dir, **options)
    (page,) = write_pages(Selection(scans=(), subjects=('01',)), settings, all_records=True)
    return page


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    return write_page(tmp_path_factory.mktemp('page'))


def wait(page):
    """Until the viewer has done what it was told."""
    page.wait_for_function("document.querySelector('.viewer').dataset.state === 'ready'")


@contextmanager
def viewer_of(browser, path, **options):
    with show(browser, path, **options) as page:
        page.locator('.viewer').scroll_into_view_if_needed()
        wait(page)
        yield page


def place(page):
    """Where the crosshair is, in mm."""
    return np.array([float(v) for v in page.locator('.viewer').get_attribute('data-mm').split()])


def centre(row):
    return np.array([float(row[name]) for name in MM])


def screen(page):
    return pixels(page.locator('.canvases canvas').first).astype(int)


def test_the_viewer_draws_and_scrolling_changes_the_slice(browser, path):
    with viewer_of(browser, path) as page:
        before = screen(page)
        assert (before.max(2) > 60).mean() > 0.1  # a brain on black
        box = page.locator('.canvases canvas').first.bounding_box()
        page.mouse.move(box['x'] + box['width'] / 6, box['y'] + box['height'] / 2)
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(300)
        assert (screen(page) != before).any(2).mean() > 0.01


def test_a_row_moves_the_crosshair_to_its_cluster(browser, path, rows):
    with viewer_of(browser, path) as page:
        assert np.abs(place(page) - centre(rows[0])).max() < VOXEL  # the largest is shown first
        for row in reversed(rows):
            page.locator(f'tr[data-index="{row["index"]}"] td').nth(1).click()
            assert np.abs(place(page) - centre(row)).max() < VOXEL
            assert page.locator('tr.chosen').get_attribute('data-index') == row['index']
        page.locator('.sheet button').nth(1).click()
        assert np.abs(place(page) - centre(rows[1])).max() < VOXEL


def test_a_click_on_a_cluster_finds_its_row(browser, path, rows):
    with viewer_of(browser, path) as page:
        for row in rows[1::-1]:
            page.locator(f'tr[data-index="{row["index"]}"] td').nth(1).click()
            spot = page.evaluate(
                'mm => { const {nv} = pvsScans[0].viewer.screens[0];'
                ' const spot = nv.frac2canvasPos(nv.mm2frac(mm, 0, true));'
                ' return [...spot].map(v => v / nv.uiData.dpr); }',
                list(centre(row)),
            )
            page.evaluate('pvsScans[0].viewer.step(9, 0, 0)')
            page.evaluate('pvsScans[0].viewer.step(-9, 0, 0)')
            page.evaluate('pvsScans[0].choose("4")')
            page.locator('.canvases').scroll_into_view_if_needed()
            page.locator('.canvases canvas').first.click(position={'x': spot[0], 'y': spot[1]})
            page.wait_for_timeout(200)
            assert page.locator('tr.chosen').get_attribute('data-index') == row['index']


def test_overlays_and_scans_are_switched_and_shown_beside_the_plain_scan(browser, path):
    with viewer_of(browser, path) as page:
        pictures = [screen(page)]
        for change in (
            lambda: page.get_by_label('spaces', exact=True).uncheck(),
            lambda: page.get_by_label('regions', exact=True).check(),
            lambda: page.get_by_label('probability', exact=True).check(),
            lambda: page.locator('[data-role="base"]').select_option('viewT2w'),
            lambda: page.locator('[data-role="slices"]').select_option('0'),
            lambda: page.locator('[data-role="zoom"]').fill('3'),
            lambda: page.locator('[data-role="high"]').fill('90'),
        ):
            change()
            page.wait_for_timeout(300)
            wait(page)
            pictures.append(screen(page))
        assert all((a != b).any() for a, b in pairwise(pictures))
        page.get_by_label('beside it without overlays').check()
        page.wait_for_timeout(300)
        wait(page)
        one, two = (pixels(canvas).astype(int) for canvas in page.locator('.canvases canvas').all())
        colours = [(np.ptp(picture, axis=2) > 40).mean() for picture in (one, two)]
        assert colours[0] > 2 * colours[1]  # only the crosshair has a colour in the plain one
        assert (two.max(2) > 60).mean() > 0.1


def test_the_keyboard_is_enough(browser, path, rows):
    with viewer_of(browser, path) as page:
        viewer = page.locator('.viewer')
        viewer.press('n')
        assert np.abs(place(page) - centre(rows[1])).max() < VOXEL
        for key in ('w', 'n', 'u', 'p', 'p', 'r'):
            viewer.press(key)
        pressed = page.locator('[aria-pressed="true"]').evaluate_all('all => all.map(b => b.dataset.mark)')
        assert pressed == ['right', 'wrong', 'unsure']
        before = place(page)
        viewer.press('PageUp')
        assert 0 < np.abs(place(page) - before).max() < 2 * VOXEL
        covered = screen(page)
        viewer.press('o')
        page.wait_for_timeout(300)
        wait(page)
        assert (screen(page) != covered).any()


def give_marks(page):
    page.locator('tr[data-index="1"]').get_by_title('right').click()
    page.locator('tr[data-index="2"]').get_by_title('wrong').click()
    page.locator('tr[data-index="4"]').get_by_title('unsure').click()
    page.locator('tr[data-index="3"]').get_by_title('wrong').click()
    page.locator('tr[data-index="3"]').get_by_title('wrong').click()  # taken back
    with page.expect_download() as caught:
        page.get_by_text('download marks').click()
    return caught.value


def marks_on(page):
    return {
        button['index']: button['mark']
        for button in page.locator('[aria-pressed="true"]').evaluate_all(
            'all => all.map(b => ({index: b.closest("tr").dataset.index, mark: b.dataset.mark}))'
        )
    }


def test_marks_are_kept_and_download_and_read_back(browser, path, rows, tmp_path):
    file, given = tmp_path / 'marks.tsv', {'1': 'right', '2': 'wrong', '4': 'unsure'}
    with show(browser, path) as page:
        download = give_marks(page)
        assert download.suggested_filename == 'sub-01_desc-pvs_marks.tsv'
        download.save_as(file)
        assert '1 right, 1 wrong, 1 unsure, of 4' in page.locator('.progress').inner_text()
        for _ in range(40):  # the browser stores a little later what a page asks it to store
            page.reload()
            if marks_on(page) == given:
                break
            page.wait_for_timeout(250)
        assert marks_on(page) == given
    written = list(csv.DictReader(file.open(), delimiter='\t'))
    assert {row['index']: row['mark'] for row in written} == given
    for row in written:
        own = rows[int(row['index']) - 1]
        assert {name: row[name] for name in own if name in row} == {n: own[n] for n in row if n in own}
    with show(browser, path) as page:  # another browser
        assert marks_on(page) == {}
        page.get_by_label('load marks').set_input_files(file)
        page.wait_for_function(
            "document.querySelector('.marks-message').textContent.includes('3 marks taken')"
        )
        assert marks_on(page) == given


def test_marks_of_other_clusters_are_left_out(browser, path, tmp_path):
    file = tmp_path / 'marks.tsv'
    with show(browser, path) as page:
        give_marks(page).save_as(file)
        marks = file.read_text()
        for text, message in (
            (marks.replace('\n1\t', '\n77\t'), '2 marks taken; 1 left out'),  # no such cluster
            (marks.replace('wrong\t', 'wrong\t9'), '2 marks taken; 1 left out'),  # another place
            (marks.replace('wrong', 'perhaps'), '2 marks taken; 1 left out'),
            (marks, '3 marks taken.'),
            (marks.replace('x_mm', 'x'), 'no table of marks'),
            ('<script>', 'no table of marks'),
            ('', 'no table of marks'),
        ):
            file.write_text(text)
            page.get_by_label('load marks').set_input_files(file)
            page.wait_for_function(
                f"document.querySelector('.marks-message').textContent.includes('{message}')"
            )


def test_the_table_is_sorted_and_searched(browser, path):
    with show(browser, path) as page:

        def shown():
            return page.locator('table.clusters tbody tr:visible').evaluate_all(
                'all => all.map(r => r.dataset.index)'
            )

        heading = page.get_by_role('button', name='volume (mm³)')
        heading.click()
        assert shown() == ['4', '3', '2', '1']
        heading.click()
        assert shown() == ['1', '2', '3', '4']
        page.get_by_label('Search').fill('pvs3')
        assert shown() == ['3']
        assert page.locator('.found').inner_text() == '1 of 4'


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1280, 400])
def test_it_fits_a_screen_and_its_colours(browser, path, scheme, width):
    with show(browser, path, width=width, scheme=scheme) as page:
        assert page.evaluate('document.documentElement.scrollWidth') <= width
        ground, text = (
            sum(
                int(part)
                for part in page.evaluate(f'getComputedStyle(document.body).{name}')[4:-1].split(',')
            )
            for name in ('backgroundColor', 'color')
        )
        assert (ground > text) == (scheme == 'light')
        assert abs(ground - text) > 450
        assert page.locator('img:not([alt]), img[alt=""]').count() == 0
        unnamed = page.locator('button, input, select').evaluate_all(
            'all => all.filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length'
        )
        assert unnamed == 0


def test_it_prints_whole(browser, path):
    with show(browser, path) as page:
        page.emulate_media(media='print')
        assert not page.locator('.viewer').is_visible()
        assert not page.locator('.controls').first.is_visible()
        boxes = page.locator('.scroll, .sheet').all()
        assert boxes
        for box in boxes:
            assert box.evaluate('e => e.scrollHeight <= e.clientHeight + 2')


def test_a_browser_without_webgl_is_told(browser, path):
    script = 'HTMLCanvasElement.prototype.getContext = () => null'
    with show(browser, path, script=script) as page:
        page.locator('.viewer').scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('.viewer').dataset.state === 'failed'")
        assert 'no WebGL2' in page.locator('.place').inner_text()
        page.locator('tr[data-index="3"] td').nth(1).click()  # the table goes on
        assert page.locator('tr.chosen').get_attribute('data-index') == '3'


HOSTILE = [
    '<script>alert(1)</script>', '</script><img src=x onerror=alert(1)>', '"\'><b onmouseover=alert(1)>',
    '{{ 7 * 7 }}', '<!--', '\\u003cscript\\u003e', '__proto__', '&lt;i&gt;',
]  # fmt: skip


def test_words_in_tables_are_text(browser, tmp_path):
    paths = [
        write_page(tmp_path / str(k), regions=words, drawn=False)
        for k, words in enumerate(([*'abcd'], HOSTILE[:4], HOSTILE[4:]))
    ]
    numbers = []
    for path, words in zip(paths, ((), HOSTILE[:4], HOSTILE[4:]), strict=True):
        with show(browser, path) as page:
            numbers.append(page.locator('*').count())
            table = page.locator('table.clusters').inner_text()
            assert all(word in table for word in words)
    assert len(set(numbers)) == 1
