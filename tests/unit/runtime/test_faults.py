"""Faults of the system, each with its mend and exit status."""

from __future__ import annotations

import errno
import os

import pytest
from refusals import refused

from pvs_bidsapp.messages import options
from pvs_bidsapp.runtime import faults


@pytest.fixture(autouse=True)
def work():
    faults.begin_work()
    yield
    faults.forget_work()


def raise_for(number, file='/d/sub-01_T1w.nii.gz'):
    raise faults.error_for(OSError(number, os.strerror(number), file))


def test_each_fault_names_its_file_and_what_to_do():
    with refused(options.DISK_FULL, naming='sub-01'):
        raise_for(errno.ENOSPC)
    with refused(options.DISK_FULL, naming='sub-01'):
        raise_for(errno.EDQUOT)
    for number in (errno.EACCES, errno.EPERM, errno.EROFS):
        with refused(options.NOT_PERMITTED, naming='sub-01'):
            raise_for(number)
    for number in (errno.ENOENT, errno.ESTALE):
        with refused(options.VANISHED, naming='sub-01'):
            raise_for(number)
    for number in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
        with refused(options.IN_THE_WAY, naming='sub-01'):
            raise_for(number)
    with refused(options.NAME_TOO_LONG, naming='sub-01'):
        raise_for(errno.ENAMETOOLONG)
    with refused(options.TOO_MANY_FILES, naming='sub-01'):
        raise_for(errno.EMFILE)
    with refused(options.TOO_MANY_PROCESSES):
        raise_for(errno.EAGAIN, None)
    with refused(options.DISK_FAULT, naming='sub-01'):
        raise_for(errno.EIO)
    with refused(options.NO_MEMORY):
        raise_for(errno.ENOMEM)
    with refused(options.NO_MEMORY):
        raise faults.error_for(MemoryError('Unable to allocate 9 TiB'))


def test_memory_of_a_gpu():
    out_of_memory = type('OutOfMemoryError', (RuntimeError,), {})
    with refused(options.NO_GPU_MEMORY):
        raise faults.error_for(out_of_memory('CUDA out of memory'))


def test_folders_that_no_file_names(tmp_path, monkeypatch):
    with refused(options.NO_TEMPORARY_FOLDER):
        raise faults.error_for(
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
        )
    gone = tmp_path / 'gone'
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with refused(options.NO_CURRENT_FOLDER):
        raise_for(errno.ENOENT, None)


def test_before_the_work_a_fault_counts_as_wrong_input():
    faults.forget_work()
    with pytest.raises(options.INSIDE_INPUT.kind) as caught:
        raise_for(errno.EACCES)
    assert caught.value.exit_status == 2


def test_faults_of_the_program_itself_are_none_of_the_system():
    for error in (ValueError('x'), KeyError('x'), OSError('no number'), BrokenPipeError(errno.EPIPE, 'x')):
        assert faults.error_for(error) is None


@pytest.mark.parametrize(
    ('text', 'file'),
    [
        ("[Errno 28] No space left on device: '/a b/c.nii'", '/a b/c.nii'),
        ("[Errno 28] No space left on device: '/a/t' -> '/a/c.nii'", '/a/c.nii'),
        ('[Errno 28] No space left on device', ''),
    ],
)
def test_a_fault_in_a_text(text, file):
    found = faults.finding_in(text)
    assert (found.code, found.file) == ('option-disk-full', file)


def test_other_texts():
    assert faults.finding_in('no space left on device') is None
    assert faults.finding_in('[Errno 99999] what') is None
