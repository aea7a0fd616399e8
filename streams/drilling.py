"""A drill: a marked ticket that goes the whole way of a real one, and how long each stage took.

The ticket is handed back twice by a made-up unit, which P01 of the default pack warns of; every event of it is marked
`test: true`, so it is never pushed and in no count (docs/installing.md). What is waited for: the last event on hw.tickets
(intake), a warning on hw.alerts (tickets), what dispatch decided of it on hw.decisions, and, where a subscriber is named, the
call of a drill to it (delivery). At the end the ticket is voided, so that no warning of it stays in force.

The times are those of the broker's records, so no two clocks are compared; of the delivery our own. Synchronous
(kafka-python): never on an event loop.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kafka.errors import KafkaError
from pydantic import ValidationError

from alerting.drills import drill_mark, drill_request
from models.alert import Alert
from models.decision import DecisionRecord
from models.delivery import Outcome
from models.times import MINUTE, format_instant
from rules.messages import EventMessage, WireError, decode
from streams.admin import ClusterUnreachableError, connect
from streams.kafka_client import KafkaConsumer, TopicPartition
from streams.redelivering import await_outcome, delivery_ends, send_request
from streams.roles import Grant, Operation, Resource
from streams.routes import partition_of
from streams.ticking import send_events
from streams.topic_log import TopicUnreadableError
from streams.topics import TopicSet

UNIT, UNIT_NAME = "DRILL-UNIT", "演练单位"
_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 10.0


class DrillStage(StrEnum):
    """A stretch of the way: a closed set, and a metric's label."""

    INTAKE = "intake"
    TICKETS = "tickets"
    DISPATCH = "dispatch"
    DELIVERY = "delivery"
    TOTAL = "total"


class DrillOutcome(StrEnum):
    """What came of a drill: a closed set, and a metric's label."""

    PASSED = "passed"
    UNREACHABLE = "unreachable"
    NO_INTAKE = "no_intake"
    NO_WARNING = "no_warning"
    NO_DECISION = "no_decision"
    NOT_DELIVERED = "not_delivered"


_SAID = {
    DrillOutcome.PASSED: "it went the whole way",
    DrillOutcome.NO_INTAKE: "no worker took the ticket in: is one running, and does it keep up?",
    DrillOutcome.NO_WARNING: "the ticket was taken in and no warning came of it: see the workers, and whether the rules in "
    "force have P01 (多次退单)",
    DrillOutcome.NO_DECISION: "a warning was issued and dispatch decided nothing of it: is a dispatch worker running, with a unit "
    "registry that it can take?",
}


