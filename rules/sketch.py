"""A text's sketch: the smallest 128 hashes of its character bigrams.

Two sketches give the Jaccard similarity of the two texts: exactly where neither text has more than 128 different bigrams, as an unbiased
estimate beyond (bottom-k sampling). The text itself is not needed again and is not kept.
"""

import base64
import re
import struct
from collections.abc import Iterable
from itertools import islice
from operator import add

SKETCH_SIZE = 128

_NOISE = re.compile(r"[\W_]+")
# What an operator writes around every complaint (domain brief §2.6): it would make any two short texts alike.
_STOCK = re.compile(
    r"(?:来电人|来访人|诉求人|市民|群众|网友|反映人)(?:再次|多次|现)?(?:来电|来信|致电)?(?:反映|称|表示|咨询|投诉|诉)?"
    r"|(?:希望|请|要求|恳请|望)(?:相关|有关|主管|职能)?(?:部门|单位)?(?:能够|能|予以|给予)?(?:尽快|尽早|及时)?"
    r"(?:到现场|现场)?(?:核实|核查|调查)?(?:并)?(?:予以|进行)?(?:处理|解决|回复|答复)(?:并)?(?:予以|给予)?(?:回复|答复)?"
    r"|(?:再次|又)反映"
)
_MASK32 = 0xFFFFFFFF

Sketch = tuple[int, ...]


def sketch_of(text: str) -> Sketch:
    """Return the sketch of a text, its punctuation and spaces left out."""
    plain = _NOISE.sub("", _STOCK.sub("", text.lower()))
    if len(plain) < 2:
        return (_BIGRAMS[plain],) if plain else ()
    bigrams = set(map(add, plain, islice(plain, 1, None)))
    if len(_BIGRAMS) > _MEMO_SIZE:
        _BIGRAMS.clear()
    return tuple(sorted(set(map(_BIGRAMS.__getitem__, bigrams)))[:SKETCH_SIZE])


class _Hashes(dict[str, int]):
    """Hashes of bigrams, computed once: a language has few that are common."""

    def __missing__(self, bigram: str) -> int:
        number = 0
        for character in bigram:
            number = number * 0x10FFFF + ord(character)
        number = self[bigram] = _mix(number & _MASK32)
        return number


_BIGRAMS = _Hashes()
_MEMO_SIZE = 60_000


def _mix(number: int) -> int:
    # The finalizer of MurmurHash3: neighbouring code points must not give neighbouring hashes, or the smallest would be no sample.
    number = ((number ^ (number >> 16)) * 0x85EBCA6B) & _MASK32
    number = ((number ^ (number >> 13)) * 0xC2B2AE35) & _MASK32
    return number ^ (number >> 16)


def merge(sketches: Iterable[Sketch]) -> Sketch:
    """Return the sketch of several texts taken together."""
    return tuple(sorted({number for sketch in sketches for number in sketch})[:SKETCH_SIZE])


def similarity(one: Sketch, other: Sketch) -> float:
    """Return the Jaccard similarity of two texts' bigrams, 0 to 1; 0 where a text is empty."""
    if not one or not other:
        return 0.0
    first, second = set(one), set(other)
    smallest = sorted(first | second)
    if len(one) >= SKETCH_SIZE or len(other) >= SKETCH_SIZE:
        smallest = smallest[:SKETCH_SIZE]
    shared = sum(number in first and number in second for number in smallest)
    return shared / len(smallest)


def pack_sketch(sketch: Sketch) -> str:
    """Return the sketch as text, for the wire and for state."""
    return base64.b64encode(struct.pack(f"<{len(sketch)}I", *sketch)).decode()


def unpack_sketch(text: str) -> Sketch:
    """Return the sketch that `pack_sketch` wrote."""
    raw = base64.b64decode(text)
    return struct.unpack(f"<{len(raw) // 4}I", raw)
