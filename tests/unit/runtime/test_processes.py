"""Processes that work side by side."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pvs_bidsapp.runtime.processes import map_in_processes

PROGRAM = """
import sys
from pvs_bidsapp.runtime.processes import map_in_processes
from tests_of_parallel import note_and_sleep
if __name__ == '__main__':
    map_in_processes(note_and_sleep, [(sys.argv[1], k) for k in range(5)], 2, 'naps')
"""
WORK = """
import os, time
from pathlib import Path
def note_and_sleep(folder, number):
    Path(folder, f'{os.getpid()}.pid').touch()
    time.sleep(60)
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return 'State:\tZ' not in Path(f'/proc/{pid}/status').read_text()


def wait_until(true, seconds):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def test_results_keep_their_order():
    assert map_in_processes(divmod, [(7, 2), (9, 4), (5, 5)], 2, 'sums') == [(3, 1), (2, 1), (1, 0)]


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_program(tmp_path, how):
    (tmp_path / 'program.py').write_text(PROGRAM)
    (tmp_path / 'tests_of_parallel.py').write_text(WORK)
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    program = subprocess.Popen([sys.executable, tmp_path / 'program.py', tmp_path], env=environment)

    def found():
        return [int(p.stem) for p in tmp_path.glob('*.pid')]

    assert wait_until(lambda: len(found()) == 2, 60)
    program.send_signal(how)
    program.wait(30)
    assert wait_until(lambda: not any(is_alive(pid) for pid in found()), 10)
