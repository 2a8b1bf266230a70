"""Which images pass a filter, by pybids, wherever the dataset lies and whatever was indexed before."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from layouts import put
from refusals import refused

from pvs_bidsapp.bids.filters import read_filters
from pvs_bidsapp.bids.index import ImageIndex
from pvs_bidsapp.messages import datasets

FILES = {'a': '_acq-x_run-01', 'b': '_acq-x_run-2', 'c': '_acq-y_run-1', 'd': '_acq-y', 'e': '_hemi-L'}
NAMES = {letter: f'sub-1/anat/sub-1{rest}_T1w.nii' for letter, rest in FILES.items()}


def index(root, database=None, subjects=('1',)):
    images = {p.relative_to(root).as_posix() for s in subjects for p in root.glob(f'sub-{s}/anat/*.nii')}
    return ImageIndex(root, subjects, ('1', '2'), images, database)


@pytest.fixture
def dataset(tmp_path):
    """A dataset below folders that look like entities."""
    root = tmp_path / 'sub-99' / 'ses-pre' / 'anat' / 'run-1_acq-z' / 'sub-7'
    return put(root, *NAMES.values(), 'sub-2/anat/sub-2_T1w.nii', 'sub-1/anat/sub-1_T2w.nii')


@pytest.mark.parametrize(
    ('wanted', 'letters'),
    [
        ({}, 'abcde'),
        ({'acquisition': 'x'}, 'ab'),
        ({'acq': 'x', 'run': 1}, 'a'),
        ({'run': '01'}, 'ac'),
        ({'run': ['1', 2]}, 'abc'),
        ({'run': None}, 'de'),
        ({'run': [None, 2]}, 'bde'),
        ({'run': [None, 2, None]}, 'bde'),
        ({'run': [None, '*', 'Query.NONE', 'Query.ANY', 1]}, 'abcde'),
        ({'run': '*'}, 'abc'),
        ({'run': 'Query.NONE'}, 'de'),
        ({'run': 'Query.ANY'}, 'abc'),
        ({'run': 'Query.OPTIONAL'}, 'abcde'),
        ({'run': []}, ''),
        ({'run': 'one'}, ''),
        ({'hemisphere': 'L'}, 'e'),  # an entity of BIDS that pybids does not know
        ({'acquisition': '.*'}, ''),
        ({'acquisition': 'x|y'}, ''),
        ({'subject': 'sub-1'}, 'abcde'),
        ({'subject': '2'}, ''),
        ({'session': '__import__("os").system("touch /tmp/harm")'}, ''),
        ({'extension': 'nii'}, 'abcde'),
        ({'extension': '.nii.gz'}, ''),
        ({'suffix': 'T1w', 'datatype': 'anat'}, 'abcde'),
        ({'datatype': 'func'}, ''),
    ],
)
def test_what_passes(dataset, tmp_path, wanted, letters):
    path = tmp_path / 'filter.json'
    path.write_text(json.dumps({'t1w': wanted}))
    passing = index(dataset).passing('T1w', read_filters(path)['t1w'])
    assert passing == {NAMES[letter] for letter in letters}


def test_an_index_that_is_kept_is_of_all_subjects(dataset, tmp_path):
    kept = tmp_path / 'index'
    assert len(index(dataset, kept).passing('T1w', {})) == 5
    before = (kept / 'layout_index.sqlite').stat().st_mtime_ns
    assert index(dataset, kept, ('2',)).passing('T1w', {}) == {'sub-2/anat/sub-2_T1w.nii'}
    assert (kept / 'layout_index.sqlite').stat().st_mtime_ns == before
    assert [p.name for p in kept.iterdir()] == ['layout_index.sqlite']


@pytest.mark.parametrize('change', ['added', 'removed', 'damaged', 'of another dataset', 'empty'])
def test_an_index_that_does_not_fit_is_made_anew(dataset, tmp_path, caplog, change):
    kept = tmp_path / 'index'
    index(dataset, kept)
    expected = set(NAMES.values())
    if change == 'added':
        put(dataset, 'sub-1/anat/sub-1_acq-new_T1w.nii')
        expected.add('sub-1/anat/sub-1_acq-new_T1w.nii')
    elif change == 'removed':
        (dataset / NAMES['a']).unlink()
        expected.remove(NAMES['a'])
    elif change == 'of another dataset':
        dataset = put(tmp_path / 'other', *NAMES.values())
    else:
        (kept / 'layout_index.sqlite').write_bytes(b'SQLite format 3' * (change == 'damaged'))
    assert index(dataset, kept).passing('T1w', {}) == expected
    assert 'made anew' in caplog.text
    assert index(dataset, kept).passing('T1w', {}) == expected


@pytest.mark.parametrize(
    'label', ['9' * 19, '9' * 300, '\udcff', 'a\0b', "' OR 1=1 --", '%', '.*', '\u0663', 'a' * 5000, '']
)
def test_labels_that_no_name_can_have_match_nothing(dataset, tmp_path, label):
    path = tmp_path / 'filter.json'
    for entity in ('run', 'acquisition'):
        path.write_text(json.dumps({'t1w': {entity: label}}))
        assert index(dataset).passing('T1w', read_filters(path)['t1w']) == set()
        path.write_text(json.dumps({'t1w': {entity: [label, '*']}}))
        assert index(dataset).passing('T1w', read_filters(path)['t1w']) >= {NAMES['a']}


@pytest.mark.parametrize(
    'name', [b'\xff.json', b'sub-1/anat/\xff.txt', b'sub-1/\xff/x', b'sub-\xff/anat/x_T1w.nii']
)
@pytest.mark.parametrize('is_kept', [True, False])
def test_names_that_are_no_unicode_hide_nothing(dataset, tmp_path, name, is_kept):
    path = os.fsencode(dataset) + b'/' + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb'):
        pass
    database = tmp_path / 'database' if is_kept else None
    assert index(dataset, database).passing('T1w', {}) == {*NAMES.values()}


def test_a_dataset_whose_path_is_no_unicode_is_refused(dataset):
    root = dataset.rename(os.fsdecode(os.fsencode(dataset.parent) + b'/bids\xff'))
    with refused(datasets.ROOT_NAME):
        index(root)


@pytest.mark.parametrize(
    'content',
    [
        '5', '"x"', '[1]', '[' * 100_000, '{"a": ' + '1' * 5000 + '}',
        '{"DatasetType": "derivative", "GeneratedBy": null}',
        '{"DatasetType": "derivative", "GeneratedBy": [1]}',
        '{"DatasetType": "derivative", "PipelineDescription": "x"}',
    ],
)  # fmt: skip
def test_a_description_that_pybids_cannot_read_is_refused(dataset, content):
    path = dataset / 'dataset_description.json'
    path.write_text(content)
    with refused(datasets.DESCRIPTION, naming=str(path)):
        index(dataset)


@pytest.mark.parametrize('make', [Path.mkdir, os.mkfifo])
def test_a_description_that_is_no_file_is_refused(dataset, make):
    make(dataset / 'dataset_description.json')
    with refused(datasets.DESCRIPTION, naming='it is no file'):
        index(dataset)


def test_a_huge_description_is_refused(dataset):
    with (dataset / 'dataset_description.json').open('wb') as stream:
        stream.truncate(10**8)
    with refused(datasets.DESCRIPTION, naming='more than 20 MB'):
        index(dataset)


@pytest.mark.parametrize(
    'content', [b'', b'{', b'[]', b'null', b'\xff\xfe', b'{"Name": 5, "GeneratedBy": "x"}']
)
def test_other_descriptions_do_not_matter(dataset, content):
    (dataset / 'dataset_description.json').write_bytes(content)
    assert index(dataset).passing('T1w', {}) == {*NAMES.values()}


def test_links_in_circles_and_to_elsewhere_are_not_followed(dataset):
    for folder in ('sub-1', 'sub-1/ses-1', 'sub-1/ses-1/anat', 'sub-2'):
        (dataset / folder).mkdir(exist_ok=True)
        for name in ('ses-2', 'ses-3', 'func', 'derivatives'):
            (dataset / folder / name).symlink_to(dataset)
    (dataset / 'sub-1' / 'anat' / 'anat').symlink_to('.')
    (dataset / 'sub-1' / 'ses-1' / 'anat' / 'sub-1_ses-1').symlink_to('..')
    assert index(dataset).passing('T1w', {}) == {*NAMES.values()}


def test_patterns_for_names_are_not_taken_from_the_dataset(dataset):
    config = {
        'name': 'other',
        'entities': [{'name': 'acquisition', 'pattern': '(T1w)'}],
        'default_path_patterns': [],
    }
    for folder in (dataset, dataset / 'sub-1', dataset / 'sub-1' / 'anat'):
        (folder / 'layout_config.json').write_text(json.dumps(config))
    assert index(dataset).passing('T1w', {'acq': ('x',)}) == {NAMES['a'], NAMES['b']}
