"""The record of a scan decides what is done again and removed; it may have been damaged or changed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from faults.made_up_results import make_dataset, make_results, make_settings

from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.bids.query import Query, find_scans
from pvs_bidsapp.outputs.dataset import describe_output
from pvs_bidsapp.outputs.scan import LEVELS, findings_of, status, storage_step, write


@pytest.fixture
def written(tmp_path):
    """A scan with its settings, its names and its results in the output folder."""
    bids = make_dataset(tmp_path / 'bids', '01')
    (scan,) = find_scans(bids, Query()).scans
    settings = make_settings(bids, tmp_path)
    write(scan, settings, make_results(tmp_path / 'results'))
    return scan, settings, Naming.of(settings.out_dir, scan.anat)


def change_record(names, **changes):
    record = json.loads(names.status.read_text()) | changes
    names.status.write_text(json.dumps(record))


def test_what_was_written_is_done(written):
    scan, settings, names = written
    assert status(scan, settings) == 'done'
    assert findings_of(scan, settings) == []
    change_record(names, fingerprint='0')
    assert status(scan, settings) == 'other settings'
    names.anat('mask', label='PVS').unlink()
    assert status(scan, settings) == 'missing'


def test_the_sidecar_of_the_regions_describes_what_bids_does_not_know_of_their_table(written):
    _, _, names = written
    header = names.anat('dseg', '.tsv', seg='regions').read_text().partition('\n')[0].split('\t')
    sidecar = json.loads(names.anat('dseg', '.json', seg='regions').read_text())
    assert {name for name in header if name in sidecar} == set(header) - {'index', 'name'}
    assert sidecar['hemisphere'] == {'Description': 'left, right or both'}


def test_the_readme_of_the_folder_names_all_files_of_a_scan(written):
    _, settings, names = written
    describe_output(settings)
    text = (settings.out_dir / 'README.md').read_text()
    ends = {path.name.split('.')[0].removeprefix('sub-01_') for path in (names.folder / 'anat').iterdir()}
    assert {end for end in ends if f'`*_{end}' not in text} == set()
    assert 'or else a\nT2w' in text


def test_what_only_some_runs_write_is_gone_before_the_record_is(written, monkeypatch, tmp_path):
    """If a run ends while it writes, the next one does not know what the one before it had written."""
    scan, settings, names = written
    optional = names.anat('mask', space='MNI152NLin2009cSym', label='PVS')
    optional.write_text('x')
    files = json.loads(names.status.read_text())['files']
    change_record(names, files=[*files, optional.relative_to(settings.out_dir).as_posix()])
    monkeypatch.setattr('pvs_bidsapp.outputs.scan._write_anatomy', None)
    with pytest.raises(TypeError):
        write(scan, settings, make_results(tmp_path / 'again'))
    assert not names.status.exists()
    assert not optional.exists()


def test_what_a_killed_run_has_left_is_gone_although_no_record_knows_of_it(written, tmp_path):
    scan, settings, names = written
    other = Naming.of(settings.out_dir, scan.anat.with_name('sub-01_run-1_T1w.nii.gz'))
    files = [
        each
        for own in (names, other)
        for each in (
            own.anat('probseg', space='MNI152NLin2009cSym', label='PVS'),
            own.transform('T1w', 'MNI152NLin2009cSym'),
            own.figure('t2w', '.webp'),
        )
    ]
    for path in files:
        path.write_text('x')
    write(scan, settings, make_results(tmp_path / 'again'))
    assert [path.exists() for path in files] == [False] * 3 + [True] * 3


def test_inputs_that_were_named_without_bids_stand_under_their_own_names(written, tmp_path):
    scan, settings, names = written
    link = replace(scan, source=tmp_path / 'patient 7.nii.gz')
    write(link, replace(settings, is_staged=True), make_results(tmp_path / 'again'))
    sidecar = json.loads(names.anat('mask', '.json', label='PVS').read_text())
    assert sidecar['Sources'] == [f'file://{tmp_path}/patient%207.nii.gz']


@pytest.mark.parametrize(
    'text', ['', '[]', '5', 'null', '{', '{"files": 5}', '[' * 100_000, '{"a": 1, "b": "\ud800"}']
)
def test_a_damaged_record_is_none(written, text):
    scan, settings, names = written
    names.status.write_bytes(text.encode('utf-8', 'surrogatepass'))
    assert status(scan, settings) == 'missing'
    assert findings_of(scan, settings) == []


@pytest.mark.parametrize(
    'files', [5, None, [], {}, [5], [''], ['\0'], ['x' * 5000], ['sub-01'], ['sub-01/anat/sub-02_x.nii']]
)
def test_a_record_whose_list_of_files_is_damaged_is_none(written, files):
    scan, settings, names = written
    change_record(names, files=files)
    assert status(scan, settings) == 'missing'


@pytest.mark.parametrize(
    'findings', [5, None, {}, [5], [{}], [{'code': 'a'}], [{'code': 1, 'file': '', 'finding': ''}]]
)
def test_damaged_findings_are_left_out(written, findings):
    scan, settings, names = written
    change_record(names, findings=findings)
    assert findings_of(scan, settings) == []


def test_files_that_are_out_of_date_are_removed_if_they_are_outputs_of_the_scan(written, tmp_path):
    scan, settings, names = written
    old = names.anat('T2w', space='T1w', desc='preproc')
    others = [tmp_path / 'other.txt', settings.out_dir / 'sub-02_T1w.nii', names.folder / 'anat' / 'mine.txt']
    for path in (old, *others):
        path.write_text('x')
    files = json.loads(names.status.read_text())['files']
    change_record(names, files=[*files, old.relative_to(settings.out_dir).as_posix()])
    write(scan, settings, make_results(tmp_path / 'again'))
    assert not old.exists()
    for path in (
        '../other.txt',
        str(others[0]),
        'sub-02_T1w.nii',
        'sub-01/anat/mine.txt',
        'sub-01/../sub-02_T1w.nii',
    ):
        change_record(names, files=[*files, path])
        write(scan, settings, make_results(tmp_path / f'again{hash(path)}'))
    assert all(path.exists() for path in others)


def test_findings_are_read_again_as_one_line(written):
    scan, settings, names = written
    change_record(names, findings=[dict.fromkeys(('code', 'file', 'finding', 'mend'), 'a\n\x1b[31mb')])
    (finding,) = findings_of(scan, settings)
    assert all(text.isprintable() for text in finding.row().values())


def scan_values(rng, top):
    """The brightness of a head: mostly dark, a few voxels much brighter than the others."""
    values = rng.gamma(2.0, top / 8, (30, 30, 30))
    values[0, 0, :2] = 6 * top
    return values.astype(np.float32)


@pytest.mark.parametrize(
    ('top', 'own_step', 'expected'), [(1000, 1, 1), (255, 1, 1), (30000, 1, 8), (20, 0, 2**-8)]
)
def test_scans_are_stored_in_their_own_steps_or_in_12_bits(rng, top, own_step, expected):
    values = scan_values(rng, top)
    step = storage_step(values, own_step)
    assert step == pytest.approx(expected, rel=1.0)
    assert np.log2(step) == round(np.log2(step))
    assert step >= own_step
    bright = np.percentile(values, 99.9)
    assert bright / step <= LEVELS
    assert own_step == step or bright / step > LEVELS / 2.1


def test_an_empty_scan_has_a_step():
    assert storage_step(np.zeros((3, 3, 3), np.float32), 0.0) > 0
