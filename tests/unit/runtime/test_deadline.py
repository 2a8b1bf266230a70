from __future__ import annotations

import math
import pickle
import time
from types import SimpleNamespace

import pytest

from pvs_bidsapp.runtime import deadline as module
from pvs_bidsapp.runtime.deadline import Deadline, TimeUp
from pvs_bidsapp.runtime.processes import map_in_processes


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that a test sets."""
    fake = SimpleNamespace(now=1000.0)
    fake.monotonic = lambda: fake.now
    monkeypatch.setattr(module, 'time', fake)
    return fake


def test_minutes_are_counted_from_the_start(clock):
    assert Deadline.after(2).end == 1120
    assert Deadline.after(2, started=940).seconds_left == 60
    clock.now = 1200
    assert Deadline.after(2, started=940).seconds_left == 0


def test_it_is_over_with_a_margin(clock):
    deadline = Deadline.after(1)
    assert not deadline.is_over()
    assert not deadline.is_over(59.9)
    assert deadline.is_over(60)
    deadline.check()
    clock.now += 60
    assert deadline.is_over()
    with pytest.raises(TimeUp):
        deadline.check()


def test_a_part_of_what_is_left_now(clock):
    deadline = Deadline.after(4)
    clock.now += 120
    part = deadline.part(0.25)
    assert part.seconds_left == pytest.approx(30)
    clock.now += 240
    assert part.is_over()
    assert deadline.part(0.25).is_over()


def test_a_piece_of_work_that_would_end_too_late_is_not_begun(clock):
    is_too_late = Deadline.after(1).paced()
    clock.now += 20
    assert not is_too_late()
    clock.now += 15
    assert not is_too_late()
    clock.now += 13  # 12 seconds are left
    assert is_too_late()
    clock.now += 1
    assert not is_too_late()
    assert not Deadline().paced()()


def test_without_a_limit_it_is_never_over(clock):
    deadline = Deadline.after(None)
    assert deadline == Deadline() == deadline.part(0.25)
    assert not deadline.is_over()
    assert not deadline.is_over(math.inf)
    assert math.isinf(deadline.seconds_left)


def test_other_processes_see_the_same_moment(clock):
    assert pickle.loads(pickle.dumps(Deadline.after(3))) == Deadline.after(3)


def test_to_look_at_it_costs_nothing():
    deadline = Deadline.after(1)
    started = time.process_time()
    for _ in range(10_000):
        deadline.is_over(1.0)
    assert time.process_time() - started < 1  # 100 microseconds each


def test_calls_in_other_processes_are_ended_at_once():
    deadline = Deadline.after(0.02)

    def stop() -> bool:
        deadline.check()
        return False

    started = time.monotonic()
    with pytest.raises(TimeUp):
        map_in_processes(time.sleep, [(60,), (60,)], 2, 'naps', stop=stop)
    assert time.monotonic() - started < 45
