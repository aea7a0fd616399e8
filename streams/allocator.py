"""glibc's allocator in a process with many threads and a database.

By default each thread gets an arena of its own, up to eight for each core. What one thread frees is of no use to the
others: buffers of RocksDB's compactions pile up in arenas that nobody else takes from, and a worker grows for hours
while what it uses does not.
"""

import ctypes

ARENAS = 2
_M_ARENA_MAX = -8
"""from malloc.h"""


def share_arenas() -> bool:
    """Let the threads that this process starts from now on share two arenas; return False where libc has no such setting."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option is not None and bool(set_option(_M_ARENA_MAX, ARENAS))
