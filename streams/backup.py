"""The backup of one machine (restore.py is the way back): everything below the data directory of `up`, and the configuration it runs with.

A backup is made while nothing runs over the data directory (hold.py): the broker's records, the tables, the positions of the
consumers and the ledger are then those of one instant, each complete, and a restore of them goes on exactly there. So a backup
is right because nothing moves, not because the parts of it are mended afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from models.times import format_instant
from streams.archive import ArchiveError, Source, Written, write_archive
from streams.archive_header import CONFIG, DATA, Header
from streams.backup_config import ConfigFiles
from streams.disk_room import check_space, room
from streams.hold import held_still, is_up
from streams.new_folder import own_name

# Logs are not state; locks, pids and addresses are those of processes that will be others.
_LEFT_OUT = frozenset({"logs", "kafka/logs", "kafka/lock", "up.lock", "backup.lock", "up.json", "up.json.new"})


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    written: Written
    file_bytes: int


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
    in_the_way = next((one.path for one in config.sources if one.name == f"{CONFIG}/{DATA}"), None)
    if in_the_way is not None:
        raise ArchiveError(
            f"{in_the_way} is where a restore puts the data: give that folder of the configuration another name"
        )
    check_space(target.parent, _bytes_below(data_dir))  # before anything stops
    with held_still(data_dir), room(target, target.with_name(f"{target.name}.part")):
        written = write_archive(target, _header(data_dir, config, now), [*_data(data_dir), *config.sources])
    return Made(written, target.stat().st_size)


def _header(data_dir: Path, config: ConfigFiles, now: int) -> Header:
    try:
        return Header(
            made_at=format_instant(now),
            made_by=f"hotline-watch {version('hotline-watch')}",
            cluster_id=_cluster_id(data_dir),
            config=config.main,
            elsewhere=dict(config.elsewhere),
            folder=config.folder,
            from_environment=list(config.from_environment),
        )
    except ValidationError as error:
        fields = ", ".join(sorted({str(one["loc"][0]) for one in error.errors(include_input=False) if one["loc"]}))
        raise ArchiveError(
            f"a name or a path of the installation cannot be kept ({fields}; control characters?): change it"
        ) from None


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


def _cluster_id(data_dir: Path) -> str | None:
    try:
        return str(json.loads((data_dir / "kafka" / "cluster.json").read_text())["cluster_id"])
    except (OSError, ValueError, KeyError):
        return None
