"""The cursor: for each partition the last position a puller has seen, as an opaque, url-safe text.

It holds no state of this process, so it is good on any instance, and after the ledger was read anew. It is good for one
subscriber: with another's, alerts would be skipped in silence.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping

VERSION = 1
TEXT_MAX = 32 * 1024
POSITION_MAX = 2**63 - 1
_TEXT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class CursorError(ValueError):
    """A text that is no cursor of this subscriber and installation."""


def encode_cursor(subscriber: str, positions: Mapping[int, int]) -> str:
    """Return the cursor of the positions (partition → the last one seen)."""
    pairs = [[partition, position] for partition, position in sorted(positions.items()) if position]
    check = hashlib.sha256(json.dumps([VERSION, subscriber, pairs]).encode()).hexdigest()[:12]
    content = json.dumps([VERSION, pairs, check], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode_cursor(text: str, subscriber: str, partitions: int) -> dict[int, int]:
    """Return the positions in a cursor. Raises CursorError for all but what `encode_cursor` gave for this subscriber."""
    if len(text) > TEXT_MAX or not _TEXT.fullmatch(text):
        raise CursorError("not the text of a cursor")
    try:
        content = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        version, pairs, _ = content
        positions = {_whole(partition): _whole(position) for partition, position in pairs}
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise CursorError("not the text of a cursor") from None
    if version != VERSION:
        raise CursorError("a cursor of another version")
    if any(not 0 <= partition < partitions for partition in positions):
        raise CursorError("a cursor with a partition that does not exist")
    if any(not 0 < position <= POSITION_MAX for position in positions.values()):
        raise CursorError("a cursor with an impossible position")
    if encode_cursor(subscriber, positions) != text:
        raise CursorError("not a cursor as it was given to this subscriber")
    return positions


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError("no whole number")
    return value
