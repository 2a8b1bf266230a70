"""The whole program, killed by SIGKILL at random moments and run again, ends like one that was not disturbed.

Takes about a minute and a half for each killed run, so it is skipped unless PVS_KILLED_RUNS says how many
there shall be (PVS_KILLED_JOBS of them in parallel); ``pytest -s`` shows the table.
"""

from __future__ import annotations

import os
import sys

import pytest
from faults.killed_runs import run_cases, table
from faults.small_head import make_small_head

RUNS, JOBS = (
    int(os.environ.get(f'PVS_KILLED_{name}') or default) for name, default in (('RUNS', 0), ('JOBS', 1))
)


@pytest.mark.skipif(not RUNS, reason='PVS_KILLED_RUNS=N not set: no run of the whole program was killed')
@pytest.mark.skipif(sys.platform != 'linux', reason='processes are looked up in /proc')
def test_outputs_of_a_killed_and_repeated_run_are_those_of_an_unbroken_one(simulated, tmp_path):
    head = make_small_head(tmp_path / 'head', simulated=simulated)
    unbroken, cases = run_cases(head, tmp_path, RUNS, seed=1, jobs=JOBS, report=lambda case: None)
    print('\n' + table(unbroken, cases))
    assert not {case.plan.number: case.problems for case in cases if case.problems}
