"""Workers that are killed, and the threads that a step is given."""

from __future__ import annotations

from pathlib import Path

import pytest
from nipype import Function
from nipype.pipeline import engine as pe

from pvs_bidsapp.bids.query import Scan
from pvs_bidsapp.workflows.by_scan import graph_of
from pvs_bidsapp.workflows.plugin import Workers


def die(marker, always):
    import os
    import signal
    from pathlib import Path

    if always or not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 'lived'


def live(seconds):
    import time

    time.sleep(seconds)
    return 'lived'


def write_threads(folder, file, num_threads, after):
    """A step that can use several threads: notes how many it was given."""
    from pathlib import Path

    Path(folder, file).write_text(str(num_threads))
    return file


def node(name, function, **inputs):
    made = pe.Node(Function(input_names=list(inputs), output_names=['out'], function=function), name=name)
    for key, value in inputs.items():
        setattr(made.inputs, key, value)
    return made


def run(folder, *scans, edges=(), **options):
    """Run scans, each given by its nodes."""
    execution = {
        'crashdump_dir': str(folder), 'crashfile_format': 'txt', 'poll_sleep_duration': '0',
        'stop_on_first_crash': 'false', 'remove_node_directories': 'false',
    }  # fmt: skip
    graphs = []
    for number, nodes in enumerate(scans):
        workflow = pe.Workflow(name=f'w{number}', base_dir=str(folder))
        workflow.config['execution'] = execution
        workflow.add_nodes(list(nodes))
        workflow.connect([edge for edge in edges if edge[0] in nodes])
        graphs.append((Scan(Path(f'sub-{number}_T1w.nii')), graph_of(workflow)))
    workers = Workers({'n_procs': 2, 'memory_gb': 2, 'raise_insufficient': False}, **options)
    try:
        workers.run_scans(iter(graphs), {'execution': execution}, limit=2, on_end=lambda scan: None)
    finally:
        processes = list((workers.pool._processes or {}).values())
        workers.stop()
        assert not any(p.is_alive() for p in processes if p.join(5) is None)


def test_a_step_killed_once_is_done_again(tmp_path):
    run(
        tmp_path,
        [
            node('die', die, marker=str(tmp_path / 'marker'), always=False),
            node('live', live, seconds=1),
        ],
    )
    assert not list(tmp_path.glob('crash-*'))


def test_a_step_killed_always_fails_with_its_reason(tmp_path):
    with pytest.raises(RuntimeError):
        run(tmp_path, [node('die', die, marker=str(tmp_path / 'marker'), always=True)])
    (crash,) = tmp_path.glob('crash-*.txt')
    assert 'lack of memory' in crash.read_text()


def test_a_scan_beside_one_whose_step_is_killed_again_and_again_is_done(tmp_path):
    with pytest.raises(RuntimeError):
        run(
            tmp_path,
            [node('die', die, marker=str(tmp_path / 'marker'), always=True)],
            [node('live', live, seconds=1.5)],
        )
    (crash,) = tmp_path.glob('crash-*.txt')
    assert crash.read_text().startswith('Node: w0.die')


@pytest.mark.parametrize(('n_scans', 'adapt', 'threads'), [
    (1, True, '2'), (3, True, '1'), (3, False, '2'),
])  # fmt: skip
def test_a_step_uses_the_processors_that_other_scans_leave(tmp_path, n_scans, adapt, threads):
    scans, edges = [], []
    for k in range(n_scans):
        first = node(f'first{k}', live, seconds=0.2)
        second = node(
            f'second{k}', write_threads, folder=str(tmp_path), file=f'threads{k}', num_threads=2, after=''
        )
        scans.append([first, second])
        edges.append((first, second, [('out', 'after')]))
    run(tmp_path, *scans, edges=edges, adapt_threads=adapt)
    assert (tmp_path / 'threads0').read_text() == threads
