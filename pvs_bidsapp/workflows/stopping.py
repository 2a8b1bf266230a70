"""Stopping in good order when the system asks for it."""

from __future__ import annotations

import contextlib
import ctypes
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType

_PR_SET_PDEATHSIG = 1


class Stopped(Exception):
    """Work was given up since the program was asked to stop."""


def end_with_parent() -> None:
    """First thing that a worker does: it is to end when its parent ends, however that happens."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (AttributeError, OSError):  # not Linux
        pass


class Stop:
    """Whether SIGTERM (a cluster's time is up, the job is preempted) or Ctrl-C has come.

    As a context manager it listens; a second signal ends the program at once.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __call__(self) -> bool:
        return self.asked

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._hear) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Terminated(SystemExit):
    """SIGTERM came; the exit status is the one that shells give for it."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Unwind on SIGTERM as on Ctrl-C, so that workers are ended, locks given back and pages written."""

    def hear(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
