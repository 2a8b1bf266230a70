"""What is said of a run's progress."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from pvs_bidsapp.workflows.progress import Progress


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


def step(progress, key, name, status='end'):
    for state in ('start', status):
        progress(SimpleNamespace(fullname=f'pvs.{key}.{name}'), state)


def test_each_line_says_scan_of_how_many_step_and_what_is_left(clock, capsys):
    progress = Progress(3, clock)
    with progress.shown():
        progress.begin('scan_1', 'sub-1', 2)
        step(progress, 'scan_1', 'inputnode')
        step(progress, 'scan_1', 'conform')
        clock.now = 120
        step(progress, 'scan_1', 'write')
        progress.end('scan_1', None)
        progress.begin('scan_2', 'sub-2', 2)
        clock.now = 180
        step(progress, 'scan_2', 'conform', 'exception')
        progress.end('scan_2', 'it is\nempty')
    assert capsys.readouterr().err.splitlines() == [
        '[1/3] sub-1: conform done (step 1 of 2)',
        '[1/3] sub-1: write done (step 2 of 2)',
        '[1/3] sub-1: finished in 2 min; 1 of 3 scans ended; about 4 min left',
        '[2/3] sub-2: conform FAILED (step 1 of 2); about 3 min left',
        '[2/3] sub-2: FAILED: it is empty; 2 of 3 scans ended; about 2 min left',
    ]


def test_the_estimate_counts_the_scans_that_run_at_once(clock):
    progress = Progress(5, clock)
    for key in 'ab':
        progress.begin(key, key, 1)
    assert progress.seconds_left() is None
    clock.now = 100
    progress.end('a', None)
    progress.begin('c', 'c', 1)
    assert progress.seconds_left() == pytest.approx((5 + 100 + 200) / 2)
    clock.now = 110
    progress.end('b', None)
    progress.begin('d', 'd', 1)
    progress.begin('e', 'e', 1)
    progress.end('d', 'bad')
    progress.end('e', 'bad')
    assert progress.seconds_left() == pytest.approx(105 - 10)


def test_a_bar_in_a_terminal_keeps_the_lines_of_failures(clock, capsys, monkeypatch):
    monkeypatch.setattr('sys.stderr.isatty', lambda: True, raising=False)
    progress = Progress(2, clock)
    with progress.shown():
        progress.begin('scan_1', 'sub-1', 1)
        step(progress, 'scan_1', 'conform', 'exception')
        progress.end('scan_1', 'it is empty')
    said = capsys.readouterr().err
    assert re.search(r'scan 1 of 2 +50%\|', said)
    assert '[1/2] sub-1: FAILED: it is empty' in said
