"""One job at a time for a scan, where several jobs write into one folder."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterable
from pathlib import Path

LOG = logging.getLogger(__name__)


class Lock:
    """A lock on a file, which the system gives back when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        Made when the lock is taken, removed when it is given back.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._handle = Path(path), -1

    def take(self) -> bool:
        """Take the lock; False where another process has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    os.close(handle)
                    return False
                # some network disks know no locks: work goes on without
                LOG.debug('%s: no lock to be had (%s)', self.path, error)
            if self._is_current(handle):
                self._handle = handle
                return True
            os.close(handle)  # another process removed the file meanwhile: once more

    def _is_current(self, handle: int) -> bool:
        try:
            return os.fstat(handle).st_ino == self.path.stat().st_ino
        except FileNotFoundError:
            return False

    def give_back(self) -> None:
        """Give the lock back, if it was taken."""
        if self._handle >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


class Locks:
    """Several locks that are taken together: all of them, or none.

    Parameters
    ----------
    paths : iterable of Path
        As for `Lock`.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._locks = [Lock(path) for path in paths]

    def take(self) -> bool:
        """Take all locks; False, with none held, where another process has one of them."""
        if all(lock.take() for lock in self._locks):
            return True
        self.give_back()
        return False

    def give_back(self) -> None:
        """Give back those that were taken."""
        for lock in self._locks:
            lock.give_back()
