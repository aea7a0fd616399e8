"""Tickets that grow without end: what is kept and what is said stay far below what Kafka takes; the others of the partition are served."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest

from models.alert import Alert
from models.quarantine import RejectionReason
from rules import size
from rules.event import Event
from rules.messages import ClaimMessage, EventMessage, MembersMessage, RepeatMessage, decode, encode
from rules.repeats import Repeat, RepeatedComplaint
from rules.size import MAX_HISTORY_BYTES, RESERVE_BYTES, Sizes, newest_that_fit, size_of
from rules.state import EVENTS_AT_ONCE, MAX_EVENTS, TicketState, decode_state, encode_state
from rules.tickets import TooLarge, on_event, on_message
from streams.partition import RESERVED
from streams.stored import unpack
from tests.builders import Story, body, day, engine, event_of, run
from tests.partition_support import Agent, Watch
from tests.test_partition import TOPICS, events, tickets

MiB = 1024 * 1024
(URGED,) = Story()(1, "urged").events
(LONG,) = Story()(1, "amended", fields={"category": ["供" * 400, "水" * 400, "压" * 400]}).events


def copies(event: Event, count: int, *, ticket: str = "T-1", first: int = 0) -> list[Event]:
    """Return so many events alike, a second apart."""
    return [
        event._replace(event_id=f"{ticket}-{number:06}", ticket_id=ticket, at=day(1) + number * 1_000_000)
        for number in range(first, first + count)
    ]


def test_two_thousand_events_as_intake_may_let_them_through_would_be_no_value_for_kafka() -> None:
    """What the bounds are for: each of these is a small part of what an input may be."""
    assert 3_000 < size_of(LONG) < 5_000
    assert len(encode_state(TicketState("T-1", tuple(copies(LONG, MAX_EVENTS))))) > 6 * MiB


def beside(count: int) -> list[bytes]:
    """Return the events of ordinary tickets, each with a warning."""
    story = Story("beside")
    for number in range(count):
        for unit in ("A", "B"):
            story(2 + number / 100, "return_requested", ticket=f"beside-{number}", unit=unit)
    return events(story.records)


def between(hot: Sequence[Event], others: Sequence[bytes]) -> list[bytes]:
    """Return a log in which others' events stand between those of one ticket."""
    every, left = len(hot) // len(others), iter(others)
    log: list[bytes] = []
    for number, event in enumerate(hot, 1):
        log.append(encode(EventMessage(event)))
        if number % every == 0:
            log += [one for one in (next(left, None),) if one is not None]
    return [*log, *left]


def said(agent: Agent) -> set[tuple[str, str, str]]:
    found = [Alert.model_validate_json(out.value) for out in agent.once() if out.topic == TOPICS.alerts]
    return {(one.case_id, one.rule.id, one.alert_id) for one in found if "beside" in one.case_id}


def quarantined(agent: Agent) -> list[dict[str, object]]:
    return [orjson.loads(out.value) for out in agent.once() if out.topic == TOPICS.quarantine]


def states(agent: Agent) -> dict[bytes, bytes]:
    return {key: unpack(value).body for (_, key), value in agent.table.durable.items() if not key.startswith(RESERVED)}


@pytest.mark.parametrize("event", [URGED, LONG], ids=["small events", "large events"])
def test_a_ticket_of_ten_thousand_events_in_batches(event: Event) -> None:
    others = beside(20)
    log = between(copies(event, 10_000), others)
    alone = tickets(others).run([len(others)])
    watch = Watch()
    agent = tickets(log, watch=watch).run([997] * 12)
    assert max(map(len, agent.table.durable.values())) < 2 * MiB
    assert said(agent) == said(alone)
    assert len(said(alone)) >= 20
    refused = quarantined(agent)
    assert {one["reason"] for one in refused} <= {"too_large"}
    state = decode_state(states(agent)[b"T-1"])
    if event is URGED:
        assert not refused
        assert MAX_EVENTS <= len(state.events) <= MAX_EVENTS + EVENTS_AT_ONCE
        assert state.events[-1].event_id == "T-1-009999"
    else:
        assert len(state.events) + len(refused) == 10_000
        assert len(watch.of("alarmed")) == len(refused)
        assert len({one["offset"] for one in refused}) == len(refused)
        assert states(tickets(log).run([len(log)])) == states(agent)


def test_small_batches_and_crashes_come_to_the_same() -> None:
    log = between(copies(LONG, 420), beside(4))
    whole = tickets(log).run([len(log)])
    pieces = tickets(log).run([7] * 80, [("flush", 1), None, ("outputs", 1), None, ("acknowledge", 0)] * 20)
    assert states(pieces) == states(whole)
    assert {one["offset"] for one in quarantined(pieces)} == {one["offset"] for one in quarantined(whole)}
    assert len(quarantined(whole)) > 50


def test_many_small_events_come_to_the_same_in_one_batch_and_in_many() -> None:
    log = between(copies(URGED, MAX_EVENTS + 3 * EVENTS_AT_ONCE), beside(4))
    assert states(tickets(log).run([len(log)])) == states(tickets(log).run([150] * 20))


def test_a_full_ticket_can_still_be_closed() -> None:
    state = TicketState("T-1")
    for event in copies(LONG, 400):
        state = on_event(engine(), state, event, event.at).state
    assert MAX_HISTORY_BYTES - 8_192 < size_of(state.events) <= MAX_HISTORY_BYTES
    (end,) = Story()(3, "archived", event_id="end").events
    step = on_event(engine(), state, end, end.at)
    assert step.outputs == []
    assert step.state.events[-1] == end


