"""Locks: held once, free when their process ends, several together or none."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from pvs_bidsapp.runtime.locks import Lock, Locks


def test_a_lock_is_held_once_and_given_back(tmp_path):
    one, two = Lock(tmp_path / 'lock'), Lock(tmp_path / 'lock')
    assert one.acquire()
    assert not two.acquire()
    one.release()
    assert two.acquire()
    two.release()
    assert not (tmp_path / 'lock').exists()


def test_the_lock_of_a_killed_job_is_free(tmp_path):
    ready, wait = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        Lock(tmp_path / 'lock').acquire()
        os.write(ready[1], b'x')
        os.read(wait[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    lock = Lock(tmp_path / 'lock')
    assert not lock.acquire()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert lock.acquire()
    assert Path(lock.path).exists()
    lock.release()


def test_locks_are_taken_all_or_none(tmp_path):
    a, b, c = (tmp_path / name for name in 'abc')
    one, two = Locks((a, b)), Locks((c, b))
    assert one.acquire()
    assert not two.acquire()
    assert not c.exists()  # what it had is given back: a third may have it
    one.release()
    assert two.acquire()
    assert [path.exists() for path in (a, b, c)] == [False, True, True]
    two.release()
