"""The ledger: exact after a kill, the same when begun again, and no puller misses a thing."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from console.api.cursor import CursorError, decode_cursor, encode_cursor
from console.ledger import Ledger, LedgerError, Source
from console.ledger_feed import LedgerFeed
from models.delivery import DeliveryStatus
from models.redelivery import RedeliveryRequest
from streams.broker import EmbeddedKafka
from streams.routes import partition_of
from streams.topics import TopicSet
from tests.alerting_support import make_alert
from tests.api_support import PARTITIONS, Topics, decision, delivered, delivery, ledger_in
from tests.kafka_support import ROOT, eventually, produce

TIME = "2025-06-18T09:00:00+08:00"


def content(ledger: Ledger) -> dict[str, list[Any]]:
    """Return every row but those of the topics' ids."""
    tables = ("offsets", "alerts", "drills", "deliveries", "lanes", "decisions")
    with closing(sqlite3.connect(ledger.path)) as db:
        return {table: sorted(map(repr, db.execute(f"SELECT * FROM {table}"))) for table in tables}


def filled(topics: Topics) -> Topics:
    topics.put(make_alert())
    topics.put(decision(decisions=[{"subscriber": "platform", "reason": "wanted"}]))
    topics.put(delivery())
    topics.put(delivered())
    topics.put_raw(Source.DELIVERIES, b"no record")
    topics.open()
    return topics


# --- what is kept ---