def test_the_reserve_has_an_end_too() -> None:
    sizes, kept = Sizes(), tuple[Event, ...]()
    small = URGED._replace(unit="U-1", unit_name="某" * 260)
    assert 512 < size_of(small) <= size.SMALL_EVENT_BYTES
    for event in [*copies(LONG, 400), *copies(small, 400, first=400)]:
        if sizes.has_room("T-1", kept, {}, (*kept, event), event):
            kept = (*kept, event)
    assert MAX_HISTORY_BYTES + RESERVE_BYTES - 1_024 < size_of((kept, {})) <= MAX_HISTORY_BYTES + RESERVE_BYTES
    assert Sizes().has_room("T-1", kept[:-1], {}, kept, kept[-1])


def test_a_truncated_ticket_leaves_what_is_older_than_all_it_keeps_without_a_fold() -> None:
    judge = engine()
    state = TicketState("T-1", tuple(copies(URGED, MAX_EVENTS, first=1)), truncated=True)
    older = copies(URGED, 1)[0]._replace(event_id="older")
    step = on_event(judge, state, older, day(2))
    assert step.state == state
    assert step.outputs == []
    assert judge.histories.fold("T-1", state.events).events  # nothing was folded before this


def members(child: str, count: int, version: int = 1, event: Event = LONG) -> MembersMessage:
    return MembersMessage("root", child, version, tuple(copies(event, count, ticket=child)))


def test_a_root_takes_children_until_it_is_full() -> None:
    """A thousand children with many events each: those that fit are known, each of the others is one refused message."""
    state, refused = TicketState("root"), 0
    for number in range(60):
        step = on_message(engine(), state, members(f"child-{number}", 20), day(5))
        refused += any(isinstance(one, TooLarge) for one in step.outputs)
        assert size_of(step.state.members) <= MAX_HISTORY_BYTES
        state = step.state
    assert len(state.members) + refused == 60
    assert refused > 30
    less = on_message(engine(), state, members("child-0", 3, version=2), day(5))
    assert len(less.state.members["child-0"][1]) == 3
    gone = on_message(engine(), less.state, MembersMessage("root", "child-1", 2, ()), day(5))
    assert gone.state.members["child-1"][1] == ()


def test_a_refused_member_s_message_is_quarantined_with_its_own_offset() -> None:
    agent = tickets([encode(members(f"child-{number}", 90)) for number in range(6)]).run([4])
    found = quarantined(agent)
    assert found
    assert {one["reason"] for one in found} == {RejectionReason.TOO_LARGE.value}
    assert all(isinstance(one["offset"], int) and one["offset"] >= 3 for one in found)
    assert max(map(len, agent.table.durable.values())) < 2 * MiB


def test_a_large_child_tells_its_root_its_newest_events() -> None:
    state = TicketState("child", tuple(copies(LONG, 250, ticket="child")))
    merged = event_of(body("child", "merged", 3, event_id="merged", into="root"))
    outputs = on_event(engine(), state, merged, merged.at).outputs
    (told,) = [one for one in outputs if isinstance(one, MembersMessage)]
    assert len(encode(told)) <= size.MAX_FORWARDED_BYTES + 1_024
    assert told.events[-1].event_id == "merged"
    assert 100 < len(told.events) < 250


def test_what_is_claimed_of_one_citizen_is_bounded() -> None:
    story = Story()
    for number in range(300):
        story.complaint(number / 100, ticket=f"T-{number}", category=["甲" * 900, "乙" * 900])
    by_ticket = {event.ticket_id: (1, (event,)) for event in story.events}
    state = TicketState("root", members=dict(list(by_ticket.items())[:200]))
    message = MembersMessage("root", "T-299", 1, by_ticket["T-299"][1])
    (claim,) = [one for one in on_message(engine(), state, message, day(5)).outputs if isinstance(one, ClaimMessage)]
    assert len(encode(claim)) <= size.MAX_CLAIMED_BYTES + 1_024
    assert max(one.at for one in claim.complaints) == by_ticket["T-299"][1][0].at
    decoded = decode(encode(claim))
    assert decoded == claim


def test_names_of_too_many_citizens_complaints_are_let_go_and_no_count() -> None:
    rows = tuple(RepeatedComplaint(f"T-{number}", f"e-{number}", day(1), "类别相同") for number in range(30))
    state = TicketState("T-1", tuple(copies(URGED, 1)))
    for number in range(40):
        message = RepeatMessage("T-1", f"citizen-{number}", Repeat(1, 30 + number, rows))
        state = on_message(engine(), state, message, day(2)).state
    assert state.truncated
    assert [one.count for one in state.repeats.values()] == list(range(30, 70))
    assert sum(len(one.complaints) for one in state.repeats.values()) <= size.MAX_REPEAT_ROWS
    assert state.repeats["citizen-39"].complaints == rows
    assert decode_state(encode_state(state)) == state


def test_the_newest_that_fit() -> None:
    every = copies(LONG, 10)
    assert newest_that_fit(every, 10, 1_000_000) == tuple(every)
    assert newest_that_fit(every, 3, 1_000_000) == tuple(every[-3:])
    assert newest_that_fit(every, 10, 2 * size_of(every[0]) + 2) == tuple(every[-2:])
    assert newest_that_fit(every, 10, 100) == ()


def test_a_backtest_says_what_a_ticket_had_no_room_for() -> None:
    found = run(copies(LONG, 400))
    assert {type(alarm) for alarm in found.driver.alarms} == {TooLarge}
    assert len(found.driver.alarms) + len(found.driver.tickets["T-1"].events) == 400
