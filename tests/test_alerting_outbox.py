"""The outbox: nothing lost, no gaps, order within a case, the same input twice changes nothing the second time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.outbox import due_at, fold, heads, offer
from alerting.outbox_state import SEEN_MAX, CaseOutbox, Item, StateError, decode, encode
from alerting.record import attempt_record, disabled_record, queued_record
from alerting.send import Answer
from models.alert import Alert
from models.base import Level
from models.delivery import DeliveryRecord, DeliveryStatus, Outcome
from models.times import SECOND, parse_instant
from tests.alerting_support import make_alert, make_subscriber
from tests.directory_support import make_directory

NOW = parse_instant("2025-06-18T09:00:00+08:00")
ONE = make_subscriber("one")
RED_ONLY = make_subscriber("red-only", levels=frozenset({Level.RED}))
BOTH = make_directory(ONE, RED_ONLY)
VERSION = BOTH.registry.version


def number(_: str) -> int:
    """Positions are dispatch's business."""
    return 1


def attempted(name: str, item: Item, outcome: Outcome, now: int = NOW, case_id: str = "case-1") -> DeliveryRecord:
    return attempt_record(case_id, name, ONE.endpoint_id, item, Answer(outcome, 200), now, now, 1.0)


def offered(state: CaseOutbox, *alerts: Alert) -> CaseOutbox:
    for alert in alerts:
        state = offer(state, alert, BOTH, NOW, number).state
    return state


def head_of(state: CaseOutbox, name: str = "one") -> Item:
    return dict(heads(state))[name]


def sequences(state: CaseOutbox, name: str = "one") -> list[tuple[str, int]]:
    return [(item.alert_id, item.delivery_sequence) for item in state.lanes[name].queue]


def test_filters_leave_gaps_in_sequence_but_none_in_delivery_sequence() -> None:
    state = offered(
        CaseOutbox("case-1"),
        make_alert("a-1", sequence=1),
        make_alert("a-2", sequence=2, status="escalated", level="red"),
        make_alert("a-3", sequence=3, rule={"id": "P02", "version": 1, "title": "盲退"}),
        make_alert("a-4", sequence=4, status="corrected"),
    )
    assert sequences(state, "one") == [("a-1", 1), ("a-2", 2), ("a-3", 3), ("a-4", 4)]
    assert sequences(state, "red-only") == [("a-2", 1), ("a-4", 2)]


def test_a_retraction_goes_to_whoever_was_told_and_ends_it() -> None:
    state = offered(CaseOutbox("case-1"), make_alert("a-1"), make_alert("a-2", status="retracted"))
    assert sequences(state) == [("a-1", 1), ("a-2", 2)]
    assert "red-only" not in state.lanes
    again = offered(state, make_alert("a-3", status="retracted"))
    assert sequences(again) == [("a-1", 1), ("a-2", 2)]


def test_only_a_delivered_record_takes_an_item_off() -> None:
    state = offered(CaseOutbox("case-1"), make_alert("a-1"), make_alert("a-2"))
    for number, outcome in enumerate(outcome for outcome in Outcome if outcome is not Outcome.ACCEPTED):
        state = fold(state, attempted("one", head_of(state), outcome), number).state
        assert sequences(state) == [("a-1", 1), ("a-2", 2)]
    done = fold(state, attempted("one", head_of(state), Outcome.ACCEPTED), 100)
    assert sequences(done.state) == [("a-2", 2)]


def test_a_body_is_needed_until_the_last_lane_is_done_with_it() -> None:
    state = offered(CaseOutbox("case-1"), make_alert("a-1", level="red"))
    first = fold(state, attempted("one", head_of(state), Outcome.ACCEPTED), 1)
    assert first.state.needed() == {"a-1"}
    second = fold(first.state, attempted("red-only", head_of(state, "red-only"), Outcome.ACCEPTED), 2)
    assert second.state.needed() == frozenset()
    assert second.state.needed({"one"}) == {"a-1"}  # it may be said again


