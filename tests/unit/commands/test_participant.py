"""Two jobs are never at one scan where they share its outputs or its work folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pvs_bidsapp.bids.query import Scan
from pvs_bidsapp.commands.participant import clean_work_dir, locks_of
from pvs_bidsapp.workflows.engine import WORKFLOW
from pvs_bidsapp.workflows.scan import workflow_name


@pytest.fixture
def scan(settings):
    return Scan(Path(settings.bids_dir) / 'sub-1' / 'anat' / 'sub-1_T1w.nii.gz')


def elsewhere(settings, folder):
    """The same settings with another output folder, and with another work folder."""
    work = replace(settings.execution, work_dir=folder / 'work2')
    return replace(settings, out_dir=folder / 'out2'), replace(settings, execution=work)


@pytest.mark.parametrize('which', [0, 1])
def test_one_job_at_a_time_where_outputs_or_work_folder_are_shared(settings, scan, tmp_path, which):
    other = elsewhere(settings, tmp_path)[which]
    held, waiting = locks_of(scan, settings), locks_of(scan, other)
    assert held.acquire()
    assert not waiting.acquire()
    held.release()
    assert waiting.acquire()
    waiting.release()


def test_jobs_that_share_neither_do_not_wait_for_each_other(settings, scan, tmp_path):
    one, two = elsewhere(settings, tmp_path)
    held, free = locks_of(scan, one), locks_of(scan, two)
    assert held.acquire()
    assert free.acquire()
    held.release()
    free.release()


def test_a_work_folder_that_another_job_is_in_is_not_removed(settings, scan, tmp_path):
    folder = settings.execution.work_dir / WORKFLOW / workflow_name(scan, settings)
    folder.mkdir(parents=True)
    other = locks_of(scan, elsewhere(settings, tmp_path)[0])
    assert other.acquire()
    clean_work_dir([scan], settings)
    assert folder.is_dir()
    other.release()
    clean_work_dir([scan], settings)
    assert not settings.execution.work_dir.exists()
