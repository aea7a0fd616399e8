"""Which encoding a CSV file is in, told by its bytes."""

import codecs
from typing import IO, Literal

Encoding = Literal["utf-8", "gb18030"]

_CHUNK_BYTES = 1 << 20
_SHARE = 0.5  # single bad bytes cost their rows only, so not every line needs to be sound


def guess(stream: IO[bytes]) -> Encoding | None:
    """Return the encoding that fits most of the first lines that are not plain ASCII; UTF-8 where both do or nothing else is there.

    None where neither fits. What UTF-8 encodes is almost never mistaken for it: so it is asked first.
    """
    while chunk := stream.read(_CHUNK_BYTES):
        if not chunk.isascii():
            return _of_lines(chunk + stream.read(_CHUNK_BYTES))
    return "utf-8"


def _of_lines(sample: bytes) -> Encoding | None:
    lines = sample.removeprefix(codecs.BOM_UTF8).split(b"\n")
    if len(lines) > 1:
        del lines[-1]  # it may be cut off
    telling = [line for line in lines if not line.isascii()]
    if sample.startswith(codecs.BOM_UTF8) or not telling:
        return "utf-8"
    encodings: tuple[Encoding, ...] = ("utf-8", "gb18030")
    for encoding in encodings:
        if sum(_fits(line, encoding) for line in telling) >= _SHARE * len(telling):
            return encoding
    return None


def _fits(line: bytes, encoding: Encoding) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
