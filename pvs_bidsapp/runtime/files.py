"""Files that are complete or absent: written under a temporary name, then renamed.

A temporary file is locked while it is written. That of a run which was killed is not, so that the next run
can remove it.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ..errors import PVSError
from ..messages import options
from . import faults

#: Names of temporary files and folders begin with it.
TEMPORARY = '.pvs-tmp-'
#: Seconds after which what another machine has left is removed: not every disk tells one machine of the locks
#: of another.
OTHERS_LEFT = 7 * 86400
#: File in a temporary folder that is locked while the folder is in use.
_FOLDER_LOCK = 'lock'
#: Level of gzip: scans become as small as with the highest ones, in a tenth of the time.
COMPRESSION = 4
#: Bytes below which a file system counts as full.
FULL = 2**20


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it at the end, remove it on failure.

    At any moment, `path` is absent, the file that was there before, or the new one as a whole, even after a
    loss of power.

    Raises
    ------
    OSError
        If it cannot be written; it names `path`. Also if another error came from a full disk.
    """
    path = Path(path)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.lstat()  # a name that is too long is told before the work
        temporary, handle = _open_temporary(path)
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors of the system name the file, and tell a full disk from other errors."""
    try:
        yield
    except OSError as error:
        if error.errno is None and is_full(path.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        is_named = error.filename and not Path(str(error.filename)).name.startswith(TEMPORARY)
        if error.errno is None or is_named:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except PVSError:
        raise
    except Exception as error:  # libraries have exceptions of their own for it
        if is_full(path.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


@lru_cache(maxsize=1)
def own_prefix() -> str:
    """Begin of the names of temporary files of this machine, since it was started."""
    try:
        machine = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    except OSError:
        machine = platform.node()
    return f'{TEMPORARY}{hashlib.sha256(machine.encode()).hexdigest()[:6]}-'


def _open_temporary(path: Path) -> tuple[Path, int]:
    """A new, locked file beside `path`, with its extension, which tells libraries what to write."""
    extension = ''.join(path.suffixes[-2:])[-24:]
    extension = extension[extension.find('.') :] if '.' in extension else ''
    while True:
        temporary = path.with_name(f'{own_prefix()}{secrets.token_hex(6)}{extension}')
        try:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        if _lock(handle) is not False and _is_at(handle, temporary):
            return temporary, handle
        os.close(handle)  # a clean-up was quicker


def _lock(handle: int) -> bool | None:
    """Lock a file: True, False if another process has locked it, None if the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EAGAIN, errno.EACCES) else None
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file still has this path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_full(folder: Path) -> bool:
    """Whether the file system of a folder has no space left."""
    try:
        there = next(p for p in (folder, *folder.parents) if p.exists())
        return shutil.disk_usage(there).free < FULL
    except (OSError, StopIteration):
        return False


def remove_leftovers(folder: Path, *, below: bool = False) -> None:
    """Remove temporary files and folders that killed runs have left; those that are in use stay.

    What another machine has left stays for some days.

    Parameters
    ----------
    folder : Path
    below : bool
        Whether to look in the folders below, too.
    """
    for path in [*(folder.rglob if below else folder.glob)(f'{TEMPORARY}*')]:
        with suppress(OSError):
            age = time.time() - path.lstat().st_mtime
            if not path.name.startswith(own_prefix()) and age < OTHERS_LEFT:
                continue
            if path.is_dir() and not path.is_symlink():
                _remove_folder(path)
            else:
                _remove_file(path)


def _remove_file(path: Path) -> None:
    """Remove a temporary file, unless a process has locked it, or it cannot be locked."""
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if _lock(handle) and _is_at(handle, path):
            path.unlink()
    finally:
        os.close(handle)


def _remove_folder(path: Path) -> None:
    lock = path / _FOLDER_LOCK
    if not lock.exists():
        path.rmdir()  # only if it is empty
        return
    handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if _lock(handle) and _is_at(handle, lock):
            _remove_with_content(path)
    finally:
        os.close(handle)


def _remove_with_content(folder: Path) -> None:
    """Remove a temporary folder, its lock last: without one, what is left in it could not be told apart."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != _FOLDER_LOCK:
            with suppress(OSError):
                path.unlink()
    (folder / _FOLDER_LOCK).unlink(missing_ok=True)
    folder.rmdir()


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Give a new folder, and remove it at the end; if this process is killed, `remove_leftovers` removes it.

    Parameters
    ----------
    parent : Path
        Exists.
    """
    folder, handle = _make_folder(parent)
    try:
        yield folder
    finally:
        with suppress(OSError):
            _remove_with_content(folder)
        os.close(handle)


def _make_folder(parent: Path) -> tuple[Path, int]:
    """A new folder with a locked file in it."""
    while True:
        folder = parent / f'{own_prefix()}{secrets.token_hex(4)}'
        folder.mkdir()
        lock = folder / _FOLDER_LOCK
        with suppress(FileNotFoundError):  # a clean-up was quicker
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
            if _lock(handle) is not False and _is_at(handle, lock):
                return folder, handle
            os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8.

    Bytes of a file name that are no UTF-8 are written as escape sequences, which JSON knows, too.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding='utf-8', errors='backslashreplace')


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, indented by two."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + '\n')


def read_image(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Read the array of an image, in its stored type, and its affine."""
    image = nib.load(path)
    return np.asanyarray(image.dataobj), image.affine


def save_image(
    path: Path, data: np.ndarray, affine: np.ndarray, dtype: Any = None, *, step: float | None = None
) -> None:
    """Write an array as NIfTI with `affine` as qform and sform, and nothing else in its header.

    Parameters
    ----------
    path : Path
    data : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
    dtype : data-type, optional
        Type of the stored values; that of `data` by default.
    step : float, optional
        Store whole multiples of it, with `step` as the scale factor of the file. NIfTI rounds it to float32,
        which is exact for powers of 2.
    """
    if step is not None:
        data = np.rint(data / np.float32(step))
    image = nib.Nifti1Image(data if dtype is None else np.asarray(data, dtype), affine)
    image.header.set_xyzt_units('mm')
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    if step is not None:
        image.header.set_slope_inter(step, 0)
    content = image.to_bytes()
    if path.name.endswith('.gz'):
        content = gzip.compress(content, COMPRESSION, mtime=0)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def copy_file(source: Path, target: Path) -> Path:
    """Copy a file; returns the target's path."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def check_writable(folder: Path, name: str) -> None:
    """Make a folder, check that files can be written to it, and remove what a killed run left in it.

    From then on, errors of the system count as having happened during the work.

    Parameters
    ----------
    folder : Path
    name : str
        What the folder is called in the message, such as ``OUT_DIR``.

    Raises
    ------
    InputError
        If they cannot; the message has one line and gives the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _probe(folder)
    except OSError as error:
        raise options.NOT_WRITABLE.error(f'{name} {folder}', reason=error.strerror or error) from error
    remove_leftovers(folder)
    faults.begin_work()


def _probe(folder: Path) -> None:
    """Write some bytes for a moment: on a full disk, an empty file could still be made."""
    temporary, handle = _open_temporary(folder / 'probe')
    try:
        os.write(handle, bytes(4096))
        os.fsync(handle)
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)
