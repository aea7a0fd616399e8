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
_MASK = np.uint64(BUCKETS - 1)
_PRIMES = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))
_SENTENCE = re.compile(r"[^。!?;\n]*[。!?;\n]?")

Floats = NDArray[np.float32]
Hashes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Model:
    """The weights: one column for each category."""

    categories: tuple[str, ...]
    weights: Floats
    """BUCKETS × categories, each already times its piece's inverse document frequency"""
    idf: Floats
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
        weights = np.zeros((BUCKETS, len(stored["bias"])), dtype=np.float32)
        weights[stored["buckets"]] = stored["weights"].astype(np.float32)
        idf = np.zeros(BUCKETS, dtype=np.float32)
        idf[stored["buckets"]] = stored["idf"].astype(np.float32)
        return Model(tuple(str(one) for one in stored["categories"]), weights, idf, stored["bias"], stored["thresholds"])


def pieces(text: str) -> Hashes:
    """Return the buckets of the text's one- to three-character pieces, in no particular order; linear in its length."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    with np.errstate(over="ignore"):
        one = (codes + np.uint64(1)) * _PRIMES[0]
        two = (one[:-1] ^ (codes[1:] * _PRIMES[1])) * _PRIMES[2] if len(codes) > 1 else one[:0]
        three = (two[:-1] ^ (codes[2:] * _PRIMES[0])) * _PRIMES[1] if len(codes) > 2 else one[:0]
        joined = np.concatenate((one, two, three))
        return ((joined >> np.uint64(33)) & _MASK).astype(np.int64)


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
    rows = np.empty((len(spans), len(model.categories)), dtype=np.float32)
    for index, (start, end) in enumerate(spans):
        found = np.unique(pieces(text[start:end]))
        strength = model.idf[found]
        length = float(np.sqrt(np.dot(strength, strength))) or 1.0
        rows[index] = model.weights[found].sum(axis=0) / length + model.bias
    return 1.0 / (1.0 + np.exp(-rows)), spans