@dataclass(frozen=True, slots=True)
class Drilled:
    """What came of one drill; `seconds` by stage, of those that it came through."""

    ticket_id: str
    outcome: DrillOutcome
    said: str
    seconds: Mapping[DrillStage, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Return whether it went the whole way."""
        return self.outcome is DrillOutcome.PASSED


@dataclass(frozen=True, slots=True)
class Course:
    """Where drills go: `dispatched`: whether there is a dispatch worker; `subscriber`: whose endpoint is called."""

    bootstrap_servers: str
    topics: TopicSet
    dispatched: bool = True
    subscriber: str | None = None
    timeout_seconds: float = 60.0


def drill_events(ticket_id: str, now: int) -> list[dict[str, Any]]:
    """Return the events of a drill's ticket, the last of them now, in microseconds; all are marked as a test."""
    returned = {
        "unit_id": UNIT,
        "unit_name": UNIT_NAME,
        "reason_code": "R1",
        "contacted": True,
        "site_checked": True,
        "evidence": ["演练"],
    }
    story: list[tuple[str, dict[str, Any]]] = [
        ("registered", {"request_type": "help", "title": "演练"}),
        ("dispatched", {"unit_id": UNIT, "unit_name": UNIT_NAME, "role": "lead", "round": 1}),
        ("return_requested", returned),
        ("return_requested", returned),
    ]
    begin = now - (len(story) - 1) * MINUTE
    return [
        _event(ticket_id, number, kind, begin + number * MINUTE, fields) for number, (kind, fields) in enumerate(story)
    ]


def closing_event(ticket_id: str, now: int) -> dict[str, Any]:
    """Return the event that takes a drill's ticket, and its warning, out of force again."""
    return _event(ticket_id, 9, "voided", now, {"reason": "演练结束"})


def run_drill(course: Course, drill_id: str, clock: Callable[[], int], requested_by: str = "drill") -> Drilled:
    """Run one drill and return what came of it; `drill_id`: letters and digits, new for each; `clock` gives microseconds.

    Raises nothing where Kafka cannot be reached: that is an outcome too.
    """
    ticket_id = f"DRILL-{drill_id}"
    deadline = time.monotonic() + course.timeout_seconds
    try:
        with _Watcher(course, ticket_id) as watcher:
            events = drill_events(ticket_id, clock())
            send_events(course.bootstrap_servers, course.topics, events)
            try:
                drilled = watcher.follow(events[-1]["event_id"], deadline)
                if drilled.passed and course.dispatched and course.subscriber is not None:
                    drilled = _delivered(course, course.subscriber, drill_id, drilled, deadline, clock, requested_by)
            finally:
                send_events(course.bootstrap_servers, course.topics, [closing_event(ticket_id, clock())])
    except (ClusterUnreachableError, TopicUnreadableError) as error:
        return Drilled(ticket_id, DrillOutcome.UNREACHABLE, str(error))
    except KafkaError as error:
        said = f"Kafka did not answer on the way ({type(error).__name__}): `hotline-watch doctor` says why"
        return Drilled(ticket_id, DrillOutcome.UNREACHABLE, said)
    total = sum(seconds for stage, seconds in drilled.seconds.items() if stage is not DrillStage.TOTAL)
    seconds = {**drilled.seconds, **({DrillStage.TOTAL: total} if drilled.passed else {})}
    return Drilled(ticket_id, drilled.outcome, drilled.said, seconds)


def _event(ticket_id: str, number: int, kind: str, at: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "event_id": f"{ticket_id}-{number}",
        "ticket_id": ticket_id,
        "type": kind,
        "occurred_at": format_instant(at // 1000 * 1000),
        "source": "drill",
        "test": True,
        **fields,
    }


def _delivered(
    course: Course,
    subscriber: str,
    drill_id: str,
    before: Drilled,
    deadline: float,
    clock: Callable[[], int],
    requested_by: str,
) -> Drilled:
    servers, topics = course.bootstrap_servers, course.topics
    ends = delivery_ends(servers, topics)
    started = time.monotonic()
    send_request(servers, topics, drill_request(subscriber, drill_id, clock(), requested_by))
    left = max(deadline - time.monotonic(), 1.0)
    record = await_outcome(servers, topics, subscriber, drill_mark(drill_id), left, since=ends)
    if record is not None and record.outcome is Outcome.ACCEPTED:
        seconds = {**before.seconds, DrillStage.DELIVERY: time.monotonic() - started}
        return Drilled(before.ticket_id, DrillOutcome.PASSED, before.said, seconds)
    answered = (
        "did not take the call in time" if record is None or record.outcome is None else f"answered {record.outcome}"
    )
    said = f"{subscriber} {answered}: `subscribers test {subscriber}` and `deliveries list` say more"
    return Drilled(before.ticket_id, DrillOutcome.NOT_DELIVERED, said, before.seconds)


class _Watcher:
    """Sees a drill's records pass: begun before it is sent, at the ends of the topics."""

    def __init__(self, course: Course, ticket_id: str) -> None:
        self._course, self._ticket_id = course, ticket_id
        self._stack = contextlib.ExitStack()
        self._pending: list[tuple[str, int, bytes]] = []

    def __enter__(self) -> _Watcher:
        topics, ticket_id, servers = self._course.topics, self._ticket_id, self._course.bootstrap_servers
        read = (topics.ticket_events, topics.tickets, topics.alerts, topics.decisions)
        needs = [Grant(Resource.TOPIC, topic, Operation.READ) for topic in read]
        with connect(servers, timeout_seconds=min(self._course.timeout_seconds, _CONNECT_SECONDS), needs=needs):
            pass  # says in plain words where nobody answers, and where we may not read
        self._consumer = KafkaConsumer(
            bootstrap_servers=servers,
            group_id=None,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
        )
        self._stack.callback(self._consumer.close)
        try:
            events = TopicPartition(topics.ticket_events, partition_of(ticket_id, topics.partitions))
            tickets = TopicPartition(topics.tickets, partition_of(ticket_id, topics.partitions))
            parts = [events, tickets, *self._all(topics.alerts), *self._all(topics.decisions)]
            self._consumer.assign(parts)
            for part, end in self._consumer.end_offsets(parts).items():
                self._consumer.seek(part, end)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def follow(self, last_event: str, deadline: float) -> Drilled:
        """Return how far the ticket came by the deadline."""
        topics, seconds = self._course.topics, dict[DrillStage, float]()
        said = {
            topics.ticket_events: f'"{last_event}"'.encode(),
            topics.tickets: f'"{last_event}"'.encode(),
            topics.alerts: f'"{self._ticket_id}"'.encode(),
        }
        seen: dict[str, int] = {}
        decided: dict[str, int] = {}
        alert_id: str | None = None
        for topic, at_ms, value in self._records(deadline):
            if topic == topics.decisions:
                if self._ticket_id.encode() in value and (one := _decided(value)) is not None:
                    decided.setdefault(one.alert_id, at_ms)
            elif said[topic] in value and topic not in seen:
                if topic == topics.tickets and not _is_event(value, last_event):
                    continue
                if topic == topics.alerts and (alert_id := _warned(value)) is None:
                    continue
                seen[topic] = at_ms
            judged = topics.ticket_events in seen and topics.tickets in seen and alert_id is not None
            if judged and (alert_id in decided or not self._course.dispatched):
                break
        if topics.tickets not in seen:
            return Drilled(self._ticket_id, DrillOutcome.NO_INTAKE, _SAID[DrillOutcome.NO_INTAKE])
        seconds[DrillStage.INTAKE] = _between(seen.get(topics.ticket_events), seen[topics.tickets])
        if alert_id is None:
            return Drilled(self._ticket_id, DrillOutcome.NO_WARNING, _SAID[DrillOutcome.NO_WARNING], seconds)
        seconds[DrillStage.TICKETS] = _between(seen[topics.tickets], seen[topics.alerts])
        if self._course.dispatched:
            if alert_id not in decided:
                return Drilled(self._ticket_id, DrillOutcome.NO_DECISION, _SAID[DrillOutcome.NO_DECISION], seconds)
            seconds[DrillStage.DISPATCH] = _between(seen[topics.alerts], decided[alert_id])
        return Drilled(self._ticket_id, DrillOutcome.PASSED, _SAID[DrillOutcome.PASSED], seconds)

    def _all(self, topic: str) -> Iterable[TopicPartition]:
        numbers = self._consumer.partitions_for_topic(topic)
        if not numbers:
            raise TopicUnreadableError(f"there is no topic {topic}: create it with `hotline-watch topics create`")
        return [TopicPartition(topic, number) for number in numbers]

    def _records(self, deadline: float) -> Iterator[tuple[str, int, bytes]]:
        """Yield topic, time and value of what comes, until the deadline."""
        while (left := deadline - time.monotonic()) > 0:
            polled = self._consumer.poll(timeout_ms=max(1, int(1000 * min(left, _POLL_SECONDS))))
            for part, batch in polled.items():
                yield from ((part.topic, int(record.timestamp), record.value or b"") for record in batch)


def _is_event(value: bytes, event_id: str) -> bool:
    try:
        message = decode(value)
    except WireError:
        return False
    return isinstance(message, EventMessage) and message.event.event_id == event_id


def _warned(value: bytes) -> str | None:
    try:
        return Alert.model_validate_json(value).alert_id
    except ValidationError:
        return None


def _decided(value: bytes) -> DecisionRecord | None:
    try:
        return DecisionRecord.model_validate_json(value)
    except ValidationError:
        return None


def _between(before_ms: int | None, after_ms: int) -> float:
    return 0.0 if before_ms is None else max(after_ms - before_ms, 0) / 1000
