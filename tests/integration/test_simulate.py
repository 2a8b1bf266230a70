"""`pvs simulate` as a user runs it.

Rendering PVS takes most of the time, so the head is small, has a coarse label map, and few of them (the seed
decides).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from phantoms import write_label_map
from program import pvs, pvs_here

OPTIONS = (
    '--n-subjects', '1', '--suite', 'hard', '--spacing', '2', '--sites', '2', '--sessions', '2',
    '--seed', '13',
)  # fmt: skip


@pytest.fixture(scope='module')
def label_map_folder(tmp_path_factory):
    return write_label_map(tmp_path_factory.mktemp('simulate') / 'label-maps', scale=0.7, step=2)


@pytest.fixture(scope='module')
def simulate(label_map_folder):
    """Simulate the same head with two sessions in a folder."""
    return lambda root: pvs('simulate', root, *OPTIONS, '--label-maps', label_map_folder)


@pytest.fixture(scope='module')
def heads(tmp_path_factory, simulate):
    root = tmp_path_factory.mktemp('heads') / 'a'
    done = simulate(root)
    assert done.returncode == 0, done.stderr
    return root


def test_the_data_set_and_its_labels_are_valid(heads):
    validator = Path(sys.executable).with_name('bids-validator-deno')
    for folder in (heads, heads / 'derivatives' / 'labels', heads / 'derivatives' / 'labels-T2w'):
        done = subprocess.run([validator, folder], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_same_seed_gives_the_same_bytes(heads, simulate, tmp_path):
    assert simulate(tmp_path / 'b').returncode == 0
    files = sorted(p.relative_to(heads) for p in heads.rglob('*') if p.suffix in ('.gz', '.tsv'))
    assert len(files) > 20
    for name in files:
        assert (heads / name).read_bytes() == (tmp_path / 'b' / name).read_bytes(), name


def test_the_ground_truth_agrees_with_itself(heads):
    labels = heads / 'derivatives' / 'labels' / 'sub-0001' / 'ses-1' / 'anat'

    def load(name):
        return nib.load(labels / f'sub-0001_ses-1_{name}.nii.gz')

    t1w = nib.load(heads / 'sub-0001' / 'ses-1' / 'anat' / 'sub-0001_ses-1_T1w.nii.gz')
    occupancy, mask, index = (
        np.asarray(load(n).dataobj) for n in ('label-PVS_probseg', 'label-PVS_mask', 'desc-pvs_dseg')
    )
    assert occupancy.shape == t1w.shape
    np.testing.assert_allclose(load('label-PVS_mask').affine, t1w.affine, atol=1e-4)
    np.testing.assert_array_equal(mask > 0, occupancy >= np.float32(0.4))
    np.testing.assert_array_equal(index > 0, mask > 0)
    table = pd.read_csv(labels / 'sub-0001_ses-1_desc-pvs_dseg.tsv', sep='\t')
    assert set(np.unique(index)) - {0} <= set(table['index'])
    assert table['volume_mm3'].sum() == pytest.approx(occupancy.sum() * 8, rel=1e-3)
    largest = table.loc[table['volume_mm3'].idxmax()]
    points = np.array([[float(c) for c in p.split(',')] for p in largest['centre_line'].split(';')])
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).sum() == pytest.approx(
        largest['length_mm'], rel=0.02
    )
    voxels = np.rint(nib.affines.apply_affine(np.linalg.inv(t1w.affine), points)).astype(int)
    assert occupancy[tuple(voxels.T)].mean() > 0.05  # the line runs through its own PVS


def test_people_grow_older_and_their_pvs_wider(heads):
    people = pd.read_csv(heads / 'participants.tsv', sep='\t')
    assert set(people) == {'participant_id', 'age', 'sex', 'site', 'rating'}
    sessions = pd.read_csv(heads / 'sub-0001' / 'sub-0001_sessions.tsv', sep='\t')
    assert np.diff(sessions['age']) == pytest.approx(2)
    tables = sorted(heads.glob('derivatives/labels/**/*_desc-pvs_dseg.tsv'))
    first, second = (pd.read_csv(table, sep='\t')['width_mm'] for table in tables)
    assert (second >= first).all()


def test_a_second_call_keeps_what_is_there(heads, simulate):
    before = {p: p.stat().st_mtime_ns for p in heads.rglob('*.nii.gz')}
    assert simulate(heads).returncode == 0
    assert before == {p: p.stat().st_mtime_ns for p in heads.rglob('*.nii.gz')}
    assert (heads / 'gallery.png').stat().st_size > 10_000


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--spacing', '9'], '--spacing'),
        (['--sites', '-1'], '--sites'),
        (['--rater-reliability', '2'], '--rater-reliability'),
        (['--label-maps', '/nowhere'], 'no such folder'),
        (['--into', '/nowhere'], 'no such folder'),
    ],
)
def test_wrong_use_is_said_in_one_line(tmp_path, arguments, message):
    done = pvs_here('simulate', tmp_path / 'x', *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
