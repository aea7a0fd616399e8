"""Files dropped in a folder are imported, each once.

A file is taken when it has stopped growing: two looks, `settle_seconds` apart, found the same size and time. What is done is
known by content: its SHA-256 is recorded once every event was acknowledged, and only then the file moves to `done/`. So a crash
in between finds it again and passes over it, and a copy under another name is not imported twice; a crash before sends the same
events with the same ids again. A file that cannot be taken moves to `failed/` with a report beside it, and so does what is no
file: a link may lead out of the folder, to what whoever drops files here may not read; a pipe never ends. Where Kafka or the target
fails, that is not the file's fault: it stays, and is tried at the next look.

    FOLDER/            export.csv         a file to take; names that begin with . or ~ or end in .part, .tmp … are left alone
    FOLDER/done/       export.csv         imported; export.csv.report.json and, where rows were rejected, export.csv.rejects.jsonl
    FOLDER/failed/     export.csv         not imported; export.csv.report.json says why
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from stat import S_ISDIR
from typing import Any, NamedTuple

from models.shown import plain
from models.strict_yaml import ConfigFileError
from streams.importing.faults import ImportFault, SinkFault
from streams.importing.naming import file_name, kind_of
from streams.importing.rejections import Rejections
from streams.importing.report import LoadReport, Rejection, Report
from streams.importing.state import DoneFile, ImportState

DONE, FAILED = "done", "failed"
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart", ".swp", "~")
_CHUNK_BYTES = 1 << 20


class Ending(StrEnum):
    """What became of a file."""

    IMPORTED = "imported"
    ALREADY_DONE = "already_done"
    FAILED = "failed"
    POSTPONED = "postponed"
    PASSED_OVER = "passed_over"


class Outcome(NamedTuple):
    """A file that was looked at: what became of it, the import's report, and the problem where there was one.

    `unreadable`: it could not even be opened.
    """

    file: str
    ending: Ending
    report: Report | LoadReport | None = None
    problem: str | None = None
    unreadable: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        told: dict[str, Any] = {"file": self.file, "ending": self.ending.value}
        if self.problem is not None:
            told["problem"] = self.problem
        return told if self.report is None else {**told, **self.report.as_dict(), "file": self.file}


class FileChangedError(ImportFault):
    """The file was written to while it was read."""


Mark = tuple[int, int, int]
Take = Callable[[Path, str, Callable[[], None], Callable[[Rejection], None]], Report | LoadReport]
"""(the file, its SHA-256, what is to be called before anything is sent, what is told of rejected rows) → the report"""


@dataclass(frozen=True, slots=True)
class _Seen:
    mark: Mark
    since: float


class Watcher:
    """Looks at a folder. `take` imports a file; `clock` gives seconds that only go forward.

    `snapshots`: `take` itself records the file as done, together with the state after it; and what matters is the last one's
    content, for a table may look again as it looked before. A table of reference data is recorded nowhere: its state is the topic.
    """

    def __init__(
        self,
        folder: Path,
        state: ImportState,
        take: Take,
        *,
        clock: Callable[[], float],
        settle_seconds: float,
        snapshots: bool,
    ) -> None:
        self._folder, self._state, self._take = folder, state, take
        self._clock, self._settle_seconds, self._snapshots = clock, settle_seconds, snapshots
        self._seen: dict[Path, _Seen] = {}
        self._folders: set[Path] = set()
        self._told: set[Path] = set()
        self.unsettled = 0
        """files that the last look left because they may still be written to"""
        for name in (DONE, FAILED):
            try:
                (folder / name).mkdir(mode=0o700, exist_ok=True)  # exports hold what identifies citizens
            except OSError as error:
                raise ImportFault(f"{folder / name} cannot be made: {error.strerror}") from None

    def look(self) -> Iterator[Outcome]:
        """Import what has settled, oldest first; yield what became of each. Ends early where Kafka or the target fails.

        A file that nobody may read does not hold up the others. A folder in the folder is told of once.
        """
        ready = self._settled()
        for path in sorted(self._folders):
            problem = "is a folder: what is in it is not imported, put the files themselves here"
            yield Outcome(file_name(path), Ending.PASSED_OVER, problem=problem)
        self._told |= self._folders
        for path in ready:
            with contextlib.closing(Rejections()) as rejected:
                outcome = self._handle(path, rejected)
            self._seen.pop(path, None)
            yield outcome
            if outcome.ending is Ending.POSTPONED and not outcome.unreadable:
                return

    def _settled(self) -> list[Path]:
        now = self._clock()
        found: dict[Path, _Seen] = {}
        folders: set[Path] = set()
        for path in self._candidates():
            stat = _stat_of(path)
            if stat is None:
                continue
            if S_ISDIR(stat.st_mode):
                folders.add(path)
                continue
            mark = _mark(stat)
            before = self._seen.get(path)
            found[path] = before if before is not None and before.mark == mark else _Seen(mark, now)
        self._seen, self._folders, self._told = found, folders - self._told, self._told & folders
        ready = [path for path, seen in found.items() if now - seen.since >= self._settle_seconds]
        self.unsettled = len(found) - len(ready)
        return sorted(ready, key=lambda path: (found[path].mark[1], path.name))

    def _candidates(self) -> list[Path]:
        try:
            entries = list(self._folder.iterdir())
        except OSError as error:
            raise ImportFault(f"{self._folder} cannot be read: {error.strerror}") from None
        return [
            path
            for path in entries
            if not path.name.startswith((".", "~")) and not path.name.endswith(_UNFINISHED)
            if path.name not in (DONE, FAILED)
            if not path.name.startswith(self._state.path.name) or path.parent != self._state.path.parent
        ]

    def _handle(self, path: Path, rejected: Rejections) -> Outcome:
        stat, name = _stat_of(path), file_name(path)
        kind = None if stat is None else kind_of(stat.st_mode)
        if kind is not None:
            problem = f"is {kind} and was not read: drop the file itself"
            return self._finish(path, FAILED, Outcome(name, Ending.FAILED, problem=problem), rejected)
        mark = None if stat is None else _mark(stat)
        try:
            sha256 = digest_of(path)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}: let the user that runs the import read it, or take it away"
            return Outcome(name, Ending.POSTPONED, problem=problem, unreadable=True)
        if self._is_done(sha256):
            problem = "a file with this content was imported before"
            return self._finish(path, DONE, Outcome(name, Ending.ALREADY_DONE, problem=problem), rejected)

        def unchanged() -> None:
            if mark_of(path) != mark:
                raise FileChangedError(f"{path} was written to while it was read: it is taken when it has settled")

        try:
            report = self._take(path, sha256, unchanged, rejected.append)
        except (SinkFault, FileChangedError) as fault:
            return Outcome(name, Ending.POSTPONED, problem=plain(str(fault)))
        except (ImportFault, ConfigFileError) as fault:
            return self._finish(path, FAILED, Outcome(name, Ending.FAILED, problem=plain(str(fault))), rejected)
        if not self._snapshots and isinstance(report, Report):
            self._state.add_done(DoneFile(sha256, name, report.rows, report.events.total()))
        return self._finish(path, DONE, Outcome(name, Ending.IMPORTED, report), rejected)

    def _is_done(self, sha256: str) -> bool:
        if self._snapshots:
            return self._state.get("sha256") == sha256
        return self._state.is_done(sha256) is not None

    def _finish(self, path: Path, folder: str, outcome: Outcome, rejected: Rejections) -> Outcome:
        """Write the report beside where the file goes, then move it there."""
        target = _free_name(self._folder / folder, path.name)
        try:
            _write(Path(f"{target}.report.json"), [json.dumps(outcome.as_dict(), ensure_ascii=False, indent=1)])
            if rejected:
                lines = (json.dumps(one.as_dict(), ensure_ascii=False) for one in rejected)
                _write(Path(f"{target}.rejects.jsonl"), lines)
            path.rename(target)
        except OSError as error:
            raise ImportFault(f"{path} cannot be moved to {target}: {error.strerror}") from None
        return outcome


def mark_of(path: Path) -> Mark | None:
    """Return by what a file (not what a link leads to) is seen to change: inode, time, size; None where it is gone."""
    stat = _stat_of(path)
    return None if stat is None else _mark(stat)


def _mark(stat: os.stat_result) -> Mark:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _stat_of(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a regular file's content. Raises OSError, also for a link and what else has no end of its own."""
    digest = hashlib.sha256()
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _free_name(folder: Path, name: str) -> Path:
    """Return a path that nothing has: `name`, or `name.2`, `name.3` …"""
    target, number = folder / name, 1
    while os.path.lexists(target) or Path(f"{target}.report.json").exists():
        number += 1
        target = folder / f"{name}.{number}"
    return target


def _write(path: Path, lines: Iterable[str]) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
