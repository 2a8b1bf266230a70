"""What is said of a run's progress."""

from types import SimpleNamespace

from pvs_bidsapp.workflows.progress import ProgressBar

NODES = ('scan_sub_01.inputnode', 'scan_sub_01.conform', 'scan_sub_01.write')


def test_the_count_ends_at_its_total_whatever_the_plugin_says_of_inputs(capsys):
    bar = ProgressBar(SimpleNamespace(list_node_names=lambda: list(NODES)))
    for name in NODES:
        for status in ('start', 'end'):
            bar(SimpleNamespace(fullname=f'pvs.{name}'), status)
    assert capsys.readouterr().err.splitlines() == ['[1/2] sub_01.conform', '[2/2] sub_01.write']
