"""A card may come from anywhere: what it has to be, entry by entry."""

from __future__ import annotations

import json
import math
import os
import time
import tracemalloc
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_cards import SMALL, card
from refusals import refused

from pvs_bidsapp.errors import ModelError
from pvs_bidsapp.group.standard import COLUMNS
from pvs_bidsapp.messages import models
from pvs_bidsapp.segmentation.card import (
    RULES,
    ModelCard,
    card_content,
    find_problem,
    make_label,
    read_card,
    shown,
)
from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.model import BUNDLED, bundled_names

A = 'architecture.'
CALIBRATION = {'scale': 1.2, 'low': 0.4, 'high': 2.5}
BURDEN = {'count': CALIBRATION, 'volume': CALIBRATION, 'n_scans': 40}
STANDARD = {key: {'noise': -0.9, 'voxel': -0.4} for key in COLUMNS}
M2SS = {'name': 'm2ss', 'in_channels': 2, 'filters': 2, 'side_filters': 2, 'levels': 2, 'multi_scale': True}
INTENSITY = TissueNormalization().card()


def content(**changes: Any) -> dict[str, Any]:
    """What the JSON of a card holds that can be used, but for the changes."""
    return json.loads(json.dumps(asdict(card(sha256='0' * 64)))) | changes


def write(path, data: Any):
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding='utf-8')
    return path


def test_each_entry_of_a_card_has_a_rule():
    assert list(RULES) == [f.name for f in fields(ModelCard)]


@pytest.mark.parametrize('name', bundled_names())
def test_the_bundled_cards_are_read_as_they_stand(name):
    path = BUNDLED / name / 'model.json'
    optional = {'burden': None, 'standard': None}
    assert json.loads(json.dumps(asdict(read_card(path)))) == optional | json.loads(path.read_text())


@pytest.mark.parametrize(
    'change',
    [
        {'spacing': 1}, {'spacing': [0.6, 1.2]}, {'threshold': 1}, {'mirror': True},
        {'patch_size': 16, 'stride': 12}, {'patch_size': 4}, {'name': 'Modèle d’été (2)'},
        {'channels': ['T1w', 'T2w'], 'architecture': M2SS},
        {'architecture': {'name': 'joliot2021'}},  # arguments may be left out
        {'architecture': {'name': 'ensemble', 'members': 5, 'of': SMALL}},
        {'training': {'recipe': {'spacing': [0.6, 1.2]}, 'note': 'two\nlines'}},
        {'metrics': {'validation_dice': None}},
        {'burden': BURDEN}, {'standard': STANDARD},
    ],
)  # fmt: skip
def test_what_may_stand_in_a_card(tmp_path, change):
    found = read_card(write(tmp_path / 'model.json', content(**change)))
    assert json.loads(json.dumps(asdict(found))) == content(**change)
    assert not isinstance(found.spacing, list)


