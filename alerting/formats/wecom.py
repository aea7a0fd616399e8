"""WeCom (企业微信) group robots: Markdown of at most 4096 bytes. They check no signature: the key in the URL is all."""

from collections.abc import Sequence

import orjson

from alerting.formats.chat import Part, Piece, card_of, fitted
from alerting.formats.written import JSON_UTF8, Written
from alerting.payload import Entry
from models.base import Level
from models.subscriber import Subscriber

CONTENT_BYTES_MAX = 4096
# The only colours there are.
_COLOURS = {Level.RED: "warning", Level.YELLOW: "warning", Level.BLUE: "info", None: "comment"}


def write(entries: Sequence[Entry], subscriber: Subscriber, now: int) -> Written:
    """Return a Markdown message."""
    pieces = fitted(card_of(entries, subscriber), lambda piece: len(_markdown(piece).encode()), CONTENT_BYTES_MAX)
    content = "".join(map(_markdown, pieces))
    return Written(orjson.dumps({"msgtype": "markdown", "markdown": {"content": content}}), JSON_UTF8)


def _markdown(piece: Piece) -> str:
    text = _coloured(piece.text, piece.level) if piece.level is not None and piece.part is Part.LINE else piece.text
    match piece.part:
        case Part.TITLE:
            return f"### {text}\n"
        case Part.HEADING:
            return f"**{text}**\n"
        case Part.NOTE:
            return f"{_coloured(text, None)}\n"
    return f"> {piece.label}:{text}\n" if piece.label else f"> {text}\n"


def _coloured(text: str, level: Level | None) -> str:
    return f'<font color="{_COLOURS[level]}">{text}</font>'
