"""The whole program on a T2w without a T1w, with a tiny model of the T2w."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from model_cards import SMALL, card
from program import name_segmentations, pvs

from pvs_bidsapp.segmentation.model import write_model
from pvs_bidsapp.segmentation.networks import build

OPTIONS = ('--device', 'cpu', '--nprocs', 1)


@pytest.fixture(scope='module')
def bids(tmp_path_factory) -> Path:
    """One person with a T2w alone, with ready-made anatomy."""
    root = tmp_path_factory.mktemp('t2w') / 'bids'
    made = pvs('simulate', root, '--suite', 'easy', '--spacing', 2, '--n-subjects', 1, '--seed', 7)
    assert made.returncode == 0, made.stderr
    name_segmentations(root / 'derivatives' / 'labels')
    for path in root.glob('sub-*/anat/*_T1w.*'):
        path.unlink()
    return root


@pytest.fixture(scope='module')
def out(bids) -> Path:
    model, folder = bids.parent / 'model', bids.parent / 'out'
    write_model(model, build(SMALL), card(channels=('T2w',), spacing=(1.0, 3.0), threshold=0.999))
    labels = f'labels={bids / "derivatives" / "labels"}'
    done = pvs(
        bids, folder, 'participant', '--modality', 'T2w', '--model', model, '-d', labels,
        '--output-spaces', 'MNI152NLin2009cSym', *OPTIONS,
    )  # fmt: skip
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


def test_group_knows_that_the_person_is_done(bids, out):
    done = pvs(bids, out, 'group')
    assert done.returncode == 0, done.stderr
    assert 'no T1w' not in done.stderr
    assert len(pd.read_csv(out / 'group_scans.tsv', sep='\t')) == 1


def test_without_the_option_it_is_said_what_to_do(bids, tmp_path):
    done = pvs(bids, tmp_path / 'out', 'participant', *OPTIONS)
    assert done.returncode == 2
    assert 'no T1w found, but T2w scans; for T2w scans alone: --modality T2w' in done.stderr
