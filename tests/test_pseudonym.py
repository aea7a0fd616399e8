"""Pseudonyms: one person one key, no way back without the secret."""

from __future__ import annotations

import pytest

from models.ticket_event import Citizen
from rules.pseudonym import MIN_SECRET_BYTES, PseudonymKey, citizen_keys

KEY = PseudonymKey("k1", b"s" * MIN_SECRET_BYTES)
OTHER = PseudonymKey("k2", b"t" * MIN_SECRET_BYTES)


@pytest.mark.parametrize(
    "phone",
    [
        "199-0000-1234",
        "+86 199 0000 1234",
        "008619900001234",
        "１９９００００１２３４",
        "幺九九零零零零一二三四",
        " 19900001234\n",
    ],
)
def test_one_phone_however_written_is_one_key(phone: str) -> None:
    assert citizen_keys(Citizen(phone=phone), [KEY]) == citizen_keys(Citizen(phone="19900001234"), [KEY])


def test_one_id_number_however_written_is_one_key() -> None:
    plain = citizen_keys(Citizen(id_number="11010119000101100X"), [KEY])
    assert citizen_keys(Citizen(id_number=" 110101 19000101 100x"), [KEY]) == plain
    assert len(plain) == 1


def test_the_platforms_own_key_passes_through_unchanged() -> None:
    assert citizen_keys(Citizen(key="gw-77", phone="19900001234"), [KEY]) == ["gw-77"]
    assert citizen_keys(Citizen(key="gw-77"), []) == ["gw-77"]


def test_the_id_number_goes_before_the_phone() -> None:
    both = Citizen(id_number="11010119000101100X", phone="19900001234")
    assert citizen_keys(both, [KEY]) == citizen_keys(Citizen(id_number="11010119000101100X"), [KEY])
    assert citizen_keys(both, [KEY]) != citizen_keys(Citizen(phone="19900001234"), [KEY])


@pytest.mark.parametrize(
    "citizen",
    [
        None,
        Citizen(),
        Citizen(name="张某"),
        Citizen(name="张某", anonymous=True),
        Citizen(phone="无"),
        Citizen(id_number="--"),
    ],
)
def test_without_a_number_there_is_no_key(citizen: Citizen | None) -> None:
    assert citizen_keys(citizen, [KEY]) == []


def test_the_name_changes_nothing() -> None:
    assert citizen_keys(Citizen(phone="19900001234", name="张某"), [KEY]) == citizen_keys(
        Citizen(phone="19900001234"), [KEY]
    )


def test_a_key_shows_its_id_and_nothing_of_the_number() -> None:
    (key,) = citizen_keys(Citizen(phone="19900001234"), [KEY])
    assert key.startswith("k1:")
    assert len(key) == len("k1:") + 32
    assert "1234" not in key.removeprefix("k1:") or key != citizen_keys(Citizen(phone="19900001235"), [KEY])[0]


def test_a_number_of_one_kind_is_not_one_of_the_other() -> None:
    assert KEY.pseudonym("phone", "19900001234") != KEY.pseudonym("id", "19900001234")


def test_during_a_rotation_there_is_a_key_from_each_secret_the_newest_first() -> None:
    keys = citizen_keys(Citizen(phone="19900001234"), [OTHER, KEY])
    assert [key.split(":")[0] for key in keys] == ["k2", "k1"]
    assert keys[1:] == citizen_keys(Citizen(phone="19900001234"), [KEY])
    assert keys[0].split(":")[1] != keys[1].split(":")[1]


def test_a_short_secret_is_refused_and_never_shown() -> None:
    with pytest.raises(ValueError, match="shorter than 24 bytes") as caught:
        PseudonymKey("k1", b"hush" * 5)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "k 1", "k:1", "k" * 17, "键"])
def test_a_key_id_is_a_short_plain_word(name: str) -> None:
    with pytest.raises(ValueError, match="id is 1 to 16"):
        PseudonymKey(name, b"s" * MIN_SECRET_BYTES)


def test_the_secret_never_shows_itself() -> None:
    key = PseudonymKey("k1", b"hush-hush-hush-hush-hush")
    assert "hush" not in f"{key!r} {key}"
