"""A drill goes the whole way to one subscriber, is marked at every step, and what comes of it is told."""

from __future__ import annotations

import re

import pytest

from alerting.drills import drill_alert, drill_mark, drill_request
from cli.subscribers_drill import Drill, run_drill
from models.alert import Alert
from models.delivery import DeliveryKind, DeliveryRecord, DeliveryStatus, Outcome, delivery_id
from models.redelivery import RedeliveryKind, RedeliveryRequest
from models.times import SECOND, format_instant, parse_instant
from streams.redelivering import is_answered, last_word

NOW = parse_instant("2025-06-18T09:00:00+08:00")
MARK = drill_mark("r-1")


def record(
    outcome: Outcome | None = None,
    status: DeliveryStatus = DeliveryStatus.PENDING,
    http_status: int | None = None,
    subscriber: str = "platform",
    mark: str = MARK,
) -> DeliveryRecord:
    return DeliveryRecord(
        delivery_id=delivery_id(subscriber, "drill-r-1", mark),
        subscriber=subscriber,
        alert_id="drill-r-1",
        case_id="drill:platform",
        delivery_sequence=1,
        status=status,
        outcome=outcome,
        http_status=http_status,
        attempts=0 if outcome is None else 1,
        enqueued_at=format_instant(NOW),
        mark=mark,
        kind=DeliveryKind.DRILL,
    )


ACCEPTED = record(Outcome.ACCEPTED, DeliveryStatus.DELIVERED, 204)
FAILED = record(Outcome.HTTP_5XX, http_status=503)
UNANSWERED = record(Outcome.TIMEOUT)


def test_a_drill_says_that_it_is_one_and_is_about_nobody() -> None:
    alert = drill_alert("platform", "r-1", NOW)
    assert (alert.case_id, alert.alert_id, alert.flags, alert.push) == ("drill:platform", "drill-r-1", ("drill",), True)
    assert (alert.rule.id, alert.rule.version, alert.rule.title) == ("DRILL", 1, "演练")
    assert alert.headline.startswith("【演练】")
    assert (alert.units, alert.place, alert.facts) == ((), None, {})
    assert Alert.model_validate_json(alert.model_dump_json()) == alert


def test_a_request_is_for_one_subscriber_and_is_read_as_it_was_written() -> None:
    request = drill_request("platform", "r-1", NOW, "somebody")
    assert (request.kind, request.subscriber, request.requested_by) == (RedeliveryKind.DRILL, "platform", "somebody")
    assert request.requested_at == "2025-06-18T09:00:00+08:00"
    assert RedeliveryRequest.model_validate_json(request.model_dump_json()) == request


class Clock:
    """Goes on by a quarter of a second each time it is asked."""

    def __init__(self) -> None:
        self.now = NOW - SECOND // 4

    def __call__(self) -> int:
        self.now += SECOND // 4
        return self.now


def drilled(answer: DeliveryRecord | None) -> Drill:
    sent: list[RedeliveryRequest] = []
    asked: list[tuple[str, str, float]] = []

    def outcome(subscriber: str, mark: str, seconds: float) -> DeliveryRecord | None:
        assert sent, "the request is sent before the outcome is waited for"
        asked.append((subscriber, mark, seconds))
        return answer

    drill = run_drill("platform", "r-1", 30, send=sent.append, outcome=outcome, clock=Clock())
    assert [request.alert for request in sent] == [drill_alert("platform", "r-1", NOW)]
    assert asked == [("platform", "drill-r-1", 30)]
    return drill


@pytest.mark.parametrize(
    ("answer", "accepted", "said"),
    [
        (ACCEPTED, True, r"accepted \(204\) after 250 ms"),
        (FAILED, False, r"not accepted: http_5xx \(503\) after 250 ms; it is tried again .*"),
        (UNANSWERED, False, r"not accepted: timeout after 250 ms; .*"),
        (record(Outcome.GONE, DeliveryStatus.DISABLED, 410), False, r"not accepted: gone \(410\); .*revise.*"),
        (record(), False, r"it is queued and was not tried in time.*"),
        (None, False, r"no dispatch worker took it in time.*"),
    ],
)
def test_what_comes_of_a_drill_is_told(answer: DeliveryRecord | None, accepted: bool, said: str) -> None:
    drill = drilled(answer)
    assert drill.accepted is accepted
    assert re.fullmatch(said, drill.said)
    told = drill.as_json()
    assert (told["accepted"], told["latency_ms"], told["request_id"]) == (accepted, 250, "r-1")
    assert told["outcome"] == (None if answer is None else answer.outcome)
    assert told["http_status"] == (None if answer is None else answer.http_status)


# --- which records of the topic are its ---


def raw(*records: DeliveryRecord) -> list[bytes]:
    return [one.model_dump_json().encode() for one in records]


def test_only_records_of_this_subscriber_and_mark_count() -> None:
    others = raw(
        record(Outcome.ACCEPTED, DeliveryStatus.DELIVERED, subscriber="other"),
        record(Outcome.ACCEPTED, DeliveryStatus.DELIVERED, mark="drill-r-10"),
        record(Outcome.ACCEPTED, DeliveryStatus.DELIVERED, mark=""),
    )
    assert last_word([*others, b"", b"{}", b"drill-r-1", b"\xffdrill-r-1"], "platform", MARK) is None
    assert last_word([*others, *raw(record())], "platform", MARK) == record()


def test_the_first_record_that_answers_stands() -> None:
    assert last_word(raw(record(), FAILED, ACCEPTED), "platform", MARK) == FAILED
    assert last_word(raw(ACCEPTED), "platform", MARK, record()) == ACCEPTED
    assert last_word(raw(ACCEPTED), "platform", MARK, FAILED) == FAILED
    assert last_word([], "platform", MARK, record()) == record()


@pytest.mark.parametrize(
    ("one", "answered"),
    [
        (record(), False),
        (ACCEPTED, True),
        (FAILED, True),
        (record(Outcome.CONFLICT, DeliveryStatus.REFUSED), True),
        (record(status=DeliveryStatus.DISABLED), True),
        (record(status=DeliveryStatus.EXHAUSTED), True),
    ],
)
def test_a_delivery_is_answered_when_there_is_news_of_it(one: DeliveryRecord, answered: bool) -> None:
    assert is_answered(one) is answered