def test_optional_entries_may_be_missing(tmp_path):
    old = {k: v for k, v in content().items() if k not in ('patch_size', 'stride', 'mirror', 'metrics')}
    assert read_card(write(tmp_path / 'model.json', old)).mirror is False


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('name', ''), ('name', 1), ('name', ['a']), ('name', None), ('name', 'x' * 101),
        ('name', '../../etc'), ('name', 'a/b'), ('name', 'a\\b'), ('name', '..'), ('name', '.hidden'),
        ('name', 'a\nb'), ('name', 'a\x1b[31mb'), ('name', 'a\u202eb'), ('name', 'a\u200bb'),
        ('name', 'a\x00'), ('name', '\ud800'), ('name', ' a'),
        ('version', 2), ('version', {}),
        ('channels', ['T3w']), ('channels', 'T1w'), ('channels', []), ('channels', ['T2w', 'T1w']),
        ('channels', ['T1w', 'T1w']), ('channels', None), ('channels', [1]), ('channels', ['T1w', 'T2w']),
        ('spacing', -1), ('spacing', 0), ('spacing', 0.01), ('spacing', '1'), ('spacing', True),
        ('spacing', [1.2, 0.6]), ('spacing', [0.6]), ('spacing', [0.6, 0.8, 1]), ('spacing', [0.6, None]),
        ('spacing', 10**400), ('spacing', {}), ('spacing', None),
        ('box', [16, 16, 16, 16]), ('box', [16, 16]), ('box', [0, 16, 16]), ('box', [16, 16, 10**9]),
        ('box', [16.0, 16, 16]), ('box', [True, 16, 16]), ('box', 16), ('box', 'box'), ('box', None),
        ('threshold', 'high'), ('threshold', 2), ('threshold', 0), ('threshold', -0.1), ('threshold', True),
        ('threshold', None), ('threshold', [0.5]),
        ('min_cluster_size', -1), ('min_cluster_size', '5'), ('min_cluster_size', 10**6),
        ('trained_on', None), ('trained_on', 'x' * 20_001), ('limits', 'a\x1b[2J'), ('licence', 3),
        ('patch_size', 0), ('patch_size', -16), ('patch_size', 16.0), ('patch_size', True),
        ('patch_size', 10**9), ('patch_size', '16'), ('patch_size', 2),
        ('stride', 0), ('stride', 17), ('stride', 1), ('stride', False), ('stride', 8.0),
        ('mirror', 1), ('mirror', 'true'), ('mirror', None),
        ('metrics', []), ('metrics', None), ('metrics', {'\x1b[2J': 1}), ('training', 'none'),
        ('training', {'a': {'b': ['\x9b31m']}}),
        ('burden', []), ('burden', 1), ('standard', []), ('standard', 1),
        ('sha256', ''), ('sha256', None), ('sha256', 'g' * 64), ('sha256', '0' * 63), ('sha256', 0),
    ],
)  # fmt: skip
def test_an_entry_that_is_not_what_it_has_to_be_is_named(tmp_path, key, value):
    patches = {'patch_size': 16} if key == 'stride' else {}
    path = write(tmp_path / 'model.json', content(**patches, **{key: value}))
    with refused(models.CARD_WRONG, naming=f'"{key}"'):
        read_card(path)


@pytest.mark.parametrize(
    ('change', 'key'),
    [
        ({'n_scans': 0}, 'burden.n_scans'), ({'count': None}, 'burden.count'), ({'more': 1}, 'burden.more'),
        ({'volume': {}}, 'burden.volume.scale'),
        ({'count': CALIBRATION | {'scale': 0}}, 'burden.count.scale'),
        ({'count': CALIBRATION | {'low': 'NaN'}}, 'burden.count.low'),
        ({'count': CALIBRATION | {'high': 0.9}}, 'burden.count.high'),
    ],
)  # fmt: skip
def test_a_calibration_that_is_none_is_named(tmp_path, change, key):
    path = write(tmp_path / 'model.json', content(burden=BURDEN | change))
    with refused(models.CARD_WRONG, naming=f'"{key}"'):
        read_card(path)


@pytest.mark.parametrize(
    ('change', 'key'),
    [
        ({'count': None}, 'standard.count'), ({'more': 1}, 'standard.more'),
        ({'volume_mm3': {'noise': -1}}, 'standard.volume_mm3.voxel'),
        ({'volume_mm3': {'noise': -4, 'voxel': 0}}, 'standard.volume_mm3.noise'),
        ({'count_5mm3': {'noise': -1, 'voxel': 0, 'age': 1}}, 'standard.count_5mm3.age'),
    ],
)  # fmt: skip
def test_exponents_that_are_none_are_named(tmp_path, change, key):
    path = write(tmp_path / 'model.json', content(standard=STANDARD | change))
    with refused(models.CARD_WRONG, naming=f'"{key}"'):
        read_card(path)


