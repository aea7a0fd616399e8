"""The heap of deadlines: which come up, in what order, and how many are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rules.deadline_heap
from rules.deadline_heap import STALE_MIN, DeadlineHeap

MOVES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), st.integers(0, 30)), st.booleans()), max_size=400
)


def come_up(deadlines: DeadlineHeap, held: dict[str, int], limit: int) -> list[tuple[int, str]]:
    """Take what is due up to an instant as a partition does: what was moved since is passed over, the rest has come."""
    found = []
    while due := deadlines.pop(limit):
        at, ticket = due
        if held.get(ticket) == at:
            found.append(due)
            deadlines.move(ticket, held.pop(ticket), None)
    return found


@given(MOVES, st.integers(1, 8))
def test_each_deadline_that_holds_comes_up_once_and_in_order(
    moves: list[tuple[str, int | None, bool]], stale_min: int
) -> None:
    held, clock = {"a": 3, "b": 1}, -1
    deadlines = DeadlineHeap([(3, "a"), (1, "b")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules.deadline_heap, "STALE_MIN", stale_min)
        for ticket, after, passes in moves:
            deadlines.move(ticket, held.get(ticket), after)
            held = {key: at for key, at in held.items() if key != ticket} | ({} if after is None else {ticket: after})
            if passes:
                clock = clock + 1 if clock < 30 else 0
                expected = sorted((at, key) for key, at in held.items() if at <= clock)
                assert come_up(deadlines, held, clock) == expected
        expected = sorted((at, key) for key, at in held.items())
        assert come_up(deadlines, held, 30) == expected


def test_what_was_moved_does_not_pile_up() -> None:
    """Tickets whose far deadlines are met in time, over and over; only a few are ever open."""
    deadlines, most = DeadlineHeap([]), 0
    for number in range(20 * STALE_MIN):
        ticket = f"T-{number}"
        deadlines.move(ticket, None, 10**15 + number)
        deadlines.move(ticket, 10**15 + number, 10**15 + number + 1)
        deadlines.move(ticket, 10**15 + number + 1, None)
        most = max(most, len(deadlines))
    assert most <= 2 * STALE_MIN + 2


def test_one_that_goes_away_and_comes_back_does_not_pile_up() -> None:
    deadlines, far = DeadlineHeap([]), 10**15
    deadlines.move("T-1", None, far)
    for number in range(5 * STALE_MIN):
        deadlines.move("T-1", far, number)
        deadlines.move("T-1", number, far)
        assert len(deadlines) <= 2 * STALE_MIN + 2
    assert (far, "T-1") in [deadlines.pop(far) for _ in range(len(deadlines))]


def test_a_deadline_that_goes_away_and_comes_back_holds() -> None:
    deadlines = DeadlineHeap([(7, "T-1")])
    deadlines.move("T-1", 7, 9)
    deadlines.move("T-1", 9, 7)
    for number in range(2 * STALE_MIN):
        deadlines.move("T-2", number + 100, number + 101)
    assert deadlines.pop(7) == (7, "T-1")
    assert deadlines.pop(6) is None


def test_of_all_that_are_kept_a_quarter_at_most_was_moved() -> None:
    deadlines, tickets = DeadlineHeap([]), 20 * STALE_MIN
    for number in range(tickets):
        deadlines.move(f"T-{number}", None, number)
        deadlines.move(f"T-{number}", number, 10**12 + number)
        deadlines.move(f"T-{number}", 10**12 + number, 10**15 + number)
    assert tickets <= len(deadlines) <= tickets * 4 / 3 + 2


def test_they_come_up_by_instant_whatever_its_size_and_then_by_ticket() -> None:
    wanted = [
        (-(10**16), "T-9"),
        (-1, "T-8"),
        (0, "T-7"),
        (255, "T-6"),
        (256, "T-5"),
        (10**15, "工单"),
        (1 << 62, "T-1"),
    ]
    wanted.insert(4, (256, "T-4"))
    deadlines = DeadlineHeap(reversed(wanted))
    assert deadlines.next_due() == -(10**16)
    assert [deadlines.pop(1 << 62) for _ in wanted] == wanted
    assert deadlines.next_due() is None
