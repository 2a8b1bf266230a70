"""The program as a user runs it, without long computations."""

from __future__ import annotations

import json
import os
import resource
import subprocess

import pytest
from layouts import put_images
from program import RUN, pvs, pvs_here

from pvs_bidsapp.cli.main import main


@pytest.fixture
def dataset(tmp_path):
    return put_images(
        tmp_path / 'bids',
        'sub-01/anat/sub-01_T1w.nii.gz',
        'sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz',
        'sub-02/ses-a/anat/sub-02_ses-a_T2w.nii.gz',
    )


@pytest.mark.parametrize('command', [[], ['simulate'], ['train'], ['evaluate'], ['predict'], ['models']])
def test_help_comes_at_once_and_teaches(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = pvs(*command, '--help')
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert 'usage: pvs' in done.stdout
    # processor time: a busy machine is no fault of the program
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def test_version_needs_no_home(tmp_path):
    done = pvs('--version', env={'PATH': ''}, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith('pvs ')


def test_dry_run_lists_and_writes_nothing(dataset, tmp_path):
    done = pvs(dataset, tmp_path / 'out', 'participant', '--dry-run')
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith('T1w sub-01/anat/sub-01_T1w.nii.gz\tno T2w')
    assert 'T2w sub-02/ses-a/anat/sub-02_ses-a_T2w.nii.gz' in lines[1]
    assert not (tmp_path / 'out').exists()
    one = pvs_here(
        dataset,
        tmp_path / 'out',
        'participant',
        '--dry-run',
        '--participant_label',
        'sub-02',
        '--session-id',
        'ses-a',
    )
    assert len(one.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ('arguments', 'status', 'message'),
    [
        (['{bids}', '{out}', 'participant', '--participant-label', '99'], 2, 'there are: 01, 02'),
        (['{bids}', '{bids}/derivatives/pvs', 'participant'], 2, 'lies inside BIDS_DIR'),
        (['{bids}', '{bids}', 'participant'], 2, 'lies inside BIDS_DIR'),
        (['{tmp}/none', '{out}', 'participant'], 2, 'no such folder'),
        (['{bids}/sub-01', '{out}', 'participant'], 2, 'no sub-'),
        (['{bids}', '{out}', 'participant', '--session-label', 'zz'], 2, 'no scan found'),
        (['{bids}', '{out}', 'participant', '--model', 'nothing'], 3, "no model 'nothing'"),
        (['{bids}', '{out}', 'participant', '--threshold', '3'], 2, '--threshold'),
        (['{bids}', '{out}', 'participant', '--device', 'tpu'], 2, '--device tpu'),
        (['{bids}', '{out}', 'participant', '--bids-filter-file', '{tmp}/no.json'], 2, 'no.json'),
        (['{bids}', '{out}', 'participant', '-d', 'x={tmp}/no'], 2, 'no such folder'),
        (['{bids}', '{out}', 'participant', '-w', '/dev/null/work'], 2, 'work folder /dev/null/work'),
        (['{bids}', '{out}', 'everything'], 2, 'invalid choice'),
        (['{bids}', '{out}', 'group'], 2, 'no results'),
        (['simulate', '{out}', '--label-maps', '{bids}'], 2, 'no *.nii.gz'),
        (['train', '{bids}', '{out}'], 2, 'no sub-*_label-PVS_mask'),
        (['evaluate', '{bids}', '{bids}', '{out}'], 2, 'no sub-*_label-PVS_mask'),
        (['predict', '{tmp}/no.nii.gz', '{out}'], 2, 'no such file'),
        (['models', 'show', 'nothing'], 3, "no model 'nothing'"),
    ],
)
def test_errors_are_one_line_with_their_status(dataset, tmp_path, arguments, status, message):
    places = {'bids': dataset, 'out': tmp_path / 'out', 'tmp': tmp_path}
    done = pvs_here(*(a.format(**places) for a in arguments))
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
    assert sum('error:' in line for line in done.stderr.splitlines()) == 1


def test_a_tampered_model_is_refused(dataset, tmp_path):
    from pvs_bidsapp.segmentation.model import load_model

    source = load_model('joliot2021-t1').folder
    copy = tmp_path / 'model'
    copy.mkdir()
    (copy / 'model.json').write_text((source / 'model.json').read_text())
    (copy / 'model.safetensors').write_bytes((source / 'model.safetensors').read_bytes()[:-1] + b'x')
    done = pvs_here(dataset, tmp_path / 'out', 'participant', '--model', copy)
    assert done.returncode == 3
    assert 'checksum' in done.stderr


def test_a_pipe_whose_reader_has_gone_brings_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)  # "pvs models show joliot2021-t1 | head" once head has had its lines
    done = subprocess.run([*RUN, 'models', 'show', 'joliot2021-t1'], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b'')


def test_a_pipe_that_breaks_between_processes_is_not_hushed_up(monkeypatch):
    def broken(_arguments):
        raise BrokenPipeError

    monkeypatch.setattr('pvs_bidsapp.cli.models.main', broken)
    with pytest.raises(BrokenPipeError):
        main(['models'])


def test_models(tmp_path):
    assert [line.split('\t')[0] for line in pvs_here('models').stdout.splitlines()] == [
        'joliot2021-t1',
        'm2ss-t1t2',
        't2',
    ]
    assert pvs_here('models', 'verify').stdout.count('\tok\t') == 3
    for name, channels in (('joliot2021-t1', ['T1w']), ('m2ss-t1t2', ['T1w', 'T2w']), ('t2', ['T2w'])):
        card = json.loads(pvs_here('models', 'show', name).stdout)
        assert card['channels'] == channels
        assert (card['licence'], 0 < card['threshold'] < 1) == ('Apache-2.0', True)


@pytest.mark.parametrize(('model', 'paper'), [('joliot2021-t1', 'Boutinaud'), ('m2ss-t1t2', 'Chai')])
def test_boilerplate(dataset, tmp_path, model, paper):
    done = pvs_here(dataset, tmp_path / 'out', 'participant', '--boilerplate-only', '--model', model)
    assert done.returncode == 0
    assert model in done.stdout
    assert f'(after {paper} et al.' in done.stdout
