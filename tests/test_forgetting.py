"""One citizen is forgotten: nothing names that citizen any more, whatever comes later and wherever a crash falls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import Alert
from rules.driver import Driver
from rules.event import Event
from rules.forgetting import Needle, event_without, mark_of
from rules.matter import MatterConfig
from rules.messages import ErasureMessage, EventMessage, MembersMessage, TickMessage, encode
from streams import erasing
from streams.citizen_partition import CitizenPartition
from streams.erasing import mark_key, marks_among
from streams.ticket_partition import TicketPartition
from streams.topics import TopicSet
from tests.builders import Run, Story, day, engine, event_of, run
from tests.histories import SPAN_DAYS, histories
from tests.partition_support import Agent, DictTable, Watch

TOPICS = TopicSet(partitions=1)
UNTIL = SPAN_DAYS + 40
GONE = "c-1"
REQUEST = "r-1"
ERASURE = encode(ErasureMessage(GONE, REQUEST))
STEPS = st.sampled_from(("debts", "flush", "outputs", "acknowledge", "never", "never", "never"))
CRASHES = st.lists(st.tuples(STEPS, st.integers(0, 4)), max_size=40)


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "FORGET_SLICE", 2)


class Service:
    """Both tables, each message handed on to the end; crashes fall where they are told to."""

    def __init__(self, crashes: list[tuple[str, int]] | None = None, batch: int = 1) -> None:
        self._crashes: Iterator[tuple[str, int]] = iter(crashes or [])
        self._batch = batch
        self.tickets = Agent(self._open_tickets, [])
        self.citizens = Agent(self._open_citizens, [])
        self._agents = {TOPICS.tickets: self.tickets, TOPICS.citizens: self.citizens}

    def _open_tickets(self, table: DictTable, first_offset: int) -> TicketPartition:
        return TicketPartition(0, table, engine(), TOPICS, Watch(), first_offset)

    def _open_citizens(self, table: DictTable, first_offset: int) -> CitizenPartition:
        return CitizenPartition(0, table, MatterConfig(), TOPICS, Watch(), first_offset)

    def take(self, topic: str, *values: bytes) -> None:
        """Take messages, and all that follows from them."""
        agent = self._agents[topic]
        agent.log = [*agent.log, *values]
        while any(one.acknowledged < len(one.log) for one in self._agents.values()):
            for one in self._agents.values():
                if one.acknowledged < len(one.log):
                    before = len(one.sent)
                    one.batch(self._batch, next(self._crashes, None))
                    for out in one.sent[before:]:
                        if out.topic in self._agents:
                            to = self._agents[out.topic]
                            to.log = [*to.log, out.value]

    def feed(self, *events: Event) -> None:
        self.take(TOPICS.tickets, *(encode(EventMessage(event)) for event in events))

    def forget(self) -> None:
        self.take(TOPICS.citizens, ERASURE)

    def alerts(self) -> list[Alert]:
        found = [Alert.model_validate_json(out.value) for out in self.tickets.once() if out.topic == TOPICS.alerts]
        return sorted(found, key=lambda one: (one.case_id, one.sequence))

    def in_force(self) -> dict[tuple[str, str], str]:
        return Run(Driver(engine()), self.alerts()).in_force

    def namers(self) -> list[bytes]:
        """Return the keys of either table that name the citizen."""
        needle = Needle(GONE)
        return [
            key
            for agent in self._agents.values()
            for (_, key), value in agent.table.durable.items()
            if needle.in_record(key, value)
        ]

    def mark(self, agent: Agent) -> dict[str, Any]:
        value = agent.table.durable[0, mark_key(GONE)]
        return marks_among([(mark_key(GONE), value)])[mark_of(GONE)]


def unnamed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records as if the citizen had never said who it is."""
    text = orjson.dumps(records).replace(orjson.dumps({"key": GONE}), orjson.dumps({"anonymous": True}))
    found: list[dict[str, Any]] = orjson.loads(text)
    return found


def events(records: list[dict[str, Any]]) -> list[Event]:
    return [event_of(record) for record in records]


