"""The whole program on a simulated head, with both models, and with bad scans beside it."""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from disguises import write
from phantoms import write_label_map
from program import pvs

from pvs_bidsapp.anatomy.regions import REGIONS, indices_of
from pvs_bidsapp.clusters.tables import CLUSTER_COLUMNS, REGION_COLUMNS
from pvs_bidsapp.evaluation.metrics import dice
from pvs_bidsapp.reports.viewer import IMAGES

GOOD = 'sub-0001_ses-a_acq-sim_run-1'
#: A session without T2w.
ONE_SCAN = 'sub-0001_ses-b_acq-sim_run-1'
NPROCS = str(os.cpu_count())
OPTIONS = ('participant', '--omp-nthreads', '1', '--device', 'cpu')
TWO_CHANNELS = 'm2ss-t1t2'


@pytest.fixture(scope='module')
def bids(tmp_path_factory) -> Path:
    """A good scan, and eight that cannot be used. To save time, the head is as small as a child's."""
    folder = tmp_path_factory.mktemp('data')
    root, label_maps = folder / 'bids', write_label_map(folder / 'label-maps', scale=0.85)
    head = ('--suite', 'easy', '--spacing', 1.2, '--n-subjects', 1, '--seed', 7, '--label-maps', label_maps)
    assert pvs('simulate', root, *head).returncode == 0
    source = root / 'sub-0001' / 'anat'
    anat = files(root)
    anat.mkdir(parents=True)
    for extension in ('.nii.gz', '.json'):
        for suffix in ('T1w', 'T2w'):
            (source / f'sub-0001_{suffix}{extension}').rename(anat / f'{GOOD}_{suffix}{extension}')
    source.rmdir()
    add_bad_scans(root, anat / f'{GOOD}_T1w.nii.gz')
    return root


def add_bad_scans(root: Path, good: Path) -> None:
    image = nib.load(good)
    shape, data = image.shape, image.get_fdata(dtype=np.float32)
    sheared = image.affine.copy()
    sheared[:3, 1] += 0.2 * sheared[:3, 0]
    bad = {
        '4D': nib.Nifti1Image(np.stack([data[::2, ::2, ::2]] * 2, -1), image.affine),
        'empty': nib.Nifti1Image(np.zeros(shape, np.uint8), image.affine),
        'nan': nib.Nifti1Image(np.where(np.arange(shape[0])[:, None, None] % 2, np.nan, data), image.affine),
        'sheared': nib.Nifti1Image(data, sheared),
        'noise': nib.Nifti1Image(np.random.default_rng(0).random((96, 96, 96), np.float32), np.eye(4)),
    }
    for label, scan in bad.items():
        write(scan, root / f'sub-{label}' / 'anat' / f'sub-{label}_T1w.nii.gz')
    write_unmended(data, image.affine, root / 'sub-stretched' / 'anat' / 'sub-stretched_T1w.nii')
    path = root / 'sub-cut' / 'anat' / 'sub-cut_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    path.write_bytes(good.read_bytes()[:100_000])
    path = root / 'sub-annex' / 'anat' / 'sub-annex_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    path.symlink_to('../../.git/annex/objects/x/y/MD5E-s1--a.nii.gz/MD5E-s1--a.nii.gz')
    (root / 'sub-none' / 'func').mkdir(parents=True)


