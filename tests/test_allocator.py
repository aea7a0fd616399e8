"""Threads of a worker share the allocator's arenas."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, os, sys, threading
from streams.allocator import share_arenas
if sys.argv[1] == "shared":
    assert share_arenas()
libc = ctypes.CDLL(None)  # lets other threads run during a call
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(12)
def allocate():
    libc.free(ctypes.c_void_p(libc.malloc(100_000)))
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def arenas(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_threads_share_two_arenas() -> None:
    assert arenas("default") > 2
    assert arenas("shared") == 2
