"""The plain form: what is dropped or made plain, and that every place of it leads back to the original."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.text.normalize import MAX_CHARACTERS, normalize

_ANY = st.text(alphabet=st.one_of(st.characters(), st.sampled_from("哈!１２３ \t\n\u200bＡ㎏㍿收紅包…")), max_size=80)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("收紅包", "收红包"),
        ("ＡＢＣ１２３", "abc123"),
        ("收 红\u3000包", "收红包"),
        ("收\u200b红\ufeff包", "收红包"),
        ("太气人了！！！！！", "太气人了!"),
        ("哈哈哈哈", "哈"),
        ("好好看", "好好看"),
        ("10000元", "10000元"),
        ("word  one", "word one"),
        ("一\n\n\n二", "一\n二"),
        ("㎏", "kg"),
        ("没有办………", "没有办…"),
        ("坏\ud800人", "坏人"),
        ("𠮷𠮷家", "𠮷𠮷家"),
        ("收\U000e0041钱", "收钱"),
        ("", ""),
        (" \t\u3000 ", ""),
    ],
)
def test_what_a_text_becomes(text: str, plain: str) -> None:
    assert normalize(text).text == plain


@given(_ANY)
def test_every_character_leads_back_to_where_it_came_from(text: str) -> None:
    plain = normalize(text)
    ends = [plain.original(place, place + 1) for place in range(len(plain.text))]
    assert all(0 <= start < end <= len(text) for start, end in ends)
    assert ends == sorted(ends)
    for (start, end), character in zip(ends, plain.text, strict=True):
        if character.isalnum() and character == text[start:end]:
            assert normalize(text[start:end]).text == character


@given(_ANY)
def test_the_plain_form_is_plain_already(text: str) -> None:
    once = normalize(text).text
    assert len(normalize(once).text) <= len(once)
    assert normalize(normalize(once).text).text == normalize(normalize(normalize(once).text).text).text


@given(_ANY)
def test_it_always_has_as_many_codes_as_characters(text: str) -> None:
    plain = normalize(text)
    assert [ord(character) for character in plain.text] == plain.codes.tolist()


@given(
    st.text(alphabet="收红包村书记，。", min_size=1, max_size=30),
    st.integers(0, 29),
    st.sampled_from("\u200b\u3000 \u00ad"),
)
def test_a_character_that_says_nothing_changes_nothing(text: str, at: int, nothing: str) -> None:
    assert normalize(text[:at] + nothing + text[at:]).text == normalize(text).text


def test_a_span_is_that_of_the_original_with_what_stands_between() -> None:
    text = "村 书\u200b记收紅包"
    plain = normalize(text)
    at = plain.text.index("收红包")
    assert text[slice(*plain.original(at, at + 3))] == "收紅包"
    assert text[slice(*plain.original(0, 3))] == "村 书\u200b记"


def test_a_text_beyond_all_measure_is_cut() -> None:
    assert len(normalize("村" + "书记" * 100_000).text) <= MAX_CHARACTERS
