"""Processes that work side by side."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from refusals import refused

from pvs_bidsapp.errors import ImageError
from pvs_bidsapp.messages import options
from pvs_bidsapp.runtime.processes import close_at_once, map_in_processes
from pvs_bidsapp.runtime.signals import Stopped

PROGRAM = """
import sys
from pvs_bidsapp.runtime.processes import map_in_processes
from tests_of_parallel import note_and_sleep
if __name__ == '__main__':
    map_in_processes(note_and_sleep, [(sys.argv[1], k) for k in range(5)], 2, 'naps')
"""
WORK = """
import ctypes, os, time
from pathlib import Path
def note_and_sleep(folder, number):
    Path(folder, f'{os.getpid()}.pid').touch()
    NAP(60)
"""
#: The second one keeps the interpreter locked, as the registration does.
NAPS = ('time.sleep', 'ctypes.PyDLL(None).sleep')


def is_alive(pid):
    try:
        os.kill(pid, 0)
        status = Path(f'/proc/{pid}/status').read_text()
    except (ProcessLookupError, FileNotFoundError):  # it may end between the two
        return False
    return 'State:\tZ' not in status


def wait_until(true, seconds):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def live_or_die(number, folder, deadly):
    """Notes that it was called; the deadly ones are killed, those below 0 only the first time."""
    calls = Path(folder, str(number))
    calls.write_text(calls.read_text() + 'x' if calls.exists() else 'x')
    if number in deadly and (number >= 0 or len(calls.read_text()) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def wait_for_file(number, path):
    """The first call ends at once, others as soon as the file is there."""
    if number and not wait_until(Path(path).exists, 60):
        raise TimeoutError(path)
    Path(f'{path}-{number}').touch()


def fail_with(number):
    raise [ImageError('a.nii: empty'), OSError(28, 'No space left on device', 'a.nii')][number]


def test_a_call_whose_process_is_killed_is_named(tmp_path):
    calls = [(number, str(tmp_path), (3,)) for number in range(6)]
    with refused(options.WORKER_KILLED, naming='sub-3'):
        map_in_processes(live_or_die, calls, 2, 'heads', names=[f'sub-{k}' for k in range(6)])
    assert len((tmp_path / '3').read_text()) in (2, 3)  # it had perhaps not begun when the others were killed


def test_a_process_that_is_killed_once_does_no_harm(tmp_path):
    numbers = [-1, 4, -2, 5, 6, 7, 8, 9]
    calls = [(number, str(tmp_path), (-1, -2)) for number in numbers]
    assert map_in_processes(live_or_die, calls, 2, 'heads') == numbers
    assert len((tmp_path / '9').read_text()) == 1  # what was not under way is done once


@pytest.mark.parametrize('number', [0, 1])
def test_errors_of_the_work_are_raised_here_with_their_file(number):
    with pytest.raises((ImageError, OSError), match=r'a\.nii'):
        map_in_processes(fail_with, [(number,)], 2, 'calls')


def test_a_stop_is_no_error(tmp_path):
    with pytest.raises(Stopped):
        map_in_processes(live_or_die, [(1, str(tmp_path), (1,))], 1, 'calls', stop=(tmp_path / '1').exists)


def test_nothing_begins_after_a_stop(tmp_path):
    with pytest.raises(Stopped):
        map_in_processes(live_or_die, [(1, str(tmp_path), ())], 1, 'calls', stop=lambda: True)
    assert not (tmp_path / '1').exists()


def test_a_stop_lets_calls_that_have_begun_finish(tmp_path):
    def stop():
        if stopped := (tmp_path / 'go-0').exists():
            (tmp_path / 'go').touch()
        return stopped

    calls = [(number, str(tmp_path / 'go')) for number in range(9)]
    with pytest.raises(Stopped):
        map_in_processes(wait_for_file, calls, 1, 'calls', stop=stop)
    assert (tmp_path / 'go-1').exists()
    assert not (tmp_path / 'go-8').exists()


def test_results_keep_their_order():
    assert map_in_processes(divmod, [(7, 2), (9, 4), (5, 5)], 2, 'sums') == [(3, 1), (2, 1), (1, 0)]


@pytest.mark.parametrize('nap', NAPS)
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_the_program(tmp_path, how, nap):
    (tmp_path / 'program.py').write_text(PROGRAM)
    (tmp_path / 'tests_of_parallel.py').write_text(WORK.replace('NAP', nap))
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    program = subprocess.Popen([sys.executable, tmp_path / 'program.py', tmp_path], env=environment)

    def found():
        return [int(p.stem) for p in tmp_path.glob('*.pid')]

    assert wait_until(lambda: len(found()) == 2, 60)
    program.send_signal(how)
    program.wait(30)
    assert wait_until(lambda: not any(is_alive(pid) for pid in found()), 10)


def test_a_pool_that_is_closed_at_once_leaves_no_thread_behind():
    before = set(threading.enumerate())
    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('forkserver'))
    nap = pool.submit(time.sleep, 600)
    started = time.monotonic()
    close_at_once(pool)
    assert nap.done()
    assert time.monotonic() - started < 10
    assert set(threading.enumerate()) == before
