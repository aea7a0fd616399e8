"""Internal messages: what is written is read, and what is not ours is refused."""

from __future__ import annotations

import pytest

from rules.messages import EventMessage, TickMessage, WireError, decode, encode
from tests.builders import Story


def test_a_tick_survives_the_wire() -> None:
    assert decode(encode(TickMessage(1_741_000_000_000_000))) == TickMessage(1_741_000_000_000_000)


def test_a_message_has_the_key_of_who_it_is_for() -> None:
    (event,) = Story("T-7")(0, "urged").events
    assert EventMessage(event).key == "T-7"


@pytest.mark.parametrize(
    "value",
    [b"", b"null", b"[]", b"{}", b"7", b'"event"', b'["event"]', b'["event",[1]]', b'["members","a"]', b'["repeat","a","b",1,2,[[1]]]',
     b'["claim","k","r",1,[[1]]]', b'["tick"]', b'["gossip",1]', b"\xff", b'["tick",1'],
)  # fmt: skip
def test_what_is_not_ours_is_refused(value: bytes) -> None:
    with pytest.raises(WireError):
        decode(value)
