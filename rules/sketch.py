"""A text's sketch: the smallest 128 hashes of its character bigrams.

Two sketches give the Jaccard similarity of the two texts: exactly where neither text has more than 128 different bigrams, as an unbiased
estimate beyond (bottom-k sampling). The text itself is not needed again and is not kept.
"""

import base64
import re
import struct
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

SKETCH_SIZE = 128

_NOISE = re.compile(r"[\W_]+")
# What an operator writes around every complaint (domain brief §2.6): it would make any two short texts alike.
_STOCK = re.compile(
    r"(?:来电人|来访人|诉求人|市民|群众|网友|反映人)(?:再次|多次|现)?(?:来电|来信|致电)?(?:反映|称|表示|咨询|投诉|诉)?"
    r"|(?:希望|请|要求|恳请|望)(?:相关|有关|主管|职能)?(?:部门|单位)?(?:能够|能|予以|给予)?(?:尽快|尽早|及时)?"
    r"(?:到现场|现场)?(?:核实|核查|调查)?(?:并)?(?:予以|进行)?(?:处理|解决|回复|答复)(?:并)?(?:予以|给予)?(?:回复|答复)?"
    r"|(?:再次|又)反映"
)
Sketch = tuple[int, ...]
Numbers = NDArray[np.uint32]
"""multiplied without regard to what runs over 32 bits"""

_FIRST, _SECOND, _THIRD, _16, _13 = (np.uint32(one) for one in (0x10FFFF, 0x85EBCA6B, 0xC2B2AE35, 16, 13))


def sketch_of(text: str) -> Sketch:
    """Return the sketch of a text, its punctuation and spaces left out."""
    return tuple(_smallest(text).tolist())


def packed_sketch_of(text: str) -> str:
    """Return `pack_sketch(sketch_of(text))`, in one go."""
    return base64.b64encode(_smallest(text).tobytes()).decode()


def _smallest(text: str) -> Numbers:
    plain = _NOISE.sub("", _STOCK.sub("", text.lower()))
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    hashes = _mixed(codes[:-1] * _FIRST + codes[1:]) if len(codes) > 1 else _mixed(codes)
    hashes.sort()
    if len(hashes) < 2:
        return hashes
    once = np.empty(len(hashes), dtype=np.bool_)
    once[0] = True
    np.not_equal(hashes[1:], hashes[:-1], out=once[1:])
    return hashes[once][:SKETCH_SIZE]


def _mixed(numbers: Numbers) -> Numbers:
    # The finalizer of MurmurHash3: neighbouring code points must not give neighbouring hashes, or the smallest would be no sample.
    mixed = (numbers ^ (numbers >> _16)) * _SECOND
    mixed = (mixed ^ (mixed >> _13)) * _THIRD
    return mixed ^ (mixed >> _16)


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
