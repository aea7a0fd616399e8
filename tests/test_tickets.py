"""One ticket, step by step: history held back, test tickets, voids, limits of memory, and the state's codec."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import Status
from rules import citizens, messages
from rules.messages import EventMessage, MembersMessage, RepeatMessage
from rules.repeats import Repeat
from rules.state import MAX_EVENTS, TicketState, decode_state, encode_state
from rules.tickets import judge, on_event, on_message, on_time
from tests.builders import Story, day, engine, event_of, run
from tests.histories import histories

A, B, C = "U-A", "U-B", "U-C"


def returned(story: Story, *units: str, **fields: Any) -> Story:
    for number, unit in enumerate(units):
        story(number + 1, "return_requested", unit=unit, **fields)
    return story


# --- history held back (backfill) ---


def test_history_changes_state_and_pushes_nothing() -> None:
    told = run(returned(Story()(0, "registered", backfill=True), A, B, backfill=True), 50)
    assert told.in_force == {("T-1", "P01"): "yellow", ("T-1", "P12"): "blue"}
    assert not any(one.push for one in told.alerts), "not even a deadline's warning"
    assert all("backfill" in one.flags for one in told.alerts)


def test_a_live_event_releases_the_last_version_under_its_own_id() -> None:
    story = returned(Story(), A, B, C, backfill=True)
    held = run(story).versions("P01")
    assert [one.level.value for one in held] == ["yellow", "red"]
    released = run(story(10, "urged")).versions("P01")
    assert released[:2] == held
    (pushed,) = released[2:]
    assert pushed == held[-1].model_copy(update={"push": True})


def test_what_was_released_is_not_released_again() -> None:
    story = returned(Story(), A, B, backfill=True)(10, "urged")(11, "urged")
    assert sum(one.push for one in run(story).alerts) == 1


def test_a_level_that_the_live_event_itself_changes_follows_what_it_releases() -> None:
    story = returned(Story(), A, B, backfill=True)(10, "return_requested", unit=C)
    pushed = [one for one in run(story).versions("P01") if one.push]
    assert [(one.status.value, one.level.value) for one in pushed] == [("raised", "yellow"), ("escalated", "red")]
    assert pushed[1].previous_alert_id == pushed[0].alert_id


def test_history_that_was_taken_back_before_anything_live_is_never_pushed() -> None:
    story = returned(Story(), A, B, backfill=True)(3, "return_denied", unit=A, backfill=True)(
        4, "return_denied", unit=B, backfill=True
    )(10, "urged")
    told = run(story)
    assert told.told("P01") == [("raised", "yellow"), ("retracted", "yellow")]
    assert not any(one.push for one in told.alerts)


def test_backfill_caps_no_level() -> None:
    assert run(returned(Story(), A, B, C, backfill=True)).in_force == {("T-1", "P01"): "red"}


# --- test tickets ---


def test_a_test_ticket_is_judged_and_never_pushed() -> None:
    told = run(returned(Story()(0, "registered", test=True), A, B), 40)
    assert told.in_force == {("T-1", "P01"): "yellow", ("T-1", "P12"): "blue"}
    assert not any(one.push for one in told.alerts)
    assert all("test" in one.flags for one in told.alerts)


def test_the_history_of_a_test_ticket_is_not_released() -> None:
    told = run(returned(Story()(0, "registered", test=True), A, B, backfill=True)(9, "urged"))
    assert not any(one.push for one in told.alerts)


def test_a_test_complaint_is_no_repeat_of_a_real_one() -> None:
    story = Story().complaint(0).complaint(1, ticket="T-2", test=True).complaint(2, ticket="T-3")
    story(3, "visited", result="dissatisfied")
    assert run(story).versions("P08")[-1].facts["repeat.count"] == 2


# --- voids ---


def test_a_void_retracts_everything_with_its_reason() -> None:
    story = returned(Story()(0, "registered"), A, B, contacted=False)(40, "voided", reason="误录")
    told = run(story, 100)
    assert told.in_force == {}
    retracted = [one for one in told.alerts if one.status is Status.RETRACTED]
    assert {one.rule.id for one in retracted} == {"P01", "P02", "P12"}
    for one in retracted:
        assert (one.reason, one.trigger) == ("voided", "T-1-004")
        assert "工单已作废" in one.headline
        assert one.evidence[-1].what == "作废"


def test_what_comes_late_to_a_voided_ticket_raises_nothing() -> None:
    story = Story()(5, "voided")
    assert run(returned(story, A, B, C), 60).alerts == []


# --- corrections ---


def test_a_denial_corrects_and_then_retracts() -> None:
    story = returned(Story(), A, B, C)(4, "return_denied", unit=C)(5, "return_denied", unit=B)
    told = run(story)
    assert told.told("P01") == [
        ("raised", "yellow"),
        ("escalated", "red"),
        ("corrected", "yellow"),
        ("retracted", "yellow"),
    ]
    corrected, retracted = told.versions("P01")[2:]
    assert (corrected.trigger, retracted.trigger) == ("T-1-004", "T-1-005")
    assert retracted.reason is None


def test_a_resolution_that_comes_late_retracts_what_time_had_raised() -> None:
    story = Story()(0, "dispatched", unit=A, limit={"value": 5, "unit": "days"})(40, "urged")(4.5, "resolved", unit=A)
    told = run(story)
    assert told.told("P06") == [("raised", "blue"), ("escalated", "yellow"), ("escalated", "red"), ("retracted", "red")]
    assert told.versions("P06")[-1].trigger == "T-1-003"


def test_an_amendment_may_take_a_repeat_back() -> None:
    story = Story().complaint(0).complaint(1, ticket="T-2")(2, "visited", result="dissatisfied")
    assert run(story).in_force == {("T-1", "P08"): "blue"}
    story(3, "amended", ticket="T-2", fields={"request_type": "praise"})
    assert run(story).in_force == {}


# --- the limits of memory ---


def test_a_ticket_keeps_its_newest_events_and_its_registration() -> None:
    story = Story()(0, "registered")
    events = story.events
    urged = event_of({**story.records[0], "type": "urged"})
    events += [urged._replace(event_id=f"u-{number:05}", at=day(1) + number) for number in range(MAX_EVENTS - 1)]
    full = TicketState("T-1", tuple(events))
    one_more = urged._replace(event_id="last", at=day(2))
    state = on_event(engine(), full, one_more, day(2)).state
    assert state.truncated
    assert len(state.events) == MAX_EVENTS
    assert {"T-1-001", "last", "u-00001"} <= {event.event_id for event in state.events}
    assert "u-00000" not in {event.event_id for event in state.events}
    older = on_event(engine(), state, urged._replace(event_id="older", at=day(0.5)), day(2)).state
    assert {event.event_id for event in older.events} == {event.event_id for event in state.events}


def test_what_a_truncated_ticket_says_is_flagged() -> None:
    state = TicketState("T-1", tuple(returned(Story(), A).events), truncated=True)
    (event,) = Story()(5, "return_requested", unit=B, event_id="late").events
    (alert,) = on_event(engine(), state, event, day(5)).outputs
    assert "truncated" in alert.flags  # type: ignore[union-attr]


# --- steps ---


def test_an_older_message_from_another_table_changes_nothing() -> None:
    state = on_event(engine(), TicketState("T-1"), Story().complaint(0).events[0], day(0)).state
    newer = on_message(engine(), state, RepeatMessage("T-1", "c", Repeat(3, 4, ())), day(1)).state
    assert on_message(engine(), newer, RepeatMessage("T-1", "c", Repeat(2, 9, ())), day(1)) == (newer, [])
    assert on_message(engine(), newer, RepeatMessage("T-1", "c", Repeat(3, 9, ())), day(1)) == (newer, [])
    told = on_message(engine(), newer, MembersMessage("T-1", "T-9", 2, ()), day(1)).state
    assert (
        on_message(
            engine(), told, MembersMessage("T-1", "T-9", 1, tuple(Story("T-9")(0, "urged").events)), day(1)
        ).state
        == told
    )


def test_an_event_message_is_the_event() -> None:
    (event,) = Story().complaint(0).events
    state = TicketState("T-1")
    assert on_message(engine(), state, EventMessage(event), day(0)) == on_event(engine(), state, event, day(0))


def test_the_passing_of_time_without_a_deadline_makes_nothing() -> None:
    state = TicketState("T-1")
    assert on_time(engine(), state, day(1000)) == (state, [])


def test_a_step_leaves_the_state_before_it_alone() -> None:
    state = TicketState("T-1", tuple(returned(Story(), A).events))
    before = encode_state(state)
    on_event(engine(), state, Story()(5, "return_requested", unit=B, event_id="x").events[0], day(5))
    assert encode_state(state) == before


# --- codecs ---


@settings(max_examples=60, deadline=None)
@given(histories(size_max=16), st.randoms(use_true_random=False), st.booleans())
def test_states_and_messages_survive_the_wire(
    records: list[dict[str, Any]], chance: random.Random, backfill: bool
) -> None:
    events = [event_of(record | {"backfill": backfill}) for record in chance.sample(records, len(records))]
    told = run(events, 100)
    for state in told.driver.tickets.values():
        again = decode_state(encode_state(state))
        assert again == state
        assert encode_state(again) == encode_state(state)
        assert judge(engine(), again, day(100)).values == judge(engine(), state, day(100)).values
        wired: list[Any] = [EventMessage(event) for event in state.events]
        wired.append(MembersMessage("X", state.ticket_id, 3, state.events))
        wired += [RepeatMessage(state.ticket_id, citizen, one) for citizen, one in state.repeats.items()]
        assert [messages.decode(messages.encode(message)) for message in wired] == wired
    for citizen in told.driver.citizens.values():
        assert citizens.decode_state(citizens.encode_state(citizen)) == citizen
        for root, (version, complaints) in citizen.claims.items():
            claim = messages.ClaimMessage(citizen.citizen, root, version, complaints)
            assert messages.decode(messages.encode(claim)) == claim


@settings(max_examples=60, deadline=None)
@given(histories(size_max=14), st.randoms(use_true_random=False))
def test_a_state_taken_from_the_wire_goes_on_as_if_it_had_stayed(
    records: list[dict[str, Any]], chance: random.Random
) -> None:
    """What a worker writes and reads back between any two events makes no difference."""
    from rules.driver import Driver

    events = [event_of(record) for record in chance.sample(records, len(records))]
    driver, told = Driver(engine()), []
    for event in events:
        driver.tickets = {ticket: decode_state(encode_state(state)) for ticket, state in driver.tickets.items()}
        driver.citizens = {
            key: citizens.decode_state(citizens.encode_state(state)) for key, state in driver.citizens.items()
        }
        told += driver.feed(event)
    told += driver.advance(day(100))
    assert told == run(events, 100).alerts


def test_an_empty_state_survives_the_wire() -> None:
    for state in (TicketState("T-1"), TicketState("T-1")._replace(forwarded=("T-2", "x"), refused=("e",), due_at=5)):
        assert decode_state(encode_state(state)) == state
