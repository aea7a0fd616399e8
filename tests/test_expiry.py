"""Tickets that are over go after a while: by the partition's clock, a slice at a time, and no warning changes by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import Alert
from models.times import DAY
from rules.driver import Driver
from rules.messages import (
    EventMessage,
    FarewellMessage,
    MembersMessage,
    PartedMessage,
    RepeatMessage,
    ReviewMessage,
    TickMessage,
    decode,
    encode,
)
from rules.repeats import Repeat
from rules.state import TicketState, decode_state
from rules.tickets import on_message
from streams import expiring
from streams.partition import RESERVED
from streams.stored import unpack
from streams.ticket_partition import TicketPartition
from streams.topics import TopicSet
from tests.builders import Run, Story, body, day, engine, event_of, run
from tests.histories import SPAN_DAYS, histories
from tests.partition_support import Agent, DictTable, Watch

TOPICS = TopicSet(partitions=1)
KEEP_DAYS = 100
STEPS = ("debts", "flush", "outputs", "acknowledge")
SIZES = st.lists(st.integers(1, 9), max_size=20)
CRASHES = st.lists(st.tuples(st.sampled_from((*STEPS, "never")), st.integers(0, 6)), min_size=4, max_size=20)
RETURN = {"contacted": False, "site_checked": False, "evidence": []}


class Service:
    """One partition of tickets that keeps them for so long. Its messages to itself come back; committed is what is acknowledged."""

    def __init__(self, keep_days: int | None = KEEP_DAYS, *, crashes: Iterable[tuple[str, int]] = ()) -> None:
        self.watch = Watch()
        self.keep = None if keep_days is None else keep_days * DAY
        self.committed: int | None = None
        """where commits stand still; None: they follow what is acknowledged"""
        self._crashes: Iterator[tuple[str, int]] = iter(crashes)
        self.agent = Agent(self._open, [])

    def _open(self, table: DictTable, first_offset: int) -> TicketPartition:
        return TicketPartition(
            0, table, engine(), TOPICS, self.watch, first_offset, keep=self.keep, committed=self._committed
        )

    def _committed(self) -> int:
        return self.agent.acknowledged if self.committed is None else self.committed

    def take(self, *values: bytes, batch: int = 1) -> None:
        """Take messages, and all that follows from them in this partition."""
        agent = self.agent
        agent.log = [*agent.log, *values]
        while agent.acknowledged < len(agent.log):
            before = len(agent.sent)
            agent.batch(batch, next(self._crashes, None))
            back = [out.value for out in agent.sent[before:] if out.topic == TOPICS.tickets]
            agent.log = [*agent.log, *back]

    def feed(self, records: Iterable[dict[str, Any]]) -> None:
        self.take(*(encode(EventMessage(event_of(record))) for record in records))

    def tick(self, *days: float) -> None:
        for number in days:
            self.take(encode(TickMessage(day(number))))

    @property
    def kept(self) -> set[str]:
        """Return the tickets that are in the table."""
        return {key.decode() for _, key in self.agent.table.durable if not key.startswith(RESERVED)}

    def state(self, ticket: str) -> TicketState:
        return decode_state(unpack(self.agent.table.durable[0, ticket.encode()]).body)

    def alerts(self) -> list[Alert]:
        return [Alert.model_validate_json(out.value) for out in self.agent.once() if out.topic == TOPICS.alerts]

    def refused(self) -> list[str]:
        told = [orjson.loads(out.value) for out in self.agent.once() if out.topic == TOPICS.quarantine]
        return [record["reason"] for record in told]

    def in_force(self) -> dict[tuple[str, str], str]:
        return Run(Driver(engine()), self.alerts()).in_force


def closed(ticket: str = "T-1", start: float = 0) -> Story:
    """Return a ticket that was returned twice, which is a warning for ever, and archived on the tenth day."""
    story = Story(ticket)(start, "registered", request_type="complaint", citizen={"key": "c-1"})
    story(start + 1, "return_requested", unit="U-1", **RETURN)(start + 2, "return_requested", unit="U-2", **RETURN)
    return story(start + 9, "resolved", unit="U-2")(start + 10, "archived")


# -- what goes, and when


def test_a_closed_ticket_goes_once_it_has_been_silent_for_longer_than_it_is_kept() -> None:
    service = Service()
    service.feed(closed().records)
    said = service.alerts()
    assert said
    service.tick(10 + KEEP_DAYS)
    assert service.kept == {"T-1"}
    service.tick(10 + KEEP_DAYS + 1)
    assert service.kept == set()
    assert service.alerts() == said, "nothing is said of it: what was in force stays in force"
    assert service.watch.of("expired") == [("tickets", 1)]
    assert service.agent.at_work.keys == 0


def test_by_default_nothing_ever_goes() -> None:
    service = Service(None)
    service.feed(closed().records)
    service.tick(5_000, 10_000)
    assert service.kept == {"T-1"}


@pytest.mark.parametrize(
    "end", ["archived", "resolved", "withdrawn", "voided", "direct_closed", "rejected", "transferred"]
)
def test_every_end_of_a_tickets_life_is_one(end: str) -> None:
    service = Service()
    service.feed(Story()(0, "registered", request_type="complaint")(3, end).records)
    service.tick(4 + KEEP_DAYS)
    assert service.kept == set()


@pytest.mark.parametrize(
    "life",
    [
        Story()(0, "registered"),
        Story()(0, "registered")(1, "dispatched", unit="U-1"),
        Story()(0, "registered")(1, "resolved", unit="U-1")(2, "visited", result="dissatisfied"),
        Story()(0, "registered")(1, "archived")(2, "reopened"),
        Story()(0, "registered")(1, "suspended"),
    ],
    ids=["registered", "dispatched", "dissatisfied", "reopened", "suspended"],
)
def test_whoever_still_waits_is_kept(life: Story) -> None:
    service = Service()
    service.feed(life.records)
    service.tick(2_000, 4_000)
    assert service.kept == {"T-1"}


def test_a_deadline_that_lies_ahead_keeps_a_ticket() -> None:
    service = Service()
    life = Story()(0, "dispatched", unit="U-1", due_at="2026-03-03T09:00:00+08:00")(1, "visited", result="satisfied")
    service.feed(life.records)
    service.tick(200)
    assert service.kept == {"T-1"}


def test_the_walk_goes_in_slices_and_no_more_than_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiring, "EXPIRY_SLICE", 3)
    service = Service()
    for number in range(10):
        service.feed(closed(f"T-{number}").records)
    service.tick(200, 200)  # the table's own keys come first
    assert len(service.kept) == 7
    service.tick(*[200] * 3)
    assert service.kept == set()
    looked: list[int] = []
    monkeypatch.setattr(DictTable, "partition_items", lambda self, partition: looked.append(partition) or iter(()))
    service.tick(200.1, 200.2)
    assert looked == []
    service.tick(201)
    assert looked == [0]


def test_where_much_is_old_at_once_only_so_much_is_judged_with_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiring, "JUDGED_SLICE", 4)
    service = Service()
    for number in range(10):
        service.feed(closed(f"T-{number}").records)
    left = []
    for _ in range(4):
        service.tick(200)
        left.append(len(service.kept))
    assert left == [6, 2, 0, 0]


def test_the_number_of_keys_stays_bounded_over_many_years() -> None:
    service = Service()
    most = 0
    for number in range(400):
        service.feed(closed(f"T-{number}", start=10 * number).records)
        most = max(most, len(service.kept))
        assert service.agent.at_work.keys == len(service.kept)
    assert most <= KEEP_DAYS / 10 + 4
    assert len(service.agent.at_work.deadlines) <= most


# -- what comes afterwards


def test_an_old_event_for_an_expired_ticket_is_refused_and_warns_of_nothing() -> None:
    service = Service()
    service.feed(closed().records)
    service.tick(200)
    said = service.alerts()
    service.feed(closed().records)
    assert service.refused() == ["too_late"] * 5
    assert service.alerts() == said
    service.tick(201, 202)
    assert service.kept == set(), "what a refused event left there goes too"


def test_an_old_event_is_refused_before_the_walk_has_come_to_its_ticket_too(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    service.feed(closed().records)
    monkeypatch.setattr(expiring, "EXPIRY_SLICE", 0)
    service.tick(200)
    service.feed([body("T-1", "reopened", 11, "late")])
    assert service.kept == {"T-1"}
    assert service.refused() == ["too_late"]
    service.feed(closed().records)
    assert service.refused() == ["too_late"], "a double is none"


def test_a_late_event_of_a_ticket_that_is_not_over_is_taken() -> None:
    service = Service()
    service.feed(Story()(0, "registered")(1, "return_requested", unit="U-1", **RETURN).records)
    service.tick(400)
    service.feed([body("T-1", "return_requested", 2, "late", unit="U-2", **RETURN)])
    assert service.refused() == []
    assert ("T-1", "P01") in service.in_force()


def test_a_new_event_begins_the_ticket_anew() -> None:
    service = Service()
    service.feed(closed().records)
    service.tick(200)
    service.feed([body("T-1", "return_requested", 200, "new", unit="U-9", **RETURN)])
    assert [event.event_id for event in service.state("T-1").events] == ["new"]
    assert service.refused() == []


def test_what_a_ticket_tells_in_a_second_life_counts_as_later_than_what_it_told_in_the_first() -> None:
    service = Service()
    service.feed(closed().records)
    first = service.state("T-1").told
    service.tick(200)
    service.feed(closed(start=250).records)
    claims = [decode(out.value) for out in service.agent.once() if out.topic == TOPICS.citizens]
    versions = [claim.version for claim in claims]  # type: ignore[union-attr]
    assert versions == sorted(set(versions))
    assert first < versions[-1]


def test_what_is_found_about_an_expired_ticket_does_not_bring_it_back() -> None:
    service = Service()
    service.feed(closed().records)
    service.tick(200)
    service.take(encode(RepeatMessage("T-1", "c-1", Repeat(7, 3, ()))))
    assert service.kept == set()


def test_a_review_brings_nothing_back() -> None:
    service = Service()
    service.feed(closed().records)
    service.tick(200)
    service.take(encode(ReviewMessage()))
    assert service.kept == set()
    assert service.agent.at_work.keys == 0


# -- what comes again


def test_a_ticket_stays_while_one_of_its_records_may_come_again() -> None:
    service = Service()
    service.feed(closed().records)
    service.committed = 4  # the last record is acknowledged, and not committed
    service.tick(200, 201)
    assert service.kept == {"T-1"}
    service.committed = 5
    service.tick(202)
    assert service.kept == set()


def test_what_is_read_again_after_a_crash_does_not_bring_a_ticket_back() -> None:
    service = Service()
    service.feed(closed().records)
    said = service.alerts()
    service.committed = 5
    service.tick(200, 201)
    assert service.kept == set()
    service.agent.restart()
    service.agent.acknowledged = 5
    service.take()
    assert (service.kept, service.alerts(), service.refused()) == (set(), said, [])


# -- merged tickets


def merged() -> Story:
    """Return a ticket that was merged into one that was merged into a third."""
    story = closed("A")
    for child, root in (("C", "B"), ("B", "A")):
        story(1, "registered", ticket=child, request_type="complaint", citizen={"key": "c-1"})
        story(4, "merged", ticket=child, into=root)
    return story


def test_children_part_before_their_root_goes() -> None:
    service = Service()
    service.feed(merged().records)
    in_force = service.in_force()
    service.tick(200)
    assert service.kept >= {"A", "B"}
    service.tick(201, 202, 203, 204)
    assert service.kept == set()
    assert service.in_force() == in_force
    assert service.refused() == []


def test_a_child_that_its_root_does_not_ask_stays() -> None:
    service = Service()
    story = Story("A")(0, "registered")(1, "registered", ticket="B")(2, "merged", ticket="B", into="A")
    service.feed(story.records)
    service.tick(500, 501, 502)
    assert service.kept == {"A", "B"}, "the root is open"
    service.feed([body("B", "return_requested", 3, "late", unit="U-1", **RETURN)])
    assert "late" in {event.event_id for event in service.state("A").members["B"][1]}


def test_a_child_that_has_said_more_than_its_root_knows_does_not_part() -> None:
    service = Service()
    service.feed(merged().records)
    before = service.state("B")
    service.take(encode(TickMessage(day(200))), encode(FarewellMessage("B", "A", "what A knew once")), batch=2)
    assert service.state("B").forwarded == before.forwarded


def test_a_child_does_not_part_before_its_own_clock_is_past() -> None:
    service = Service()
    service.feed(merged().records)
    state = service.state("C")
    assert state.forwarded is not None
    service.take(encode(FarewellMessage("C", *state.forwarded)))
    assert service.state("C") == state


def test_what_comes_for_a_child_that_has_parted_is_not_forwarded() -> None:
    service = Service()
    service.feed(merged().records)
    service.committed = service.agent.acknowledged  # whatever has parted stays in the table
    service.tick(200, 201, 202)
    assert service.state("C").has_parted
    service.feed([body("C", "reopened", 5, "old"), body("C", "urged", 202, "new")])
    assert service.refused() == ["too_late"]
    assert [event.event_id for event in service.state("C").events] == ["new"]
    assert service.state("C").forwarded is None


def test_a_root_keeps_what_a_parted_child_said_whatever_its_next_life_says() -> None:
    events = tuple(event for event in merged().events if event.ticket_id == "C")
    root = TicketState("B", members={"C": (-3, events)})
    fresh = event_of(body("C", "merged", 202, "new", into="B"))
    again = on_message(engine(), root, MembersMessage("B", "C", day(202), (fresh,)), day(202)).state
    assert again.members["C"] == (day(202), (*events, fresh))
    late = on_message(engine(), root, MembersMessage("B", "C", 3, ()), day(202)).state
    assert late.members["C"] == (-3, events), "what comes twice is nothing new"


def test_a_parting_that_comes_for_nobody_is_nothing() -> None:
    service = Service()
    service.tick(200)
    service.take(encode(PartedMessage("A", "B")), encode(FarewellMessage("B", "A", "x")))
    assert service.kept == set()


# -- whatever happens


@settings(max_examples=60, deadline=None)
@given(histories(size_max=16), st.randoms(use_true_random=False), SIZES, CRASHES)
def test_what_is_in_force_is_what_it_would_be_if_nothing_ever_expired(
    records: list[dict[str, Any]], chance: Any, sizes: list[int], crashes: list[tuple[str, int]]
) -> None:
    """Events come in any order as long as all of them are in time; then the years go by."""
    chance.shuffle(records)
    service = Service(SPAN_DAYS + 10, crashes=crashes)
    service.take(*(encode(EventMessage(event_of(record))) for record in records), batch=next(iter(sizes), 1))
    service.tick(SPAN_DAYS + 9, *range(SPAN_DAYS + 400, SPAN_DAYS + 412), 3_000, 3_001)
    forever = Service(None)
    forever.take(*(encode(EventMessage(event_of(record))) for record in records))
    forever.tick(3_001)
    assert service.in_force() == forever.in_force()
    assert service.refused() == forever.refused()
    for ticket in service.kept:
        state = service.state(ticket)
        assert state.forwarded is not None or state.members or state.events
    assert service.agent.at_work.keys == len(service.kept)


def test_the_core_without_expiry_says_the_same() -> None:
    story = merged()
    service = Service()
    service.feed(sorted(story.records, key=lambda one: one["occurred_at"]))
    service.tick(200, 201, 202, 203, 204)
    assert service.kept == set()
    assert service.in_force() == run(sorted(story.events, key=lambda one: one.moment), 204).in_force
