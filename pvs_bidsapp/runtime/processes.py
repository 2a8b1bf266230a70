"""Independent pieces of work in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tqdm.auto import tqdm

from .signals import Stopped, end_with_parent


def map_in_processes(
    work: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    nprocs: int,
    what: str,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> list[Any]:
    """Call `work` once for each tuple of arguments, in `nprocs` processes in parallel, with a progress bar.

    Parameters
    ----------
    work : callable
        A function that can be pickled.
    arguments : sequence of tuple
    nprocs : int
    what : str
        Name of the pieces in the progress bar.
    stop : callable
        Called every second; work stops if it returns True.

    Returns
    -------
    results : list
        In the order of the arguments.

    Raises
    ------
    Stopped
        If `stop` returned True; calls that had begun by then are finished first.
    """
    context = multiprocessing.get_context('forkserver')
    with ProcessPoolExecutor(max(1, nprocs), mp_context=context, initializer=end_with_parent) as pool:
        futures = [pool.submit(work, *a) for a in arguments]
        try:
            _follow(futures, what, stop)
        except (Stopped, BrokenProcessPool):  # a batch system may signal the workers, too
            pool.shutdown(cancel_futures=True)
            if stop():
                raise Stopped from None
            raise
    return [f.result() for f in futures]


def _follow(futures: list[Future[Any]], what: str, stop: Callable[[], bool]) -> None:
    left = set(futures)
    with tqdm(total=len(futures), desc=what, disable=None) as bar:
        while left:
            done, left = wait(left, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            bar.update(len(done))
            if left and stop():
                raise Stopped
