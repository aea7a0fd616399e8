"""`sealed list`, and the example of posts: what is handed over by hand, and nothing more of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from models.schemas import contract_schemas
from models.sealed import ROUTE_TITLES, SealedRecord
from rules.sealing import Said, load_posts, sealed_route
from streams.broker import EmbeddedKafka
from streams.sealed_log import shells
from streams.topics import TopicSet
from tests.kafka_support import produce

EXAMPLE = Path(__file__).parent.parent / "deploy" / "posts.example.yaml"


def record(ticket: str, at: str, route: str = "head_of_office", event: str = "e1") -> SealedRecord:
    return SealedRecord.model_validate({"ticket_id": ticket, "event_id": event, "occurred_at": at, "route": route})


LATE = record("T-2", "2025-03-03T09:00:00+08:00")
EARLY = record("T-1", "2025-03-03T00:30:00Z", "superior_petition_office")


def raw(*records: SealedRecord) -> list[bytes]:
    return [one.model_dump_json().encode() for one in records]


# --- the shells on a topic ---


def test_shells_are_ordered_by_their_instant_and_stand_once() -> None:
    found = shells(raw(LATE, EARLY, LATE, record("T-2", "2025-03-04T09:00:00+08:00", event="e2")))
    assert [(one.ticket_id, one.event_id) for one in found.records] == [("T-1", "e1"), ("T-2", "e1"), ("T-2", "e2")]
    assert found.unreadable == 0


def test_what_is_no_shell_is_counted() -> None:
    found = shells([b"", b"{}", b"\xff", *raw(EARLY), b'{"schema_version": 2}'])
    assert ([one.ticket_id for one in found.records], found.unreadable) == (["T-1"], 4)


def test_every_route_has_a_title() -> None:
    assert set(contract_schemas()["sealed"]["properties"]["route"]["enum"]) == set(ROUTE_TITLES)


# --- the command ---


def listed(bootstrap_servers: str, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["sealed", "list", "--bootstrap-servers", bootstrap_servers, *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_broker_that_is_away_is_told() -> None:
    status, stdout, stderr = listed("127.0.0.1:1")
    assert (status, stdout) == (2, "")
    assert "no Kafka broker answers at 127.0.0.1:1" in stderr


@pytest.mark.kafka
def test_what_was_sealed_is_listed(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    servers = kafka.bootstrap_servers
    assert listed(servers, "--prefix", topics.prefix) == (0, "没有密封的诉求\n", "")
    produce(servers, topics.sealed, [(b"k", value) for value in (*raw(LATE, EARLY, LATE), b"no shell")])
    status, stdout, stderr = listed(servers, "--prefix", topics.prefix)
    assert (status, stderr) == (0, f"1 records of {topics.sealed} are no shells and are left out\n")
    first, second = stdout.splitlines()[1:3]
    assert "2025-03-03 08:30" in first
    assert "直送上一级信访举报部门" in first
    assert first.split()[-2:] == ["T-1", "e1"]
    assert second.split()[-2:] == ["T-2", "e1"]
    answer = json.loads(listed(servers, "--prefix", topics.prefix, "--json")[1])
    assert answer == {"sealed": [EARLY.model_dump(), LATE.model_dump()], "unreadable": 1}


@pytest.mark.kafka
def test_a_missing_topic_is_told_with_what_to_do(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    status, _, stderr = listed(kafka.bootstrap_servers, "--prefix", topic_prefix)
    assert status == 2
    assert f"there is no topic {topic_prefix}hw.sealed: create it with `hotline-watch topics create`" in stderr


# --- the example ---


def test_the_example_of_posts_is_taken_and_seals() -> None:
    posts = load_posts(EXAMPLE)
    assert set(posts.routes.values()) == set(ROUTE_TITLES)
    for accused, route in (("云溪县委书记", "head_of_office"), ("云溪县纪委书记", "superior_petition_office")):
        said = Said(content=f"举报{accused}收受工程老板钱款", request_type="report")
        assert sealed_route(said, posts, None) == route
    assert sealed_route(Said(content="举报村书记收受钱款", request_type="report"), posts, None) is None
