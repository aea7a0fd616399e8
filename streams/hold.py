"""How a backup makes a running `up` hold still, and keeps another from starting; and what `up` says of itself meanwhile.

    up.lock       held by `up` as long as it runs
    backup.lock   held by whoever wants stillness: `up` sees it, stops every process, the broker last, and waits
    kafka/lock    the broker's own: whoever gets it knows that nothing writes below the data directory
    up.json       which settings and addresses a running `up` has

The locks are the system's: it releases them when their holder ends, however it ends. So a backup that is killed lets `up` go
on, and an `up` that is killed keeps no backup from being made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from streams.broker_errors import DataDirInUseError, DataDirUnusableError
from streams.broker_lock import end_left_over
from streams.broker_lock import lock as lock_broker

STILL_SECONDS = 120.0
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 1.0
_RUNNING_FILE = "up.json"
_BACKUP_LOCK = "backup.lock"
_UP_LOCK = "up.lock"


class Running(BaseModel):
    """What a running `up` says of itself."""

    model_config = ConfigDict(frozen=True)

    config: Path | None = None
    bootstrap_servers: str
    topic_prefix: str = ""
    services: Mapping[str, str] = {}
    """Where each process answers, by its name."""


def hold_up(data_dir: Path) -> IO[str]:
    """Return the lock of a running `up`, to be closed at its end. Raises DataDirInUseError, DataDirUnusableError."""
    file = _open(data_dir / _UP_LOCK)
    deadline = time.monotonic() + _PATIENCE_SECONDS  # somebody may be asking just now
    try:
        while not _try(file, fcntl.LOCK_EX):
            _pause(deadline, f"{data_dir} is in use by another `up`: stop it, or use another directory")
    except BaseException:
        file.close()
        raise
    return file


def is_up(data_dir: Path) -> bool:
    """Return whether an `up` runs over the directory, also one that holds still now."""
    return _is_held(data_dir / _UP_LOCK)


def stillness_wanted(data_dir: Path) -> bool:
    """Return whether somebody wants `up` to hold still."""
    return _is_held(data_dir / _BACKUP_LOCK)


def say_running(data_dir: Path, running: Running | None) -> None:
    """Write what a running `up` says of itself; None: it is down."""
    path = data_dir / _RUNNING_FILE
    if running is None:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_suffix(".json.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(running.model_dump_json())
    fresh.replace(path)


def said_running(data_dir: Path) -> Running | None:
    """Return what the `up` over the directory said of itself last; None where it said nothing, or it cannot be read."""
    try:
        return Running.model_validate_json((data_dir / _RUNNING_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


@contextlib.contextmanager
def held_still(data_dir: Path, timeout_seconds: float = STILL_SECONDS) -> Iterator[None]:
    """Hold everything below the data directory still: a running `up` stops its processes, and goes on when this ends.

    Raises DataDirInUseError where that does not come about in time, DataDirUnusableError.
    """
    deadline = time.monotonic() + timeout_seconds
    kafka = data_dir / "kafka"
    if not kafka.is_dir():
        raise DataDirUnusableError(f"{data_dir} holds no broker: it is no data directory of `hotline-watch up`")
    with contextlib.closing(_open(data_dir / _BACKUP_LOCK)) as wanted:
        while not _try(wanted, fcntl.LOCK_EX):
            _pause(deadline, f"{data_dir}: another backup is being made")
        while True:
            try:
                broker = lock_broker(kafka)
                break
            except DataDirInUseError:
                _pause(
                    deadline, f"{data_dir}: what runs there does not hold still; stop it (`up` of an older version?)"
                )
        with contextlib.closing(broker):
            end_left_over(kafka)
            yield


def _pause(deadline: float, problem: str) -> None:
    if time.monotonic() > deadline:
        raise DataDirInUseError(problem)
    threading.Event().wait(_POLL_SECONDS)


def _open(path: Path) -> IO[str]:
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    except OSError as error:
        raise DataDirUnusableError(f"{path} cannot be written ({error.strerror}): correct its permissions") from error
    if (
        os.geteuid() == 0
    ):  # root's cron makes a backup: the service's own user must see the lock, and take it another time
        with contextlib.suppress(OSError):
            owner = path.parent.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    return file


def _try(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(path: Path) -> bool:
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CLOEXEC), "r+")
    except OSError:
        return False
    with file:  # shared: two who only ask do not take each other for the holder
        return not _try(file, fcntl.LOCK_SH)
