"""Independent pieces of work in several processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from typing import Any

from tqdm.auto import tqdm

from ..messages import options
from .deadline import TimeUp
from .signals import Stopped, end_with_parent

#: Attempts at a call that is made alone.
ATTEMPTS = 2
#: What takes seconds to import: the fork server does it once, in place of each worker. The import of none of
#: them starts threads that a fork would lose; that of OpenVINO does.
SLOW_IMPORTS = ('scipy.ndimage', 'ants', 'torch')
#: Seconds to wait for the thread of a pool without workers.
_PATIENCE = 5.0


def map_in_processes(
    work: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    nprocs: int,
    what: str,
    *,
    names: Sequence[str] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Any]:
    """Call `work` once for each tuple of arguments, in `nprocs` processes in parallel, with a progress bar.

    If the system kills a process, most likely for lack of memory, the calls that may have been under way are
    made again, one at a time.

    Parameters
    ----------
    work : callable
        A function that can be pickled.
    arguments : sequence of tuple
    nprocs : int
    what : str
        Name of the pieces in the progress bar.
    names : sequence of str, optional
        Name of each piece in messages.
    stop : callable
        Called before the work begins and then every second; work stops if it returns True. If it raises
        `TimeUp`, calls that have begun are ended at once.

    Returns
    -------
    results : list
        In the order of the arguments.

    Raises
    ------
    Stopped
        If `stop` returned True; calls that had begun by then are finished first.
    PVSError
        If the process of a call is killed again although it is the only one.
    """
    calls = _Calls(work, arguments, stop)
    with tqdm(total=len(arguments), desc=what, disable=None) as bar:
        while left := calls.left:
            try:
                calls.make(left, nprocs, bar)
            except BrokenProcessPool:
                for number in calls.left[: nprocs + 1]:  # one more than there are processes is handed out
                    calls.make_alone(number, bar, names[number] if names else f'{what} {number + 1}')
    return [calls.results[number] for number in range(len(arguments))]


def start_fork_server(modules: Sequence[str]) -> None:
    """Let the fork server begin with its imports, if it does not run yet; they go on in the background.

    Parameters
    ----------
    modules : sequence of str
        What its processes need; imported once, before they are made.
    """
    multiprocessing.set_forkserver_preload(list(modules))
    before = os.environ.get('PYTHONSAFEPATH')
    os.environ['PYTHONSAFEPATH'] = '1'  # else a file torch.py in the current folder would be imported
    try:
        forkserver.ensure_running()
    finally:
        del os.environ['PYTHONSAFEPATH']
        if before is not None:
            os.environ['PYTHONSAFEPATH'] = before


class _Calls:
    """Calls that are to be made, and the results of those that have been."""

    def __init__(
        self, work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], stop: Callable[[], bool]
    ) -> None:
        self.work, self.arguments, self.stop = work, arguments, stop
        self.results: dict[int, Any] = {}

    @property
    def left(self) -> list[int]:
        """Numbers of the calls without a result."""
        return [number for number in range(len(self.arguments)) if number not in self.results]

    def make(self, numbers: Sequence[int], nprocs: int, bar: Any) -> None:
        """Make some of the calls in processes of their own; what was done before an error is kept."""
        if self.stop():
            raise Stopped
        start_fork_server([name for name in SLOW_IMPORTS if name in sys.modules])
        # the default start, fork, hangs once torch has run in the parent
        context = multiprocessing.get_context('forkserver')
        pool = ProcessPoolExecutor(max(1, nprocs), mp_context=context, initializer=end_with_parent)
        try:
            futures = {pool.submit(self.work, *self.arguments[number]): number for number in numbers}
            self._follow(futures, bar)
        except BrokenProcessPool:
            if self.stop():  # a batch system may signal the workers, too
                raise Stopped from None
            raise
        except (KeyboardInterrupt, SystemExit, TimeUp):  # what has begun is not waited for
            kill_workers(pool)
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def make_alone(self, number: int, bar: Any, name: str) -> None:
        """Make one call, and once more if its process is killed: another program may have used the memory."""
        for attempt in range(ATTEMPTS):
            try:
                self.make([number], 1, bar)
                return
            except BrokenProcessPool as error:
                if attempt + 1 == ATTEMPTS:
                    raise options.WORKER_KILLED.error(name) from error

    def _follow(self, futures: dict[Future[Any], int], bar: Any) -> None:
        left = set(futures)
        while left:
            done, left = wait(left, timeout=1, return_when=FIRST_COMPLETED)
            broken: BrokenProcessPool | None = None
            for future in done:
                try:
                    self.results[futures[future]] = future.result()
                    bar.update()
                except BrokenProcessPool as error:  # others of them may have a result
                    broken = error
            if broken is not None:
                raise broken
            if left and self.stop():
                raise Stopped


def start_worker(folder: str, environment: Mapping[str, str]) -> None:
    """Set up a worker; called first in each.

    Parameters
    ----------
    folder : str
        Current folder.
    environment : mapping
        Variables to set. A fork server has those of the time when it was started.
    """
    os.chdir(folder)
    os.environ.update(environment)
    tempfile.tempdir = None
    end_with_parent()


def kill_workers(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool at once; what they had begun is lost."""
    for process in list((getattr(pool, '_processes', None) or {}).values()):
        process.kill()


def close_at_once(pool: ProcessPoolExecutor) -> None:
    """End a pool with its processes; what they had begun is lost.

    Parameters
    ----------
    pool : ProcessPoolExecutor
    """
    thread = getattr(pool, '_executor_manager_thread', None)  # shutdown forgets it
    kill_workers(pool)
    pool.shutdown(wait=False, cancel_futures=True)
    if thread is not None:
        # At its end it closes a pipe, to which Python's exit may write: OSError, bad file descriptor.
        thread.join(_PATIENCE)
