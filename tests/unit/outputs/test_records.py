"""Records of scans, and whose results they are."""

from __future__ import annotations

import os
from pathlib import Path

from layouts import put

from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.bids.query import Scan, Selection
from pvs_bidsapp.outputs.records import (
    clear_failure,
    find_records,
    read_record,
    refuse_other_sources,
    write_failure,
)


def test_records_are_found_by_their_names_and_nothing_else_is(tmp_path):
    put(
        tmp_path / 'logs', 'sub-1_status.json', 'sub-1_failure.json', 'sub-2_ses-a_status.json', 'run_1.json',
        'sub-3_x_status.json', 'sub-é_status.json', '.sub-4.lock', 'ses-a_sub-5_status.json',
        'sub-6_run-1_acq-a_status.json', 'crash-1.txt',
    )  # fmt: skip
    found = {names.stem: sorted(record) for names, record in find_records(tmp_path).items()}
    assert found == {'sub-1': ['failure', 'status'], 'sub-2_ses-a': ['status']}
    assert find_records(tmp_path / 'none') == {}


def test_a_failure_is_written_read_and_cleared(tmp_path):
    names = Naming(tmp_path, (('sub', '1'),))
    write_failure(names, 'sub-1/anat/sub-1_T1w.nii', 'no ünicode\udcff')
    assert read_record(names.failure)['reason'].startswith('no ünicode')
    assert clear_failure(names)
    assert not clear_failure(names)
    assert read_record(names.failure) == {}


def test_a_dataset_does_not_overwrite_results_of_a_file_without_bids(tmp_path, settings):
    put(
        settings.out_dir, 'logs/sub-1_status.json', content=b'{"inputs": {"source": "/a/1.nii"}, "files": []}'
    )
    put(settings.bids_dir, *(f'sub-{n}/anat/sub-{n}_T1w.nii' for n in '12'))
    scans = tuple(Scan(settings.bids_dir / f'sub-{n}/anat/sub-{n}_T1w.nii') for n in '12')
    selection = refuse_other_sources(Selection(scans=scans), settings)
    assert selection.scans == scans[1:]
    (one,) = selection.refused
    assert one.path == 'sub-1/anat/sub-1_T1w.nii'
    assert '/a/1.nii' in one.reason
    assert one.entities is None


def test_a_dataset_that_has_moved_is_the_same_dataset(tmp_path, settings):
    """Jobs of a cluster copy a subject to a folder of their own."""
    inputs = b'{"inputs": {"t1w": ["sub-1_T1w.nii", 3, 3]}, "files": []}'
    put(settings.out_dir, 'logs/sub-1_status.json', content=inputs)
    path = Path('sub-1/anat/sub-1_T1w.nii')
    put(settings.bids_dir, str(path))
    os.utime(settings.bids_dir / path, ns=(9, 9))
    selection = Selection(scans=(Scan(settings.bids_dir / path),))
    assert refuse_other_sources(selection, settings) == selection