@settings(max_examples=40, deadline=None)
@given(histories(size_max=14), st.integers(0, 20), st.integers(1, 4), CRASHES)
def test_tickets_are_judged_as_if_the_citizen_had_never_been_named(
    records: list[dict[str, Any]], after: int, batch: int, crashes: list[tuple[str, int]]
) -> None:
    service = Service(crashes, batch)
    service.feed(*events(records[:after]))
    service.forget()
    assert service.namers() == []
    service.feed(*events(records[after:]))
    service.take(TOPICS.tickets, encode(TickMessage(day(UNTIL))))
    assert service.namers() == []
    assert service.in_force() == run(events(unnamed(records)), UNTIL).in_force


def test_events_that_wait_in_the_same_batch_bring_nothing_back() -> None:
    first, second = (Story(ticket).complaint(number, citizen={"key": GONE}) for number, ticket in enumerate("AB"))
    service = Service(batch=50)
    service.feed(*first.events)
    service.tickets.log = [*service.tickets.log, ERASURE]
    service.feed(*second.events)
    service.forget()
    assert service.namers() == []


def _twice(service: Service) -> None:
    """The same citizen complains twice of one matter, and is dissatisfied."""
    story = Story("A").complaint(0, citizen={"key": GONE})(1, "resolved", unit="U-1")(
        2, "visited", result="dissatisfied"
    )
    service.feed(*story.events, *Story("B").complaint(3, citizen={"key": GONE}).events)


def test_a_warning_that_rests_on_repeats_is_taken_back_and_the_proof_counts_what_went() -> None:
    service = Service()
    _twice(service)
    assert any(rule == "P08" for _, rule in service.in_force())
    service.forget()
    assert not any(rule == "P08" for _, rule in service.in_force())
    assert service.mark(service.citizens) == {"request": REQUEST, "done": True, "lineages": 2, "complaints": 2}
    removed = {"tickets": 2, "events": 2, "repeats": 2, "claims": 2}
    assert service.mark(service.tickets) == {"request": REQUEST, "done": True, **removed}


def test_asked_again_nothing_is_left_to_remove() -> None:
    service = Service()
    _twice(service)
    service.forget()
    sent = len(service.alerts())
    service.forget()
    assert len(service.alerts()) == sent
    assert service.mark(service.tickets)["tickets"] == 0
    assert service.mark(service.citizens)["lineages"] == 0


def test_others_are_left_alone() -> None:
    service = Service()
    _twice(service)
    service.feed(*Story("C").complaint(0, citizen={"key": GONE + "0"}).events)
    before = service.tickets.table.durable[0, b"C"]
    service.forget()
    assert service.tickets.table.durable[0, b"C"] == before
    assert (0, f"{GONE}0".encode()) in service.citizens.table.durable


def test_a_claim_that_was_on_its_way_is_not_taken() -> None:
    service = Service()
    _twice(service)
    claims = [out.value for out in service.tickets.sent if out.topic == TOPICS.citizens]
    service.forget()
    service.take(TOPICS.citizens, *claims)
    assert service.namers() == []


def test_what_a_ticket_owed_is_freed_too_where_its_state_names_nobody_any_more() -> None:
    service = Service()
    service.feed(*Story("A").complaint(0, citizen={"key": "c-2"}).events)
    child = Story("B").complaint(1, citizen={"key": GONE}).events
    for version, told in ((1, tuple(child)), (2, ())):  # merged, and taken back
        service.take(TOPICS.tickets, encode(MembersMessage("A", "B", version, told)))
    assert b"A" in service.namers()
    service.forget()
    assert service.namers() == []


def test_what_was_looked_up_by_the_pseudonym_goes_with_it() -> None:
    event = event_of(Story("A").complaint(0, citizen={"key": GONE}).records[0])
    joined = event._replace(data={**event.data, "reference": {"citizens": ["v1", "frequent", 9], "unit": ["v2", "x"]}})
    freed = event_without(joined, {GONE}.__contains__)
    assert freed.data["citizens"] == []
    assert freed.data["reference"] == {"unit": ["v2", "x"]}
    assert event_without(joined, {"c-2"}.__contains__) is joined


def test_the_mark_does_not_show_the_pseudonym() -> None:
    assert GONE.encode() not in mark_key(GONE)
    assert mark_of(GONE) != mark_of(GONE + "0")


def test_a_needle_finds_names_in_owed_messages_and_no_longer_names() -> None:
    needle = Needle('c"1')
    nested = orjson.dumps([orjson.dumps(["claim", 'c"1']).decode()])
    assert needle.in_value(nested)
    assert not Needle("c").in_value(orjson.dumps(["c-1", {"cc": 1}]))
