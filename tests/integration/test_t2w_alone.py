"""The whole program on a T2w without a T1w, with a tiny model of the T2w."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
import pytest
from faults.small_head import SmallHead, make_small_head
from program import pvs_here


@pytest.fixture(scope='module')
def head(simulated, tmp_path_factory) -> SmallHead:
    return make_small_head(tmp_path_factory.mktemp('t2w') / 'head', 'T2w', simulated=simulated)


@pytest.fixture(scope='module')
def out(head) -> Path:
    folder = head.bids.parent / 'out'
    command = head.command(folder, head.bids.parent / 'work')
    done = subprocess.run([*command, '--output-spaces', 'MNI152NLin2009cSym'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


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


def test_group_knows_that_the_person_is_done(head, out):
    done = pvs_here(head.bids, out, 'group')
    assert done.returncode == 0, done.stderr
    assert 'no T1w' not in done.stderr
    assert len(pd.read_csv(out / 'group_scans.tsv', sep='\t')) == 1


def test_without_the_option_it_is_said_what_to_do(head, tmp_path):
    done = pvs_here(head.bids, tmp_path / 'out', 'participant', '--device', 'cpu')
    assert done.returncode == 2
    assert 'no T1w found, but T2w scans; for T2w scans alone: --modality T2w' in done.stderr
