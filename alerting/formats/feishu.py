"""Feishu (飞书) group robots: an interactive card, the whole body at most 20 kB; signed within the body (签名校验).

Every text of the card is `plain_text`, which knows no markup at all.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import orjson

from alerting.formats.chat import Part, Piece, card_of, fitted
from alerting.formats.written import JSON_UTF8, Written
from alerting.payload import Entry
from models.base import Level
from models.secrets import RobotSecret
from models.subscriber import Subscriber
from models.times import SECOND

BODY_BYTES_MAX = 20_000
_CARD_BYTES_MAX = 19_000
_TEMPLATES = {Level.RED: "red", Level.YELLOW: "yellow", Level.BLUE: "blue", None: "grey"}


def write(entries: Sequence[Entry], subscriber: Subscriber, now: int) -> Written:
    """Return a card, with the signature where the robot has a secret."""
    title, *pieces = fitted(card_of(entries, subscriber), _cost, _CARD_BYTES_MAX)
    card = {
        "config": {"wide_screen_mode": True},
        "header": {"template": _TEMPLATES[title.level], "title": _plain_text(title.text)},
        "elements": [
            element
            for part, group in groupby(pieces, key=lambda piece: piece.part)
            for element in _elements(part, group)
        ],
    }
    signature = signature_fields(subscriber.robot_secret, now) if subscriber.robot_secret is not None else {}
    return Written(orjson.dumps(signature | {"msg_type": "interactive", "card": card}), JSON_UTF8)


def signature_fields(secret: RobotSecret, now: int) -> dict[str, str]:
    """Return `timestamp` (seconds) and `sign`: an empty message, signed with both as the key. Good for an hour."""
    timestamp = str(now // SECOND)
    key = b"\n".join((timestamp.encode(), secret.key))
    return {"timestamp": timestamp, "sign": base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()}


def _elements(part: Part, pieces: Any) -> list[dict[str, Any]]:
    texts = [f"{piece.label}:{piece.text}" if piece.label else piece.text for piece in pieces]
    if part is Part.NOTE:
        return [{"tag": "note", "elements": [_plain_text(text)]} for text in texts]
    return [{"tag": "div", "text": _plain_text("\n".join(texts))}]


def _plain_text(text: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": text}


def _cost(piece: Piece) -> int:
    """Return the bytes of a piece that stands alone: joined to others it costs less."""
    return len(orjson.dumps(_elements(piece.part, [piece]))) + 1
