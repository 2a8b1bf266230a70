"""Batches from processes that prepare them during the training."""

from __future__ import annotations

import signal
from collections.abc import Generator

from torch.utils.data import DataLoader, Dataset

from ..errors import PVSError
from ..messages import training
from .datasets import Batch


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


def load_batches(batches: Dataset[Batch], workers: int = 1) -> Generator[Batch, None, None]:
    """Load batches in their order. Workers prepare them in advance; they share the images by fork.

    The workers end when the generator is closed.

    Parameters
    ----------
    batches : Dataset
        With a length.
    workers : int
        Number of processes. Batches do not depend on it.

    Yields
    ------
    batch : Batch

    Raises
    ------
    PVSError
        If the worker is killed, most likely for lack of memory; and as the dataset.
    """
    loader = DataLoader(
        _Carried(batches),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=3,
        worker_init_fn=_ignore_sigterm,
    )
    items = iter(loader)
    while True:
        try:
            batch = next(items)
        except StopIteration:
            return
        except RuntimeError as error:
            if 'DataLoader worker' not in str(error):
                raise
            raise training.LOADER_ENDED.error(reason=' '.join(str(error).split())[:120]) from error
        if isinstance(batch, Exception):
            raise batch
        yield batch


def _ignore_sigterm(worker: int) -> None:
    """Let a worker of the data loader ignore SIGTERM.

    A batch system sends it to all processes of a job; the training process stops properly, and its worker
    with it.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
