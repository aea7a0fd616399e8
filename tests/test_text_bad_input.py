"""Texts that nobody writes: bounded work and a clear result."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.text.normalize import MAX_CHARACTERS
from rules.text.scan import MAX_HITS
from rules.text.screen import Screener
from tests.text_support import pack

_CUES = "村书记收红包不作为"


@pytest.fixture(scope="module")
def screener() -> Screener:
    return Screener(pack().lexicon)


@pytest.mark.parametrize(
    "text",
    [
        "。" * 200_000,
        "!?,。" * 50_000,
        "😀" * 5_000,
        "😀🏠" * 100_000,
        "\ud800" * 1_000,
        "\udfff村\ud800",
        "\u200b" * 200_000,
        " " * 200_000,
        "a b " * 50_000,
        "\n" * 200_000,
        "0" * 200_000,
        "《" * 200_000,
        "的" * 200_000,
        "abcАБВابجกขค漢字かな" * 2_000,
    ],
)
def test_a_text_without_words_says_nothing(screener: Screener, text: str) -> None:
    screened = screener.explain(text)
    assert not [one for one in screened.findings if one.layer == "cue"]


@pytest.mark.parametrize(
    "text", [_CUES * 5_000, "不作为" * 5_000, "红包" * 100_000, f"{_CUES}。" * 20_000, f"{_CUES}\n" * 20_000]
)
def test_thousands_of_cues_are_looked_at_no_more_than_so_many_times(screener: Screener, text: str) -> None:
    screened = screener.explain(text)
    assert 0 < len(screened.seen) <= MAX_HITS
    assert all(end <= MAX_CHARACTERS for _, end in (one.span for one in screened.seen))
    assert all(len(one.quote) < 200 for one in screened.findings)


def test_what_stands_beyond_the_limit_is_not_read(screener: Screener) -> None:
    far = "路灯坏了,请修。" * 3_000 + "村支书张某去年收了我五千块红包"
    assert not [one for one in screener.screen(far).findings if one.layer == "cue"]


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_is_screened(text: str) -> None:
    screened = Screener(pack().lexicon).explain(text)
    assert all(0 <= one.confidence <= 100 and 0 <= one.specificity <= 5 for one in screened.findings)


@given(
    st.lists(
        st.sampled_from(
            [
                "村书记",
                "收红包",
                "没有",
                "《",
                "》",
                "?",
                "。",
                "老板",
                "请",
                "查处",
                "5000元",
                "\u200b",
                "如果",
                "2023年",
                "不作为",
                "的",
                "\n",
                "自称",
            ]
        ),
        max_size=25,
    )
)
@settings(max_examples=300, deadline=None)
def test_any_order_of_words_is_screened_and_told(words: list[str]) -> None:
    text = "".join(words)
    screened = Screener(pack().lexicon).explain(text)
    for one in screened.seen:
        assert text[slice(*one.span)] == one.words
        stopped = one.stopped
        assert (stopped is not None) >= (one.confidence == 0 and one.hit.kind != "weak")