def test_a_failure_sets_the_next_attempt_and_survives_encoding() -> None:
    state = offered(CaseOutbox("case-1"), make_alert("a-1"))
    state = decode(encode(fold(state, attempted("one", head_of(state), Outcome.HTTP_5XX), 1).state))
    item = head_of(state)
    assert (item.attempts, item.outcome, item.status) == (1, Outcome.HTTP_5XX, DeliveryStatus.PENDING)
    due = due_at(item, ONE, VERSION)
    assert due is not None
    assert NOW + 4 * SECOND <= due <= NOW + 6 * SECOND


def test_an_older_attempts_record_changes_nothing() -> None:
    state = offered(CaseOutbox("case-1"), make_alert("a-1"))
    first = attempted("one", head_of(state), Outcome.TIMEOUT)
    state = fold(state, first, 1).state
    state = fold(state, attempted("one", head_of(state), Outcome.HTTP_5XX), 2).state
    assert fold(state, first, 3).state == state


def test_gone_parks_until_the_entry_is_changed() -> None:
    state = offered(CaseOutbox("case-1"), make_alert("a-1"))
    state = fold(state, attempted("one", head_of(state), Outcome.GONE), 1).state
    parked = head_of(state)
    assert parked.status is DeliveryStatus.DISABLED
    assert due_at(parked, ONE, VERSION) is None
    revised = dataclasses.replace(ONE, revision=2)
    due = due_at(parked, revised, VERSION)
    assert due is not None
    assert due <= NOW
    state = fold(state, attempted("one", parked, Outcome.HTTP_5XX), 2).state
    assert head_of(state).status is DeliveryStatus.PENDING


def test_a_disabled_endpoint_parks_what_was_never_tried() -> None:
    state = offered(CaseOutbox("case-1"), make_alert("a-1"))
    state = fold(state, disabled_record("case-1", "one", ONE.endpoint_id, head_of(state)), 1).state
    item = head_of(state)
    assert (item.status, item.attempts, due_at(item, ONE, VERSION)) == (DeliveryStatus.DISABLED, 0, None)


def test_a_stale_workers_late_record_is_corrected() -> None:
    state = offered(CaseOutbox("case-1"), make_alert("a-1"))
    item = head_of(state)
    state = fold(state, attempted("one", item, Outcome.ACCEPTED), 10).state
    late = fold(state, attempted("one", item, Outcome.HTTP_5XX), 11)
    assert late.correction is not None
    assert late.correction.status is DeliveryStatus.DELIVERED
    assert late.correction.key == queued_record("case-1", "one", item).key
    assert fold(late.state, late.correction, 12).correction is None
    # an old record read again is no stale worker's
    assert fold(state, queued_record("case-1", "one", item), 9).correction is None


def test_a_late_record_of_something_still_queued_is_corrected_too() -> None:
    state = offered(CaseOutbox("case-1"), make_alert("a-1"))
    queued = queued_record("case-1", "one", head_of(state))
    assert fold(state, queued, 4).correction is None
    state = fold(state, attempted("one", head_of(state), Outcome.GONE), 5).state
    late = fold(state, queued, 6)  # written again by a redelivery, after the outcome
    assert late.correction == queued_record("case-1", "one", head_of(state))
    assert late.correction.status is DeliveryStatus.DISABLED
    assert late.state == state
    assert fold(state, late.correction, 7).correction is None
    assert fold(state, queued, 4).correction is None  # merely read again


def test_what_is_remembered_is_bounded() -> None:
    state = CaseOutbox("case-1")
    for number in range(SEEN_MAX + 50):
        state = offered(state, make_alert(f"a-{number}"))
        state = fold(state, attempted("one", head_of(state), Outcome.ACCEPTED), number).state
    assert len(state.lanes["one"].seen) == SEEN_MAX
    assert state.lanes["one"].next_sequence == SEEN_MAX + 51
    assert len(encode(state)) < 64 * 1024


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"type":"dispatch-case","schema_version":3}',
        b'{"type":"ticket","schema_version":1}',
    ],
)
def test_foreign_values_are_refused(value: bytes) -> None:
    with pytest.raises(StateError):
        decode(value)


# -- a whole run, with crashes, redelivery, a failing receiver

