"""Whether a file of somebody else is there and can be read: asked wherever an image is opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..messages import datasets
from ..messages.message import Finding

#: Largest size, in bytes, of a file that stands for content elsewhere.
_POINTER_SIZE = 32 * 1024


def check_file(path: Path, shown: str | None = None) -> Finding | None:
    """Why a file cannot be read; None if it can. Only a file that is small enough to be a pointer is opened.

    Parameters
    ----------
    path : Path
    shown : str, optional
        What the file is called in the message; `path` by default.
    """
    shown = str(path) if shown is None else shown
    try:
        state = path.stat()
    except FileNotFoundError:
        return _missing(path, shown)
    except OSError as error:  # a loop of links, or a folder that cannot be entered
        return datasets.UNREADABLE.finding(shown, reason=error.strerror)
    if not stat.S_ISREG(state.st_mode):
        what = 'a folder' if stat.S_ISDIR(state.st_mode) else 'a pipe, a socket or a device'
        return datasets.NOT_A_FILE.finding(shown, what=what)
    if state.st_size == 0:
        return datasets.EMPTY_FILE.finding(shown)
    if not os.access(path, os.R_OK):
        return datasets.UNREADABLE.finding(shown, reason='Permission denied')
    return _check_pointer(path, shown) if state.st_size < _POINTER_SIZE else None


def _missing(path: Path, shown: str) -> Finding:
    if not path.is_symlink():
        return datasets.VANISHED.finding(shown)
    if 'annex/objects' in os.readlink(path):
        return datasets.NOT_FETCHED.finding(shown, path=shown)
    return datasets.DANGLING.finding(shown)


def _check_pointer(path: Path, shown: str) -> Finding | None:
    """Whether a small file only says where its content is."""
    try:
        with path.open('rb') as file:
            head = file.read(512)
    except OSError as error:
        return datasets.UNREADABLE.finding(shown, reason=error.strerror)
    if head.startswith(b'version https://git-lfs.github.com/'):
        return datasets.NOT_PULLED.finding(shown, path=shown)
    if b'annex/objects/' in head.split(b'\n')[0]:
        return datasets.NOT_FETCHED.finding(shown, path=shown)
    return None
