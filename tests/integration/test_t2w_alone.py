"""The whole program on a T2w without a T1w, full of personal data, with a tiny model of the T2w."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
import pytest
from faults.small_head import SmallHead, make_small_head
from private import SECRET, find_secret, make_personal, processes, pvs_alone
from program import RUN, pvs_here


@pytest.fixture(scope='module')
def head(simulated, tmp_path_factory) -> SmallHead:
    head = make_small_head(tmp_path_factory.mktemp('t2w') / 'head', 'T2w', simulated=simulated)
    make_personal(head.bids)
    return head


@pytest.fixture(scope='module')
def done(head) -> subprocess.CompletedProcess[str]:
    """The run, with an eye on the calls of its processes; the work folder is kept."""
    folder = head.bids.parent
    command = head.command(folder / 'out', folder / 'work', keep_work=True)
    return pvs_alone(folder / 'notes', *command[len(RUN) :], '--output-spaces', 'MNI152NLin2009cSym')


@pytest.fixture(scope='module')
def out(head, done) -> Path:
    assert done.returncode == 0, done.stderr
    return head.bids.parent / 'out'


def test_outputs_are_named_after_the_t2w(out):
    names = {path.name for path in (out / 'sub-0001' / 'anat').iterdir()}
    assert {'sub-0001_desc-preproc_T2w.nii.gz', 'sub-0001_label-PVS_mask.nii.gz'} <= names
    assert 'sub-0001_from-T2w_to-MNI152NLin2009cSym_mode-image_xfm.h5' in names
    assert not [name for name in names if 'T1w' in name]


def test_the_page_shows_the_t2w(out):
    page = (out / 'sub-0001.html').read_text()
    assert 'sub-0001_T2w.nii.gz' in page
    assert '<option value="viewT2w">' in page
    assert '<option value="viewT1w">' not in page
    assert 'from the T2w scan' in page


def test_a_whole_run_on_personal_data(head, done, out):
    assert len(processes(head.bids.parent / 'notes')) > 1
    assert SECRET not in done.stdout + done.stderr
    assert not find_secret(out)
    assert not find_secret(head.bids.parent / 'work')


def test_group_knows_that_the_person_is_done(head, out):
    done = pvs_here(head.bids, out, 'group')
    assert done.returncode == 0, done.stderr
    assert 'no T1w' not in done.stderr
    assert len(pd.read_csv(out / 'group_scans.tsv', sep='\t')) == 1


def test_without_the_option_it_is_said_what_to_do(head, tmp_path):
    done = pvs_here(head.bids, tmp_path / 'out', 'participant', '--device', 'cpu')
    assert done.returncode == 2
    assert 'no T1w found, but T2w scans; for T2w scans alone: --modality T2w' in done.stderr
