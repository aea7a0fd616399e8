"""The parts of dispatch that need no broker: batches, what is listed, metrics, the commands."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from alerting.outbox_state import CaseOutbox, Item, decode
from alerting.record import attempt_record, queued_record
from alerting.send import Answer
from alerting.stages import DECISION_REASONS
from cli.subscribers import app as subscribers_app
from models.delivery import DeliveryRecord, Outcome
from models.times import parse_instant
from streams.dispatch_batch import Batch, body_key, case_key, case_of, source_ts_ms
from streams.dispatch_log import standings
from streams.dispatch_positions import Confirmed, Unwritten, position_key, read_position
from streams.metrics_dispatch import DispatchMetrics
from tests.alerting_support import make_alert, make_subscriber
from tests.directory_support import make_directory

NOW = parse_instant("2025-06-18T09:00:00+08:00")
DIRECTORY = make_directory(make_subscriber("one"), make_subscriber("two"))


@dataclass
class Row:
    """A Kafka record as the agent gets it."""

    value: bytes | None
    offset: int = 0
    topic: str = "hw.alerts"
    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class Rows:
    """A table as a batch reads it."""

    rows: dict[bytes, bytes] = field(default_factory=dict)

    def get(self, partition: int, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def apply(self, batch: Batch) -> list[bytes]:
        keys = []
        for key, value in batch.changes():
            keys.append(key)
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value
        return keys


def batch_over(table: Rows) -> Batch:
    return Batch(0, table, DIRECTORY, NOW)


def test_an_alert_becomes_records_a_body_and_a_value_in_that_order() -> None:
    table = Rows()
    batch = batch_over(table)
    value = make_alert().model_dump_json().encode()
    batch.take_alert(Row(value, headers=(("source-ts", b"2000000000000"),)))
    assert [(record.subscriber, record.status, record.attempts) for record in batch.deliveries] == [
        ("one", "pending", 0),
        ("two", "pending", 0),
    ]
    positions = [position_key("one"), position_key("two")]
    assert table.apply(batch) == [*positions, body_key("case-1", "a-1"), case_key("case-1")]
    assert table.rows[body_key("case-1", "a-1")] == value
    item = decode(table.rows[case_key("case-1")]).lanes["one"].queue[0]
    assert item.source_ts_ms == 2000000000000
    again = batch_over(table)
    again.take_alert(Row(value))
    # redelivered: the records are written again, nothing else changes
    assert again.deliveries == batch.deliveries
    assert list(again.backlog_changes()) == [("one", 0, 0), ("two", 0, 0)]
    assert [reason for _, reason in again.decisions] == ["queued", "queued"]


def test_what_a_crash_left_without_a_record_is_written_again_before_anything_is_numbered() -> None:
    table = Rows()
    first = batch_over(table)
    first.take_alert(Row(make_alert(alert_id="a-1").model_dump_json().encode()))
    table.apply(first)
    second = batch_over(table)
    second.take_alert(Row(make_alert(alert_id="a-2", case_id="case-2").model_dump_json().encode()))
    table.apply(second)  # the state is durable; the process ends before the records are

    def unwritten() -> list[tuple[str, str]]:
        confirmed = Confirmed(table, 0)
        states = [decode(value) for key, value in table.rows.items() if case_of(key)]
        left[:] = [one for state in states for one in confirmed.unwritten_of(state)]
        return [(one.subscriber, one.item.alert_id) for one in left]

    left: list[Unwritten] = []
    assert unwritten() == [("one", "a-2"), ("two", "a-2")], "the first batch's records were written before the second"
    after = Batch(0, table, DIRECTORY, NOW, tuple(left))
    after.take_alert(Row(make_alert(alert_id="a-3", case_id="case-3").model_dump_json().encode()))
    assert [(one.alert_id, one.position) for one in after.deliveries if one.subscriber == "one"] == [
        ("a-2", 2),
        ("a-3", 3),
    ]
    assert ("one", "case-2", left[0].item) in list(after.heads()), "and now it may be sent"
    table.apply(after)
    assert [alert for _, alert in unwritten()] == ["a-2", "a-2", "a-3", "a-3"], "a crash again: both are in doubt"
    assert read_position(table, 0, "one").last == 3


def test_the_body_goes_when_both_have_it() -> None:
    table = Rows()
    batch = batch_over(table)
    batch.take_alert(Row(make_alert().model_dump_json().encode()))
    table.apply(batch)
    for offset, name in enumerate(("one", "two")):
        item = decode(table.rows[case_key("case-1")]).lanes[name].queue[0]
        record = attempt_record("case-1", name, "e", item, Answer(Outcome.ACCEPTED, 204), NOW, NOW, 1.0)
        batch = batch_over(table)
        batch.take_outcome(Row(record.model_dump_json().encode(), offset, "hw.deliveries"))
        assert list(batch.heads()) == [(lane, "case-1", None if lane <= name else item) for lane in ("one", "two")]
        table.apply(batch)
    assert set(table.rows) == {case_key("case-1"), position_key("one"), position_key("two")}


def test_own_pending_records_read_back_change_nothing() -> None:
    table = Rows()
    batch = batch_over(table)
    batch.take_alert(Row(make_alert().model_dump_json().encode()))
    table.apply(batch)
    back = batch_over(table)
    for offset, record in enumerate(batch.deliveries):
        back.take_outcome(Row(record.model_dump_json().encode(), offset, "hw.deliveries"))
    assert list(back.changes()) == []


def test_an_alert_for_nobody_leaves_no_trace() -> None:
    batch = batch_over(Rows())
    batch.take_alert(Row(make_alert(push=False).model_dump_json().encode()))
    assert (list(batch.changes()), batch.deliveries) == ([], [])
    assert batch.states == {"case-1": CaseOutbox("case-1")}


@pytest.mark.parametrize("value", [None, b"", b"null", b"[]", b"{}", b'{"alert_id": 1}', b"\xff\xfe", b"{" * 100_000])
def test_the_unreadable_is_quarantined_without_its_text(value: bytes | None) -> None:
    batch = batch_over(Rows())
    batch.take_alert(Row(value, 7))
    batch.take_outcome(Row(value, 8, "hw.deliveries"))
    assert [(record.topic, record.offset) for record in batch.quarantine] == [("hw.alerts", 7), ("hw.deliveries", 8)]
    assert all(record.size_bytes == len(value or b"") for record in batch.quarantine)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ((), None),
        ((("other", b"1"),), None),
        ((("source-ts", b"2000000000000"),), 2000000000000),
        ((("source-ts", b"soon"),), None),
        ((("source-ts", b"-1"),), None),
        ((("source-ts", b""),), None),
    ],
)
def test_the_source_timestamp_may_be_missing(headers: tuple[tuple[str, bytes], ...], found: int | None) -> None:
    assert source_ts_ms(Row(b"", headers=headers)) == found


def test_keys_of_values_and_bodies_are_apart() -> None:
    assert case_of(case_key("案件-1")) == "案件-1"
    assert case_of(body_key("案件-1", "a-1")) is None


def record_of(number: int, **fields: object) -> DeliveryRecord:
    item = Item(f"a-{number}", "P01", number, enqueued_at=NOW, next_at=NOW)
    return queued_record("case-1", "one", item).model_copy(update=fields)


def test_the_list_says_why() -> None:
    from models.delivery import DeliveryStatus as Status

    found = standings(
        [
            record_of(4),
            record_of(1, status=Status.DELIVERED, outcome=Outcome.ACCEPTED),
            record_of(2, outcome=Outcome.HTTP_5XX, http_status=503, attempts=2),
            record_of(3),
        ]
    )
    assert [standing.why for standing in found] == [
        "accepted",
        "last attempt: http_5xx (503)",
        "waits behind number 2 of its case",
        "waits behind number 2 of its case",
    ]
    alone = [
        record_of(1),
        record_of(1, status=Status.EXHAUSTED, outcome=Outcome.TIMEOUT, attempts=11),
        record_of(1, status=Status.DISABLED, outcome=Outcome.GONE, attempts=1),
    ]
    said = [standings([record])[0].why for record in alone]
    assert said[0] == "not tried yet"
    assert said[1] == "last attempt: timeout; the schedule is used up"
    assert "410" in said[2]


def test_metrics_have_closed_labels() -> None:
    registry = CollectorRegistry()
    metrics = DispatchMetrics(["one"], registry)
    metrics.decided("one", DECISION_REASONS[0])
    metrics.attempted("one", Outcome.TIMEOUT, 15.0)
    metrics.accepted("one", 0.12)
    metrics.pending("one", 3)
    metrics.pending("no longer there", 5)
    metrics.disabled("one", True)
    value = registry.get_sample_value
    assert value("hw_dispatch_attempts_total", {"subscriber": "one", "outcome": "timeout"}) == 1
    assert value("hw_dispatch_attempts_total", {"subscriber": "one", "outcome": "gone"}) == 0
    assert value("hw_dispatch_pending", {"subscriber": "one"}) == 3
    assert value("hw_dispatch_pending", {"subscriber": "no longer there"}) is None
    assert value("hw_dispatch_endpoint_disabled", {"subscriber": "one"}) == 1
    assert value("hw_dispatch_event_to_webhook_seconds_bucket", {"subscriber": "one", "le": "0.15"}) == 1


ENTRY = (
    "subscribers:\n  - name: one\n    url: https://127.0.0.1:8443/hook?key=robot-token\n"
    "    secret: {env: HOOK_SECRET}\n    allow_networks: [127.0.0.0/8]\n"
)


@pytest.fixture
def entry_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOOK_SECRET", "s" * 32)
    path = tmp_path / "subscribers.yaml"
    path.write_text(ENTRY)
    return path


def test_subscribers_list_shows_neither_token_nor_secret(entry_file: Path) -> None:
    for arguments in (["list", str(entry_file)], ["list", str(entry_file), "--json"]):
        result = CliRunner().invoke(subscribers_app, arguments)
        assert result.exit_code == 0
        assert "https://127.0.0.1:8443" in result.output
        assert "robot-token" not in result.output
        assert "sss" not in result.output


def test_subscribers_check(entry_file: Path) -> None:
    result = CliRunner().invoke(subscribers_app, ["check", str(entry_file), "--json"])
    assert (result.exit_code, json.loads(result.output)["ok"]) == (0, True)
    # a name that looks harmless in the file and leads to this machine
    entry_file.write_text(ENTRY.replace("127.0.0.1", "localhost").replace("127.0.0.0/8", "10.0.0.0/8"))
    refused = CliRunner().invoke(subscribers_app, ["check", str(entry_file)])
    assert refused.exit_code == 1
    assert refused.output.startswith("one: the address ")
    assert CliRunner().invoke(subscribers_app, ["check", str(entry_file), "--offline"]).exit_code == 0
    entry_file.write_text(ENTRY.replace("HOOK_SECRET", "NOT_SET"))
    broken = CliRunner().invoke(subscribers_app, ["check", str(entry_file)])
    assert broken.exit_code == 2
