"""DingTalk (钉钉) group robots: Markdown, the whole message at most 20,000 bytes; signed in the URL's query (加签)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlencode

import orjson

from alerting.formats.chat import Part, Piece, card_of, fitted
from alerting.formats.plain import clip
from alerting.formats.written import JSON_UTF8, Written
from alerting.payload import Entry
from models.secrets import RobotSecret
from models.subscriber import Subscriber

BODY_BYTES_MAX = 20_000
_TEXT_BYTES_MAX = 19_000
_TITLE_BYTES_MAX = 200
"""The title stands in the notification and in the list of chats alone."""
_NOBODY = {"atMobiles": [], "atUserIds": [], "isAtAll": False}


def write(entries: Sequence[Entry], subscriber: Subscriber, now: int) -> Written:
    """Return a Markdown message, and the signature where the robot has a secret."""
    pieces = fitted(card_of(entries, subscriber), _cost, _TEXT_BYTES_MAX)
    body = {
        "msgtype": "markdown",
        "markdown": {"title": clip(pieces[0].text, _TITLE_BYTES_MAX), "text": "".join(map(_markdown, pieces))},
        "at": _NOBODY,
    }
    query = signature_query(subscriber.robot_secret, now) if subscriber.robot_secret is not None else ""
    return Written(orjson.dumps(body), JSON_UTF8, query=query)


def signature_query(secret: RobotSecret, now: int) -> str:
    """Return `timestamp` (milliseconds) and `sign` as a query; the robot takes it for an hour."""
    timestamp = str(now // 1000)
    message = b"\n".join((timestamp.encode(), secret.key))
    digest = hmac.new(secret.key, message, hashlib.sha256).digest()
    return urlencode({"timestamp": timestamp, "sign": base64.b64encode(digest).decode()})


def _cost(piece: Piece) -> int:
    return len(orjson.dumps(_markdown(piece))) - 2  # as it is escaped in the body, without its quotes


def _markdown(piece: Piece) -> str:
    match piece.part:
        case Part.TITLE:
            return f"### {piece.text}\n\n"
        case Part.HEADING:
            return f"\n**{piece.text}**\n\n"
        case Part.NOTE:
            return f"\n> {piece.text}\n"
    return f"- **{piece.label}**:{piece.text}\n" if piece.label else f"- {piece.text}\n"
