"""Several processes that train one network (torch's distributed data parallel)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

#: How long a process waits for the others: while the first one validates, which may take hours. (One that
#: fails ends the others by itself.)
PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class ProcessGroup:
    """One of the processes that train a network together.

    Attributes
    ----------
    rank, world_size : int
        Number of this process, from 0; number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process validates and writes files."""
        return self.rank == 0

    @classmethod
    def join(cls, rank: int, world_size: int, rendezvous_file: Path, device: torch.device) -> ProcessGroup:
        """Connect to the other processes through a file (no port is opened to the network).

        Parameters
        ----------
        rank, world_size : int
            Number of this process, from 0; number of processes.
        rendezvous_file : Path
            A file that does not exist yet, on a disk that all processes see.
        device : torch.device
            NCCL is used on GPUs, gloo on CPUs.
        """
        if device.type == 'cuda':
            torch.cuda.set_device(device)
        backend = 'nccl' if device.type == 'cuda' else 'gloo'
        distributed.init_process_group(
            backend,
            init_method=f'file://{rendezvous_file}',
            timeout=PATIENCE,
            rank=rank,
            world_size=world_size,
        )
        return cls(rank, world_size)

    def leave(self) -> None:
        """Disconnect from the other processes."""
        if self.world_size > 1:
            distributed.destroy_process_group()

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Wrap a network so that gradients are averaged over all processes."""
        if self.world_size == 1:
            return network
        ids = [device] if device.type == 'cuda' else None
        return DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False)

    def largest(self, number: int) -> int:
        """The largest `number` of all processes."""
        if self.world_size == 1:
            return number
        return int(self._reduce(number, distributed.ReduceOp.MAX))

    def mean(self, value: float) -> float:
        """Mean of `value` over all processes."""
        return self._reduce(value) / self.world_size if self.world_size > 1 else value

    def from_first(self, value: float) -> float:
        """The `value` of the first process."""
        if self.world_size == 1:
            return value
        return self._reduce(value if self.is_first else 0.0)

    @staticmethod
    def _reduce(value: float, operation: Any = distributed.ReduceOp.SUM) -> float:
        on_gpu = distributed.get_backend() == 'nccl'
        tensor = torch.tensor([value], dtype=torch.float64, device='cuda' if on_gpu else 'cpu')
        distributed.all_reduce(tensor, operation)
        return float(tensor)
