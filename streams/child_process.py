"""Processes that die with this one, each with a bounded log (child_log.py)."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from streams.child_log import LogFile, Pump, part_path

_CHILD = Path(__file__).with_name("child_stub.py")
_DRAIN_SECONDS = 5.0
_TAIL_BYTES = 64 * 1024


class _Spawner(threading.Thread):
    """The one thread that starts children: the kernel ties their life to the thread's, and this one never ends."""

    def __init__(self) -> None:
        super().__init__(name="child-spawner", daemon=True)
        self.pid = os.getpid()
        self.jobs: queue.SimpleQueue[tuple[list[str], int, Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()

    def run(self) -> None:
        while True:
            command, log, future = self.jobs.get()
            try:
                future.set_result(
                    # A session of its own: Ctrl-C in a terminal must reach the workers first, not Kafka.
                    subprocess.Popen(  # noqa: S603 - no shell; the command is built from our own paths
                        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                    )
                )
            except BaseException as error:
                future.set_exception(error)


_lock = threading.Lock()
_spawner: _Spawner | None = None


def _the_spawner() -> _Spawner:
    global _spawner
    with _lock:
        if _spawner is None or _spawner.pid != os.getpid():  # a forked child has no threads of its parent
            _spawner = _Spawner()
            _spawner.start()
        return _spawner


class ChildProcess:
    """One running program. Its output goes to the log at `log_path`, which is kept in a few parts of bounded size."""

    def __init__(self, command: Sequence[str], log_path: Path) -> None:
        self.log_path = log_path
        log_path.touch(mode=0o600)  # its error is ours: a log that cannot be written is not to be found out later
        reading, writing = os.pipe()  # neither is inherited but by who is given it
        try:
            future: Future[subprocess.Popen[bytes]] = Future()
            full = [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), *command]
            _the_spawner().jobs.put((full, writing, future))
            self._popen = future.result()
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.pid = self._popen.pid
        self._pump = Pump(reading, LogFile(log_path), f"child-log-{self.pid}")
        self._pump.start()

    def alive(self) -> bool:
        return self._popen.poll() is None

    def wait(self, timeout_seconds: float) -> bool:
        """Return whether it has ended, after waiting for that at most `timeout_seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(max(timeout_seconds, 0.0))
        return not self.alive()

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a crash would, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()
        self._pump.join(_DRAIN_SECONDS)

    def stop(self, timeout_seconds: float) -> None:
        """Ask it to end; kill it if it has not after `timeout_seconds`."""
        self._popen.terminate()
        if not self.wait(timeout_seconds):
            self._popen.kill()
            self._popen.wait()
        self._pump.join(_DRAIN_SECONDS)

    def exit_status(self) -> int | None:
        return self._popen.poll()

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines it wrote."""
        if not self.alive():
            self._pump.join(_DRAIN_SECONDS)  # what it wrote last is on its way yet
        found = b""
        for path in (self.log_path, part_path(self.log_path, 1)):
            with contextlib.suppress(OSError), path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                found = file.read() + found
            if len(found) >= _TAIL_BYTES:
                break
        return "\n".join(found.decode(errors="replace").splitlines()[-lines:])
