"""The built image, run the hard way: no network, read-only root, no capabilities, an unknown uid, no HOME.

Needs PVS_IMAGE, the tag of a built image, and PVS_IMAGE_TOOL, a command `TOOL run TAG [-v ...] -- ARGS`; skipped
aloud without them. `.ci/run` gives both where it can.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TAG, TOOL = os.environ.get('PVS_IMAGE'), os.environ.get('PVS_IMAGE_TOOL')
pytestmark = pytest.mark.skipif(
    not (TAG and TOOL), reason='PVS_IMAGE, PVS_IMAGE_TOOL not set: image not tested'
)
UID = 4242


def run(*arguments: object, binds: tuple[str, ...] = (), memory: str = '6g') -> subprocess.CompletedProcess:
    volumes = [part for bind in binds for part in ('-v', bind)]
    command = [TOOL, 'run', TAG, *volumes, '-e', 'HOME=', '--user', f'{UID}:{UID}', '--memory', memory, '--']
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=1500
    )


def test_help_version_and_models():
    assert 'participant' in run('--help').stdout
    done = run('models', 'verify')
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_real_scan_and_the_group(shared_data, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    out.chmod(0o777)
    binds = (f'{shared_data / "bids-real"}:/bids:ro', f'{out}:/out')
    done = run('/bids', '/out', 'participant', '--participant-label', 'adi', '--nprocs', '2', binds=binds)
    assert done.returncode == 0, done.stdout + done.stderr
    mask = out / 'sub-adi/anat/sub-adi_label-PVS_mask.nii.gz'
    assert mask.exists()
    assert {p.stat().st_uid for p in out.rglob('*')} == {UID}
    assert not (out / 'work').exists()
    grouped = run('/bids', '/out', 'group', binds=binds)
    assert grouped.returncode == 0, grouped.stderr
    assert (out / 'group.html').exists()


def test_too_little_memory_is_said_at_once(shared_data, tmp_path):
    tmp_path.chmod(0o777)
    binds = (f'{shared_data / "bids-real"}:/bids:ro', f'{tmp_path}:/out')
    done = run('/bids', '/out', 'participant', '--participant-label', 'adi', binds=binds, memory='2g')
    assert done.returncode == 2
    assert 'GB of memory' in done.stderr
    assert not Path(tmp_path / 'sub-adi').exists()
