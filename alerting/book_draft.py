"""One edit of the subscribers file while it is made: its text, and the data that the text must come to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import yaml

from alerting.locked_file import Seen, owner_for
from alerting.yaml_splice import Path as KeyPath
from alerting.yaml_splice import YamlText
from models.strict_yaml import ConfigFileError, Document, parse_yaml
from models.subscriber import SubscribersFile

_HEADER = """\
# Who gets which warnings, and where: docs/subscribers.md tells every field. A dispatch worker reads this file again when it
# changes; `hotline-watch subscribers` edits it and leaves comments alone. Check an edit by hand with
#   hotline-watch subscribers check FILE
"""

Answer = TypeVar("Answer")


class BookProblem(StrEnum):
    """Why an edit is refused: a closed set."""

    UNKNOWN = "unknown"
    """Nobody has that name."""
    NAME_TAKEN = "name_taken"
    NAME_REMOVED = "name_removed"
    """Somebody had that name once."""
    ENTRY = "entry"
    """What was asked for is no entry that can be taken."""
    FILE = "file"
    """The file as it stands, or its folder, does not allow it."""
    ENDPOINT = "endpoint"
    """Its endpoint may not be called, or its name leads nowhere."""
    CHANGED = "changed"
    """Somebody else changed the file in between."""


class BookError(ValueError):
    """An edit that was refused: the message says what, where and what to do, never a secret. Nothing was changed."""

    def __init__(self, problem: BookProblem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(slots=True)
class Draft:
    """The file while it is edited: its text, and the data that the text must come to."""

    seen: Seen
    text: YamlText
    data: dict[str, Any]
    file: SubscribersFile
    keys: list[Path] = field(default_factory=list)
    """Key files made for this edit."""
    added: str | None = None

    def place(self, at: KeyPath) -> Any:
        """Return the data at a place."""
        place: Any = self.data
        for part in at:
            place = place[part]
        return place

    def set(self, at: KeyPath, key: str, value: Any, after: str | None = None) -> None:
        """Set a mapping's key, a new one behind `after`."""
        self.place(at)[key] = value
        self.text.set(at, key, value, after)

    def append(self, at: KeyPath, value: Any) -> None:
        """Put an item at the end of a sequence."""
        self.place(at).append(value)
        self.text.append(at, value)

    def delete(self, at: KeyPath, index: int) -> None:
        """Take an item out of a sequence."""
        del self.place(at)[index]
        self.text.delete(at, index)

    def index_of(self, name: str) -> int:
        """Return which entry has the name. Raises BookError."""
        for index, entry in enumerate(self.file.subscribers):
            if entry.name == name:
                return index
        raise unknown(name)


def unknown(name: str) -> BookError:
    """Return the error that nobody has this name."""
    return BookError(BookProblem.UNKNOWN, f"there is no subscriber {name[:80]!r}: `subscribers list` names them all")


def new_draft(seen: Seen | None, path: Path) -> Draft:
    """Return the draft of a file as it was read, of an empty one where there is none. Raises BookError."""
    if seen is None:
        seen = Seen(_HEADER + "subscribers: []\n", None, owner=owner_for(path))
    document = parsed(seen.text, path)
    file = validated(document)
    return Draft(seen, YamlText(with_plain_ends(seen.text)), document.data, file)


def changed(change: Callable[[Draft], Answer], draft: Draft, path: Path) -> Answer:
    """Make the change. Raises BookError also where the text did not come to what was meant, see yaml_splice.py."""
    try:
        answer = change(draft)
        if parse_yaml(draft.text.text, str(path)).data == draft.data:
            return answer
    except BookError:
        raise
    except (LookupError, ValueError, yaml.YAMLError):
        pass
    raise BookError(
        BookProblem.FILE, f"{path}: is written in a form that commands cannot edit: edit it by hand, one key a line"
    )


def parsed(text: str, path: Path) -> Document:
    """Return the file's text, read strictly. Raises BookError with file:line."""
    try:
        return parse_yaml(with_plain_ends(text), str(path))
    except ConfigFileError as error:
        raise BookError(BookProblem.FILE, str(error)) from None


def validated(document: Document) -> SubscribersFile:
    """Return the document as what it must be. Raises BookError with file:line."""
    try:
        return document.validate(SubscribersFile)
    except ConfigFileError as error:
        raise BookError(BookProblem.FILE, str(error)) from None


def has_crlf(text: str) -> bool:
    """Return whether every line ends as on Windows."""
    return 0 < text.count("\n") == text.count("\r\n")


def with_plain_ends(text: str) -> str:
    """Return the text with its lines ended by a line feed alone."""
    return text.replace("\r\n", "\n") if has_crlf(text) else text
