"""Instants: exact, with China's zone where none is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.times import DAY, HOUR, ImpossibleTimeError, format_instant, format_minute, parse_instant


def test_a_time_without_offset_is_chinas() -> None:
    assert parse_instant("2025-06-18T09:00:00") == parse_instant("2025-06-18T09:00:00+08:00")
    assert parse_instant("2025-06-18 09:00:00") == parse_instant("2025-06-18T01:00:00Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-06-18",
        "2025-06-18T09:00",
        "2025-6-18T09:00:00",
        "2025-06-18T24:00:00",
        "2025-06-18T09:60:00",
        "2025-06-18T09:00:60",
        "2025-02-29T09:00:00",
        "2025-06-18T09:00:00+8",
        "2025-06-18T09:00:00+25:00",
        "２025-06-18T09:00:00",
        "2025-06-18T09:00:00Z ",
        "1989-12-31T00:00:00Z",
        "2100-01-01T00:00:00Z",
        "0000-00-00T00:00:00Z",
    ],
)
def test_an_impossible_time_is_refused(text: str) -> None:
    with pytest.raises(ImpossibleTimeError):
        parse_instant(text)


def test_the_error_does_not_tell_the_text() -> None:
    with pytest.raises(ImpossibleTimeError) as caught:
        parse_instant("19900001234")
    assert "1990000" not in str(caught.value)


@given(st.integers(parse_instant("1990-01-02T00:00:00Z"), parse_instant("2099-12-31T00:00:00Z")))
def test_formatting_and_parsing_are_inverse(instant: int) -> None:
    assert parse_instant(format_instant(instant)) == instant


def test_a_fraction_shows_only_where_there_is_one() -> None:
    nine = parse_instant("2025-06-18T09:00:00+08:00")
    assert format_instant(nine) == "2025-06-18T09:00:00+08:00"
    assert format_instant(nine + 1) == "2025-06-18T09:00:00.000001+08:00"
    assert format_minute(nine + HOUR + DAY) == "2025-06-19 10:00"


@given(st.lists(st.integers(0, 10**15), min_size=2, max_size=5))
def test_the_texts_of_a_century_sort_like_their_instants(instants: list[int]) -> None:
    base = parse_instant("1991-01-01T00:00:00Z")
    texts = [format_instant(base + one) for one in sorted(instants)]
    assert texts == sorted(texts)
