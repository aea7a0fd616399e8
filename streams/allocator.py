"""glibc's allocator in a process with many threads and a database.

By default each thread gets an arena of its own, up to eight for each core. What is freed in one arena serves only the threads of
that arena: it piles up there (most likely buffers of RocksDB's compactions), and a worker grows while what it uses does not. And what is
free goes back to the system only from an arena's end, unless it is asked to give back all of it.
"""

import ctypes
import os

ARENAS = 2
_M_ARENA_MAX = -8
"""from malloc.h"""


def share_arenas() -> bool:
    """Let the threads that have not allocated yet share two arenas.

    Returns False where libc has no such setting, and where the environment says how many there are.
    """
    if "MALLOC_ARENA_MAX" in os.environ or "glibc.malloc.arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option is not None and bool(set_option(_M_ARENA_MAX, ARENAS))


def give_back() -> bool:
    """Hand memory that is free but still held to the system: some milliseconds, in which threads that allocate may wait.

    Returns False where there was none, and where libc does not do that.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(ctypes.c_size_t(0)))
