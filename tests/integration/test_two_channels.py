"""The bundled model of T1w and T2w, run as its users run it."""

from __future__ import annotations

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from program import pvs

from pvs_bidsapp.evaluation.metrics import dice

MODEL = 'm2ss-t1t2'


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    """A head with both scans, and one whose T2w is missing; masks and tissues are ready-made."""
    root = tmp_path_factory.mktemp('both')
    bids, out = root / 'bids', root / 'out'
    made = pvs('simulate', bids, '--suite', 'easy', '--n-subjects', '1', '--seed', '7', '--spacing', '1.2')
    assert made.returncode == 0, made.stderr
    alone = bids / 'sub-alone' / 'anat'
    alone.mkdir(parents=True)
    for extension in ('.nii.gz', '.json'):
        source = bids / 'sub-0001' / 'anat' / f'sub-0001_T1w{extension}'
        shutil.copy(source, alone / f'sub-alone_T1w{extension}')
    labels = bids / 'derivatives' / 'labels'
    options = ('--model', MODEL, '-d', f'labels={labels}', '--device', 'cpu')
    return bids, out, pvs(bids, out, 'participant', '--skip-bids-validation', *options)


def test_a_scan_without_t2w_is_named_and_the_other_one_is_finished(done):
    _, out, run = done
    assert run.returncode == 1, run.stderr
    assert 'Traceback' not in run.stderr
    (line,) = [x for x in run.stderr.splitlines() if x.startswith('pvs: error: sub-alone')]
    assert 'T2w' in line
    assert not (out / 'sub-alone').exists()
    assert '1 done, 0 kept, 1 failed' in run.stdout


def test_spaces_are_found_and_the_model_is_named(done):
    bids, out, _ = done
    anat = out / 'sub-0001' / 'anat'
    card = json.loads((anat / 'sub-0001_label-PVS_mask.json').read_text())
    assert card['ModelName'] == MODEL
    found = nib.load(anat / 'sub-0001_label-PVS_mask.nii.gz')
    truth = nib.load(bids / 'derivatives/labels/sub-0001/anat/sub-0001_label-PVS_mask.nii.gz')
    assert dice(np.asarray(found.dataobj) > 0, np.asarray(truth.dataobj) > 0) > 0.5
    assert 'T2w' in (out / 'sub-0001.html').read_text()
