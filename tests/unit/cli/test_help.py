"""What the help says of options agrees between commands, and with what they take."""

from __future__ import annotations

import argparse

import pytest

from pvs_bidsapp.cli import app, evaluate, predict, simulate, train
from pvs_bidsapp.cli.simulate import label_maps


def actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {name: action for action in parser._actions for name in action.option_strings}


def said_of(module, option: str) -> str:
    return ' '.join(actions(module.parser())[option].help.split())


def test_options_of_two_commands_mean_the_same():
    one, other = actions(app.parser()), actions(predict.parser())
    shared = one.keys() & other.keys()
    assert {'-v', '--threshold', '--work-dir'} <= shared
    assert {name: one[name].help for name in shared} == {name: other[name].help for name in shared}


@pytest.mark.parametrize('extension', ['.nii', '.nii.gz', '.mgz', '.mgh'])
def test_the_help_names_the_label_maps_that_are_taken(tmp_path, extension):
    (tmp_path / f'one{extension}').touch()
    assert [path.name for path in label_maps(tmp_path)] == [f'one{extension}']
    assert f'*{extension}' in said_of(simulate, '--label-maps').replace(',', ' ').split()


def test_marks_of_a_reader_are_references_and_labels():
    assert '_desc-pvs_marks.tsv' in said_of(train, '--labels')
    assert '_desc-pvs_marks.tsv' in ' '.join(evaluate.parser().format_help().split())


def test_the_help_says_where_the_columns_of_the_group_level_come_from():
    text = app.parser().format_help()
    for source in ('participants.tsv', 'sub-*_sessions.tsv', 'ICV', 'qc_*'):
        assert source in text[text.index('group level:') :]
