"""The order in which the steps of many scans are handed out, by a plugin of nipype whose jobs are threads."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import networkx as nx
import pytest

from pvs_bidsapp.bids.query import Scan
from pvs_bidsapp.workflows.by_scan import ByScan

CONFIG = {'execution': {
    'poll_sleep_duration': '0.001', 'stop_on_first_crash': 'false', 'remove_node_directories': 'false',
}}  # fmt: skip
STEPS = ('a', 'b', 'c')


class Step:
    """What the loop of nipype's plugins asks of a node."""

    mem_gb, n_procs, run_without_submitting = 1.0, 1, False
    _id, _hierarchy = 'step', 'scan'
    config = {'execution': {'local_hash_check': 'false'}}  # noqa: RUF012

    def __init__(self, scan, name, log, failing):
        self.scan, self.name, self.log, self.failing = scan, name, log, failing

    def __deepcopy__(self, memo):
        return self

    def __call__(self):
        self.log.append(('run', self.scan, self.name))
        if self.failing:
            raise ValueError(self.scan)


class Threads(ByScan):
    """Runs each job in a thread."""

    def __init__(self, **arguments):
        super().__init__(plugin_args=arguments)
        self.pool, self.jobs = ThreadPoolExecutor(4), {}

    def _submit_job(self, node, updatehash=False):
        self.jobs[len(self.jobs)] = self.pool.submit(node)
        return len(self.jobs) - 1

    def _get_result(self, taskid):
        job = self.jobs[taskid]
        if not job.done():
            return None
        return {'result': None, 'traceback': [repr(job.exception())] if job.exception() else None}

    def _clear_task(self, taskid):
        pass

    def _report_crash(self, node, result=None):
        return None


def run(n_scans, failing=(), limit=2, **arguments):
    """Run scans of three steps in a row; returns what happened, in order."""
    log = []

    def scans():
        for number in range(n_scans):
            log.append(('begin', number, ''))
            graph = nx.DiGraph()
            nx.add_path(graph, [Step(number, name, log, (number, name) in failing) for name in STEPS])
            yield Scan(Path(f'sub-{number}_T1w.nii')), graph

    def end(scan):
        log.append(('end', int(scan.entities['sub']), ''))

    plugin = Threads(**arguments)
    try:
        with contextlib.suppress(RuntimeError):  # nipype's summary of what failed
            plugin.run_scans(scans(), CONFIG, limit=limit, on_end=end)
    finally:
        plugin.pool.shutdown()
    return log


@pytest.mark.parametrize('limit', [1, 2, 3])
def test_no_more_scans_are_under_way_than_may_be_and_all_are_done(limit):
    log = run(7, limit=limit)
    under_way, most = set(), 0
    for what, scan, _ in log:
        if what == 'begin':
            under_way.add(scan)
        elif what == 'end':
            under_way.remove(scan)
        most = max(most, len(under_way))
    assert most == limit
    assert sorted(entry for entry in log if entry[0] == 'run') == [
        ('run', scan, step) for scan in range(7) for step in STEPS
    ]


def test_steps_are_handed_out_by_scan_then_by_step():
    """One job at a time: the first scan is done before the first step of the second."""
    log = [entry for entry in run(4, limit=4, max_jobs=1) if entry[0] == 'run']
    assert log == [('run', scan, step) for scan in range(4) for step in STEPS]


def test_a_scan_that_fails_ends_and_the_others_are_done():
    log = run(4, failing={(0, 'a'), (2, 'b')})
    steps = {0: ['a'], 1: ['a', 'b', 'c'], 2: ['a', 'b'], 3: ['a', 'b', 'c']}
    for scan, names in steps.items():
        assert [name for what, number, name in log if (what, number) == ('run', scan)] == names
        assert log.count(('end', scan, '')) == 1


def test_without_scans_nothing_is_run():
    assert run(0) == []
