"""The whole of the program on a simulated head, with bad scans beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from program import pvs

from pvs_bidsapp.anatomy.regions import REGIONS
from pvs_bidsapp.clusters.tables import CLUSTER_COLUMNS, REGION_COLUMNS
from pvs_bidsapp.evaluation.metrics import dice

GOOD = 'sub-0001_acq-sim_run-1'
NPROCS = str(os.cpu_count())


@pytest.fixture(scope='module')
def bids(tmp_path_factory) -> Path:
    """One good simulated head (with entities to keep), and scans that cannot be used."""
    root = tmp_path_factory.mktemp('data') / 'bids'
    assert pvs('simulate', root, '--suite', 'easy', '--n-subjects', '1', '--seed', '7').returncode == 0
    anat = root / 'sub-0001' / 'anat'
    for suffix in ('T1w', 'T2w'):
        for extension in ('.nii.gz', '.json'):
            (anat / f'sub-0001_{suffix}{extension}').rename(anat / f'{GOOD}_{suffix}{extension}')
    good = nib.load(anat / f'{GOOD}_T1w.nii.gz')
    shape, data = good.shape, good.get_fdata(dtype=np.float32)
    bad = {
        '4D': np.stack([data[::2, ::2, ::2]] * 2, -1),
        'empty': np.zeros(shape, np.float32),
        'constant': np.full(shape, 5, np.float32),
        'nan': np.where(np.arange(shape[0])[:, None, None] % 2, np.nan, data),
    }
    for label, values in bad.items():
        path = root / f'sub-{label}' / 'anat' / f'sub-{label}_T1w.nii.gz'
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(values, good.affine), path)
    path = root / 'sub-cut' / 'anat' / 'sub-cut_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    path.write_bytes((anat / f'{GOOD}_T1w.nii.gz').read_bytes()[:100_000])
    (root / 'sub-none' / 'func').mkdir(parents=True)
    return root


@pytest.fixture(scope='module')
def first(bids, tmp_path_factory):
    out = tmp_path_factory.mktemp('first') / 'out'
    before = {p: p.stat().st_mtime_ns for p in bids.rglob('*')}
    done = pvs(bids, out, 'participant', '--nprocs', NPROCS, '--omp-nthreads', '1', '--device', 'cpu')
    assert {p: p.stat().st_mtime_ns for p in bids.rglob('*')} == before, 'BIDS_DIR was written to'
    return out, done


def files(out: Path) -> Path:
    return out / 'sub-0001' / 'anat'


def test_bad_scans_are_named_and_the_good_one_is_finished(first):
    out, done = first
    assert done.returncode == 1, done.stderr
    assert 'Traceback' not in done.stderr
    reasons = {'4D': '4D', 'empty': 'empty', 'constant': 'constant', 'nan': 'NaN', 'cut': 'cut short'}
    for label, word in reasons.items():
        (line,) = [x for x in done.stderr.splitlines() if x.startswith(f'pvs: error: sub-{label}_T1w')]
        assert word in line
        assert word in (out / f'sub-{label}.html').read_text()
        assert not (out / f'sub-{label}').exists()
    assert 'sub-none: no T1w' in done.stderr
    assert '1 done, 0 kept, 5 failed' in done.stdout


def test_outputs_are_on_the_scans_grid_and_within_the_regions(first, bids):
    anat = files(first[0])
    t1w = nib.load(bids / 'sub-0001' / 'anat' / f'{GOOD}_T1w.nii.gz')
    names = ('desc-preproc_T1w', 'space-T1w_desc-preproc_T2w', 'desc-brain_mask', 'seg-regions_dseg',
             'seg-tissue_dseg', 'label-PVS_probseg', 'label-PVS_mask', 'desc-pvs_dseg')  # fmt: skip
    images = {n: nib.load(anat / f'{GOOD}_{n}.nii.gz') for n in names}
    for image in images.values():
        assert image.shape == t1w.shape
        np.testing.assert_array_equal(image.affine, t1w.affine)
    data = {n: np.asarray(i.dataobj) for n, i in images.items()}
    regions, mask = data['seg-regions_dseg'] > 0, data['label-PVS_mask'] > 0
    threshold = json.loads((anat / f'{GOOD}_label-PVS_mask.json').read_text())['Threshold']
    assert mask.any()
    assert not (mask & ~regions).any()
    assert not (data['label-PVS_probseg'] > 0)[~regions].any()
    np.testing.assert_array_equal(mask, data['desc-pvs_dseg'] > 0)
    np.testing.assert_array_equal(mask, (data['label-PVS_probseg'] >= threshold) & regions)


def test_the_anatomy_agrees_with_the_truth(first, bids):
    truth = bids / 'derivatives' / 'labels' / 'sub-0001' / 'anat'
    labels = np.asarray(nib.load(truth / 'sub-0001_seg-aseg_dseg.nii.gz').dataobj)
    brain = np.asarray(nib.load(truth / 'sub-0001_desc-brain_mask.nii.gz').dataobj) > 0
    found = np.asarray(nib.load(files(first[0]) / f'{GOOD}_desc-brain_mask.nii.gz').dataobj) > 0
    regions = np.asarray(nib.load(files(first[0]) / f'{GOOD}_seg-regions_dseg.nii.gz').dataobj)
    assert dice(found, brain) > 0.94
    assert dice(np.isin(regions, (21, 22)), np.isin(labels, (11, 12, 13, 50, 51, 52))) > 0.7
    tissues = np.asarray(nib.load(files(first[0]) / f'{GOOD}_seg-tissue_dseg.nii.gz').dataobj)
    white = np.isin(labels, (2, 41, 7, 46, 16, 28, 60))
    assert dice(tissues == 3, white) > 0.85
    right = regions[np.isin(labels, (51, 52))]
    assert (right == 22).mean() > 0.5
    assert not (right == 21).any()


def test_tables_and_sidecars(first):
    anat = files(first[0])
    clusters = (anat / f'{GOOD}_desc-pvs_dseg.tsv').read_text().splitlines()
    stats = (anat / f'{GOOD}_desc-pvs_stats.tsv').read_text().splitlines()
    assert clusters[0].split('\t') == list(CLUSTER_COLUMNS)
    assert stats[0].split('\t') == list(REGION_COLUMNS)
    total = dict(zip(REGION_COLUMNS, stats[-1].split('\t'), strict=True))
    assert int(total['count']) == len(clusters) - 1
    assert {r.name for r in REGIONS} <= {line.split('\t')[0] for line in stats[1:]}
    sidecar = json.loads((anat / f'{GOOD}_label-PVS_mask.json').read_text())
    assert {'Sources', 'Threshold', 'MinimumClusterSize', 'ModelName', 'ModelVersion', 'ModelSHA256',
            'Device', 'RandomSeed', 'SoftwareVersions'} <= set(sidecar)  # fmt: skip
    assert sidecar['Sources'] == [f'bids:raw:sub-0001/anat/{GOOD}_T1w.nii.gz']


def test_the_page_is_self_contained(first):
    page = (first[0] / 'sub-0001.html').read_text()
    assert 'not a medical device' in page
    assert page.count('data:image/png;base64') == 4
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_the_validator_accepts_it(first):
    validator = Path(sys.executable).with_name('bids-validator-deno')
    done = subprocess.run([str(validator), str(first[0])], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_running_again_rewrites_nothing(first, bids):
    out, _ = first
    before = {p: p.stat().st_mtime_ns for p in files(out).iterdir()}
    again = pvs(
        bids, out, 'participant', '--participant-label', '0001', '--omp-nthreads', '1', '--device', 'cpu'
    )
    assert again.returncode == 0, again.stderr
    assert 'kept' in again.stdout
    assert {p: p.stat().st_mtime_ns for p in files(out).iterdir()} == before


def test_the_same_seed_gives_the_same_mask(first, bids, tmp_path):
    done = pvs(
        bids,
        tmp_path / 'out',
        'participant',
        '--participant-label',
        '0001',
        '--omp-nthreads',
        '1',
        '--device',
        'cpu',
    )
    assert done.returncode == 0, done.stderr
    for name in ('label-PVS_mask', 'label-PVS_probseg', 'desc-brain_mask', 'seg-regions_dseg'):
        one, two = (
            np.asarray(nib.load(files(o) / f'{GOOD}_{name}.nii.gz').dataobj)
            for o in (first[0], tmp_path / 'out')
        )
        np.testing.assert_array_equal(one, two)
    assert not (tmp_path / 'out' / 'work').exists()


def test_group_and_evaluate(first, bids, tmp_path):
    out = tmp_path / 'out'
    shutil.copytree(first[0], out)
    done = pvs(bids, out, 'group')
    assert done.returncode == 0, done.stderr
    assert 'sub-empty' in (out / 'group.html').read_text()
    assert 'age' in (out / 'group_regions.tsv').read_text().splitlines()[0].split('\t')
    labels = tmp_path / 'labels' / 'sub-0001' / 'anat'
    labels.mkdir(parents=True)
    source = bids / 'derivatives' / 'labels' / 'sub-0001' / 'anat' / 'sub-0001_label-PVS_mask.nii.gz'
    shutil.copy(source, labels / f'{GOOD}_label-PVS_mask.nii.gz')
    done = pvs('evaluate', out, tmp_path / 'labels', tmp_path / 'evaluation')
    assert done.returncode == 0, done.stderr
    header, row, *_ = (tmp_path / 'evaluation' / 'evaluation.tsv').read_text().splitlines()
    scores = dict(zip(header.split('\t'), row.split('\t'), strict=True))
    assert float(scores['dice']) > 0.3
