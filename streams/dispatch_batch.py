"""One batch of the dispatch agent: records in; new values, bodies, records of deliveries, decisions and quarantine out.
No I/O but `get`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from pydantic import ValidationError

from alerting.directory import Directory
from alerting.outbox import fold, heads, offer, say_again, wake
from alerting.outbox_state import CaseOutbox, Item, decode, encode
from alerting.record import queued_record
from alerting.registry import Registry
from alerting.routing import Destination, Routed
from alerting.stages import RELEASED, SUPERSEDED
from models.alert import TEST_FLAG, Alert
from models.decision import DecisionRecord
from models.delivery import DeliveryKind, DeliveryRecord
from models.quarantine import QuarantineRecord, RejectionReason
from models.redelivery import RedeliveryKind, RedeliveryRequest
from models.times import format_instant, parse_instant
from models.units import UnitKind
from streams.dispatch_decisions import Decided
from streams.dispatch_positions import Position, Reader, Unwritten, position_key, read_position

SOURCE_TS_HEADER = "source-ts"
_CASE, _BODY = b"c\0", b"b\0"


def case_key(case_id: str) -> bytes:
    """Return the table's key of a case's value."""
    return _CASE + case_id.encode()


def body_key(case_id: str, alert_id: str) -> bytes:
    """Return the table's key of an alert's JSON; ids are printable, so NUL stands in none."""
    return _BODY + case_id.encode() + b"\0" + alert_id.encode()


def case_of(key: bytes) -> str | None:
    """Return the case whose value stands under a key, None for other keys."""
    return key[len(_CASE) :].decode() if key.startswith(_CASE) else None


@dataclass(slots=True)
class Batch:
    """What a batch of one partition comes to. Values change here, not in the table, until everything before them is
    durable.
    """

    partition: int
    table: Reader
    directory: Directory
    now: int
    unwritten: Sequence[Unwritten] = ()
    """Queued before a crash; their records come first."""
    newest: int = 0
    """When the last of its records came to Kafka, by the broker's clock in microseconds; 0: it has none."""
    states: dict[str, CaseOutbox] = field(default_factory=dict)
    before: dict[str, CaseOutbox] = field(default_factory=dict)
    bodies: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """Come in this batch, by case and alert."""
    positions: dict[str, Position] = field(default_factory=dict)
    deliveries: list[DeliveryRecord] = field(default_factory=list)
    decided: list[DecisionRecord] = field(default_factory=list)
    quarantine: list[QuarantineRecord] = field(default_factory=list)
    decisions: list[tuple[str, str]] = field(default_factory=list)
    """(subscriber, reason) for the counts, in which a test ticket is not."""
    warned: list[Alert] = field(default_factory=list)
    """Come to be pushed, each for the first time."""
    destinations: list[Destination] = field(default_factory=list)
    """Where each of them went."""

    def __post_init__(self) -> None:
        self.deliveries += [one.record() for one in sorted(self.unwritten, key=lambda one: one.item.position)]
        for one in self.unwritten:
            self._state(one.case_id)  # touched: its head is shown to the senders when all is done

    def take_alert(self, record: Any) -> None:
        """Take a record of hw.alerts."""
        try:
            alert = Alert.model_validate_json(record.value or b"")
        except ValidationError as error:
            self._refuse(record, error)
            return
        known = len(self.decided)
        routed = self._offer(alert, record.value, "alert", source_ts_ms(record))
        if alert.push and len(self.decided) > known:  # what was sent before and is read again is decided no more
            self.warned.append(alert)
            if routed is not None:
                self.destinations.append(routed.destination)

    def _offer(
        self, alert: Alert, body: bytes, occasion: str, source_ts: int | None = None, only: str | None = None
    ) -> Routed | None:
        state = self._state(alert.case_id)
        offered = offer(state, alert, self.directory, self.now, self._number, source_ts, only)
        self.states[alert.case_id] = offered.state
        self.bodies[alert.case_id, alert.alert_id] = body
        if TEST_FLAG not in alert.flags:
            self.decisions += [(decision.subscriber, decision.reason) for decision in offered.decisions]
            self.decisions += [(name, SUPERSEDED) for name, _ in offered.superseded]
        self.deliveries += [queued_record(alert.case_id, name, item) for name, item in offered.queued]
        self.decided += Decided(self.directory, self.now).offered(alert, offered, occasion)
        if any(held.until is None for lane in offered.state.lanes.values() for held in lane.held):
            self.wake(alert.case_id)  # what waits for the case to change
        return offered.routed

    def take_outcome(self, record: Any) -> None:
        """Take a record of hw.deliveries."""
        try:
            outcome = DeliveryRecord.model_validate_json(record.value or b"")
        except ValidationError as error:
            self._refuse(record, error)
            return
        folded = fold(self._state(outcome.case_id), outcome, record.offset)
        self.states[outcome.case_id] = folded.state
        if folded.correction is not None:
            self.deliveries.append(folded.correction)

    def take_request(self, record: Any) -> None:
        """Take a record of hw.redeliveries."""
        try:
            request = RedeliveryRequest.model_validate_json(record.value or b"")
        except ValidationError as error:
            self._refuse(record, error)
            return
        alert = request.alert
        body = orjson.dumps(alert.model_dump(mode="json"))
        if request.kind is RedeliveryKind.REROUTE:
            self._offer(alert, body, "reroute", only=request.subscriber)
            return
        kind = DeliveryKind.DRILL if request.kind is RedeliveryKind.DRILL else DeliveryKind.REPLAY
        for name in self._asked_for(request):
            state, item = say_again(
                self._state(alert.case_id), alert, name, kind, f"{kind}-{request.request_id}", self.now, self._number
            )
            self.states[alert.case_id] = state
            self.bodies[alert.case_id, alert.alert_id] = body
            if item is not None:
                self.deliveries.append(queued_record(alert.case_id, name, item))
                self.decisions.append((name, kind.value))

    def _asked_for(self, request: RedeliveryRequest) -> list[str]:
        """Return whom a replay or a drill is for: of a replay, only those who were sent the alert."""
        names = [request.subscriber] if request.subscriber is not None else list(self.directory.by_name)
        known = [name for name in names if name in self.directory.by_name]
        if request.kind is RedeliveryKind.DRILL:
            return known
        lanes = self._state(request.alert.case_id).lanes
        return [name for name in known if name in lanes and request.alert.alert_id in lanes[name].seen]

    def wake(self, case_id: str) -> None:
        """Judge again what is held of a case, and say again what is due to be."""
        woken = wake(
            self._state(case_id),
            lambda alert_id: self._alert(case_id, alert_id),
            self.directory,
            self.now,
            self._number,
        )
        self.states[case_id] = woken.state
        self.deliveries += [queued_record(case_id, name, item) for name, item in woken.queued]
        self.decisions += [
            (name, RELEASED if item.kind is DeliveryKind.ALERT else item.kind.value) for name, item in woken.queued
        ]
        self.decided += Decided(self.directory, self.now).woken(case_id, woken)

    def changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield keys and new values for the table, None to delete: positions and bodies before the values that need
        them, deletes last.
        """
        for name, position in self.positions.items():
            yield position_key(name), position.encode()
        gone: list[bytes] = []
        for case_id, state in self.states.items():
            before, after = (one.needed(self.directory.repeating) for one in (self.before[case_id], state))
            for alert_id in after:
                if (case_id, alert_id) in self.bodies:
                    yield body_key(case_id, alert_id), self.bodies[case_id, alert_id]
            gone += [body_key(case_id, alert_id) for alert_id in before - after]
        for case_id, state in self.states.items():
            if state.lanes and state != self.before[case_id]:
                yield case_key(case_id), encode(replace(state, at=max(self.now, self.newest)))
        for key in gone:
            yield key, None

    def keys_of(self, state: CaseOutbox) -> list[bytes]:
        """Return the table's keys of a case: its value's, and those of the bodies that it needs."""
        bodies = sorted(state.needed(self.directory.by_name))
        return [case_key(state.case_id), *(body_key(state.case_id, alert_id) for alert_id in bodies)]

    def heads(self) -> Iterator[tuple[str, str, Item | None]]:
        """Yield (subscriber, case, head) of every lane of the cases this batch touched."""
        for case_id, state in self.states.items():
            firsts = dict(heads(state))
            for name in state.lanes:
                yield name, case_id, firsts.get(name)

    def backlog_changes(self) -> Iterator[tuple[str, int, int]]:
        """Yield (subscriber, by how many its undelivered ones changed, by how many its held ones)."""
        for case_id, state in self.states.items():
            for name, lane in state.lanes.items():
                earlier = self.before[case_id].lanes.get(name)
                queued, held = (len(earlier.queue), len(earlier.held)) if earlier else (0, 0)
                yield name, len(lane.queue) - queued, len(lane.held) - held

    def _state(self, case_id: str) -> CaseOutbox:
        if case_id not in self.states:
            stored = self.table.get(self.partition, case_key(case_id))
            state = CaseOutbox(case_id) if stored is None else decode(stored)
            self.states[case_id] = self.before[case_id] = state
        return self.states[case_id]

    def _alert(self, case_id: str, alert_id: str) -> Alert | None:
        body = self.bodies.get((case_id, alert_id)) or self.table.get(self.partition, body_key(case_id, alert_id))
        return None if body is None else Alert.model_validate_json(body)

    def _number(self, subscriber: str) -> int:
        position = self.positions.get(subscriber)
        if position is None:
            stored = read_position(self.table, self.partition, subscriber)
            unsure = any(one.subscriber == subscriber for one in self.unwritten)
            position = Position(stored.last, stored.confirmed if unsure else stored.last)
        self.positions[subscriber] = Position(position.last + 1, position.confirmed)
        return position.last + 1

    def _refuse(self, record: Any, error: ValidationError) -> None:
        first = error.errors(include_url=False, include_input=False)[0]
        value = record.value or b""
        self.quarantine.append(
            QuarantineRecord(
                reason=RejectionReason.UNREADABLE,
                detail=f"not what this topic holds: {first['msg']}",
                field=".".join(str(part) for part in first["loc"])[:128] or None,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                size_bytes=len(value),
                sha256=hashlib.sha256(value).hexdigest(),
                quarantined_at=format_instant(self.now),
            )
        )


def accused_kinds(alert: Alert, registry: Registry) -> frozenset[UnitKind | None]:
    """Return of what kinds the accused units were when it happened; None: one that is not registered, or nobody."""
    at = parse_instant(alert.event_time)
    units = (registry.unit(one.id, at) for one in alert.units if one.role == "accused")
    return frozenset(None if unit is None else unit.kind for unit in units) or frozenset({None})


def source_ts_ms(record: Any) -> int | None:
    """Return when the ticket event behind an alert entered Kafka, None where the record does not say."""
    for name, value in record.headers or ():
        if name == SOURCE_TS_HEADER and value is not None and value.isdigit():
            return int(value[:16])
    return None