RULES = ("P01", "P02")
STATUSES = ("raised", "escalated", "corrected", "retracted")
versions = st.lists(
    st.tuples(
        st.sampled_from(("case-1", "case-2")), st.sampled_from(RULES), st.sampled_from(STATUSES), st.sampled_from(Level)
    ),
    min_size=1,
    max_size=12,
)
steps = st.lists(
    st.sampled_from(["read", "send", "send", "fail", "send-unread", "crash-after-send", "reread", "refold", "stale"]),
    max_size=60,
)


@dataclass
class World:
    """A worker over one partition, its topics, and receivers that deduplicate by webhook-id."""

    alerts: Sequence[Alert]
    states: dict[str, CaseOutbox] = field(default_factory=dict)
    records: list[DeliveryRecord] = field(default_factory=list)
    read: int = 0
    folded: int = 0
    received: dict[tuple[str, str], list[tuple[str, int]]] = field(default_factory=dict)

    def read_alert(self, index: int) -> None:
        alert = self.alerts[index]
        result = offer(self.states.get(alert.case_id, CaseOutbox(alert.case_id)), alert, BOTH, NOW, number)
        self.records += [queued_record(alert.case_id, name, item) for name, item in result.queued]
        self.states[alert.case_id] = decode(encode(result.state))

    def fold_all(self, start: int) -> None:
        while start < len(self.records):
            record = self.records[start]
            result = fold(self.states[record.case_id], record, start)
            self.states[record.case_id] = decode(encode(result.state))
            if result.correction is not None:
                self.records.append(result.correction)
            start += 1
        self.folded = len(self.records)

    def due(self) -> list[tuple[str, str, Item]]:
        return [(case, name, item) for case, state in self.states.items() for name, item in heads(state)]

    def send(self, outcome: Outcome, recorded: bool = True, folded: bool = True) -> None:
        for case, name, item in self.due():
            if outcome is Outcome.ACCEPTED:
                got = self.received.setdefault((name, case), [])
                if (item.alert_id, item.delivery_sequence) not in got:
                    got.append((item.alert_id, item.delivery_sequence))
            if recorded:
                self.records.append(attempted(name, item, outcome, case_id=case))
        if folded:
            self.fold_all(self.folded)

    def step(self, action: str) -> None:
        if action == "read" and self.read < len(self.alerts):
            self.read_alert(self.read)
            self.read += 1
            self.fold_all(self.folded)
        elif action == "send":
            self.send(Outcome.ACCEPTED)
        elif action == "fail":
            self.send(Outcome.HTTP_5XX)
        elif action == "send-unread":
            self.send(Outcome.ACCEPTED, folded=False)
        elif action == "crash-after-send":
            self.send(Outcome.ACCEPTED, recorded=False)
        elif action == "reread":
            for index in range(self.read):
                self.read_alert(index)
        elif action == "refold":
            self.fold_all(0)
        elif action == "stale" and self.records:
            first = self.records[0]
            self.records.append(first.model_copy(update={"attempts": 1, "outcome": Outcome.TIMEOUT}))
            self.fold_all(self.folded)


@settings(max_examples=150, deadline=None)
@given(versions, steps)
def test_whatever_happens_each_receiver_gets_all_in_order_without_a_gap(
    issued: list[tuple[str, str, str, Level]], actions: list[str]
) -> None:
    alerts = [
        make_alert(f"a-{number}", case, rule={"id": rule, "version": 1, "title": "题"}, status=status, level=level)
        for number, (case, rule, status, level) in enumerate(issued)
    ]
    undisturbed = World(alerts)
    for _ in alerts:
        undisturbed.step("read")
    while undisturbed.due():
        undisturbed.step("send")
    world = World(alerts)
    for action in [*actions, *["read"] * len(alerts)]:
        world.step(action)
    world.fold_all(world.folded)
    last = {record.key: record for record in world.records}
    for case, name, item in world.due():
        now = queued_record(case, name, item)
        assert (last[now.key].status, last[now.key].attempts) == (now.status, now.attempts)
    while world.due():
        world.step("send")
    assert world.received == undisturbed.received
    for got in world.received.values():
        assert [number for _, number in got] == list(range(1, len(got) + 1))
    last = {record.key: record for record in world.records}
    assert all(record.status is DeliveryStatus.DELIVERED for record in last.values())
