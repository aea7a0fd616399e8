"""The second layer: misconduct told without its words. A linear model over character n-grams; scoring needs numpy alone.

It sees windows of a text, each by the hashes of its one- and two-character pieces, and gives each category the best window's probability.
What it alone finds is never above blue. Weights are made by `python -m rules.text.training`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rules.text.normalize import Codes, Plain

WINDOW = 110
"""characters; longer sentences are cut, shorter ones joined"""
MAX_WINDOWS = 64
BUCKETS = 1 << 15
_FIRST, _SECOND, _THIRD, _MIX, _FINISH = map(np.uint32, (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1))
_ONE, _SHIFT, _FOLD = map(np.uint32, (77, 17, 15))
SIZES = 2
_SENTENCE = re.compile(r"[^。!?;\n]*[。!?;\n]?")

_LEAST = np.float32(1e-6)
_SURELY_NOT = -50.0

Floats = NDArray[np.float32]
Hashes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Model:
    """The weights, as whole numbers: half as large as floats, and a text is scored from the processor's own memory."""

    categories: tuple[str, ...]
    table: NDArray[np.int16]
    """one row a bucket, one column for each category and a last one for the piece's own weight squared"""
    scales: Floats
    """by column what a 1 in the table is worth"""
    bias: Floats
    thresholds: Floats
    """from which probability a window speaks of the category"""


@lru_cache(maxsize=1)
def default_model() -> Model:
    """Return the model that comes with the service."""
    with resources.as_file(resources.files("rules") / "text" / "model.npz") as path:
        return load_model(path)


def load_model(path: Path) -> Model:
    """Return the model in a file. Raises OSError, ValueError, KeyError."""
    with np.load(path, allow_pickle=False) as stored:
        weights = np.zeros((BUCKETS, 16), dtype=np.float32)  # a row of sixteen lies within one cache line
        weights[stored["buckets"], : len(stored["bias"])] = stored["weights"].astype(np.float32)
        weights[stored["buckets"], -1] = stored["idf"].astype(np.float32) ** 2
        scales = np.maximum(np.abs(weights).max(axis=0), 1e-6) / np.iinfo(np.int16).max
        table = np.rint(weights / scales).astype(np.int16)
        return Model(
            tuple(str(one) for one in stored["categories"]), table, scales, stored["bias"], stored["thresholds"]
        )


def pieces(codes: Codes) -> Hashes:
    """Return the buckets of a text's pieces: at 2·i that of the character at place i, at 2·i + 1 that of the two from there on."""
    size = len(codes)
    found = np.zeros(SIZES * size, dtype=np.intp)
    found[0::SIZES] = _single().take(codes, mode="clip")
    found[1 : SIZES * (size - 1) : SIZES] = _finished(((codes[:-1] * _FIRST) ^ (codes[1:] * _SECOND)) * _THIRD)
    return found


@cache
def _single() -> Codes:
    """Return the bucket of each character; those beyond the first plane, all rare, share one."""
    return _finished(np.arange(0x10001, dtype=np.uint32) * _SECOND + _ONE)


def _finished(hashes: Codes) -> Codes:
    hashes = hashes * _MIX
    hashes ^= hashes >> _FOLD
    return (hashes * _FINISH) >> _SHIFT


def windows(text: str, first: int = 0) -> list[tuple[int, int]]:
    """Return the spans of the text, from a place on, that are judged each by itself: sentences, joined up to `WINDOW` characters."""
    spans: list[tuple[int, int]] = []
    start = end = first
    for match in _SENTENCE.finditer(text, first):
        opened, last = match.span()
        if opened == last:
            continue
        if last - start > WINDOW and end > start:
            spans.append((start, end))
            start = opened
        while last - start > WINDOW:
            cut = text.rfind(",", start + WINDOW // 2, start + WINDOW) + 1 or start + WINDOW
            spans.append((start, cut))
            start = cut
        end = last
    if end > start:
        spans.append((start, end))
    return spans[:MAX_WINDOWS]


class Scored(NamedTuple):
    """What the second layer says of one text."""

    shares: list[float]
    """by category, of its threshold from which it speaks alone, in the window that tells of it most"""
    windows: list[tuple[int, int]]
    logits: Floats
    """one row a window, one column a category"""

    def probability(self, column: int) -> float:
        """Return the probability of a category in the window that tells of it most."""
        return _sigmoid(float(self.logits[:, column].max()))


def score(model: Model, texts: Sequence[tuple[Plain, int]]) -> list[Scored]:
    """Return what each text says from a place on: all in the same few array operations."""
    starts: list[int] = []
    shifts: list[float] = []
    parts: list[tuple[int, list[tuple[int, int]]]] = []
    offset = 0
    for plain, first in texts:
        spans = windows(plain.text, first)
        begins, ends = (spans[0][0], spans[-1][1]) if spans else (0, 0)
        _pass_over(starts, shifts, offset, begins)
        parts.append((len(starts), spans))
        if spans:
            starts += [SIZES * (offset + start) for start, _ in spans]
            # The best of many windows is likely by chance: in k windows the odds must be k times as good.
            shifts += [math.log(len(spans))] * len(spans)
        _pass_over(starts, shifts, offset + ends, len(plain.codes) - ends)
        offset += len(plain.codes)
    found = _rows(model, [plain.codes for plain, _ in texts], starts, shifts)
    limits = model.thresholds.tolist()
    scored = []
    for at, spans in parts:
        logits = found[at : at + len(spans)]
        highest = logits.max(axis=0).tolist() if spans else [-math.inf] * len(limits)
        # One by one: an array's exponentials may differ in the last digit with its length, and a text must always be judged alike.
        shares = [_sigmoid(one) / limit for one, limit in zip(highest, limits, strict=True)]
        scored.append(Scored(shares, spans, logits))
    return scored


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > _SURELY_NOT else 0.0


def _pass_over(starts: list[int], shifts: list[float], start: int, length: int) -> None:
    """Let a piece of a text that nobody asks about be a row of its own."""
    if length > 0:
        starts.append(SIZES * start)
        shifts.append(0.0)


def _rows(model: Model, codes: list[Codes], starts: list[int], shifts: list[float]) -> Floats:
    """Return the logits of the pieces of texts that begin at these places, to the next one each."""
    if not starts:
        return np.empty((0, len(model.categories)), dtype=np.float32)
    found = pieces(codes[0] if len(codes) == 1 else np.concatenate(codes))
    if len(codes) > 1:  # the last character of a text and the first of the next are no pair
        ends = np.cumsum([len(one) for one in codes if len(one)])
        found[SIZES * ends - 1] = 0
    sums = np.add.reduceat(model.table.take(found, axis=0, mode="clip"), starts, axis=0, dtype=np.int32).astype(
        np.float32
    )
    sums *= model.scales
    sums /= np.sqrt(np.maximum(sums[:, -1:], _LEAST))
    logits: Floats = sums[:, : len(model.categories)] + model.bias
    logits -= np.array(shifts, dtype=np.float32)[:, None]
    return logits
