"""A real Slurm: participant by nipype's plugin and by the array script, killed, requeued, and twice at once.

Needs a Slurm that takes jobs of this machine's user, and PVS_SLURM=1, so that nobody's queue is filled by
accident; skipped with a message without. `.ci/run` starts one where it can.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.small_head import SCALE, SmallHead, make_small_head
from program import RUN

pytestmark = pytest.mark.skipif(
    not (os.environ.get('PVS_SLURM') and shutil.which('sbatch')), reason='PVS_SLURM not set: Slurm not tested'
)
ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = ('0001', '0002')
ONE_CORE = ('--cpus-per-task=1', '--mem=4G')
PATIENCE = 1200


def command(*arguments: object, **options) -> str:
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def head(tmp_path_factory) -> SmallHead:
    """Two small heads and a small model: what is tested is who does the steps, and where.

    The second is larger: it is still being worked on when another task asks for it.
    """
    return make_small_head(tmp_path_factory.mktemp('cluster'), scales=(SCALE, 0.8))


@pytest.fixture(scope='module')
def bids(head) -> Path:
    return head.bids


@pytest.fixture(scope='module')
def options(head) -> list[str]:
    """Ready-made brain masks and tissues, to be quick."""
    return ['--modality', 'T1w', '--model', str(head.model), '-d', f'labels={head.labels}', '--device', 'cpu']


@pytest.fixture(scope='module')
def by_plugin(bids, options) -> Path:
    folder = bids.parent
    plugin = folder / 'plugin.yml'
    text = (ROOT / 'examples/slurm_plugin.yml').read_text(encoding='utf-8')
    plugin.write_text(text.replace('--mem=6G --cpus-per-task=2', ' '.join(ONE_CORE)), encoding='utf-8')
    out = folder / 'by_plugin'
    said = command(*RUN, bids, out, 'participant', *options, '--plugin', plugin, '-w', folder / 'shared_work')
    assert '2 done, 0 kept, 0 failed' in said
    return out


def submit(array: str, bids: Path, out: Path, options: list[str]) -> str:
    """The number of an array job of the example's script."""
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    environment = os.environ | {'BIDS': str(bids), 'OUT': str(out), 'SCRATCH': str(out.parent), 'PATH': path}
    environment['PYTHONPATH'] = str(ROOT)
    log = out.parent / 'job-%A_%a.log'
    return command(
        'sbatch', '--parsable', f'--array={array}', '--export=ALL', f'--output={log}', '--open-mode=append',
        *ONE_CORE, ROOT / 'examples/slurm_array.sh', *options, env=environment,
    ).strip()  # fmt: skip


def queued(job: str) -> bool:
    """Whether any task of an array waits or runs."""
    return job in command('squeue', '--noheader', '--format=%F').split()


def wait(condition, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f'{what}: not within {PATIENCE} s'
        time.sleep(1)


def logs(folder: Path) -> str:
    return '\n'.join(f'== {p.name}\n{p.read_text()}' for p in sorted(folder.glob('job-*.log')))


def masks(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.glob('sub-*/anat/*_label-PVS_mask.nii.gz')}


def test_two_arrays_at_once_and_a_task_killed_and_requeued(bids, options, by_plugin):
    out = bids.parent / 'by_array'
    first = submit('1-2%1', bids, out, options)
    second = submit('2', bids, out, options)
    killed = f'{first}_1'
    work = out.parent / f'pvs-{command("id", "-un").strip()}-{first}-sub-0001'
    wait(lambda: list(work.rglob('extract_brain/_node.pklz')), 'the longest step begins')
    # in its place comes the first array's second task, whose scan is held by the second array
    command('scancel', killed)
    wait(lambda: 'CANCELLED' in command('scontrol', 'show', 'job', killed), 'the task ends')
    assert not (out / 'sub-0001/anat/sub-0001_label-PVS_mask.nii.gz').exists()
    command('scontrol', 'requeue', killed)
    wait(lambda: not (queued(first) or queued(second)), 'all tasks end')
    said = logs(out.parent)
    assert said.count('1 done, 0 kept, 0 failed') == 3, said
    assert 'another job is working on it; waiting' in said
    assert not list(out.parent.glob('pvs-*/*'))  # work folders are empty or gone
    assert {p.name for p in out.glob('sub-*.html')} == {f'sub-{s}.html' for s in SUBJECTS}
    # the array's masks and those of the plugin are the same, bit for bit
    assert len(masks(out)) == len(SUBJECTS)
    assert masks(out) == masks(by_plugin)
    command(*RUN, bids, out, 'group')
