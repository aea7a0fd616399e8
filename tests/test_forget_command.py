"""`hotline-watch forget` on the real Kafka: what it removes, what it proves, what comes later, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from cli.main import app
from models.erasure import ErasureRecord
from models.ticket_event import Citizen
from rules.forgetting import Needle, mark_of
from rules.pseudonym import citizen_keys
from streams.broker import EmbeddedKafka
from streams.erasure_survey import compacted_topics, survey
from streams.topics import TopicSet
from tests.builders import KEYS, Story, body, time_of
from tests.kafka_support import Record, produce, read_all
from tests.live_support import Live, live, to_bytes

PHONE = "199-0000-0042"
OTHER = "199-0000-0043"
(GONE,) = citizen_keys(Citizen(phone=PHONE), KEYS)
SECRET_VARIABLE = "HOTLINE_WATCH_SECRET_FORGET"
TOPICS = TopicSet(partitions=2)


def complaints() -> list[dict[str, Any]]:
    """Two complaints of one matter by the citizen, one of another's; one was visited and is dissatisfied."""
    named = {"citizen": {"phone": PHONE, "name": "张某"}}
    story = Story("T-A").complaint(0, **named)(1, "resolved", unit="U-1")(2, "visited", result="dissatisfied")
    others = Story("T-C").complaint(3, citizen={"phone": OTHER})
    praise = Story("T-D").complaint(3, request_type="praise", **named)  # no claim leads there
    return [*story.records, *Story("T-B").complaint(3, **named).records, *others.records, *praise.records]


def environment(installation: Live) -> dict[str, str]:
    keys = json.dumps([{"id": KEYS[0].id, "secret_env": SECRET_VARIABLE}])
    return installation.environment("cli") | {
        "HOTLINE_WATCH_PSEUDONYM_KEYS": keys,
        SECRET_VARIABLE: KEYS[0].secret.decode(),
    }


