"""Backup and restore of one machine: everything below the data directory of `up`, and the configuration it runs with.

A backup is made while nothing runs over the data directory (hold.py): the broker's records, the tables, the positions of the
consumers and the ledger are then those of one instant, each complete, and a restore of them goes on exactly there. So a backup
is right because nothing moves, not because the parts of it are mended afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models.times import format_instant
from streams.archive import ArchiveError, Source, Written, extract_archive, write_archive
from streams.backup_config import ConfigFiles
from streams.hold import held_still, is_up
from streams.new_folder import FolderRefusedError, filled, own_name

DATA, CONFIG, ELSEWHERE = "data", "config", "elsewhere"
# Logs are not state; locks, pids and addresses are those of processes that will be others.
_LEFT_OUT = frozenset({"logs", "kafka/logs", "kafka/lock", "up.lock", "backup.lock", "up.json", "up.json.new"})
_CONFIGURATION = frozenset({".toml", ".yaml", ".yml"})
_SPARE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    written: Written
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and where it lies now. `bound`: configuration files that name paths where the backup was made."""

    header: dict[str, Any]
    data_dir: Path
    config: Path | None
    bound: tuple[Path, ...] = ()


def make_backup(data_dir: Path, config: ConfigFiles, target: Path, now: int) -> Made:
    """Write everything into one file while nothing runs over the data directory; `now` in microseconds.

    Raises ArchiveError, BrokerError and OSError; what ran goes on in any case.
    """
    data_dir, target = data_dir.absolute(), target.absolute()
    if target.is_relative_to(data_dir):
        raise ArchiveError(f"{target} lies in what is to be backed up: name a file elsewhere, best on another disk")
    if target.exists():
        raise ArchiveError(f"{target} is there already: nothing is overwritten; name another file")
    if not target.parent.is_dir():
        raise ArchiveError(f"{target.parent} is no directory: make it, or mount the disk that it is on")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ArchiveError(
            f"user {own_name()} cannot write into {target.parent}: correct its permissions, or name another"
        )
    _check_space(target.parent, _bytes_below(data_dir))  # before anything stops
    with held_still(data_dir), _room(target):
        header = {
            "made_at": format_instant(now),
            "made_by": f"hotline-watch {version('hotline-watch')}",
            "cluster_id": _cluster_id(data_dir),
            "config": config.main,
            "elsewhere": config.elsewhere,
            "folder": config.folder,
        }
        written = write_archive(target, header, [*_data(data_dir), *config.sources])
    return Made(written, target.stat().st_size)


def restore_backup(path: Path, target: Path) -> Restored:
    """Write a backup below a directory that is not there, or empty: the configuration into it, the data into `data/`.

    Nothing is there until all of it is there and right. Raises ArchiveError and OSError.
    """
    target = target.absolute()
    size = path.stat().st_size if path.is_file() else 0  # what it is else, is told when it is read
    try:
        with filled(target) as staged, _room(target):
            _check_space(staged.parent, size)
            header = extract_archive(path, staged)
            _put_in_place(staged)
            bound = _bound_to(header.get("folder"), staged, target)
            os.sync()
    except FolderRefusedError as error:
        raise ArchiveError(str(error)) from None
    main = header.get("config")
    return Restored(header, target / DATA, target / str(main) if main else None, bound)


def _bound_to(old: object, staged: Path, target: Path) -> tuple[Path, ...]:
    """Return the configuration files, by where they will lie, that name paths below the folder where the backup was made."""
    if not isinstance(old, str) or Path(old) == target:
        return ()
    found = []
    for one in sorted(staged.rglob("*")):
        inner = one.relative_to(staged)
        if inner.parts[0] != DATA and one.suffix in _CONFIGURATION and one.is_file():
            with contextlib.suppress(UnicodeDecodeError):
                if f"{old}/" in one.read_text(encoding="utf-8"):
                    found.append(target / inner)
    return tuple(found)


def _put_in_place(staged: Path) -> None:
    """Move the configuration up beside the data, as `init` lays it out."""
    if not (staged / DATA / "kafka").is_dir():
        raise ArchiveError("it holds no data of a broker: it is no backup of `up`")
    config = staged / CONFIG
    if config.is_dir():
        for one in config.iterdir():
            if (staged / one.name).exists():
                raise ArchiveError(f"its configuration has a {one.name} of its own, where the restored one would lie")
            one.rename(staged / one.name)
        config.rmdir()


def _data(data_dir: Path) -> Iterator[Source]:
    """Yield everything below the data directory, each directory before what is in it."""
    yield Source(DATA, data_dir)
    yield from _below(data_dir, "")


def _below(folder: Path, name: str) -> Iterator[Source]:
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        inner = f"{name}/{entry.name}" if name else entry.name
        if inner in _LEFT_OUT or (entry.name == "pid" and name.startswith("kafka/")):
            continue
        if entry.is_dir():
            yield Source(f"{DATA}/{inner}", Path(entry.path))
            yield from _below(Path(entry.path), inner)
        elif entry.is_file():
            yield Source(f"{DATA}/{inner}", Path(entry.path))


def _bytes_below(folder: Path) -> int:
    """Return how much there is about now; files come and go while it is looked at."""
    found = 0
    running = is_up(folder)  # its broker's indexes are large and mostly holes, and are cut when it ends
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                status = Path(path, name).stat()
                found += min(status.st_size, status.st_blocks * 512) if running else status.st_size
    return found


@contextlib.contextmanager
def _room(target: Path) -> Iterator[None]:
    """Say it in plain words where a disk gets full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ArchiveError(f"no room is left for {target}: free some space, or name another disk") from error


def _check_space(folder: Path, wanted_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted_bytes + _SPARE_BYTES:
        raise ArchiveError(
            f"{wanted_bytes // 2**20 + 1} MB are needed below {folder} and {free // 2**20} MB are free: free some space, or name "
            "another disk"
        )


def _cluster_id(data_dir: Path) -> str | None:
    try:
        return str(json.loads((data_dir / "kafka" / "cluster.json").read_text())["cluster_id"])
    except (OSError, ValueError, KeyError):
        return None


__all__ = ["ArchiveError", "Made", "Restored", "make_backup", "restore_backup"]
