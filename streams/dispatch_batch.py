"""One batch of the dispatch agent: records in; new values, bodies, deliveries records and quarantine records out. No
I/O but `get`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import ValidationError

from alerting.outbox import fold, heads, offer
from alerting.outbox_state import CaseOutbox, Item, decode, encode
from alerting.record import queued_record
from models.alert import Alert
from models.delivery import DeliveryRecord
from models.quarantine import QuarantineRecord, RejectionReason
from models.subscriber import Subscriber
from models.times import format_instant

SOURCE_TS_HEADER = "source-ts"
_CASE, _BODY = b"c\0", b"b\0"


class Reader(Protocol):
    """The part of a table that a batch reads."""

    def get(self, partition: int, key: bytes) -> bytes | None: ...


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
    subscribers: Sequence[Subscriber]
    now: int
    states: dict[str, CaseOutbox] = field(default_factory=dict)
    before: dict[str, CaseOutbox] = field(default_factory=dict)
    bodies: dict[tuple[str, str], bytes] = field(default_factory=dict)
    released: set[tuple[str, str]] = field(default_factory=set)
    deliveries: list[DeliveryRecord] = field(default_factory=list)
    quarantine: list[QuarantineRecord] = field(default_factory=list)
    decisions: list[tuple[str, str]] = field(default_factory=list)
    """(subscriber, reason)."""

    def take_alert(self, record: Any) -> None:
        """Take a record of hw.alerts."""
        try:
            alert = Alert.model_validate_json(record.value or b"")
        except ValidationError as error:
            self._refuse(record, error)
            return
        state = self._state(alert.case_id)
        offered = offer(state, alert, self.subscribers, self.now, source_ts_ms(record))
        self.states[alert.case_id] = offered.state
        self.decisions += [(decision.subscriber, decision.reason) for decision in offered.decisions]
        self.deliveries += [queued_record(alert.case_id, name, item) for name, item in offered.queued]
        if offered.queued:
            self.bodies[alert.case_id, alert.alert_id] = record.value
            self.released.discard((alert.case_id, alert.alert_id))

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
        if folded.released is not None:
            self.bodies.pop((outcome.case_id, folded.released), None)
            self.released.add((outcome.case_id, folded.released))

    def changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield keys and new values for the table, None to delete: bodies before the values that need them, deletes
        last.
        """
        for (case_id, alert_id), body in self.bodies.items():
            yield body_key(case_id, alert_id), body
        for case_id, state in self.states.items():
            if state.lanes and state != self.before[case_id]:
                yield case_key(case_id), encode(state)
        for case_id, alert_id in self.released:
            yield body_key(case_id, alert_id), None

    def heads(self) -> Iterator[tuple[str, str, Item | None]]:
        """Yield (subscriber, case, head) of every lane of the cases this batch touched."""
        for case_id, state in self.states.items():
            firsts = dict(heads(state))
            for name in state.lanes:
                yield name, case_id, firsts.get(name)

    def backlog_changes(self) -> Iterator[tuple[str, int]]:
        """Yield (subscriber, by how many its undelivered ones changed)."""
        for case_id, state in self.states.items():
            for name, lane in state.lanes.items():
                earlier = self.before[case_id].lanes.get(name)
                yield name, len(lane.queue) - (len(earlier.queue) if earlier else 0)

    def _state(self, case_id: str) -> CaseOutbox:
        if case_id not in self.states:
            stored = self.table.get(self.partition, case_key(case_id))
            state = CaseOutbox(case_id) if stored is None else decode(stored)
            self.states[case_id] = self.before[case_id] = state
        return self.states[case_id]

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


def source_ts_ms(record: Any) -> int | None:
    """Return when the ticket event behind an alert entered Kafka, None where the record does not say."""
    for name, value in record.headers or ():
        if name == SOURCE_TS_HEADER and value is not None and value.isdigit():
            return int(value[:16])
    return None
