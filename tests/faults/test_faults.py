"""Faults of the machine in the middle of a run: after each, the next run ends like an undisturbed one.

The whole program runs several times, which takes a quarter of an hour: skipped unless PVS_FAULTS is set.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults import outputs
from faults.runs import Finished, run_to_its_end, start

pytestmark = [
    pytest.mark.skipif(
        'PVS_FAULTS' not in os.environ, reason='PVS_FAULTS not set: the program was not disturbed'
    ),
    pytest.mark.skipif(sys.platform != 'linux', reason='processes are looked up in /proc'),
]
YEAR = 365 * 24 * 3600


@pytest.fixture
def check(undisturbed) -> Callable[[Path], None]:
    """Run to the end in an output folder, and compare it with that of the undisturbed run."""

    def run_and_compare(out: Path) -> None:
        done = run_to_its_end(undisturbed.head, out, undisturbed.work)
        assert done.status == 0, done.stderr
        assert_like_undisturbed(out)

    def assert_like_undisturbed(out: Path) -> None:
        assert not outputs.damaged(out)
        assert not outputs.differences(out, undisturbed.out)
        assert not outputs.leftovers(out, undisturbed.work)

    run_and_compare.without_run = assert_like_undisturbed
    return run_and_compare


def assert_failed(done: Finished, out: Path, *words: str) -> None:
    """The run has named the scan and the reason, in one line and on the page, and left nothing partial."""
    assert done.status == 1, done.stderr
    assert 'Traceback' not in done.stderr
    (line,) = [x for x in done.stderr.splitlines() if x.startswith('pvs: error: sub-0001_T1w.nii.gz')]
    page = (out / 'sub-0001.html').read_text()
    for word in words:
        assert word in line
        assert word in page
    assert not outputs.damaged(out)


@pytest.mark.parametrize(('how', 'whom', 'status'), [
    (signal.SIGINT, 'group', 130),  # Ctrl-C
    (signal.SIGTERM, 'main', 143),  # a batch system, or a container that is stopped
    (signal.SIGTERM, 'group', 143),
])  # fmt: skip
@pytest.mark.parametrize('step', ['find_regions', 'write'])
def test_a_run_that_is_asked_to_stop(undisturbed, check, tmp_path, how, whom, status, step):
    steps = ['find_regions', 'to_native', 'segment', 'measure', 'draw', 'write']
    work = undisturbed.restore_work(*steps[steps.index(step) :])
    out = tmp_path / 'out'
    run = start(undisturbed.head, out, work)
    begun = (
        (lambda: undisturbed.step(step).exists())
        if step != 'write'
        else (lambda: (out / 'sub-0001').exists())
    )
    assert run.wait_for(lambda: any(work.glob(f'pvs/*/{step}')) and begun())
    run.kill(whom, how)
    assert not run.survivors(30)
    done = run.finish()
    assert done.status == status, done.stderr
    assert 'Traceback' not in done.stderr
    assert 'run the same command again' in done.stderr
    assert 'run the same command again' in (out / 'sub-0001.html').read_text()
    assert not outputs.damaged(out)
    check(out)


def test_two_runs_at_once_of_which_one_is_killed(undisturbed, check, tmp_path):
    work, out = undisturbed.restore_work('find_regions'), tmp_path / 'out'
    first = start(undisturbed.head, out, work)
    assert first.wait_for(lambda: any(work.glob('pvs/*/find_regions')))
    second, third = (start(undisturbed.head, out, work) for _ in range(2))
    for run in (second, third):
        assert run.wait_for(lambda run=run: run.said('another job is working on it'))
    assert first.kill('group')
    ended = [run.finish() for run in (first, second, third)]
    assert [done.status for done in ended] == [-signal.SIGKILL, 0, 0], ended
    check.without_run(out)


def test_a_step_whose_worker_is_killed_each_time(undisturbed, check, tmp_path):
    work, out = undisturbed.restore_work('find_regions'), tmp_path / 'out'
    run = start(undisturbed.head, out, work)
    killed = set()
    for _ in range(2):
        assert run.wait_for(lambda: any(work.glob('pvs/*/find_regions/_0x*')) and {*run.workers()} - killed)
        worker = next(iter({*run.workers()} - killed))
        os.kill(worker, signal.SIGKILL)
        killed.add(worker)
    assert_failed(run.finish(), out, 'killed')
    check(out)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """A small file system in memory; called with a size, it is made, or made larger."""
    place = tmp_path / 'disk'
    place.mkdir()

    def mount(size: str) -> Path:
        options = f'size={size}' + (',remount' if place.is_mount() else '')
        command = ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip('no file system may be mounted here: run as root, or by `unshare -rm`')
        return place

    yield mount
    subprocess.run(['umount', str(place)], check=False)


@pytest.mark.parametrize('size', ['100k', '500k', '1m'])
def test_a_full_disk_for_the_outputs(undisturbed, check, small_disk, size):
    out = small_disk(size) / 'out'
    undisturbed.restore_work()
    done = run_to_its_end(undisturbed.head, out, undisturbed.work)
    assert done.status == 1, done.stderr
    assert 'Traceback' not in done.stderr
    assert 'pvs: error: ' in done.stderr
    assert 'No space left' in done.stderr
    assert not outputs.damaged(out)
    small_disk('50m')
    check(out)


@pytest.mark.parametrize('size', ['500k', '8m', '20m'])
def test_a_full_disk_for_the_work(undisturbed, tmp_path, small_disk, size):
    out, work = tmp_path / 'out', small_disk(size) / 'work'
    done = run_to_its_end(undisturbed.head, out, work)
    assert done.status == 1, done.stderr
    assert_failed(done, out, 'pace left')
    small_disk('200m')
    assert run_to_its_end(undisturbed.head, out, work).status == 0
    assert not outputs.damaged(out) + outputs.differences(out, undisturbed.out) + outputs.leftovers(out, work)


def test_an_input_that_vanishes_and_comes_back(undisturbed, check, tmp_path):
    work, out = undisturbed.restore_work('find_regions', 'to_native'), tmp_path / 'out'
    t1w, away = undisturbed.head.t1w, tmp_path / 'away.nii.gz'
    run = start(undisturbed.head, out, work)
    try:
        assert run.wait_for(lambda: any(work.glob('pvs/*/find_regions/_0x*')))
        t1w.rename(away)
        assert_failed(run.finish(), out, 'sub-0001_T1w.nii.gz')
    finally:
        away.rename(t1w)
    check(out)


def cut(path: Path) -> None:
    """Keep the first half of a file, as after a loss of power."""
    state = path.stat()
    path.write_bytes(path.read_bytes()[: state.st_size // 2])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize('names', [
    ['*_probseg.nii.gz'], ['*_stats.tsv', '*_stats.json', '*_T1w.png'], ['*_status.json'], ['sub-0001.html'],
])  # fmt: skip
def test_half_written_outputs_of_an_earlier_crash(undisturbed, check, tmp_path, names):
    out = tmp_path / 'out'
    shutil.copytree(undisturbed.out, out)
    (out / 'logs' / 'sub-0001_status.json').rename(tmp_path / 'status')
    if '*_status.json' in names:
        shutil.copy(tmp_path / 'status', out / 'logs' / 'sub-0001_status.json')
    for name in names:
        for path in out.rglob(name):
            cut(path)
    undisturbed.restore_work()
    check(out)


def empty(path: Path) -> None:
    path.write_bytes(b'')


@pytest.mark.parametrize(
    ('name', 'damage'),
    [
        ('extract_brain/result_*.pklz', cut),
        ('extract_brain/brain_warp.nii', empty),
        ('find_regions/regions.nii', cut),
        ('to_native/_node.pklz', cut),
        ('segment/result_*.pklz', empty),
        ('measure/cluster_table.tsv', Path.unlink),
        ('draw/pvs.png', cut),
    ],
)
def test_damaged_files_in_the_work_folder(undisturbed, check, tmp_path, name, damage):
    work = undisturbed.restore_work()
    found = [*work.glob(f'pvs/*/{name}')]
    assert found
    for path in found:
        damage(path)
    check(tmp_path / 'out')


@pytest.mark.parametrize('shift', [-20 * YEAR, 20 * YEAR])
def test_a_clock_that_jumps(undisturbed, check, tmp_path, shift):
    """Records and intermediate files seem to be of another time, and so does a failure that was mended."""
    work, out = undisturbed.restore_work('find_regions', 'to_native'), tmp_path / 'out'
    t1w, away = undisturbed.head.t1w, tmp_path / 'away.nii.gz'
    run = start(undisturbed.head, out, work)
    try:
        assert run.wait_for(lambda: any(work.glob('pvs/*/find_regions/_0x*')))
        t1w.rename(away)
        run.finish()
    finally:
        away.rename(t1w)
    then = time.time() + shift
    for folder in (out, work):
        for path in folder.rglob('*'):
            os.utime(path, (then, then))
    check(out)
    for path in out.rglob('*'):
        os.utime(path, (then, then))
    again = run_to_its_end(undisturbed.head, out, work)
    assert '0 done, 1 kept, 0 failed' in again.stdout
    check.without_run(out)
