"""How the program ends: in one line for all that a user can mend, whatever its streams and folders are."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import RUN, pvs
from refusals import refused

from pvs_bidsapp.cli import main as program
from pvs_bidsapp.messages import options
from pvs_bidsapp.runtime import faults
from pvs_bidsapp.runtime.signals import Terminated

MODELS = ['models']


def ends_with(monkeypatch, error, begin=False):
    """Run a command that raises an error; returns the exit status."""

    def command(_arguments):
        if begin:
            faults.begin_work()
        raise error

    monkeypatch.setattr('pvs_bidsapp.cli.models.main', command)
    return program.main(['models'])


@pytest.mark.parametrize(('begin', 'status'), [(False, 2), (True, 1)])
@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (
            OSError(errno.ENOSPC, 'x', '/o/a.nii.gz'),
            '/o/a.nii.gz: could not be written (No space left on device)',
        ),
        (OSError(errno.EDQUOT, 'x', 'a'), 'a: could not be written (Disk quota exceeded)'),
        (OSError(errno.EROFS, 'x', 'a'), 'a: no access (Read-only file system)'),
        (PermissionError(errno.EACCES, 'x', 'a'), 'a: no access (Permission denied)'),
        (FileNotFoundError(errno.ENOENT, 'x', 'a'), 'a: not there, or not any more'),
        (OSError(errno.ESTALE, 'x', 'a'), 'a: not there, or not any more (Stale file handle)'),
        (OSError(errno.ENAMETOOLONG, 'x', 'a'), 'a: cannot be written (File name too long)'),
        (OSError(errno.EMFILE, 'x', 'a'), 'a: cannot be opened (Too many open files)'),
        (OSError(errno.EIO, 'x', 'a'), 'a: the disk failed (Input/output error)'),
        (OSError(errno.EIO, 'x', 'a\n\x1b[31mb'), 'a [31mb: the disk failed (Input/output error)'),
        (MemoryError('Unable to allocate'), 'not enough memory; allow more'),
    ],
)
def test_faults_of_the_system_are_told_in_one_line(monkeypatch, capsys, error, line, begin, status):
    assert ends_with(monkeypatch, error, begin) == status
    told = capsys.readouterr().err
    assert told.startswith(f'pvs: error: {line}')
    assert told.count('\n') == 1


@pytest.mark.parametrize('error', [ValueError('x'), OSError('of a library')])
def test_faults_of_the_program_keep_their_traceback(monkeypatch, capsys, error):
    with pytest.raises(type(error)):
        ends_with(monkeypatch, error)
    assert 'please report' in capsys.readouterr().err


def test_ctrl_c(monkeypatch, capsys):
    assert ends_with(monkeypatch, KeyboardInterrupt()) == 130
    assert 'run the same command again' in capsys.readouterr().err


def test_a_misspelt_command_names_the_nearest(tmp_path):
    for word, command in (
        ('simualte', 'simulate'),
        ('evaluat', 'evaluate'),
        ('trian', 'train'),
        ('Models', 'models'),
    ):
        with refused(options.COMMAND, naming=f'did you mean {command}'):
            program._run([word, str(tmp_path)])
    with refused(options.USAGE, naming='required'):  # it is a folder that has this name
        (tmp_path / 'simualte').mkdir()
        program._run([str(tmp_path / 'simualte')])


def test_usage_is_told_in_one_line_with_a_pointer_to_help():
    done = pvs('models', 'lst')
    assert (done.returncode, done.stdout) == (2, '')
    assert (
        done.stderr
        == 'pvs: error: action lst: invalid choice; choose from list, show, verify; see pvs models --help\n'
    )


def shell(line, **options):
    """Run a line of the shell, in which PVS is the program."""
    line = line.replace('PVS', ' '.join(RUN))
    return subprocess.run(['bash', '-c', line], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ('line', 'status'),
    [
        ('PVS models >&-', 0),
        ('PVS models 2>&-', 0),
        ('PVS models <&- >&- 2>&-', 0),
        ('PVS models show nothing >&- 2>&-', 3),
        ('PVS models > /dev/full', 2),
        ('PVS models | true', 0),
    ],
)
def test_streams_that_are_closed_or_full(line, status):
    done = shell(line)
    assert done.returncode == status
    assert 'Traceback' not in done.stderr
    assert 'Exception' not in done.stderr
    assert ('No space left' in done.stderr) == ('full' in line)


@pytest.mark.parametrize('encoding', ['ascii:strict', 'utf-8'])
@pytest.mark.parametrize('name', ['脳'.encode(), b'caf\xe9', 'a\u202eb'.encode()])
def test_names_that_the_terminal_cannot_show(tmp_path, encoding, name):
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    environment = os.environ | {'PYTHONIOENCODING': encoding, 'LANG': 'C', 'LC_ALL': 'C'}
    arguments = ['evaluate', folder, os.path.join(folder, b'none'), tmp_path / 'o']
    done = subprocess.run([*RUN, *arguments], capture_output=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith(b'pvs: error: REF_DIR ')
    assert done.stderr.count(b'\n') == 1


def test_without_home_variables_or_temporary_folders(tmp_path):
    done = pvs('models', env={'PATH': '', 'TMPDIR': '/nowhere', 'HOME': '/nowhere'})
    assert (done.returncode, done.stderr) == (0, '')


def test_in_a_folder_that_is_not_there_any_more(tmp_path):
    (tmp_path / 'gone').mkdir()
    done = shell(f'cd gone && rmdir ../gone && PVS . {tmp_path}/o participant', cwd=tmp_path)
    assert (done.returncode, done.stderr.count('\n')) == (2, 1)
    assert 'change to another one' in done.stderr
    assert shell('cd gone && rmdir ../gone && PVS --version', cwd=tmp_path).returncode in (0, 1)


def test_the_help_needs_nothing_heavy():
    program_text = (
        'import sys; from pvs_bidsapp.cli import app, evaluate, predict, simulate, train\n'
        'for module in (app, evaluate, predict, simulate, train): module.parser()\n'
        'heavy = ("numpy", "nibabel", "nipype", "torch", "pandas", "yaml", "ants")\n'
        'print([name for name in heavy if name in sys.modules])'
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, '-c', program_text], capture_output=True, text=True, cwd=root)
    assert done.stdout == '[]\n', done.stdout + done.stderr


@pytest.mark.parametrize(
    ('error', 'status', 'how'), [(KeyboardInterrupt(), 130, 'interrupted'), (Terminated(), 143, 'SIGTERM')]
)
def test_a_stop_is_told_with_what_to_do(monkeypatch, capsys, error, status, how):
    assert ends_with(monkeypatch, error) == status
    told = capsys.readouterr().err
    assert how in told
    assert 'run the same command again to go on' in told
    assert told.count('\n') == 1
