"""Processes of the service that start fast: forked from a server that has imported the service once.

Each is a process of its own in every other way: its own session, environment, log and exit status; killed with its parent.
Half of what a start costs is imports, and a campaign starts thousands of processes.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

from tests.kafka_support import ROOT, Worker

PRELOAD = ("streams.worker", "streams.dispatching", "cli.worker", "cli.dispatch", "tests.faults.forked")
_PR_SET_PDEATHSIG = 1


@cache
def _context() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    return context


def become(arguments: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    """Be the program `python -m ARGUMENTS`, as if it had been started so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    for number, (path, flags) in enumerate([(os.devnull, os.O_RDONLY), *[(log, os.O_WRONLY | os.O_APPEND)] * 2]):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = list(arguments)
    importlib.import_module(arguments[0]).main()


class _Process:
    """A forked process with the words of `subprocess.Popen` that `Worker` uses."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._process = _context().Process(target=become, args=(list(arguments), dict(environment), str(log)))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired("forked", timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forked(Worker):
    """A program of this project as a process of its own, forked."""

    def __init__(self, arguments: Sequence[str], log_path: Path, environment: Mapping[str, str]) -> None:
        """`arguments`: a module that has a `main`, and its arguments."""
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log_path.touch()
        own = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._popen = _Process(arguments, own, log_path)  # type: ignore[assignment]
        self.pid = self._popen.pid
