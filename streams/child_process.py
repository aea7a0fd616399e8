"""Processes that die with this one, each with a bounded log."""

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

_CHILD = Path(__file__).with_name("child_stub.py")
LOG_BYTES_MAX = 16 * 1024 * 1024
_LOG_CHECK_SECONDS = 10.0
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
    """One running program. Its output goes to `log_path`, which is kept below twice `LOG_BYTES_MAX`."""

    def __init__(self, command: Sequence[str], log_path: Path) -> None:
        self.log_path = log_path
        self._bound_log()
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            future: Future[subprocess.Popen[bytes]] = Future()
            full = [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), *command]
            _the_spawner().jobs.put((full, log, future))
            self._popen = future.result()
        finally:
            os.close(log)
        self.pid = self._popen.pid
        self._ended = threading.Event()
        threading.Thread(target=self._watch_log, name=f"child-log-{self.pid}", daemon=True).start()

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
        self._ended.set()

    def stop(self, timeout_seconds: float) -> None:
        """Ask it to end; kill it if it has not after `timeout_seconds`."""
        self._popen.terminate()
        if not self.wait(timeout_seconds):
            self._popen.kill()
            self._popen.wait()
        self._ended.set()

    def exit_status(self) -> int | None:
        return self._popen.poll()

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines it wrote."""
        with contextlib.suppress(OSError), self.log_path.open("rb") as file:
            file.seek(max(0, self.log_path.stat().st_size - _TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def _watch_log(self) -> None:
        while not self._ended.wait(_LOG_CHECK_SECONDS) and self.alive():
            self._bound_log()

    def _bound_log(self) -> None:
        """Keep one older part beside the log. The writer appends, so cutting the file under it is safe."""
        with contextlib.suppress(OSError):
            if self.log_path.stat().st_size > LOG_BYTES_MAX:
                self.log_path.with_suffix(".log.1").write_bytes(self.log_path.read_bytes()[-LOG_BYTES_MAX:])
                os.truncate(self.log_path, 0)
