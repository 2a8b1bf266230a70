"""``--bids-filter-file``: what it chooses, and that nothing in it does harm."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import put
from refusals import refused

from pvs_bidsapp.bids.filters import MAX_SIZE, read_filters
from pvs_bidsapp.bids.index import ImageIndex
from pvs_bidsapp.errors import InputError
from pvs_bidsapp.messages import datasets


def read(tmp_path, content):
    path = tmp_path / 'filter.json'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
    return read_filters(path)


def test_a_byte_order_mark_and_upper_case_keys_are_read(tmp_path):
    assert read(tmp_path, b'\xef\xbb\xbf{"T1w": {"run": 1}}') == {'t1w': {'run': ('1',)}}


def test_other_entries_are_named(tmp_path, caplog):
    assert read(tmp_path, {'bold': {'task': 'x'}, 't1w': {}}) == {'t1w': {}}
    assert 'entries not used here: bold' in caplog.text


@pytest.mark.parametrize(
    'content',
    [
        '[]', '1', 'null', '"t1w"', '{"t1w": []}', '{"t1w": null}', '{"t1w": "acquisition"}',
        '{"t1w": {"run": {"a": 1}}}', '{"t1w": {"run": [[1]]}}', '{"t1w": {"run": true}}',
        '{"t1w": {"run": 1.5}}', '{"t1w": {"run": NaN}}', '{"t1w": {"run": 1, "run": 2}}',
        '{"t1w": {}, "t1w": {}}', '{"t1w": {}, "T1W": {}}', '{"t1w": {"run": 1, "run": 1}}',
        '{"t1w": {"acq": "a", "acquisition": "b"}}',
    ],
)  # fmt: skip
def test_another_format_is_refused(tmp_path, content):
    with refused(datasets.FILTER_FORMAT, naming='filter.json'):
        read(tmp_path, content)


@pytest.mark.parametrize(
    'content',
    ['', '{', '{"t1w": {"run": 1}', b'\xff\xfe{\x00', b'\x00' * 100, '{"t1w": {"run": ' + '9' * 5000 + '}}',
     '[' * 100_000, '{"a":' * 100_000, "{'t1w': {}}", '{"t1w": {}} {}', ' ' * (MAX_SIZE + 1)],
)  # fmt: skip
def test_what_is_no_json_is_refused(tmp_path, content):
    with refused(datasets.FILTER_UNREADABLE, naming='filter.json'):
        read(tmp_path, content)


def test_an_unknown_entity_is_named_with_the_known_ones(tmp_path):
    with refused(datasets.FILTER_ENTITY, naming='aquisition'):
        read(tmp_path, {'t1w': {'aquisition': 'x'}})
    with refused(datasets.FILTER_ENTITY, naming='acquisition'):
        read(tmp_path, {'t1w': {'x' * 100_000: 'x', **{f'k{n}': 1 for n in range(1000)}}})


def test_files_that_are_no_files_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', tmp_path, tmp_path / 'none', '/dev/zero'):
        with refused(datasets.FILTER_UNREADABLE, naming=str(path)):
            read_filters(path)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / 'filter.json'
    with path.open('wb') as file:
        file.truncate(100 * 2**20)
    started = time.process_time()
    with refused(datasets.FILTER_UNREADABLE):
        read_filters(path)
    assert time.process_time() - started < 1


@pytest.fixture(scope='module')
def index(tmp_path_factory):
    root = put(tmp_path_factory.mktemp('bids'), 'sub-1/anat/sub-1_run-1_T1w.nii')
    return ImageIndex(root, ['1'], ['1'], ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(['t1w', 'T2W', 'run', 'acq', 'acquisition', '']) | st.text(), inner)
    ),
    max_leaves=10,
)


@given(JSON.map(json.dumps) | st.binary(max_size=60) | st.text(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=500)
def test_whatever_stands_in_it_there_are_filters_or_one_line(tmp_path, index, content):
    content = content if isinstance(content, bytes) else content.encode('utf-8', 'surrogatepass')
    filters = {}
    with one_line_at_most():
        filters = read(tmp_path, content)
    assert set(filters) <= {'t1w', 't2w'}
    for one in filters.values():
        assert index.passing('T1w', one) <= {'sub-1/anat/sub-1_run-1_T1w.nii'}


@contextmanager
def one_line_at_most():
    """Accept an error in one line."""
    lines = ['']
    try:
        yield
    except InputError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
