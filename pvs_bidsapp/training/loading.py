"""Batches from processes that prepare them during the training."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset

from ..errors import PVSError
from ..messages import training
from .datasets import Batch

#: Seconds after which somebody who waits for a batch is asked whether the wait is to end.
WAIT = 1.0


class _Carried(Dataset[Batch | Exception]):
    """A dataset whose errors are items: torch would make several lines of them on their way."""

    def __init__(self, batches: Dataset[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __getitem__(self, number: int) -> Batch | Exception:
        try:
            return self.batches[number]
        except (PVSError, OSError, MemoryError) as error:
            return error


def load_batches(
    batches: Dataset[Batch], workers: int = 1, wants_to_end: Callable[[], bool] = lambda: False
) -> Generator[Batch, None, None]:
    """Load batches in their order. Workers prepare them in advance; they share the images by fork.

    The workers end when the generator is closed, also in the middle of a batch.

    Parameters
    ----------
    batches : Dataset
        With a length.
    workers : int
        Number of processes. Batches do not depend on it.
    wants_to_end : callable, optional
        Asked every second in which a batch is waited for; there are no more batches if it returns True.

    Yields
    ------
    batch : Batch

    Raises
    ------
    PVSError
        If the worker is killed, most likely for lack of memory; and as the dataset.
    """
    is_over = multiprocessing.RawValue('b', 0)
    loader = DataLoader(
        _Carried(batches),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=3,
        timeout=WAIT,
        worker_init_fn=partial(_heed_sigterm, is_over),
    )
    others = set(multiprocessing.active_children())
    items = iter(loader)
    processes = set(multiprocessing.active_children()) - others
    try:
        while True:
            try:
                batch = next(items)
            except StopIteration:
                return
            except RuntimeError as error:
                if 'timed out' in str(error):  # no batch yet; the next call waits on
                    if wants_to_end():
                        return
                    continue
                if 'DataLoader worker' not in str(error):
                    raise
                raise training.LOADER_ENDED.error(reason=' '.join(str(error).split())[:120]) from error
            if isinstance(batch, Exception):
                raise batch
            yield batch
    finally:
        is_over.value = 1
        for process in processes:
            process.terminate()


def _heed_sigterm(is_over: Any, worker: int) -> None:
    """Let a worker of the data loader ignore SIGTERM as long as batches are wanted.

    A batch system sends it to all processes of a job; the training process stops properly, and its worker
    with it.
    """

    def end(number: int, frame: Any) -> None:
        if is_over.value:
            os._exit(0)

    signal.signal(signal.SIGTERM, end)
