"""Files are complete or absent, and name themselves where they cannot be written."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from refusals import refused

from pvs_bidsapp.errors import ImageError
from pvs_bidsapp.messages import options
from pvs_bidsapp.runtime import faults, files
from pvs_bidsapp.runtime.files import (
    TEMPORARY,
    atomic_write,
    check_writable,
    own_prefix,
    remove_leftovers,
    save_image,
    temporary_folder,
)

ROOT = Path(__file__).resolve().parents[3]
NAMES = (
    'a.nii.gz',
    'a.json',
    'README',
    '.bidsignore',
    'a.b.c.tsv',
    'x' * 247 + '.nii.gz',
    'é' * 124 + '.html',
)


def names_in(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize('name', NAMES)
def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path, name):
    path = tmp_path / 'new' / name
    with atomic_write(path) as temporary:
        temporary.write_text('half')
        assert names_in(path.parent) == [temporary.name]
        assert temporary.name.startswith(TEMPORARY)
        assert temporary.name.endswith(''.join(Path(name).suffixes[-1:]))
        assert len(os.fsencode(temporary.name)) < 64
    assert names_in(path.parent) == [name]
    with pytest.raises(TypeError), atomic_write(path) as temporary, temporary.open('w') as stream:
        stream.writelines(['half of it, then', None])
    assert names_in(path.parent) == [name]
    assert path.read_text() == 'half'


def test_a_name_that_is_too_long_is_told_before_the_work(tmp_path):
    with pytest.raises(OSError, match='too long') as caught, atomic_write(tmp_path / ('x' * 256)):
        pytest.fail('began to write')
    assert caught.value.errno == errno.ENAMETOOLONG
    assert not names_in(tmp_path)


@pytest.mark.parametrize('broken', ['replace', 'fsync'])
def test_a_file_that_cannot_be_written_names_itself_and_leaves_the_old_one(tmp_path, monkeypatch, broken):
    path = tmp_path / 'a.txt'
    path.write_text('old')

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match='No space') as caught:
        files.write_text(path, 'new')
    assert caught.value.filename == str(path)
    assert names_in(tmp_path) == ['a.txt']
    assert path.read_text() == 'old'


@pytest.mark.parametrize(
    'error', [RuntimeError('inline_container.cc'), OSError('of a library, without number')]
)
def test_a_full_disk_is_told_whatever_a_library_makes_of_it(tmp_path, monkeypatch, error):
    path = tmp_path / 'a.pt'
    with pytest.raises(type(error), match=str(error)), atomic_write(path):
        raise error
    monkeypatch.setattr(files, 'is_full', lambda folder: True)
    with pytest.raises(OSError, match='No space') as caught, atomic_write(path):
        raise error
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    with pytest.raises(ImageError), atomic_write(path):
        raise ImageError('of another kind')


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / 'a.json').mkdir()
    with pytest.raises(OSError, match='directory') as caught:
        files.write_json(tmp_path / 'a.json', {})
    assert caught.value.filename == str(tmp_path / 'a.json')
    assert names_in(tmp_path) == ['a.json']


def test_files_have_the_permissions_that_the_user_gives_to_files(tmp_path):
    before = os.umask(0o027)
    try:
        files.save_image(tmp_path / 'a.nii.gz', np.zeros((2, 2, 2), np.uint8), np.eye(4))
        files.write_text(tmp_path / 'a.txt', 'x')
    finally:
        os.umask(before)
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o640}


def test_the_same_image_gives_the_same_bytes(tmp_path):
    for name in ('a.nii.gz', 'b.nii.gz'):
        files.save_image(tmp_path / name, np.arange(8.0).reshape(2, 2, 2), np.eye(4), np.float32)
    assert (tmp_path / 'a.nii.gz').read_bytes() == (tmp_path / 'b.nii.gz').read_bytes()


def test_an_image_holds_nothing_but_its_grid_and_values(tmp_path):
    files.save_image(tmp_path / 'a.nii', np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image = nib.load(tmp_path / 'a.nii')
    assert not list(image.header.extensions)
    assert {image.header[key].tobytes().strip(b'\0') for key in ('descrip', 'aux_file', 'db_name')} == {b''}


def test_a_name_that_is_no_text_can_be_written(tmp_path):
    files.write_json(tmp_path / 'a.json', {'path': os.fsdecode(b'caf\xe9'), 'name': 'é'})
    assert (tmp_path / 'a.json').read_text(
        encoding='utf-8'
    ) == '{\n  "path": "caf\\udce9",\n  "name": "é"\n}\n'


KILLED = """
import os, signal, sys
from pathlib import Path
from pvs_bidsapp.runtime.files import atomic_write, temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder, atomic_write(Path(sys.argv[1]) / 'a.nii.gz') as temporary:
    (folder / 'x').touch()
    temporary.write_bytes(b'half')
    print('ready', flush=True)
    signal.pause()
