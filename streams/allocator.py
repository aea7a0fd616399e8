"""glibc's allocator in a process with many threads and a database.

By default each thread gets an arena of its own, up to eight for each core. What is freed in one arena serves only the threads of
that arena: it piles up there (most likely buffers of RocksDB's compactions), and a worker grows while what it uses does not.
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
