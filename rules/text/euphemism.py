"""The second layer: misconduct told without its words. A linear model over character n-grams; scoring needs numpy alone.

It sees windows of a text, each by the hashes of its one- to three-character pieces, and gives each category the best window's probability. What it alone finds
is never above blue. Weights are made by `python -m rules.text.training`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WINDOW = 110
"""characters; longer sentences are cut, shorter ones joined"""
MAX_WINDOWS = 64
BUCKETS = 1 << 16
_FIRST, _SECOND, _THIRD, _MIX, _FINISH = map(np.uint32, (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1))
_ONE, _SHIFT, _FOLD = map(np.uint32, (77, 16, 15))
SIZES = 3
_SENTENCE = re.compile(r"[^。!?;\n]*[。!?;\n]?")

Floats = NDArray[np.float32]
Hashes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Model:
    """The weights: one row a bucket, one column for each category and a last one for the piece's own weight squared."""

    categories: tuple[str, ...]
    table: Floats
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
        # Sixteen columns, so that a row is one cache line.
        table = np.zeros((BUCKETS, 16), dtype=np.float32)
        table[stored["buckets"], : len(stored["bias"])] = stored["weights"].astype(np.float32)
        table[stored["buckets"], -1] = stored["idf"].astype(np.float32) ** 2
        return Model(tuple(str(one) for one in stored["categories"]), table, stored["bias"], stored["thresholds"])


def pieces(text: str) -> Hashes:
    """Return the buckets of the text's pieces: at 3·i, 3·i + 1 and 3·i + 2 those of one, two and three characters from place i on; 0,
    nobody's, where the text has ended."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    size = len(codes)
    found = np.zeros(SIZES * size, dtype=np.intp)
    found[0::SIZES] = _finished(codes * _SECOND + _ONE)
    if size > 1:
        two = (codes[:-1] * _FIRST) ^ (codes[1:] * _SECOND)
        found[1 : SIZES * (size - 1) : SIZES] = _finished(two * _THIRD)
    if size > 2:
        found[2 : SIZES * (size - 2) : SIZES] = _finished((two[:-1] * _FIRST) ^ (codes[2:] * _THIRD))
    return found


def _finished(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    hashes = hashes * _MIX
    hashes ^= hashes >> _FOLD
    return (hashes * _FINISH) >> _SHIFT


def windows(text: str) -> list[tuple[int, int]]:
    """Return the spans of the text that are judged each by itself: sentences, joined up to `WINDOW` characters."""
    spans: list[tuple[int, int]] = []
    start = end = 0
    for match in _SENTENCE.finditer(text):
        first, last = match.span()
        if first == last:
            continue
        if last - start > WINDOW and end > start:
            spans.append((start, end))
            start = first
        while last - start > WINDOW:
            cut = text.rfind(",", start + WINDOW // 2, start + WINDOW) + 1 or start + WINDOW
            spans.append((start, cut))
            start = cut
        end = last
    if end > start:
        spans.append((start, end))
    return spans[:MAX_WINDOWS]


def probabilities(model: Model, text: str) -> tuple[Floats, list[tuple[int, int]]]:
    """Return for each window (rows) the probability of each category (columns), and the windows."""
    spans = windows(text)
    if not spans:
        return np.empty((0, len(model.categories)), dtype=np.float32), spans
    weights = model.table.take(pieces(text[: spans[-1][1]]), axis=0, mode="clip")
    sums = np.add.reduceat(weights, [SIZES * start for start, _ in spans], axis=0)
    lengths = np.sqrt(np.maximum(sums[:, -1:], 1e-6))
    found: Floats = 1.0 / (1.0 + np.exp(-(sums[:, : len(model.categories)] / lengths + model.bias)))
    return found, spans
