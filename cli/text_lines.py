"""Reads texts for `classify` and `evaluate`: one text, or a set of JSON lines. No error ever shows a text or a value that may be one."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args

import typer

from cli.output import fail, read_lines
from models.ticket_event import RequestType
from rules.telling import TEXT_FIELDS
from rules.text.screen import UNIT_FIELDS

STDIN = Path("-")
MAX_BYTES = 16 * 1024 * 1024
"""of one text, or of one line of a set"""

REQUEST_TYPES: tuple[str, ...] = get_args(RequestType)
FIELDS: tuple[str, ...] = (*TEXT_FIELDS, *sorted(UNIT_FIELDS))
_HARMLESS = re.compile(r"[A-Za-z0-9_.-]{1,20}")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BadLineError(ValueError):
    """A line that cannot be taken: what is wrong with it and what to do, without anything of its text."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of a set: a text, what it was registered as, where it stood, and everything else the line says."""

    number: int
    text: str
    request_type: str | None
    field: str
    data: dict[str, Any]


def shown(value: object) -> str:
    """Return a value for an error where it is a short code; anything else may be a citizen's words."""
    return repr(value) if isinstance(value, str) and _HARMLESS.fullmatch(value) else "(not shown)"


def known_request_type(value: object) -> str | None:
    """Return a request type, or None where none is said. Raises BadLineError."""
    if value is None:
        return None
    if value not in REQUEST_TYPES:
        raise BadLineError(
            f"request_type {shown(value)} is unknown: write one of {', '.join(REQUEST_TYPES)}, or leave it out"
        )
    return str(value)


def known_field(value: object) -> str:
    """Return a field's name; the content where none is said. Raises BadLineError."""
    if value is None:
        return "content"
    if value not in FIELDS:
        raise BadLineError(
            f"field {shown(value)} is unknown: write one of {', '.join(TEXT_FIELDS)} (a citizen's words)"
            f" or {', '.join(sorted(UNIT_FIELDS))} (a unit's, never screened)"
        )
    return str(value)


def read_text(path: Path) -> str:
    """Return the one text of a file, or of standard input for `-`. Ends with status 2 where there is none."""
    name = "standard input" if path == STDIN else "FILE"
    try:
        if path == STDIN:
            raw = typer.get_binary_stream("stdin").read(MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        # Its name is not shown: who gives the text itself for a file's name must not find it in a log.
        fail(f"FILE cannot be read: {error.strerror}; a text itself is given on standard input")
    if len(raw) > MAX_BYTES:
        fail(f"{name} is over {MAX_BYTES} bytes: give one text, or a set by --jsonl")
    try:
        text = raw.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        fail(f"{name}, line {line}: is not UTF-8; convert it first (iconv -f GB18030 -t UTF-8)")
    if not text.strip():
        fail(f"{name} is empty: give a text, in a file or on standard input")
    return text.rstrip("\r\n")


def read_set(path: Path, request_type: str | None = None, field: str = "content") -> Iterator[TextLine]:
    """Yield the lines of a set, blank ones left out; the other two are for lines that don't say theirs.

    Ends with status 2, naming file:line, at the first line that cannot be taken.
    """
    for number, raw in _numbered(path):
        try:
            data = _decoded(raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw)
            text = data.get("text")
            if not isinstance(text, str):
                problem = "is missing" if text is None else "is no string"
                raise BadLineError(f'text {problem}: a line is {{"text": "…"}}, with request_type and field if wanted')
            said_type, said_field = known_request_type(data.get("request_type")), known_field(data.get("field"))
        except BadLineError as error:
            refuse(path, number, str(error))
        yield TextLine(number, text, said_type or request_type, said_field if data.get("field") else field, data)


def refuse(path: Path, number: int, problem: str) -> NoReturn:
    """End with status 2, naming file:line."""
    fail(f"{'stdin' if path == STDIN else path}:{number}: {problem}")


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    if path != STDIN:
        yield from read_lines(path)
        return
    for number, line in enumerate(typer.get_binary_stream("stdin"), 1):
        if line.strip():
            yield number, line


def _decoded(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_BYTES:
        raise BadLineError(f"is over {MAX_BYTES} bytes: a line holds one text")
    try:
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise BadLineError("is not UTF-8; convert the file first (iconv -f GB18030 -t UTF-8)") from None
    except json.JSONDecodeError as error:
        raise BadLineError(f"is not JSON (column {error.colno}): write one object a line") from None
    except BadLineError:
        raise
    except (ValueError, RecursionError):
        raise BadLineError("is not JSON that can be read: write one plain object a line") from None
    if not isinstance(data, dict):
        raise BadLineError('is no JSON object: a line is {"text": "…"}')
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) < len(pairs):
        raise BadLineError("says a key twice: write each once")
    return built
