"""Identities and contact numbers in free text, also in disguise; innocent numbers stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.masking import (
    CONTACT_MASK,
    ID_MASK,
    NAME_MASK,
    NUMBER_MASK,
    PHONE_MASK,
    PLATE_MASK,
    mask,
    mask_label,
    without_house,
)

PHONE = "19900001234"
ID18 = "110101190001011009"  # no such person: a made-up number with its right check digit
CHINESE = str.maketrans("0123456789", "〇一二三四五六七八九")
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
CIRCLED = str.maketrans("123456789", "①②③④⑤⑥⑦⑧⑨")
CAPITAL = str.maketrans("0123456789", "零壹贰叁肆伍陆柒捌玖")

PHONES = {
    "plain": PHONE,
    "with hyphens": "199-0000-1234",
    "with spaces": "199 0000 1234",
    "each digit apart": " ".join(PHONE),
    "with dots": "199.0000.1234",
    "with Chinese commas": "199、0000、1234",
    "with slashes": "199/0000/1234",
    "with brackets": "199(0000)1234",
    "with a country code": "+86 19900001234",
    "with 0086": "008619900001234",
    "in full width": PHONE.translate(FULL_WIDTH),
    "in Chinese numerals": PHONE.translate(CHINESE),
    "in capital numerals": PHONE.translate(CAPITAL),
    "with 幺": "幺九九零零零零幺二三四",
    "in circles": PHONE.translate(CIRCLED),
    "mixed": "1九9零0〇〇①2三４",
    "with zero-width characters": "\u200b".join(PHONE),
    "with a soft hyphen": "199\u00ad0000\u00ad1234",
    "with combining marks": "1\u03309900001234",
    "across lines": "199\n0000\n1234",
    "in mathematical digits": "".join(chr(0x1D7CE + int(digit)) for digit in PHONE),
}


@pytest.mark.parametrize("disguise", PHONES)
def test_a_phone_number_is_masked(disguise: str) -> None:
    masked = mask(f"请回电{PHONES[disguise]}找我")
    assert masked == f"请回电{PHONE_MASK}找我"


@pytest.mark.parametrize("text", [f"联系人张三{PHONE}", f"打{PHONE}一直没人接", f"王五{PHONE}二楼", f"十九{PHONE}八点"])
def test_a_numeral_that_is_a_word_beside_a_number_does_not_hide_it(text: str) -> None:
    assert mask(text) == text.replace(PHONE, PHONE_MASK)


@pytest.mark.parametrize(
    "text",
    [
        ID18,
        f"{ID18[:6]} {ID18[6:14]} {ID18[14:]}",
        ID18.translate(FULL_WIDTH),
        ID18.translate(CHINESE),
        ID18[:17] + "x",
    ],
)
def test_an_id_number_is_masked(text: str) -> None:
    assert mask(f"身份证{text}。") == f"身份证{ID_MASK}。"


def test_an_id_number_of_the_old_kind_is_masked() -> None:
    assert mask("证号110101700101123") == f"证号{ID_MASK}"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("座机0532-86000000", f"座机{PHONE_MASK}"),
        ("邮箱a.b@example.com", f"邮箱{CONTACT_MASK}"),
        ("加微信号: abc_12345", f"加{CONTACT_MASK}"),
        ("QQ123456789", CONTACT_MASK),
        ("车牌鲁B12345", f"车牌{PLATE_MASK}"),
        ("卡号6200 0000 0000 0000 000", f"卡号{NUMBER_MASK}"),
        ("打400-000-0000", f"打{PHONE_MASK}"),
    ],
)
def test_other_ways_to_reach_a_person_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_several_numbers_are_masked_each() -> None:
    assert mask(f"{PHONE}或{ID18},或{PHONE}") == f"{PHONE_MASK}或{ID_MASK},或{PHONE_MASK}"


def test_given_names_are_masked_where_they_are_names() -> None:
    assert mask("张某说张某某不在", ["张某"]) == f"{NAME_MASK}说{NAME_MASK}某不在"
    assert mask("王家的事", ["王"]) == "王家的事"


@pytest.mark.parametrize(
    "text",
    [
        "2025年6月18日上午9点30分",
        "金额12345678元",
        "12345热线",
        "拖了4个月,退了3次",
        "一九九八年建的楼",
        "面积120.55平方米,单价10000元",
        "三楼以上,五六七八九楼都没有水",
        "第1234567890号文件",
        "编号29900001234",
        "Q3季度,V2版",
        "",
    ],
)
def test_innocent_numbers_stay(text: str) -> None:
    assert mask(text) == text


@given(st.text(max_size=20), st.sampled_from(sorted(PHONES.values())), st.text(max_size=20))
def test_no_disguised_phone_gets_through_between_any_texts(before: str, phone: str, after: str) -> None:
    """Whatever stands around it, unless it is digits or what joins them."""
    kept = [text for text in (before, after) if not any(one.isnumeric() or not one.isalpha() for one in text)]
    text = "甲".join(["", *kept[:1]]) + "乙" + phone + "丙" + "丁".join(["", *kept[1:]])
    assert phone not in mask(text)


def test_in_a_label_there_is_no_place_for_any_long_number() -> None:
    assert mask_label("甲街道8600000") == f"甲街道{NUMBER_MASK}"
    assert mask_label("第110社区") == "第110社区"


@pytest.mark.parametrize(
    ("community", "kept"),
    [("试社区", "试社区"), ("试社区3号楼2单元", "试社区"), ("试小区 12栋", "试小区"), ("5号楼", "")],
)
def test_a_community_is_told_without_the_house(community: str, kept: str) -> None:
    assert without_house(community) == kept


@given(st.text(max_size=200))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask(text)
    assert mask(once) == once
