"""A stored value: state, the offset of the last record in it, and the outputs that this record's batch still owes.

The offset makes a redelivered record harmless: it is in the state already. The pending outputs make a crash harmless: the state is durable
before they are sent, so whoever opens the partition next sends them (again). Both stand before the state, so that a scan for deadlines
and debts does not have to read any state.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from streams.routes import Out

_HEAD = struct.Struct(">qqI")
_DUE = struct.Struct(">q")
_NEVER = 2**62


class Stored(NamedTuple):
    """A value of a table. `due_at` is None where time alone changes nothing; then `since` may say from when its age is counted."""

    due_at: int | None
    offset: int
    pending: tuple[Out, ...]
    body: bytes
    since: int | None = None


class Head(NamedTuple):
    """What a scan needs of a value."""

    due_at: int | None
    offset: int
    owes: bool
    since: int | None = None


def pack(stored: Stored) -> bytes:
    """Return the value as the table keeps it."""
    pending = (
        orjson.dumps([(*one[:3], one.value.decode(), one.source_ts) for one in stored.pending])
        if stored.pending
        else b""
    )
    due_at = _NEVER + max(stored.since or 0, 0) if stored.due_at is None else stored.due_at
    return _HEAD.pack(due_at, stored.offset, len(pending)) + pending + stored.body


def due_of(value: bytes) -> int | None:
    """Return the time of a value's next deadline alone: a scan asks it of every key."""
    due_at: int = _DUE.unpack_from(value)[0]
    return None if due_at >= _NEVER else due_at


def _times(due_at: int) -> tuple[int | None, int | None]:
    """Return deadline and `since`. What never is due says beyond that when it began to rest; earlier releases wrote nothing there."""
    return (due_at, None) if due_at < _NEVER else (None, due_at - _NEVER or None)


def head_of(value: bytes) -> Head:
    """Return what a scan needs, without reading the rest."""
    due_at, offset, length = _HEAD.unpack_from(value)
    due, since = _times(due_at)
    return Head(due, offset, length > 0, since)


def unpack(value: bytes) -> Stored:
    """Return the value that `pack` wrote."""
    due_at, offset, length = _HEAD.unpack_from(value)
    start = _HEAD.size
    pending: list[Any] = orjson.loads(value[start : start + length]) if length else []
    outs = tuple(
        Out(topic, partition, key, body.encode(), source_ts) for topic, partition, key, body, source_ts in pending
    )
    due, since = _times(due_at)
    return Stored(due, offset, outs, value[start + length :], since)


def with_body(value: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return the value with another body, made from its own; deadline, offset and debts stay as they are."""
    _, _, length = _HEAD.unpack_from(value)
    start = _HEAD.size + length
    return value[:start] + change(value[start:])