def write_unmended(data: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write a scan whose pixdim is a tenth larger than its sform says; nibabel would mend it."""
    image = nib.Nifti1Image(data.astype(np.int16), affine)
    image.header['pixdim'][1:4] *= 1.1
    image.header['vox_offset'] = 352
    path.parent.mkdir(parents=True)
    path.write_bytes(image.header.binaryblock + bytes(4) + np.asarray(image.dataobj).tobytes(order='F'))


@pytest.fixture(scope='module')
def first(bids, tmp_path_factory):
    out = tmp_path_factory.mktemp('first') / 'out'
    before = {p: p.lstat().st_mtime_ns for p in bids.rglob('*')}
    done = pvs(bids, out, *OPTIONS, '--nprocs', NPROCS, '--keep-workdir')
    assert {p: p.lstat().st_mtime_ns for p in bids.rglob('*')} == before, 'BIDS_DIR was written to'
    return out, done


@pytest.fixture(scope='module')
def two_channels(bids, first, tmp_path_factory):
    """The model of T1w and T2w, on the anatomy that the first run left in its work folder.

    Meanwhile the person has another session, without a T2w.
    """
    out = tmp_path_factory.mktemp('both') / 'out'
    options = ('--participant-label', '0001', '--model', TWO_CHANNELS, '-w', first[0] / 'work')
    other = files(bids, 'ses-b') / f'{ONE_SCAN}_T1w.nii.gz'
    other.parent.mkdir(parents=True)
    shutil.copy(files(bids) / f'{GOOD}_T1w.nii.gz', other)
    done = pvs(bids, out, *OPTIONS, '--skip-bids-validation', '--keep-workdir', *options)
    shutil.rmtree(other.parents[1])
    return out, done


def files(out: Path, session: str = 'ses-a') -> Path:
    return out / 'sub-0001' / session / 'anat'


def work_folders(out: Path) -> list[Path]:
    """The folders of the good scan's intermediate files, whose names end in the key of its files."""
    return sorted((out / 'work' / 'pvs').glob(f'scan_{GOOD.replace("-", "_")}_*'))


#: A word of the reason why the scan of each of these people is refused.
REASONS = {
    '4D': '4D', 'empty': 'empty', 'nan': 'NaN', 'sheared': 'right angles', 'noise': 'template does not fit',
    'stretched': 'pixdim', 'cut': 'cut short', 'annex': 'datalad get',
}  # fmt: skip


def test_bad_scans_are_named_and_the_good_one_is_finished(first):
    out, done = first
    assert done.returncode == 1, done.stderr
    assert 'Traceback' not in done.stderr
    for label, word in REASONS.items():
        (line,) = [x for x in done.stderr.splitlines() if x.startswith(f'pvs: error: sub-{label}_T1w')]
        assert word in line
        assert word in html.unescape((out / f'sub-{label}.html').read_text())
        assert not (out / f'sub-{label}').exists()
    assert 'sub-none: no T1w' in done.stderr
    assert f'1 done, 0 kept, {len(REASONS)} failed' in done.stdout
    assert (files(out) / f'{GOOD}_label-PVS_mask.nii.gz').exists()


def test_refusals_by_the_header_come_before_the_work(first):
    """They are in the log before the first step is done."""
    _, done = first
    before = done.stderr[: done.stderr.index('[1/')]
    assert all(f'sub-{label}_T1w' in before for label in ('4D', 'sheared', 'stretched', 'annex'))


def test_nothing_is_said_of_a_good_scan(first):
    stats = json.loads((files(first[0]) / f'{GOOD}_desc-pvs_stats.json').read_text())
    assert 'InputFindings' not in stats
    assert stats['TemplateCorrelation'] > 0.7


def test_outputs_are_on_the_scans_grid_and_within_the_regions(first, bids):
    anat = files(first[0])
    t1w = nib.load(files(bids) / f'{GOOD}_T1w.nii.gz')
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


def index_of(name, hemisphere):
    (region,) = (r for r in REGIONS if (r.name, r.hemisphere) == (name, hemisphere))
    return region.index


def test_the_anatomy_agrees_with_the_ground_truth(first, bids):
    reference = bids / 'derivatives' / 'labels' / 'sub-0001' / 'anat'
    labels = np.asarray(nib.load(reference / 'sub-0001_seg-aseg_dseg.nii.gz').dataobj)
    brain = np.asarray(nib.load(reference / 'sub-0001_desc-brain_mask.nii.gz').dataobj) > 0
    predicted = np.asarray(nib.load(files(first[0]) / f'{GOOD}_desc-brain_mask.nii.gz').dataobj) > 0
    regions = np.asarray(nib.load(files(first[0]) / f'{GOOD}_seg-regions_dseg.nii.gz').dataobj)
    assert dice(predicted, brain) > 0.94
    nuclei = [r.index for r in REGIONS if r.name in ('caudate', 'lentiform nucleus')]
    assert dice(np.isin(regions, nuclei), np.isin(labels, (11, 12, 13, 50, 51, 52))) > 0.7
    tissues = np.asarray(nib.load(files(first[0]) / f'{GOOD}_seg-tissue_dseg.nii.gz').dataobj)
    white = np.isin(labels, (2, 41, 7, 46, 16, 28, 60))
    assert dice(tissues == 3, white) > 0.85
    right = regions[np.isin(labels, (51, 52))]
    assert (right == index_of('lentiform nucleus', 'right')).mean() > 0.5
    assert not np.isin(right, indices_of('basal ganglia', 'left')).any()


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
    assert sidecar['Sources'] == [f'bids:raw:sub-0001/ses-a/anat/{GOOD}_T1w.nii.gz']


def test_the_page_is_self_contained(first):
    page = (first[0] / 'sub-0001_ses-a.html').read_text()
    assert 'not a medical device' in page
    assert page.count('data:image/webp;base64') == 5
    assert page.count('data:image/png;base64') == 1  # the sections of the grades
    assert page.count('data-volume="') == len(IMAGES)
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_the_validator_accepts_it(first):
    validator = Path(sys.executable).with_name('bids-validator-deno')
    done = subprocess.run([str(validator), str(first[0])], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_running_again_rewrites_nothing(first, bids):
    out, _ = first
    before = {p: p.stat().st_mtime_ns for p in files(out).iterdir()}
    again = pvs(bids, out, *OPTIONS, '--keep-workdir', '--participant-label', '0001')
    assert again.returncode == 0, again.stderr
    assert '0 done, 1 kept, 0 failed' in again.stdout
    assert {p: p.stat().st_mtime_ns for p in files(out).iterdir()} == before


def test_a_scan_without_t2w_is_named_and_the_other_one_is_finished(two_channels):
    out, done = two_channels
    assert done.returncode == 1, done.stderr
    assert 'Traceback' not in done.stderr
    (line,) = [x for x in done.stderr.splitlines() if x.startswith(f'pvs: error: {ONE_SCAN}')]
    assert 'T2w' in line
    assert not files(out, 'ses-b').exists()
    assert '1 done, 0 kept, 1 failed' in done.stdout


def test_pvs_are_found_on_two_channels_and_the_model_is_named(two_channels, bids):
    anat = files(two_channels[0])
    assert json.loads((anat / f'{GOOD}_label-PVS_mask.json').read_text())['ModelName'] == TWO_CHANNELS
    predicted = nib.load(anat / f'{GOOD}_label-PVS_mask.nii.gz')
    reference = nib.load(bids / 'derivatives/labels/sub-0001/anat/sub-0001_label-PVS_mask.nii.gz')
    assert dice(np.asarray(predicted.dataobj) > 0, np.asarray(reference.dataobj) > 0) > 0.5
    assert 'T2w' in (two_channels[0] / 'sub-0001_ses-a.html').read_text()


def test_group_and_evaluate(first, bids, tmp_path):
    out = tmp_path / 'out'
    shutil.copytree(first[0], out)
    done = pvs(bids, out, 'group')
    assert done.returncode == 0, done.stderr
    page = html.unescape((out / 'group.html').read_text())
    assert all(f'sub-{label}' in page and word in page for label, word in REASONS.items())
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


def test_other_settings_rewrite_the_results_and_the_work_folder_goes(first, two_channels, bids, tmp_path):
    """Last: it needs the work folder that the tests before it share."""
    out = two_channels[0]
    kept = tmp_path / 'mask.nii.gz'
    mask = files(out) / f'{GOOD}_label-PVS_mask.nii.gz'
    shutil.copy(mask, kept)
    assert work_folders(first[0])
    options = ('--participant-label', '0001', '--session-label', 'a', '--model', TWO_CHANNELS)
    done = pvs(bids, out, *OPTIONS, *options, '-w', first[0] / 'work', '--threshold', '0.9')
    assert done.returncode == 0, done.stderr
    assert 'settings differ' in done.stderr
    assert '1 done, 0 kept, 0 failed' in done.stdout
    before, after = (np.asarray(nib.load(p).dataobj) > 0 for p in (kept, mask))
    assert 0 < after.sum() < before.sum()
    assert not work_folders(first[0])
