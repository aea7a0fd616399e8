"""Threads of a worker share the allocator's arenas, and what is free in them goes back."""

import os
import platform
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import faust
import pytest

from streams import worker
from streams.settings import Settings

PROGRAM = """
import ctypes, sys, threading
from streams.allocator import share_arenas
if sys.argv[1] == "shared":
    print("set" if share_arenas() else "left alone")
libc = ctypes.CDLL(None)  # lets other threads run during a call
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(12)  # all live at once: the arena of one that has ended is taken again
def allocate():
    libc.free(ctypes.c_void_p(libc.malloc(1_000)))
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.stdout.flush()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""
FREES_BETWEEN = """
import ctypes, os
from benchmarks.support import usage_of
from streams.allocator import give_back
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
pieces = [libc.malloc(10_000) for _ in range(6_000)]
for piece in pieces: ctypes.memset(piece, 1, 10_000)
for number, piece in enumerate(pieces):
    if number % 100: libc.free(ctypes.c_void_p(piece))  # what is left keeps the end of the arena where it is
before = usage_of(os.getpid()).anonymous_mb
print(give_back(), int(before - usage_of(os.getpid()).anonymous_mb))
"""
TELLS_ARENAS = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD")

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")


def said_by(program: str, *arguments: str, **environment: str) -> str:
    plain = {name: value for name, value in os.environ.items() if name not in TELLS_ARENAS} | environment
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=plain, capture_output=True, text=True, check=True, timeout=60).stdout


def run(how: str, **environment: str) -> tuple[str, int]:
    """Return what the program says, and the number of its arenas."""
    done = said_by(PROGRAM, how, **environment)
    return done.partition("<")[0].strip(), done.count("<heap nr=")


@glibc
def test_threads_share_two_arenas() -> None:
    assert run("default")[1] > 2
    assert run("shared") == ("set", 2)


@glibc
@pytest.mark.parametrize("said", [{"MALLOC_ARENA_MAX": "3"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=3"}])
def test_what_the_environment_says_stands(said: dict[str, str]) -> None:
    assert run("shared", **said) == ("left alone", 3)


@glibc
def test_memory_that_is_free_between_what_is_in_use_goes_back() -> None:
    said, megabytes = said_by(FREES_BETWEEN).split()
    assert said == "True"
    assert int(megabytes) > 40


def test_a_worker_shares_them_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shared(Exception):
        pass

    def shared() -> None:
        raise Shared

    monkeypatch.setattr(worker, "share_arenas", shared)
    with pytest.raises(Shared):
        worker.run(Settings(bootstrap_servers="127.0.0.1:1"))


async def test_a_worker_gives_back_now_and_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timers: list[tuple[float, Callable[[], Awaitable[None]]]] = []
    given: list[bool] = []
    monkeypatch.setattr(faust.App, "timer", lambda _, seconds: lambda body: timers.append((seconds, body)))
    monkeypatch.setattr(worker, "give_back", lambda: given.append(True))
    worker.Worker(Settings(bootstrap_servers="127.0.0.1:1", data_dir=tmp_path))
    for body in [body for seconds, body in timers if seconds == worker.GIVE_BACK_SECONDS]:
        await body()
    assert given == [True]
