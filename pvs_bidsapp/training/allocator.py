"""How a training process gets its memory."""

from __future__ import annotations

import contextlib
import ctypes

#: Of ``malloc.h``: how much freed memory is kept at most; how many blocks may be requested from the system
#: individually.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let the allocator keep freed blocks for the next step, for the rest of the process.

    Features of a network on the CPU are blocks of many MB. glibc requests each of them from the system
    and returns it when it is freed, so that each step has 300,000 page faults and more (a fifth of its
    time). Without glibc nothing is changed.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
