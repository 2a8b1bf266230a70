"""Nothing leaves the machine, and nothing that names a person is copied into outputs, logs or messages."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from layouts import put_images
from phantoms import write_label_map
from private import NO_NETWORK, SECRET, find_secret, make_personal, processes, pvs_alone

from pvs_bidsapp.simulation.cohort import Effects
from pvs_bidsapp.testing import write_cohort


@pytest.fixture
def personal(tmp_path):
    """A dataset with personal data in all places, and results of its people."""
    write_cohort(tmp_path, 5, Effects(), seed=1)
    put_images(tmp_path / 'bids', *(f'sub-0000{k}/anat/sub-0000{k}_T1w.nii.gz' for k in range(5)))
    make_personal(tmp_path / 'bids')
    return tmp_path


def check_private(done, *folders):
    assert SECRET not in done.stdout + done.stderr
    assert not [name for folder in folders for name in find_secret(folder)]


@pytest.mark.parametrize(
    'code',
    [
        'import socket; socket.create_connection(("localhost", 9))',
        'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))',
        'import urllib.request; urllib.request.urlopen("http://127.0.0.1:9")',
        'import multiprocessing as m, socket; m.get_context("spawn").Pool(1).map(socket.gethostbyname, "a")',
    ],
)
def test_the_watch_sees_calls_in_all_processes(tmp_path, code):
    notes = tmp_path / 'notes'
    environment = os.environ | {'PYTHONPATH': str(NO_NETWORK), 'PVS_NETWORK_NOTES': str(notes)}
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True)
    assert done.returncode
    assert 'socket.' in notes.read_text()


def test_a_personal_value_is_found(personal):
    found = find_secret(personal / 'bids')
    assert any(name.endswith('_T1w.nii.gz') for name in found)
    assert any(name.endswith('_T1w.json') for name in found)


def test_dry_run(personal):
    out = personal / 'new'
    done = pvs_alone(
        personal / 'notes', personal / 'bids', out, 'participant', '--dry-run', '--modality', 'T1w'
    )
    assert done.returncode == 0, done.stderr
    assert '5 scans' in done.stdout + done.stderr
    check_private(done, *([out] if out.exists() else []))


def test_scans_that_fail(personal):
    """These are no heads: the run stops at each of them, and writes pages, records and logs."""
    out = personal / 'new'
    for path in (personal / 'bids').rglob('*_T1w.nii.gz'):
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:300] + SECRET.encode()))
    done = pvs_alone(
        personal / 'notes', personal / 'bids', out, 'participant', '--modality', 'T1w', '--nprocs', 1
    )
    assert done.returncode == 1, done.stderr
    assert (out / 'sub-00000.html').exists()
    check_private(done, out)


def test_group(personal):
    """With linear models: for models of counts, which take most of the time, the people are too few."""
    analyses = ('--cohort', 'site', '--covariates', 'age', 'sex')
    done = pvs_alone(personal / 'notes', personal / 'bids', personal / 'out', 'group', *analyses)
    assert done.returncode == 0, done.stderr
    check_private(done, personal / 'out')


def test_evaluate(personal):
    labels, masks = personal / 'labels', personal / 'masks'
    for folder in (labels, masks):
        put_images(folder, 'sub-1/anat/sub-1_label-PVS_mask.nii.gz')
        (path,) = folder.rglob('*.nii.gz')
        data = np.zeros((60, 60, 60), np.uint8)
        data[20:23, 20:22, 20] = 1
        image = nib.Nifti1Image(data, np.diag([3.0, 3, 3, 1]))
        image.header['descrip'] = SECRET
        nib.save(image, path)
    done = pvs_alone(personal / 'notes', 'evaluate', masks, labels, personal / 'evaluation')
    assert done.returncode == 0, done.stderr
    check_private(done, personal / 'evaluation')


def test_models(tmp_path):
    for command in ('list', 'verify'):
        assert pvs_alone(tmp_path / 'notes', 'models', command).returncode == 0


def test_simulation_in_several_processes(tmp_path):
    label_maps = write_label_map(tmp_path / 'label-maps', scale=0.7, step=2)
    options = ('--n-subjects', 2, '--spacing', 2, '--nprocs', 2, '--label-maps', label_maps)
    done = pvs_alone(tmp_path / 'notes', 'simulate', tmp_path / 'bids', *options)
    assert done.returncode == 0, done.stderr
    assert len(processes(tmp_path / 'notes')) > 2


def cut_off() -> list[str]:
    """A command that runs another one in a network of its own, without any connection."""
    command = ['unshare', '--map-root-user', '--net']
    works = (
        shutil.which('unshare') and subprocess.run([*command, 'true'], capture_output=True).returncode == 0
    )
    if not works:
        pytest.skip('unshare does not work here: commands were not run without any network')
    return command


def test_without_any_network(personal):
    program = [sys.executable, '-m', 'pvs_bidsapp.cli.main', str(personal / 'bids'), str(personal / 'out')]
    for arguments in (['group'], ['participant', '--dry-run', '--modality', 'T1w']):
        done = subprocess.run([*cut_off(), *program, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