def forget(installation: Live, *arguments: str, given: str = f"{PHONE}\n") -> tuple[int, dict[str, Any]]:
    result = CliRunner(env=environment(installation)).invoke(app, ["forget", "--json", *arguments], input=given)
    assert result.exit_code in (0, 1), result.stderr
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def running(kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setenv(SECRET_VARIABLE, KEYS[0].secret.decode())
    keys = json.dumps([{"id": KEYS[0].id, "secret_env": SECRET_VARIABLE}])
    with live(kafka, tmp_path, f"{tmp_path.name}.", PSEUDONYM_KEYS=keys) as installation:
        installation.start("worker-1")
        installation.wait_until_ready()
        yield installation


@pytest.mark.kafka
def test_one_citizen_is_forgotten_and_stays_so(running: Live) -> None:
    running.send(to_bytes(complaints()))
    running.idle()
    assert ("T-A", "P08") in running.in_force()
    asked = ("--phone-from-stdin", "--yes", "--reason", "asked for by letter")

    status, proof = forget(running, *asked)
    assert (status, proof["done"]) == (0, True)
    assert proof["removed"]["tickets"] == 3
    assert (proof["removed"]["values_of_citizens"], proof["removed"]["lineages"]) == (1, 2)
    assert sum(one["topic"] == running.topics.tickets_changelog for one in proof["keys"]) == 3
    assert all(one["value_sha256_before"] != one["value_sha256_after"] for one in proof["keys"])
    running.idle()
    assert ("T-A", "P08") not in running.in_force()

    late = Story("T-A").complaint(4, citizen={"phone": PHONE}, event_id="T-A-again").records
    running.send(to_bytes([*late, *complaints(), body("T-A", "urged", 5, "T-A-urged")]))
    running.tick(time_of(6))
    running.idle()
    assert forget(running, "--phone-from-stdin", "--check")[1]["left"] == dict.fromkeys(proof["left"], 0)

    status, again = forget(running, *asked)
    assert (status, again["removed"]["tickets"], again["keys"]) == (0, 0, [])
    _check_what_was_said(running, [proof["request"], again["request"]])

    running.running.pop("worker-1").kill()
    running.start("worker-2")  # from the changelog alone
    running.wait_until_ready()
    running.send(to_bytes(Story("T-E").complaint(5, citizen={"phone": PHONE}).records))
    running.idle()
    assert forget(running, "--phone-from-stdin", "--check")[0] == 0


def _check_what_was_said(running: Live, requests: list[str]) -> None:
    said = [
        ErasureRecord.model_validate_json(one.value or b"")
        for one in read_all(running.servers, running.topics.erasures)
    ]
    assert sorted((one.request, one.step) for one in said) == sorted(
        (request, step) for request in requests for step in ("asked", "done")
    )
    assert {one.citizens for one in said} == {(mark_of(GONE),)}
    assert {one.reason for one in said} == {"asked for by letter"}
    needle = Needle(GONE)
    topics = running.topics
    for topic in (topics.alerts, topics.quarantine, topics.erasures):
        assert not any(needle.in_record(one.key, one.value) for one in read_all(running.servers, topic)), topic
    assert GONE not in running.logs()


@pytest.mark.kafka
def test_without_workers_it_says_who_has_not_finished(
    kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, KEYS[0].secret.decode())
    with live(kafka, tmp_path, f"{tmp_path.name}.") as installation:
        produce(
            installation.servers, installation.topics.reference, [(b'["citizens","x"]', orjson.dumps({"key": GONE}))]
        )
        asked = ("--citizen", GONE, "--yes", "--reason", "r", "--timeout-seconds", "1")
        status, proof = forget(installation, *asked, given="")
        assert (status, proof["done"]) == (1, False)
        assert len(proof["waiting_for"]) == installation.topics.partitions + 1
        assert (proof["reference_rows"], proof["left"][installation.topics.reference]) == (1, 0)


def test_with_another_number_of_partitions_nothing_is_asked(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    with live(kafka, tmp_path, f"{tmp_path.name}.") as installation:
        wrong = environment(installation) | {"HOTLINE_WATCH_PARTITIONS": str(installation.topics.partitions + 1)}
        result = CliRunner(env=wrong).invoke(app, ["forget", "--citizen", GONE, "--yes", "--reason", "r"])
        assert result.exit_code == 2
        assert "the setting partitions" in result.stderr
        assert not read_all(installation.servers, installation.topics.erasures)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--citizen", "c", "--yes"), "--reason"),
        (("--reason", "r", "--yes"), "say who"),
        (("--citizen", "c", "--phone-from-stdin", "--reason", "r", "--yes"), "say who"),
        (("--citizen", "c", "--reason", "r"), "--yes"),
        (("--citizen", PHONE, "--reason", "r", "--yes"), "standard input"),
        (("--citizen", "", "--reason", "r", "--yes"), "no pseudonym"),
        (("--citizen", "c\0", "--reason", "r", "--yes"), "no pseudonym"),
        (("--citizen", "c" * 129, "--check"), "no pseudonym"),
        (("--phone-from-stdin", "--reason", "r", "--yes"), "no phone number"),
        (("--citizen", "c", "--reason", "r" * 501, "--yes"), "500"),
    ],
)
def test_what_is_not_said_clearly_is_refused(
    arguments: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, KEYS[0].secret.decode())
    monkeypatch.setenv("HOTLINE_WATCH_PSEUDONYM_KEYS", json.dumps([{"id": "k1", "secret_env": SECRET_VARIABLE}]))
    result = CliRunner().invoke(app, ["forget", *arguments], input="none\n")
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_phone_number_is_not_taken_for_an_id_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, KEYS[0].secret.decode())
    monkeypatch.setenv("HOTLINE_WATCH_PSEUDONYM_KEYS", json.dumps([{"id": "k1", "secret_env": SECRET_VARIABLE}]))
    result = CliRunner().invoke(app, ["forget", "--id-number-from-stdin", "--check"], input=f"{PHONE}\n")
    assert (result.exit_code, PHONE in result.output) == (2, False)
    assert "--phone-from-stdin" in result.stderr


def _record(offset: int, key: bytes, value: bytes | None) -> Record:
    return Record(0, offset, key, value, 0)


def test_a_survey_tells_the_last_record_of_a_key_from_those_before() -> None:
    names, frees = orjson.dumps(["T", {GONE: 1}]), orjson.dumps(["T", {}])
    tickets, citizens, reference = compacted_topics(TOPICS)
    log = {
        tickets: [
            _record(0, b"T-1", names),
            _record(1, b"T-2", names),
            _record(2, b"T-1", frees),
            _record(3, b"T-2", names),
        ],
        citizens: [_record(0, GONE.encode(), b"x"), _record(1, GONE.encode(), None)],
        reference: [],
    }
    found = survey(log.__getitem__, TOPICS, [GONE])
    assert list(found.left) == [(tickets, 0, b"T-2")]
    assert found.superseded == {tickets: 2, citizens: 2, reference: 0}
    assert found.ends == {tickets: {0: 4}, citizens: {0: 2}, reference: {}}
