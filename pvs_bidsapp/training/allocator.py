"""Memory allocation of training processes."""

from __future__ import annotations

import contextlib
import ctypes

#: Parameters of ``mallopt`` (``malloc.h``): largest amount of freed memory that is kept; largest number of
#: blocks that are requested from the system individually.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let the allocator keep freed blocks for the next step, for the rest of the process.

    Features of a network on the CPU are blocks of many MB. glibc requests each of them from the system
    and returns it when it is freed, which causes 300,000 page faults and more per step (a fifth of its
    time). Without glibc nothing is changed.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
