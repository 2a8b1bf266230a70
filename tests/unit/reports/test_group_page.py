"""The page of a cohort holds whatever people have written, as text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import Markup

from pvs_bidsapp.group.cohort import Cohort, MaskSettings
from pvs_bidsapp.group.exclusions import Exclusion, exclusion_table
from pvs_bidsapp.group.results import GroupOptions, GroupResults
from pvs_bidsapp.messages.message import Finding
from pvs_bidsapp.reports import group_page

HOSTILE = [
    '<script>alert(1)</script>', '</script><img src=x onerror=alert(1)>', '"\'><b onmouseover=alert(1)>',
    '<!--', ']]>', '{{ 7 * 7 }}', '&lt;i&gt;', 'a\nb\tc', '\u202egnirts', '__proto__', 'x' * 5000, '\u2028',
    "'; alert(1); '", '\\u003cscript\\u003e', '\x1b[31m', '𝟛é日本',
]  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.scripts, self.texts = [], [], {}, []
        self._script = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag == 'script':
            self._script = dict(attrs).get('id', 'code')

    def handle_endtag(self, tag):
        if tag == 'script':
            self._script = None

    def handle_data(self, data):
        if self._script is None:
            self.texts.append(data)
        else:
            self.scripts[self._script] = self.scripts.get(self._script, '') + data


def render(word):
    """The page of two people, with a word wherever people can write one."""
    scans = pd.DataFrame({
        'participant_id': ['sub-1', 'sub-2'], 'session_id': [None, None], 'scan': ['sub-1', 'sub-2'],
        'count': [3, 4], 'volume_mm3': [30.0, 41], 'region_volume_mm3': [1e5, 1e5],
        'volume_fraction': [3e-4, 4e-4], 'dwm_count': [2, 3], 'dwm_volume_mm3': [20.0, float('nan')],
        'count_0': [2.0, 3.0], word: [word, None],
    })  # fmt: skip
    cohort = Cohort(
        tidy=scans, scans=scans, voxels={}, missing={'sub-3': word},
        masks=MaskSettings(model=word, sha256='0', threshold='0.5', min_cluster_size='0.0'),
        without_scans={f'sub-{word}': word}, columns=(word,),
    )  # fmt: skip
    regression = pd.DataFrame({
        'region': [word], 'hemisphere': ['left'], 'outcome': ['count'], 'term': [word], 'estimate': [0.1],
        'ci_low': [-0.1], 'ci_high': [0.3], 'p': [1e-5], 'q': [0.2],
    })  # fmt: skip
    exclusions = [Exclusion(scan='sub-3', participant_id='sub-3', analysis=word, reason=word)] * 30
    results = GroupResults(
        summary=pd.DataFrame({'region': [word]}),
        outliers=pd.DataFrame({'scan': ['sub-1'], 'measure': [word], 'value': [1.0], 'robust_z': [4.0]}),
        repeated=pd.DataFrame(), comparison=pd.DataFrame({'cohort_1': [word]}),
        regression=regression, cohorts={word: scans}, notes=[word],
        findings=[Finding(code='x', file=word, finding=word, mend=word)],
        exclusions=exclusion_table(exclusions),
    )  # fmt: skip
    options = GroupOptions(
        bids_dir=Path(), out_dir=Path(), size_filters=(0,), cohort=word, rating=word, covariates=(word,)
    )
    return group_page.render(options, cohort, results)


@pytest.fixture(autouse=True)
def _without_plotly(monkeypatch):
    """The script of plotly is left out: it has 5 MB."""
    monkeypatch.setattr(group_page, '_plotly', Markup)


@pytest.fixture
def plain():
    return Page(render('word'))


@pytest.mark.parametrize('word', HOSTILE)
def test_words_are_text_wherever_they_stand(plain, word):
    page = Page(render(word))
    assert page.tags == plain.tags
    assert page.attributes == plain.attributes
    assert page.scripts['code'] == plain.scripts['code']
    shown = group_page.shown(word)
    assert len(shown) <= group_page.LONGEST
    assert shown.isprintable()
    scans = json.loads(page.scripts['scan-data'])
    assert scans['columns'][-1] == shown
    assert [row[-1] for row in scans['rows']] == [shown, 'n/a']
    assert sum(shown in text for text in page.texts) >= 10
    assert not any(c in text for text in page.texts for c in '\u202e\x1b\u2028')


def test_columns_are_headed_in_words_but_for_those_of_the_user():
    text = render('d')
    assert (
        '<th title="ci_low in the table that can be downloaded"><button type="button">95 % interval from<'
        in text
    )
    page = Page(text)
    assert 'KS statistic' not in page.texts
    assert {'number', 'side'} <= set(page.texts)  # the outcome count, and the hemisphere
    scans = json.loads(page.scripts['scan-data'])
    assert scans['columns'][:3] == ['scan', 'count', 'volume_mm3']
    assert scans['headings'][:3] == ['scan', 'number', 'volume (mm³)']
    assert scans['headings'][-1] == 'd'


def test_the_data_are_json_that_no_script_can_end():
    text = render('</script>')
    assert text.count('</script>') == 3
    assert 'NaN' not in text.split('id="figure-data">')[1].split('</script>')[0]


def test_what_is_left_out_is_shown_with_its_number(plain):
    assert 'left-out' in render('word')
    assert any('word: 30 (30 word)' in text for text in plain.texts)
    assert any('2 scans or people' in text for text in plain.texts)
    assert any('1 remarks on the inputs' in text for text in plain.texts)


def test_long_lists_are_cut_on_the_page(monkeypatch):
    monkeypatch.setattr(group_page, 'MOST_ROWS', 7)
    text = render('word')
    assert text.count('<td class="text">sub-3</td><td class="text">sub-3</td>') == 7
    assert 'The first 7 are shown.' in text


def test_buttons_say_what_they_do_and_maps_that_are_not_there_are_not_promised():
    text = render('word')
    assert '>download numbers</button>' in text
    assert '>numbers</' not in text
    assert 'There are none. All numbers' in text
    assert 'The maps as NIfTI' not in text


def test_small_coefficients_are_not_rounded_to_nothing():
    values = pd.Series([0.5, 8.7489e-06, float('nan'), 0.0])
    assert group_page._column('estimate', values) == ['0.5000', '8.7e-06', 'n/a', '0.0000']
    assert group_page._column('count', pd.Series([0.0, 3.0])) == ['0', '3']


def test_methods_name_permutations_and_pools_only_where_there_are_some():
    effects = pd.DataFrame({'adjusted_for': ['nothing'], 'p_permutation': [float('nan')]})
    sites = pd.DataFrame({'site': ['x', 'pooled'], 'effect': [0.1, float('nan')]})
    found = GroupResults(
        summary=effects, outliers=effects, repeated=effects, effects=effects, sites=sites
    )  # fmt: skip
    options = GroupOptions(bids_dir=None, out_dir=Path(), site='site')
    without = ' '.join(group_page.effect_methods(options, found))
    found.effects, found.sites = effects.assign(p_permutation=0.5), sites.assign(effect=0.1)
    text = ' '.join(group_page.effect_methods(options, found))
    for words in ('permutation tests (Freedman & Lane 1983)', 'random-effects meta-analysis'):
        assert words not in without
        assert words in text


def test_columns_of_people_are_shown_as_they_are_whatever_they_are_called():
    own = {'p_change': [-2.5, 0.25], 'q': [7.0, 8], 'platelet_count': [250.125, 3], 'measure': ['count', 'x']}
    people = pd.DataFrame({'scan': ['sub-1', 'sub-2'], 'count': [3, 4], **own})
    masks = MaskSettings(model='m', sha256='0', threshold='0.5', min_cluster_size='0.0')
    cohort = Cohort(tidy=people, scans=people, voxels={}, masks=masks, missing={}, columns=tuple(own))
    rows = json.loads(group_page._scan_rows(cohort))['rows']
    assert rows[0] == ['sub-1', '3', '-2.50', '7', '250.125', 'count']
    assert rows[1] == ['sub-2', '4', '0.25', '8', '3.000', 'x']
