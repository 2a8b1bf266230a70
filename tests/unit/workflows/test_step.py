"""A step's results are used again only if all of its files are as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from nipype import Function

from pvs_bidsapp.workflows.step import SEAL, Step, is_intact, seal

FILES = ('out.txt', 'result_write.pklz', '_node.pklz', '_inputs.pklz', SEAL, '_0x*.json')
CONFIG = {'execution': {'hash_method': 'timestamp', 'remove_unnecessary_outputs': 'false'}}


def write(folder, text):
    """Notes that it runs, and writes a file."""
    from pathlib import Path

    with Path(folder, 'log').open('a') as stream:
        stream.write('x')
    Path('out.txt').write_text(text * 1000)
    return 1


@pytest.fixture
def again(tmp_path):
    """Do a step, if it was not done before; returns how often it was done."""

    def again(text='a', function=write, always=False):
        node = Step(
            Function(input_names=['folder', 'text'], output_names=['out'], function=function),
            name='write', base_dir=str(tmp_path),
        )  # fmt: skip
        node.config = CONFIG
        node.interface._always_run = always
        node.inputs.folder, node.inputs.text = str(tmp_path), text
        node.run()
        return len((tmp_path / 'log').read_text())

    return again


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def empty(path):
    path.write_bytes(b'')


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize('damage', [cut, empty, zeros, Path.unlink])
@pytest.mark.parametrize('file', FILES)
def test_a_damaged_file_is_made_again(again, tmp_path, damage, file):
    assert again() == 1
    assert again() == 1
    (path,) = (tmp_path / 'write').glob(file)
    damage(path)
    assert again() == 2
    assert (tmp_path / 'write' / 'out.txt').read_text() == 'a' * 1000
    assert again() == 2


def test_a_step_with_other_inputs_is_done_again(again, tmp_path):
    assert again() == 1
    assert again('b') == 2
    assert (tmp_path / 'write' / 'out.txt').read_text() == 'b' * 1000


def test_results_of_other_inputs_are_gone_before_a_batch_job_could_be_lost(again, tmp_path):
    again()
    node = Step(Function(input_names=['folder', 'text'], output_names=['out'], function=write), name='write')
    node.base_dir = str(tmp_path)
    node.inputs.folder, node.inputs.text = str(tmp_path), 'c'
    node.config = CONFIG
    assert node.is_cached() == (False, False)
    assert not (tmp_path / 'write').exists()


def test_a_step_that_is_always_done(again):
    assert again(always=True) == 1
    assert again(always=True) == 2


def test_a_folder_that_was_moved_is_not_used(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'out.txt').write_text('a')
    seal(tmp_path / 'a')
    (tmp_path / 'a').rename(tmp_path / 'b')
    assert not is_intact(tmp_path / 'b')
    (tmp_path / 'b').rename(tmp_path / 'a')
    assert is_intact(tmp_path / 'a')


def test_a_file_of_a_killed_run_that_does_not_belong_there(tmp_path):
    (tmp_path / 'a').write_text('a')
    seal(tmp_path)
    assert is_intact(tmp_path)
    (tmp_path / 'b').touch()
    assert not is_intact(tmp_path)
    assert not is_intact(tmp_path / 'nowhere')
