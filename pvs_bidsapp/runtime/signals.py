"""Stopping cleanly when the system asks for it."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType


class Stopped(Exception):
    """Work ended early because the program was asked to stop."""


def end_with_parent() -> None:
    """Make a worker process end when the program that started it ends, however that happens.

    Each worker calls it first. A worker of a fork server is not a child of that program, and itself keeps
    open the pipes through which it would learn of its end: it has to watch. What Ctrl-C means is for the
    program to say: the terminal signals the workers, too, which would take it for an error of their work.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := multiprocessing.parent_process()) is not None:
        if sys.platform == 'linux':
            _be_killed_when_closed(parent.sentinel)
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _be_killed_when_closed(pipe: int) -> None:
    """Let the kernel kill this process once the other end of a pipe is closed.

    A thread could not do it in time: registration keeps the interpreter locked for a minute, in which another
    run may have begun to work in the same folders.
    """
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def _end_after(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


class StopRequest:
    """Whether SIGTERM (a cluster's time is up, the job is preempted) or Ctrl-C has come.

    As a context manager it listens; a second signal ends the program at once.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, object] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.requested

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._on_signal) for number in self.SIGNALS}
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class Terminated(SystemExit):
    """SIGTERM came; the exit status is the one that shells give for it."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Unwind on SIGTERM as on Ctrl-C, so that workers are ended, locks released and pages written.

    In another thread than the main one, where Python allows no handlers, SIGTERM stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