@pytest.mark.parametrize(
    ('architecture', 'key'),
    [
        ('joliot2021', 'architecture'), (None, 'architecture'), ([], 'architecture'),
        ({}, A + 'name'), ({'name': 'other'}, A + 'name'), ({'name': 1}, A + 'name'),
        ({'name': ['joliot2021']}, A + 'name'),
        ({'name': 'joliot2021-autoencoder'}, A + 'name'),  # gives images, not probabilities
        (SMALL | {'filters': 10**9}, A + 'filters'), (SMALL | {'filters': 0}, A + 'filters'),
        (SMALL | {'filters': 2.0}, A + 'filters'), (SMALL | {'filters': True}, A + 'filters'),
        (SMALL | {'blocks': 10**6}, A + 'blocks'), (SMALL | {'blocks': -1}, A + 'blocks'),
        (SMALL | {'refine': -1}, A + 'refine'), (SMALL | {'refine': 0.5}, A + 'refine'),
        (SMALL | {'compare': 257}, A + 'compare'),
        (SMALL | {'compare_limit': -0.5}, A + 'compare_limit'),
        (SMALL | {'dropout': 1.0}, A + 'dropout'), (SMALL | {'dropout': 'no'}, A + 'dropout'),
        (SMALL | {'depth': 3}, A + 'depth'), (SMALL | {'self': 3}, A + 'self'),
        (SMALL | {'in_channels': 3}, A + 'in_channels'), (SMALL | {'in_channels': 2}, 'channels'),
        (M2SS | {'levels': 10**6}, A + 'levels'), (M2SS | {'multi_scale': 1}, 'multi_scale'),
        (M2SS | {'side_filters': 10**9}, 'side_filters'), (M2SS, 'channels'),
        ({'name': 'ensemble'}, A + 'members'), ({'name': 'ensemble', 'members': 2}, A + 'of'),
        ({'name': 'ensemble', 'members': 10**6, 'of': SMALL}, A + 'members'),
        ({'name': 'ensemble', 'members': 2, 'of': 'small'}, A + 'of'),
        ({'name': 'ensemble', 'members': 2, 'of': SMALL | {'filters': 10**9}}, A + 'of.filters'),
        ({'name': 'ensemble', 'members': 2, 'of': {'name': 'ensemble', 'members': 2, 'of': SMALL}},
         A + 'of.name'),
    ],
)  # fmt: skip
def test_an_architecture_is_bounded_before_anything_is_built(tmp_path, architecture, key):
    path = write(tmp_path / 'model.json', content(architecture=architecture))
    with refused(models.CARD_WRONG, naming=key):
        read_card(path)


@pytest.mark.parametrize(
    ('change', 'key'),
    [
        ({'rule': 'z-score'}, 'intensity.rule'), ({'rule': None}, 'intensity.rule'),
        ({'wm': 'bright'}, 'intensity.wm'), ({'wm': 1e30}, 'intensity.wm'), ({'wm': True}, 'intensity.wm'),
        ({'csf': 0.4}, 'intensity.csf'), ({'low': 3.0}, 'intensity.low'), ({'high': None}, 'intensity.high'),
        ({'grey': 0.0}, 'intensity.grey'),
    ],
)  # fmt: skip
def test_intensities_are_checked(tmp_path, change, key):
    path = write(tmp_path / 'model.json', content(intensity=INTENSITY | change))
    with refused(models.CARD_WRONG, naming=key):
        read_card(path)
    with refused(models.INTENSITY, naming=key.split('.')[1]):
        TissueNormalization.from_card(INTENSITY | change)


@pytest.mark.parametrize('key', ['wm', 'rule', 'outside'])
def test_an_intensity_that_is_missing_is_named(tmp_path, key):
    entry = {k: v for k, v in INTENSITY.items() if k != key}
    with refused(models.CARD_WRONG, naming=f'intensity.{key}'):
        read_card(write(tmp_path / 'model.json', content(intensity=entry)))


@pytest.mark.parametrize(
    ('data', 'words'),
    [
        ('', 'line 1'), ('no card', 'line 1'), ('[]', 'a list'), ('null', 'NoneType'), ('3', 'a int'),
        ('"text"', 'a str'), ('{"name": 1', 'line 1'), ('[' * 100_000, 'nested'),
        ('{"a": 1, "a": 2}', 'twice'), ('{"a": ' + '1' * 5000 + '}', 'digits'),
    ],
)  # fmt: skip
def test_a_file_that_is_no_card(tmp_path, data, words):
    with refused(models.CARD_NOT_JSON, naming=words):
        read_card(write(tmp_path / 'model.json', data))


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / 'model.json'
    path.write_bytes(b'\xff\xfe\x00')
    with refused(models.CARD_NOT_JSON, naming='model.json'):
        read_card(path)


