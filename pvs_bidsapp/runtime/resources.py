"""Cores and memory that the program may use: those of the machine, the container or the batch job."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..messages import options

LOG = logging.getLogger(__name__)
GIB = 2**30
#: GiB that the steps of one scan need at most, 2.6, and some more for the program itself.
LEAST_MEMORY = 3.0
#: Cores of a job: Slurm, SGE, PBS, LSF.
_CORES = ('SLURM_CPUS_PER_TASK', 'NSLOTS', 'PBS_NP', 'NCPUS', 'LSB_DJOB_NUMPROC')


def cores(root: Path = Path('/'), environment: Mapping[str, str] = os.environ) -> int:
    """Cores that this process may use.

    The least of: those it may be scheduled on, the control group's quota, what the batch system
    gave the job. At least 1.

    Parameters
    ----------
    root : Path
        Of the file system, for tests.
    environment : mapping
        Environment variables.
    """
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1]
    for folder in _control_groups(root, 'cpu'):
        quota, period = _numbers(folder / 'cpu.max')[:2] or (0.0, 0.0)
        if not quota:
            old = [_numbers(folder / f'cpu.cfs_{name}_us') for name in ('quota', 'period')]
            quota, period = (old[0][0], old[1][0]) if all(old) else (0.0, 0.0)
        if quota > 0 and period > 0:
            limits.append(math.ceil(quota / period))
    limits += [int(environment[k]) for k in _CORES if environment.get(k, '').isdigit()]
    return max(1, min(limits))


def memory_gb(root: Path = Path('/'), environment: Mapping[str, str] = os.environ) -> float:
    """Memory in GiB that this process and its children may use.

    The least of: the machine's, every control group's that the process is in, what Slurm gave the
    job (``SLURM_MEM_PER_NODE``, or per core times the job's cores).

    Parameters
    ----------
    root : Path
        Of the file system, for tests.
    environment : mapping
        Environment variables.
    """
    limits = [float(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))]
    for folder in _control_groups(root, 'memory'):
        for name in ('memory.max', 'memory.high', 'memory.limit_in_bytes'):
            limits += _numbers(folder / name)[:1]
    if (whole := environment.get('SLURM_MEM_PER_NODE', '')).isdigit() and int(whole):
        limits.append(int(whole) * 2**20)
    elif (each := environment.get('SLURM_MEM_PER_CPU', '')).isdigit():
        limits.append(int(each) * 2**20 * int(environment.get('SLURM_CPUS_ON_NODE', '1')))
    return min(limits) / GIB


def memory_for_scans(limit: float | None) -> float:
    """Memory in GiB that scans may use: `limit`, but not more than is available, else 90 % of that.

    Raises
    ------
    InputError
        If a scan does not fit into it.
    """
    available = memory_gb()
    least = min(limit or available, available)
    if least < LEAST_MEMORY:
        raise options.TOO_LITTLE_MEMORY.error(available=least, least=LEAST_MEMORY)
    if limit is not None and limit > available:
        options.MEMORY_CAPPED.log(LOG, f'--mem {limit:g}', available=available)
    return min(limit or 0.9 * available, available)


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in, its own and those above it."""
    base = root / 'sys/fs/cgroup'
    try:
        lines = (root / 'proc/self/cgroup').read_text().splitlines()
    except OSError:
        lines = []
    for line in ['0::/', f'0:{controller}:/', *lines]:
        _, names, path = [*line.split(':', 2), '', ''][:3]
        if names and controller not in names.split(','):
            continue
        top = base / controller if names else base
        place = top / path.strip('/')
        for folder in (place, *place.parents):
            if top in (folder, *folder.parents):
                yield folder


def _numbers(path: Path) -> list[float]:
    """Numbers in a file; none if it is missing or says ``max`` (no limit)."""
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return [float(w) for w in words] if words and all(w.isdigit() for w in words) else []
