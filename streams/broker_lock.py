"""One instance per data directory: the lock, and the end of brokers that an earlier instance left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

from streams.broker_errors import DataDirInUseError, DataDirUnusableError

try:
    import fcntl
except ImportError:  # Windows: Kafka's own lock on its log directory remains
    fcntl = None  # type: ignore[assignment]

_GONE_SECONDS = 15.0


def lock(data_dir: Path) -> IO[str]:
    """Return the open, locked file. The system releases it when the holder ends, so a stale one never blocks."""
    path = data_dir / "lock"
    try:
        file = path.open("a+")
    except OSError as error:
        raise DataDirUnusableError(f"{path} cannot be written ({error.strerror}): correct its permissions") from error
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read(20).strip() or "unknown"
        file.close()
        raise DataDirInUseError(
            f"{data_dir} is in use by another instance (process {holder}): stop it, use another directory, "
            "or use its broker by its address"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def end_left_over(data_dir: Path) -> bool:
    """End brokers of an instance that is gone (we hold its lock); return whether it had left any trace."""
    traces = False
    for path in sorted(data_dir.glob("broker-*/pid")):
        properties = str(path.with_name("server.properties"))
        try:
            pid = int(path.read_text())
        except ValueError:
            pid = 0
        deadline = time.monotonic() + _GONE_SECONDS
        while pid and properties in _command_of(pid):  # else the number belongs to a stranger by now
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise DataDirInUseError(f"the broker of an earlier run (process {pid}) does not end: end it by hand")
            threading.Event().wait(0.05)
        path.unlink(missing_ok=True)
        traces = True
    return traces


def _command_of(pid: int) -> str:
    """Return the command line of a process, empty if there is none."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    listed = subprocess.run(  # noqa: S603 - a number is the only argument
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607 - the system's own
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout
