"""Which system sent an input that was refused: so that its people can be told."""

import re
from collections.abc import Mapping
from typing import Any

from models.decode import decode_object
from models.quarantine import SENDER_PATTERN

_SENDER = re.compile(SENDER_PATTERN, re.ASCII)
_NUMBER_DIGITS_MIN = 7
"""The shortest telephone numbers; 12345 is the hotline's own."""
_MANY_DIGITS = re.compile(rf"[0-9][^A-Za-z0-9]*(?:[0-9][^A-Za-z0-9]*){{{_NUMBER_DIGITS_MIN - 1},}}")


def sender_of(value: bytes | None, headers: Mapping[str, bytes | None] | None = None) -> str | None:
    """Return the `source` that an input names, else that of the CloudEvent around it; None where there is none, or it is no
    system's name.

    Whoever fills columns wrongly may put a citizen's name or number there. So only what is written like an identifier is
    taken: ASCII, no blank, no number of seven digits or more.
    """
    for candidate in _candidates(value, headers or {}):
        if isinstance(candidate, str) and _SENDER.fullmatch(candidate) and not _MANY_DIGITS.search(candidate):
            return candidate
    return None


def _candidates(value: bytes | None, headers: Mapping[str, bytes | None]) -> list[Any]:
    found: list[Any] = []
    try:
        body = decode_object(value)
    except Exception:  # it was refused for that already, or broke intake: to be told apart there
        body = {}
    data = body.get("data")
    if "specversion" in body and isinstance(data, dict):
        found.append(data.get("source"))
    found.append(body.get("source"))
    named = headers.get("ce_source")  # in Kafka a header may be there and have no value
    if named is not None:
        found.append(named.decode("utf-8", errors="replace"))
    return found
