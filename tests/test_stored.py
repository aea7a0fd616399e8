"""Stored values: what is packed comes back, and a scan can tell deadlines and debts without reading the state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.partition import OWING_KEY, RESERVED, debts_of, open_partition
from streams.routes import Out
from streams.stored import Head, Stored, due_of, head_of, pack, unpack
from tests.partition_support import DictTable

TIMES = st.none() | st.integers(0, 2**61)
OFFSETS = st.integers(-1, 2**62)
OUTS = st.builds(
    Out,
    topic=st.sampled_from(("hw.alerts", "hw.citizens")),
    partition=st.integers(0, 999),
    key=st.text(max_size=20).filter(lambda text: text.isprintable()),
    value=st.text(max_size=40).filter(lambda text: text.isprintable()).map(str.encode),
    source_ts=st.none() | st.integers(0, 2**53),
)
VALUES = st.builds(
    Stored,
    due_at=TIMES,
    offset=OFFSETS,
    pending=st.lists(OUTS, max_size=4).map(tuple),
    body=st.binary(max_size=50),
    since=st.none() | st.integers(1, 2**61),
).map(lambda value: value if value.due_at is None else value._replace(since=None))


@given(VALUES)
def test_what_is_packed_comes_back(value: Stored) -> None:
    assert unpack(pack(value)) == value


@given(VALUES)
def test_the_head_tells_deadline_offset_debt_and_since_when_it_rests(value: Stored) -> None:
    assert head_of(pack(value)) == Head(value.due_at, value.offset, bool(value.pending), value.since)
    assert due_of(pack(value)) == value.due_at


def _out(name: str) -> Out:
    return Out("hw.alerts", 0, name, b"{}", 5)


def _table(named: bytes | None = None) -> DictTable:
    table = DictTable()
    for key, due_at, offset, pending in (
        ("late", 30, 12, (_out("c"), _out("d"))),
        ("early", None, 11, (_out("b"),)),
        ("acknowledged", 10, 9, (_out("a"),)),
        ("nothing owed", 20, 13, ()),
    ):
        table.put(0, key.encode(), pack(Stored(due_at, offset, pending, b"{}")))
    table.put(0, RESERVED + b"clock", b"5")
    table.put(1, b"elsewhere", pack(Stored(1, 99, (_out("x"),), b"{}")))
    if named is not None:
        table.put(0, OWING_KEY, named)
    return table


def test_a_scan_finds_deadlines() -> None:
    opened = open_partition(_table(), 0)
    assert sorted(opened.deadlines) == [(10, "acknowledged"), (20, "nothing owed"), (30, "late")]
    assert opened.keys == 4


@pytest.mark.parametrize(
    ("named", "owed"),
    [
        (b'["early","late","acknowledged","nothing owed","never written"]', ["b", "c", "d"]),
        (b'["late"]', ["c", "d"]),
        (b"[]", []),
        (None, ["b", "c", "d"]),
    ],
)
def test_debts_are_those_of_the_named_unacknowledged_keys_in_the_order_of_their_records(
    named: bytes | None, owed: list[str]
) -> None:
    assert [out.key for out in debts_of(_table(named), 0, first_offset=10)] == owed
