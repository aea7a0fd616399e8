"""Restore of one machine: what `backup` wrote becomes an installation again, or is looked at. Says what the backup does not hold."""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from streams.archive import ArchiveError
from streams.archive_header import CONFIG, DATA, Header, cleaned
from streams.archive_reading import Contents, extract_archive
from streams.backup_config import ConfigFileError, missing_files
from streams.disk_room import check_space, room
from streams.new_folder import FolderRefusedError, filled
from streams.settings import SettingsError, load_file

_CONFIGURATION = frozenset({".toml", ".yaml", ".yml"})
_CONFIGURATION_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Lacking:
    """What an installation needs and its backup does not hold. `settings`: it has no settings file, and none of the secrets that one
    names; `files`: what the settings name, by where it is looked for; `variables`: what had its secret from the environment.
    """

    settings: bool
    files: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and where it lies now. `bound`: configuration files that name paths where the backup was made."""

    header: Header
    lacking: Lacking
    data_dir: Path
    config: Path | None
    bound: tuple[Path, ...] = ()


def check_backup(path: Path) -> tuple[Header, Lacking]:
    """Read a backup to its end, and what its settings name; nothing of it stays. Raises ArchiveError and OSError."""

    def is_configuration(member: tarfile.TarInfo) -> bool:
        name = PurePosixPath(member.name)
        return name.parts[0] == CONFIG and name.suffix in _CONFIGURATION and member.size <= _CONFIGURATION_BYTES_MAX

    with tempfile.TemporaryDirectory(prefix="hotline-watch-check-") as folder:  # mode 700
        staged = Path(folder)
        contents = extract_archive(path, staged, is_configuration)
        _put_in_place(staged, contents)
        return contents.header, _lacking(contents, staged, staged)


def restore_backup(path: Path, target: Path) -> Restored:
    """Write a backup below a directory that is not there, or empty: the configuration into it, the data into `data/`.

    Nothing is there until all of it is there and right. Raises ArchiveError and OSError.
    """
    target = target.absolute()
    size = path.stat().st_size if path.is_file() else 0  # what it is else, is told when it is read
    try:
        with filled(target) as staged, room(target, staged):
            check_space(staged.parent, size)
            contents = extract_archive(path, staged)
            _put_in_place(staged, contents)
            bound = _bound_to(contents.header.folder, staged, target)
            lacking = _lacking(contents, staged, target)
            os.sync()
    except FolderRefusedError as error:
        raise ArchiveError(str(error)) from None
    main = contents.header.config
    return Restored(contents.header, lacking, target / DATA, target / main if main else None, bound)


def _lacking(contents: Contents, staged: Path, target: Path) -> Lacking:
    """Return what is not in a backup whose configuration lies below `staged` and will lie below `target`.

    What the header says itself lay elsewhere is told by its own name.
    """
    header = contents.header
    if header.config is None:
        return Lacking(True, (), tuple(header.from_environment))
    there = {_place(name) for name in contents.files}
    try:
        named = missing_files(load_file(staged / header.config), staged)
    except (SettingsError, ConfigFileError, OSError, ValueError, RecursionError):
        return Lacking(False, (header.config,), tuple(header.from_environment))
    found = []
    for path in named:
        here = (one for one in (staged, header.folder) if one is not None and path.is_relative_to(one))
        inside = next((path.relative_to(one) for one in here), None)
        if (inside is not None and str(inside) in there) or str(path) in header.elsewhere.values():
            continue
        placed = inside if target == staged else target / inside if inside else None
        found.append(cleaned(str(placed or path)))
    return Lacking(False, tuple(found), tuple(header.from_environment))


def _place(name: str) -> str:
    """Return where a member lies after a restore, below the target."""
    return name.removeprefix(f"{CONFIG}/")


def _bound_to(old: str | None, staged: Path, target: Path) -> tuple[Path, ...]:
    """Return the configuration files, by where they will lie, that name paths below the folder where the backup was made."""
    if old is None or Path(old) == target:
        return ()
    found = []
    for one in sorted(staged.rglob("*")):
        inner = one.relative_to(staged)
        if inner.parts[0] != DATA and one.suffix in _CONFIGURATION and one.is_file():
            with contextlib.suppress(UnicodeDecodeError):
                if f"{old}/" in one.read_text(encoding="utf-8"):
                    found.append(target / inner)
    return tuple(found)


def _put_in_place(staged: Path, contents: Contents) -> None:
    """Move the configuration up beside the data, as `init` lays it out. Raises ArchiveError where it is no backup of `up`."""
    if not any(name.startswith(f"{DATA}/kafka/") for name in contents.files):
        raise ArchiveError("it holds no data of a broker: it is no backup of `up`")
    main = contents.header.config
    if main is not None and f"{CONFIG}/{main}" not in contents.files:
        raise ArchiveError("it says that it has a settings file and has none: take another copy of it")
    config = staged / CONFIG
    if config.is_dir():
        apart = staged / f".{CONFIG}"  # a folder of the configuration may be called as ours is
        if apart.exists() or any(name.startswith(f"{CONFIG}/.{CONFIG}/") for name in contents.files):
            raise ArchiveError(
                f"its configuration has a folder .{CONFIG}: give it another name before the backup is made"
            )
        config.rename(apart)
        _move_up(apart, staged)


def _move_up(folder: Path, into: Path) -> None:
    """Move everything of a folder into another one, folders into folders of the same name; then it is gone."""
    for one in folder.iterdir():
        target = into / one.name
        if target == into / DATA or (target.exists() and not (one.is_dir() and target.is_dir())):
            raise ArchiveError(f"its configuration has a {one.name} of its own, where the restored one would lie")
        if target.exists():
            _move_up(one, target)
        else:
            one.rename(target)
    folder.rmdir()