"""


def test_what_a_killed_run_leaves_is_removed_by_the_next_and_not_before(tmp_path):
    run = subprocess.Popen([sys.executable, '-c', KILLED, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
    assert run.stdout.readline() == b'ready\n'
    before = names_in(tmp_path)
    assert len(before) == 2
    remove_leftovers(tmp_path)  # by another job, while this one works
    assert names_in(tmp_path) == before
    run.kill()
    run.wait()
    assert names_in(tmp_path) == before
    check_writable(tmp_path, 'OUT_DIR')
    assert names_in(tmp_path) == []


def test_only_own_leftovers_are_removed(tmp_path):
    own = own_prefix()
    for name in (f'{own}1.nii.gz', f'sub/{own}2.json', f'{own}folder/lock', f'{own}f/x', '.a'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'theirs').write_text('x')
    (tmp_path / f'{own}link').symlink_to(tmp_path / 'theirs')
    (tmp_path / f'{own}empty').mkdir()
    remove_leftovers(tmp_path)
    left = ['.a', f'{own}f', f'{own}link', 'sub', 'theirs']  # a folder without lock is not ours
    assert names_in(tmp_path) == left
    assert (tmp_path / 'theirs').read_text() == 'x'
    remove_leftovers(tmp_path, below=True)
    assert names_in(tmp_path / 'sub') == []


def test_what_another_machine_may_be_writing_stays_for_some_days(tmp_path):
    """Not every disk tells one machine of the locks of another."""
    other = f'{TEMPORARY}000000-'
    for name in (f'{other}new.json', f'{other}old.json', f'{other}old/lock', f'{other}new/lock'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for path in tmp_path.glob(f'{other}old*'):
        os.utime(path, (time.time() - files.OTHERS_LEFT - 60,) * 2)
    remove_leftovers(tmp_path)
    assert names_in(tmp_path) == [f'{other}new', f'{other}new.json']


def test_a_disk_without_locks_loses_no_file_that_is_in_use(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOSYS, 'no locks')

    monkeypatch.setattr(fcntl, 'flock', no_locks)
    with atomic_write(tmp_path / 'a') as temporary:
        temporary.write_text('x')
        remove_leftovers(tmp_path)
    assert names_in(tmp_path) == ['a']


def test_a_clean_up_between_two_steps_of_a_writer_does_no_harm(tmp_path, monkeypatch):
    lock, calls = files._lock, []

    def clean_first(handle):
        if not calls:
            calls.append(handle)
            monkeypatch.setattr(files, '_lock', lock)
            remove_leftovers(tmp_path)
        return lock(handle)

    monkeypatch.setattr(files, '_lock', clean_first)
    with atomic_write(tmp_path / 'a') as temporary:
        assert temporary.exists()
    monkeypatch.setattr(files, '_lock', clean_first)
    calls.clear()
    with temporary_folder(tmp_path) as folder:
        assert folder.is_dir()
    assert names_in(tmp_path) == ['a']


def test_folders_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    for folder in (
        Path('/proc/none'),
        tmp_path / 'file',
        tmp_path / 'file' / 'x',
        Path('/dev/null/x'),
        Path('/sys'),
    ):
        with refused(options.NOT_WRITABLE, naming=f'OUT_DIR {folder}'):
            check_writable(folder, 'OUT_DIR')

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'write', full)  # a full disk lets one make an empty file
    with refused(options.NOT_WRITABLE, naming='No space left'):
        check_writable(tmp_path, 'OUT_DIR')
    assert names_in(tmp_path) == ['file']


def test_the_work_begins_with_a_folder_that_can_be_written_to(tmp_path):
    faults.forget_work()
    error = OSError(errno.EIO, 'x', 'a')
    assert faults.error_for(error).exit_status == 2
    check_writable(tmp_path / 'new' / 'folder', 'OUT_DIR')
    assert faults.error_for(error).exit_status == 1
    faults.forget_work()


def test_an_image_of_a_run_that_is_killed_while_it_writes(tmp_path):
    """Killed at any moment, there is the old image or the new one."""
    program = (
        'import sys; from pathlib import Path; import numpy as np\n'
        'from pvs_bidsapp.runtime.files import save_image\n'
        'for k in range(10**6):\n'
        '    save_image(Path(sys.argv[1]), np.full((40, 40, 40), k % 2), np.eye(4), np.uint8)\n'
        '    if k == 0:\n'
        '        print("ready", flush=True)\n'
    )
    for wait in (0.05, 0.11, 0.17):
        run = subprocess.Popen(
            [sys.executable, '-c', program, tmp_path / 'a.nii.gz'], stdout=subprocess.PIPE, cwd=ROOT
        )
        run.stdout.readline()
        time.sleep(wait)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert len(set(gzip.decompress((tmp_path / 'a.nii.gz').read_bytes())[352:])) == 1
        remove_leftovers(tmp_path)
        assert names_in(tmp_path) == ['a.nii.gz']


def test_values_are_stored_in_steps(rng, tmp_path):
    data = (np.float32(0.25) * rng.integers(0, 4000, (6, 5, 4))).astype(np.float32)
    save_image(tmp_path / 'scan.nii.gz', data, np.eye(4), np.int16, step=0.25)
    image = nib.load(tmp_path / 'scan.nii.gz')
    assert image.get_data_dtype() == np.int16
    assert image.dataobj.slope == 0.25
    np.testing.assert_array_equal(image.get_fdata(), data)
    save_image(tmp_path / 'other.nii.gz', data + 0.1, np.eye(4), np.int16, step=0.25)
    np.testing.assert_array_equal(nib.load(tmp_path / 'other.nii.gz').get_fdata(), data)