@pytest.mark.parametrize('constant', ['NaN', 'Infinity', '-Infinity'])
@pytest.mark.parametrize('key', ['threshold', 'spacing', 'min_cluster_size'])
def test_numbers_that_are_none(tmp_path, key, constant):
    data = json.dumps(content(**{key: 'X'})).replace('"X"', constant)
    with refused(models.CARD_WRONG, naming=key):
        read_card(write(tmp_path / 'model.json', data))


def test_entries_that_are_missing_or_not_known(tmp_path):
    path = write(tmp_path / 'model.json', {k: v for k, v in content().items() if k not in ('box', 'sha256')})
    with refused(models.CARD_INCOMPLETE, naming='box, sha256'):
        read_card(path)
    write(path, content(**{'thresh\nold': 0.5}))
    with refused(models.CARD_UNKNOWN, naming='thresh'):
        read_card(path)
    write(path, content(**{f'key{k}': k for k in range(10_000)}))
    with pytest.raises(ModelError) as caught:
        read_card(path)
    assert len(str(caught.value)) < 300


def test_deep_nesting_is_refused(tmp_path):
    deep: Any = 'bottom'
    for _ in range(200):
        deep = {'a': deep}
    with refused(models.CARD_WRONG, naming='training'):
        read_card(write(tmp_path / 'model.json', content(training=deep)))


def test_a_huge_card_is_neither_read_nor_held_in_memory(tmp_path):
    path = tmp_path / 'model.json'
    with path.open('wb') as stream:
        stream.truncate(100_000_000)
    tracemalloc.start()
    started = time.process_time()
    with refused(models.CARD_TOO_LARGE, naming='1 MB'):
        read_card(path)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()
    assert time.process_time() - started < 10


def test_a_card_that_cannot_be_opened(tmp_path):
    (tmp_path / 'model.json').mkdir()
    with refused(models.CARD_UNREADABLE, naming='model.json'):
        read_card(tmp_path / 'model.json')
    (tmp_path / 'loop').symlink_to('loop')
    with refused(models.CARD_UNREADABLE, naming='loop'):
        read_card(tmp_path / 'loop')


def test_what_is_written_is_checked_by_the_same_table(tmp_path):
    good = card(sha256='0' * 64, metrics={'dice': math.nan, 'more': [math.inf, 0.5]})
    assert card_content(good, tmp_path)['metrics'] == {'dice': None, 'more': [None, 0.5]}
    with refused(models.CARD_WRONG, naming='threshold'):
        card_content(replace(good, threshold=math.nan), tmp_path)
    with refused(models.CARD_WRONG, naming='name'):
        card_content(replace(good, name='../up'), tmp_path)


@pytest.mark.parametrize(
    ('text', 'name'),
    [('mine', 'mine'), ('', 'model'), ('..', 'model'), ('a/b\n', 'ab'), ('.x', 'x'), ('x' * 300, 'x' * 100),
     (' a ', 'a'), ('été', 'été')],
)  # fmt: skip
def test_any_folder_gives_a_name(text, name):
    assert make_label(text) == name
    assert find_problem(content(name=make_label(text))) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from([*RULES, 'other']), JSON, max_size=3),
    st.sets(st.sampled_from(list(RULES)), max_size=1),
)
def test_any_card_is_read_or_refused_in_one_line(tmp_path_factory, changes, removed):
    data = {k: v for k, v in content(**changes).items() if k not in removed}
    path = write(tmp_path_factory.getbasetemp() / f'{os.getpid()}.json', data)
    try:
        read_card(path)
        message = ''
    except ModelError as error:
        message = str(error)
    assert '\n' not in message
    assert len(message) < 1000
    assert message or find_problem(data) is None


def test_values_in_messages_are_short():
    assert len(shown({'a' * 1000: ['b' * 1000] * 1000})) <= 100
    assert shown('mine') == "'mine'"
