"""Workers that are killed, and what is said of a run's progress."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from nipype import Function
from nipype.pipeline import engine as pe

from pvs_bidsapp.workflows.plugin import ProgressBar, Workers

NODES = ('scan_sub_01.inputnode', 'scan_sub_01.conform', 'scan_sub_01.write')


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


def node(name, function, **inputs):
    made = pe.Node(Function(input_names=list(inputs), output_names=['out'], function=function), name=name)
    for key, value in inputs.items():
        setattr(made.inputs, key, value)
    return made


def run(folder, *nodes):
    workflow = pe.Workflow(name='w', base_dir=str(folder))
    workflow.add_nodes(list(nodes))
    workflow.config['execution'] = {
        'crashdump_dir': str(folder),
        'crashfile_format': 'txt',
        'poll_sleep_duration': 0.2,
    }
    workers = Workers({'n_procs': 2, 'memory_gb': 2})
    try:
        workflow.run(plugin=workers)
    finally:
        processes = list((workers.pool._processes or {}).values())
        workers.stop()
        assert not any(p.is_alive() for p in processes if p.join(5) is None)


def test_a_step_killed_once_is_done_again(tmp_path):
    run(
        tmp_path,
        node('die', die, marker=str(tmp_path / 'marker'), always=False),
        node('live', live, seconds=1),
    )
    assert not list(tmp_path.glob('crash-*'))


def test_a_step_killed_always_fails_with_its_reason(tmp_path):
    with pytest.raises(RuntimeError):
        run(tmp_path, node('die', die, marker=str(tmp_path / 'marker'), always=True))
    (crash,) = tmp_path.glob('crash-*.txt')
    assert 'lack of memory' in crash.read_text()


def test_a_step_beside_one_that_is_killed_again_and_again_is_done(tmp_path):
    with pytest.raises(RuntimeError):
        run(
            tmp_path,
            node('die', die, marker=str(tmp_path / 'marker'), always=True),
            node('live', live, seconds=1.5),
        )
    (crash,) = tmp_path.glob('crash-*.txt')
    assert crash.read_text().startswith('Node: w.die')


def test_the_count_ends_at_its_total_whatever_the_plugin_says_of_inputs(capsys):
    bar = ProgressBar(SimpleNamespace(list_node_names=lambda: list(NODES)))
    for name in NODES:
        for status in ('start', 'end'):
            bar(SimpleNamespace(fullname=f'pvs.{name}'), status)
    assert capsys.readouterr().err.splitlines() == ['[1/2] sub_01.conform', '[2/2] sub_01.write']