def test_the_last_record_of_a_delivery_stands(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics:
        ledger = filled(topics).ledger
        assert [one.status.value for one in ledger.deliveries("a-1")] == ["delivered"]
        assert ledger.alert("a-1") == make_alert()
        assert ledger.alert("a-2") is None
        assert [one.decisions[0].reason for one in ledger.decisions("a-1")] == ["wanted"]


def test_what_cannot_be_read_is_counted_and_passed(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics:
        for source in Source:
            for value in (b"", b"\xff", b"{}", b"[]", b"null", b'{"schema_version": 7}'):
                topics.put_raw(source, value)
        huge = delivery().model_dump(mode="json") | {"position": 2**70}
        topics.put_raw(Source.DELIVERIES, json.dumps(huge).encode())
        topics.put(delivery())
        expected = dict.fromkeys(Source, 6) | {Source.DELIVERIES: 7}
        assert topics.ledger.unreadable() == expected
        assert len(topics.ledger.deliveries("a-1")) == 1


def test_a_record_that_comes_again_changes_nothing(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics:
        before = content(filled(topics).ledger)
        topics.feed(topics.ledger)
        assert content(topics.ledger) == before


def test_a_ledger_begun_again_says_the_same(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics, ledger_in(tmp_path, "other.sqlite") as other:
        filled(topics).feed(other.ledger)
        other.open()
        assert content(other.ledger) == content(topics.ledger)
        other.ledger.begin_again({Source.ALERTS: "t-2"})
        assert content(other.ledger)["deliveries"] == content(other.ledger)["offsets"] == []
        assert other.ledger.topic_ids() == {Source.ALERTS: "t-2"}
        topics.feed(other.ledger)
        other.open()
        assert content(other.ledger) == content(topics.ledger)


def test_what_fails_in_a_transaction_is_taken_back_with_its_offset(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics:
        with suppress(RuntimeError), topics.ledger.writing():
            topics.put(make_alert())
            raise RuntimeError
        assert content(topics.ledger)["alerts"] == content(topics.ledger)["offsets"] == []


_KILLED = """
import os, signal, sys
from pathlib import Path
from console.ledger import Ledger, Source
ledger = Ledger(Path(sys.argv[1]))
value = Path(sys.argv[2]).read_bytes()
with ledger.writing():
    ledger.apply(Source.ALERTS, 0, 0, value)
transaction = ledger.writing()
transaction.__enter__()
ledger.apply(Source.ALERTS, 0, 1, value.replace(b'"a-1"', b'"a-2"'))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_between_writing_and_commit_leaves_neither_record_nor_offset(tmp_path: Path) -> None:
    (tmp_path / "alert").write_text(make_alert().model_dump_json())
    path = tmp_path / "ledger.sqlite"
    run = subprocess.run(
        [sys.executable, "-c", _KILLED, str(path), str(tmp_path / "alert")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    with closing(Ledger(path)) as ledger:
        assert ledger.next_offsets() == {(Source.ALERTS, 0): 1}
        assert ledger.alert("a-1") is not None
        assert ledger.alert("a-2") is None


# --- the file ---


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics:
        filled(topics)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert set(modes) == {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"}
        assert set(modes.values()) == {0o600}


def set_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics:
        filled(topics)
    set_version(tmp_path / "ledger.sqlite", 99)
    with pytest.raises(LedgerError, match="later version") as caught:
        Ledger(tmp_path / "ledger.sqlite")
    assert "delete the file" in str(caught.value)


@pytest.mark.parametrize("spoil", [lambda path: set_version(path, -1), lambda path: path.write_bytes(b"x" * 5000)])
def test_an_earlier_or_a_broken_file_is_begun_again(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    with ledger_in(tmp_path) as topics:
        filled(topics)
    spoil(tmp_path / "ledger.sqlite")
    with ledger_in(tmp_path) as topics:
        assert topics.ledger.next_offsets() == {}
        filled(topics)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be made"):
        Ledger(tmp_path / "missing" / "ledger.sqlite")


# --- pulling ---


def test_a_puller_sees_nothing_that_is_not_opened(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics:
        ledger = topics.ledger
        topics.put(delivery("a-9", 9))
        assert ledger.page("platform", {}, 10).deliveries == ()
        ledger.mark()
        # While the compacted topic is read, an earlier position may come later.
        topics.put(delivery("a-4", 4))
        topics.put(delivery("a-12", 12))
        ledger.open_marked()
        assert [one.record.position for one in ledger.page("platform", {}, 10).deliveries] == [4, 9]


def test_what_is_ahead_of_the_ledger_is_said(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics:
        topics.put(delivery("a-1", 5))
        topics.open()
        assert not topics.ledger.page("platform", {0: 5}, 10).ahead
        assert topics.ledger.page("platform", {0: 6}, 10).ahead
        assert topics.ledger.page("platform", {1: 1}, 10).ahead


def test_records_of_old_without_a_position_are_not_pulled(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as topics:
        topics.put(delivery("a-1", 0))
        topics.open()
        assert topics.ledger.page("platform", {}, 10).deliveries == ()


def test_a_page_is_bounded_by_its_size_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.ledger_pages.PAGE_BYTES_MAX", 1)
    with ledger_in(tmp_path) as topics:
        for number in range(1, 4):
            topics.put(make_alert(f"a-{number}"))
            topics.put(delivery(f"a-{number}", number, sequence=number))
        topics.open()
        page = topics.ledger.page("platform", {}, 10)
        assert (len(page.deliveries), page.more) == (1, True)


def test_a_drills_alert_is_read_from_what_was_asked_for(tmp_path: Path) -> None:
    request = {"request_id": "d", "kind": "drill", "subscriber": "platform", "requested_at": TIME}
    drill = RedeliveryRequest.model_validate_json(
        json.dumps({**request, "alert": make_alert("drill-d").model_dump(mode="json")})
    )
    with ledger_in(tmp_path) as topics:
        topics.put(drill)
        topics.put(delivery("drill-d", 1, mark="drill-d", kind="drill"))
        topics.open()
        (pulled,) = topics.ledger.page("platform", {}, 10).deliveries
        assert pulled.alert_json is not None
        assert topics.ledger.alert("drill-d") is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("queue"), st.integers(0, PARTITIONS - 1), st.integers(0, 2), st.integers(1, 3)),
        st.tuples(st.just("update"), st.integers(0, 50)),
        st.tuples(st.just("open"), st.just(0)),
        st.tuples(st.just("pull"), st.integers(1, 5)),
        st.tuples(st.just("rebuild"), st.just(0)),
    ),
    max_size=40,
)


class Run:
    """One interleaving: a dispatcher that queues and attempts, a feed, a puller that keeps only its cursor."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.queued: list[tuple[int, Any]] = []
        self.positions = dict.fromkeys(range(PARTITIONS), 0)
        self.sequences: dict[str, int] = {}
        self.cursor = encode_cursor("platform", {})
        self.seen: list[Any] = []

    def queue(self, partition: int, case: int, gap: int) -> None:
        case_id = f"case-{partition}-{case}"
        number = self.sequences[case_id] = self.sequences.get(case_id, 0) + 1
        self.positions[partition] += gap
        alert_id = f"{case_id}-{number}"
        record = delivery(alert_id, self.positions[partition], case_id=case_id, sequence=number)
        self.queued.append((partition, record))
        self.topics.put(make_alert(alert_id, case_id), partition)
        self.topics.put(record, partition)

    def update(self, which: int) -> None:
        if self.queued:
            partition, record = self.queued[which % len(self.queued)]
            self.topics.put(record.model_copy(update={"status": DeliveryStatus.DELIVERED, "attempts": 1}), partition)

    def open(self, _: int) -> None:
        self.topics.open()

    def pull(self, limit: int) -> bool:
        page = self.topics.ledger.page("platform", decode_cursor(self.cursor, "platform", PARTITIONS), limit)
        self.seen += [one.record for one in page.deliveries]
        self.cursor = encode_cursor("platform", page.next)
        return page.more

    def rebuild(self, _: int) -> None:
        """Begin again from what compaction has left: the last record of each delivery, where it stands."""
        self.topics.ledger.begin_again({})
        for (source, partition), log in self.topics.logs.items():
            last = {json.loads(value)["alert_id"]: offset for offset, value in enumerate(log)}
            for offset, value in enumerate(log):
                if source is not Source.DELIVERIES or last[json.loads(value)["alert_id"]] == offset:
                    self.topics.ledger.apply(source, partition, offset, value)
                self.pull(3)  # somebody pulls meanwhile


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS)
@example(steps=[("queue", 0, 0, 1), ("queue", 0, 1, 1), ("update", 0), ("rebuild", 0)])
def test_a_puller_misses_nothing_and_sees_each_case_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    with ledger_in(tmp_path_factory.mktemp("run")) as topics:
        run = Run(topics)
        for name, *arguments in steps:
            getattr(run, name)(*arguments)
        run.open(0)
        while run.pull(2):
            pass
        assert {one.delivery_id for one in run.seen} == {record.delivery_id for _, record in run.queued}
        for case_id, count in run.sequences.items():
            assert [one.delivery_sequence for one in run.seen if one.case_id == case_id] == list(range(1, count + 1))


# --- the cursor ---

POSITIONS = st.dictionaries(st.integers(0, PARTITIONS - 1), st.integers(1, 2**62), max_size=PARTITIONS)


@given(positions=POSITIONS)
def test_a_cursor_gives_back_what_it_was_made_of(positions: dict[int, int]) -> None:
    text = encode_cursor("platform", positions)
    assert decode_cursor(text, "platform", PARTITIONS) == positions
    with pytest.raises(CursorError):
        decode_cursor(text, "other", PARTITIONS)


@given(positions=POSITIONS, data=st.data())
def test_a_changed_cursor_is_refused(positions: dict[int, int], data: st.DataObject) -> None:
    text = encode_cursor("platform", positions)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from("AZaz09-_=+/ .\n")) + text[at + 1 :]
    if changed != text:
        with pytest.raises(CursorError):
            decode_cursor(changed, "platform", PARTITIONS)


@given(text=st.text(max_size=60))
def test_no_text_is_taken_for_a_cursor(text: str) -> None:
    with pytest.raises(CursorError):
        decode_cursor(text, "platform", PARTITIONS)


def test_a_cursor_with_a_partition_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CursorError, match="partition"):
        decode_cursor(encode_cursor("platform", {PARTITIONS: 1}), "platform", PARTITIONS)


# --- fed from Kafka ---


@pytest.mark.kafka
def test_the_ledger_is_fed_from_topics_and_goes_on_where_it_was(
    kafka: EmbeddedKafka, topics: TopicSet, tmp_path: Path
) -> None:
    servers = kafka.bootstrap_servers

    def send(number: int) -> None:
        case_id = f"case-{number}"
        partition = partition_of(case_id, topics.partitions)
        alert = make_alert(f"a-{number}", case_id).model_dump_json().encode()
        produce(servers, topics.alerts, [(case_id.encode(), alert)], partition=partition)
        record = delivery(f"a-{number}", number, case_id=case_id)
        produce(servers, topics.deliveries, [(record.key, record.model_dump_json().encode())], partition=partition)
        said = decision(f"a-{number}", decisions=[{"subscriber": "platform", "reason": "wanted"}])
        produce(servers, topics.decisions, [(case_id.encode(), said.model_dump_json().encode())], partition=partition)

    def fed_until(ledger: Ledger, count: int) -> LedgerFeed:
        feed = LedgerFeed(ledger, servers, topics)
        feed.start()
        eventually(lambda: len(ledger.page("platform", {}, 100).deliveries) == count, what=f"{count} deliveries")
        return feed

    path = tmp_path / "ledger.sqlite"
    for number in range(1, 11):
        send(number)
    with closing(Ledger(path)) as ledger:
        feed = fed_until(ledger, 10)
        send(11)
        eventually(lambda: len(ledger.page("platform", {}, 100).deliveries) == 11, what="the new one")
        eventually(lambda: feed.state().lag == 0 and feed.state().is_open and feed.state().problem is None)
        assert all(one.alert_json for one in ledger.page("platform", {}, 100).deliveries)
        eventually(lambda: len(ledger.decisions("a-11")) == 1, what="the decision on it")
        feed.stop()
        offsets = ledger.next_offsets()
    send(12)
    with closing(Ledger(path)) as ledger:
        assert ledger.next_offsets() == offsets
        fed_until(ledger, 12).stop()
        ids = ledger.topic_ids()
        # Another topic of the same name: what was read of the old one is forgotten.
        with ledger.writing() as db:
            db.execute("UPDATE topics SET topic_id = 'another' WHERE source = 'alerts'")
            db.execute("UPDATE offsets SET next = 1000000")
        fed_until(ledger, 12).stop()
        assert ledger.topic_ids() == ids
