"""Several processes that train one network (torch's distributed data parallel)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class ProcessGroup:
    """One process and its place among those that train together.

    Attributes
    ----------
    rank, world : int
        Number of this process, number of processes.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    @classmethod
    def join(cls, rank: int, world: int, meeting: Path, device: torch.device) -> ProcessGroup:
        """Meet the other processes through a file (no port is opened to the network).

        Parameters
        ----------
        rank, world : int
        meeting : Path
            A file that does not exist yet, on a disk that all processes see.
        device : torch.device
            NCCL is used on GPUs, gloo on CPUs.
        """
        if device.type == 'cuda':
            torch.cuda.set_device(device)
        backend = 'nccl' if device.type == 'cuda' else 'gloo'
        distributed.init_process_group(backend, init_method=f'file://{meeting}', rank=rank, world_size=world)
        return cls(rank, world)

    def leave(self) -> None:
        """Say good-bye to the others."""
        if self.world > 1:
            distributed.destroy_process_group()

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network with gradients averaged over all processes."""
        if self.world == 1:
            return network
        ids = [device] if device.type == 'cuda' else None
        return DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False)

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return self._reduce(float(flag)) > 0 if self.world > 1 else flag

    def mean(self, value: float) -> float:
        """Mean over all processes."""
        return self._reduce(value) / self.world if self.world > 1 else value

    def from_first(self, value: float) -> float:
        """What the first process has."""
        if self.world == 1:
            return value
        return self._reduce(value if self.first else 0.0)

    @staticmethod
    def _reduce(value: float) -> float:
        on_gpu = distributed.get_backend() == 'nccl'
        tensor = torch.tensor([value], dtype=torch.float64, device='cuda' if on_gpu else 'cpu')
        distributed.all_reduce(tensor)
        return float(tensor)
