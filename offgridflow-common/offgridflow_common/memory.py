"""Has both allocators keep the memory of one block of rows for the next one.

Two allocators hold rows: jemalloc inside of polars, and the C library's for bytes of Python. Both give free
memory back to the system, within half a second or at once, only to ask for it again with the next block, and
the system clears each page that it hands out. So both shall keep it for longer.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

#: As many arenas as processors, rather than four times as many: what was freed in one is found again.
_JEMALLOC = f"narenas:{os.cpu_count() or 1},dirty_decay_ms:2000,muzzy_decay_ms:0"

#: What glibc's ``mallopt`` calls them: what is larger is no part of its heap, and how much stays free there.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_LARGEST_IN_HEAP = 32 * 1024**2
_FREE_IN_HEAP = 64 * 1024**2


def reuse_memory() -> None:
    """Let both allocators keep what is free; polars must not have been imported before.

    What ``_RJEM_MALLOC_CONF`` in the environment says of jemalloc counts instead. Where there is no glibc,
    the C library stays as it is.
    """
    os.environ.setdefault("_RJEM_MALLOC_CONF", _JEMALLOC)
    with suppress(AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST_IN_HEAP)
        mallopt(_TRIM_THRESHOLD, _FREE_IN_HEAP)
