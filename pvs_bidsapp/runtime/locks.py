"""Locks on files, so that one job at a time processes a scan if several share a folder."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterable
from pathlib import Path

LOG = logging.getLogger(__name__)


class Lock:
    """A lock on a file, which the system releases when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        Created when the lock is acquired, removed when it is released.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._handle = Path(path), -1

    def acquire(self) -> bool:
        """Acquire the lock; False if another process holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    os.close(handle)
                    return False
                # some network disks have no locks: go on without
                LOG.debug('%s: cannot be locked (%s)', self.path, error)
            if self._is_current(handle):
                self._handle = handle
                return True
            os.close(handle)  # another process has removed the file: try again

    def _is_current(self, handle: int) -> bool:
        try:
            return os.fstat(handle).st_ino == self.path.stat().st_ino
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._handle >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


class Locks:
    """Several locks that are acquired together: all of them, or none.

    Parameters
    ----------
    paths : iterable of Path
        As for `Lock`.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._locks = [Lock(path) for path in paths]

    def acquire(self) -> bool:
        """Acquire all locks; False, with none held, if another process holds one of them."""
        if all(lock.acquire() for lock in self._locks):
            return True
        self.release()
        return False

    def exist(self) -> bool:
        """Whether there is a file of one of them: another process holds it, or was killed while it did."""
        return any(lock.path.exists() for lock in self._locks)

    def release(self) -> None:
        """Release those that are held."""
        for lock in self._locks:
            lock.release()
