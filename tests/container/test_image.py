"""The built images, run the hard way: no network, read-only root, no capabilities, an unknown uid, no HOME.

Docker: needs PVS_IMAGE, the tag of a built image, and PVS_IMAGE_TOOL, a command
`TOOL run TAG [-v ...] -- ARGS`. Apptainer: PVS_SIF, the file, and PVS_SIF_TOOL, a command
`TOOL run FILE.sif [-B ...] -- ARGS` that passes --containall. Skipped with a message without them.
`.ci/run` gives all four where it can.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from faults.small_head import shrink, simulate_small_heads

TAG, TOOL = os.environ.get('PVS_IMAGE'), os.environ.get('PVS_IMAGE_TOOL')
SIF, SIF_TOOL = os.environ.get('PVS_SIF'), os.environ.get('PVS_SIF_TOOL')
needs_image = pytest.mark.skipif(
    not (TAG and TOOL), reason='PVS_IMAGE, PVS_IMAGE_TOOL not set: image not tested'
)
needs_sif = pytest.mark.skipif(
    not (SIF and SIF_TOOL and TAG), reason='PVS_SIF, PVS_SIF_TOOL, PVS_IMAGE not set: SIF not tested'
)
UID = 4242
READY_MADE = ('-d', 'labels=/bids/derivatives/labels')


def call(*command: object) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=1500)


def run(*arguments: object, binds: tuple[str, ...] = (), memory: str = '6g') -> subprocess.CompletedProcess:
    volumes = [part for bind in binds for part in ('-v', bind)]
    hard = ('-e', 'HOME=', '--user', f'{UID}:{UID}', '--memory', memory)
    return call(TOOL, 'run', TAG, *volumes, *hard, '--', *arguments)


def masks(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.glob('sub-*/anat/*label-PVS*.nii.gz')}


@pytest.fixture(scope='module')
def bids(shared_data, tmp_path_factory) -> Path:
    """A simulated head with T1w, T2w and ready-made anatomy, and a real one with a T1w; both are small."""
    root = simulate_small_heads(tmp_path_factory.mktemp('image') / 'bids')
    put_small_scan(shared_data, root)
    return root


def put_small_scan(shared_data: Path, root: Path) -> None:
    """Write every second voxel of a real T1w, in the place that it has in its dataset."""
    real = Path('sub-adi/anat/sub-adi_T1w.nii.gz')
    (root / real).parent.mkdir(parents=True)
    nib.save(shrink(nib.load(shared_data / 'bids-real' / real).slicer[::2, ::2, ::2]), root / real)


@pytest.fixture(scope='module')
def out(bids) -> Path:
    """What the image made of them."""
    folder = bids.parent / 'out'
    folder.mkdir()
    folder.chmod(0o777)
    binds = (f'{bids}:/bids:ro', f'{folder}:/out')
    done = run('/bids', '/out', 'participant', '--nprocs', '2', *READY_MADE, binds=binds)
    assert done.returncode == 0, done.stdout + done.stderr
    grouped = run('/bids', '/out', 'group', binds=binds)
    assert grouped.returncode == 0, grouped.stdout + grouped.stderr
    return folder


@needs_image
def test_help_version_and_models():
    assert 'participant' in run('--help').stdout
    done = run('models', 'verify')
    assert done.returncode == 0, done.stdout + done.stderr


@needs_image
def test_two_heads_and_the_group(out):
    assert {p.name for p in out.glob('sub-*.html')} == {'sub-0001.html', 'sub-adi.html'}
    assert (out / 'sub-adi/anat/sub-adi_label-PVS_mask.nii.gz').exists()
    assert (out / 'group.html').exists()
    assert {p.stat().st_uid for p in out.rglob('*')} == {UID}
    assert not (out / 'work').exists()


@needs_image
def test_too_little_memory_is_said_at_once(shared_data, tmp_path):
    tmp_path.chmod(0o777)
    binds = (f'{shared_data / "bids-real"}:/bids:ro', f'{tmp_path}:/out')
    done = run('/bids', '/out', 'participant', '--participant-label', 'adi', binds=binds, memory='2g')
    assert done.returncode == 2
    assert 'GB of memory' in done.stderr
    assert not Path(tmp_path / 'sub-adi').exists()


@needs_image
def test_the_challenge_gets_posterior_and_mask_on_the_grid_of_its_scan(bids, tmp_path):
    # the simulated head: it has spaces that any weights find, and the real one too few voxels for that
    scan, out = tmp_path / 'input' / 'sub-0001_T1w.nii.gz', tmp_path / 'output'
    scan.parent.mkdir()
    shutil.copy(bids / 'sub-0001/anat' / scan.name, scan)
    out.mkdir()
    out.chmod(0o777)
    done = run('challenge', '/input', '/output', binds=(f'{scan.parent}:/input:ro', f'{out}:/output'))
    assert done.returncode == 0, done.stdout + done.stderr
    images = {path.name: nib.load(path) for path in out.iterdir()}
    assert sorted(images) == ['sub-0001_T1w_pvs_mask.nii.gz', 'sub-0001_T1w_pvs_posterior.nii.gz']
    mask, posterior = (images[name] for name in sorted(images))
    assert (mask.get_data_dtype(), posterior.get_data_dtype()) == (np.uint8, np.float64)
    for image in (mask, posterior):
        assert image.shape == nib.load(scan).shape
        np.testing.assert_allclose(image.affine, nib.load(scan).affine, atol=1e-4)
    marked, values = np.asarray(mask.dataobj) > 0, np.asarray(posterior.dataobj)
    assert set(np.unique(mask.dataobj)) == {0, 1}
    assert 0 == values.min() < values.max() <= 1
    assert values[marked].min() > 0


@needs_sif
def test_the_sif_makes_the_same_masks_bit_for_bit(bids, out, tmp_path):
    assert call(SIF_TOOL, 'test', SIF).returncode == 0
    binds = ('-B', f'{bids}:/bids', '-B', f'{tmp_path}:/out')
    # the real head, whose anatomy has all steps; the simulated one would say the same once more
    options = ('participant', '--participant-label', 'adi', '--nprocs', 2)
    done = call(SIF_TOOL, 'run', SIF, *binds, '--', '/bids', '/out', *options)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = {name: mask for name, mask in masks(out).items() if name.startswith('sub-adi')}
    assert len(expected) == 2
    assert masks(tmp_path) == expected
