"""Sketches: the likeness of two texts, from little."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.sketch import SKETCH_SIZE, merge, pack_sketch, packed_sketch_of, similarity, sketch_of, unpack_sketch

HAN = st.characters(min_codepoint=0x4E00, max_codepoint=0x4E40)
SHORT = st.text(alphabet=HAN | st.sampled_from("abc,。 12"), max_size=60)
SEEDS = st.integers(0, 2**32)


def _bigrams(text: str) -> set[tuple[str, ...]]:
    plain = re.sub(r"[\W_]+", "", text.lower())
    return set(pairwise(plain)) if len(plain) > 1 else {tuple(plain)} if plain else set()


def _jaccard(one: str, other: str) -> float:
    first, second = _bigrams(one), _bigrams(other)
    return len(first & second) / len(first | second) if first and second else 0.0


@given(SHORT, SHORT)
def test_of_short_texts_it_is_the_exact_jaccard_similarity(one: str, other: str) -> None:
    assert similarity(sketch_of(one), sketch_of(other)) == pytest.approx(_jaccard(one, other))


def _long_text(seed: int) -> str:
    return "".join(chr(code) for code in random.Random(seed).choices(range(0x4E00, 0x4E40), k=1_200))


@given(SEEDS, SEEDS, st.floats(0, 1))
def test_of_long_texts_it_is_near(seed: int, other_seed: int, share: float) -> None:
    one, other = _long_text(seed), _long_text(other_seed)
    mixed = one[: int(len(one) * share)] + other[int(len(other) * share) :]
    assert similarity(sketch_of(one), sketch_of(mixed)) == pytest.approx(_jaccard(one, mixed), abs=0.25)


def test_of_long_texts_it_is_right_on_average() -> None:
    errors = []
    for seed in range(60):
        one, other = _long_text(seed), _long_text(seed + 1_000)
        mixed = one[:600] + other[600:]
        errors.append(similarity(sketch_of(one), sketch_of(mixed)) - _jaccard(one, mixed))
    assert abs(sum(errors) / len(errors)) < 0.02


@given(st.text(max_size=300), st.text(max_size=300))
def test_it_is_symmetric_and_within_bounds(one: str, other: str) -> None:
    first, second = sketch_of(one), sketch_of(other)
    assert 0 <= similarity(first, second) <= 1
    assert similarity(first, second) == similarity(second, first)
    assert similarity(first, first) == (1 if first else 0)


@given(st.text(max_size=600))
def test_packing_and_unpacking_are_inverse(text: str) -> None:
    sketch = sketch_of(text)
    assert len(sketch) <= SKETCH_SIZE
    assert list(sketch) == sorted(set(sketch))
    assert unpack_sketch(pack_sketch(sketch)) == sketch


@given(st.lists(st.text(max_size=200), max_size=4))
def test_merging_does_not_depend_on_the_order(texts: list[str]) -> None:
    sketches = [sketch_of(text) for text in texts]
    assert merge(sketches) == merge(reversed(sketches)) == merge([merge(sketches[:2]), merge(sketches[2:])])


def test_punctuation_and_blanks_and_case_do_not_count() -> None:
    assert sketch_of("路灯,不亮! ABC") == sketch_of("路灯不亮abc")


def test_an_empty_text_is_like_nothing() -> None:
    assert similarity(sketch_of(""), sketch_of("")) == 0
    assert similarity(sketch_of("。!"), sketch_of("路灯")) == 0


@pytest.mark.parametrize(
    ("text", "sketch"),
    [
        ("a", (3761708825,)),
        ("ab", (911647382,)),
        ("路灯不亮", (370500555, 3452455579, 4175490702)),
        ("😀路", (77453095,)),
    ],
)
def test_what_was_stored_years_ago_is_still_like_what_comes_now(text: str, sketch: tuple[int, ...]) -> None:
    assert sketch_of(text) == sketch


@given(st.text(max_size=400))
def test_packing_in_one_go_is_the_same(text: str) -> None:
    assert packed_sketch_of(text) == pack_sketch(sketch_of(text))
