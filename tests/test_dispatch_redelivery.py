"""What a running dispatch worker does when people act: drills, replays, corrections, files that change under it, asking
again, and silences that end.
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from alerting.receiver import Receiver, serve
from cli.deliveries import app as deliveries_app
from cli.silences import app as silences_app
from cli.subscribers import app as subscribers_app
from models.decision import DecisionRecord
from models.delivery import delivery_id
from models.redelivery import RedeliveryKind, RedeliveryRequest
from streams.broker import EmbeddedKafka
from streams.redelivering import send_request
from streams.routes import partition_of
from streams.topics import TopicSet
from tests.alerting_support import SECRET, TIME, make_alert
from tests.dispatch_scenarios import ACCUSED, Installation, by_rule, ids, installation, lane, numbers, office
from tests.kafka_support import eventually, lag, read_all

pytestmark = pytest.mark.kafka

ABOVE_DESK = {"id": "U-B", "name": "乙街道办事处", "kind": "subdistrict", "level": "township"}
UNITS = [
    office("OFFICE", "测试监督室", "first", "second"),
    office("STATION", "测试审查室", "fourth", "fifth"),
    office("NEXT", "测试信访室", "third"),
    office("SPARE", "测试备用室", "failing"),
    ACCUSED,
    ABOVE_DESK,
]
DESK = office("DESK", "测试派出室", "later")
ROUTES = {"P01": "OFFICE", "P02": "DESK", "P03": "STATION"}
"""Each test that changes a route has a rule of its own."""
SILENCED = "case-silenced"
WHO = ("--author", "张某", "--comment", "施工期间集中处理")


@dataclass
class Desk:
    """A running installation, and who receives from it."""

    service: Installation
    receiver: Receiver
    entries: dict[str, dict[str, Any]]
    silence: str
    """The id of the silence of one case."""

    def write_entries(self) -> None:
        """Write the subscribers file."""
        self.service.write_subscribers(*self.entries.values())


def new_topics() -> TopicSet:
    return TopicSet(prefix=f"t{uuid.uuid4().hex[:10]}.", partitions=2)


def call(app: typer.Typer, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def silenced(service: Installation, case_id: str) -> str:
    """Silence a case for a day, and return the silence's id."""
    where = ("--file", str(service.path("silences")))
    result = call(silences_app, "add", "--case", case_id, "--hours", "24", *WHO, *where, "--json")
    assert result.exit_code == 0, result.output
    return str(json.loads(result.stdout)["silence"]["id"])


def why(service: Installation, alert_id: str) -> dict[str, dict[str, Any]]:
    """Return what `deliveries why` says of an alert, by subscriber."""
    result = call(deliveries_app, "why", "--alert", alert_id, "--json", *service.where)
    return {line["subscriber"]: line for line in json.loads(result.stdout)["lines"]}


def decisions(service: Installation, alert_id: str) -> list[DecisionRecord]:
    found = read_all(service.servers, service.topics.decisions)
    records = [DecisionRecord.model_validate_json(one.value or b"") for one in found]
    return [record for record in records if record.alert_id == alert_id]


def complaint(service: Installation) -> str:
    """Return what the worker says is wrong with it; nothing where it is well."""
    answer = service.health()
    return "\n".join(answer.json()["problems"]) if answer.status_code == 503 else ""


def of_rule(rule_id: str) -> dict[str, Any]:
    return {"rule": {"id": rule_id, "version": 1, "title": "多次退单"}}


@pytest.fixture(scope="module")
def desk(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One installation for all that needs no start of its own; each test has its own cases."""
    receiver, failing = Receiver([SECRET]), Receiver([SECRET], script=lambda *_: 500)
    folder = tmp_path_factory.mktemp("desk")
    with (
        installation(kafka, folder, new_topics()) as service,
        serve(receiver) as url,
        serve(failing) as failing_url,
    ):
        names = ("first", "second", "third", "fourth", "fifth", "later")
        entries = {name: {"name": name, "url": f"{url}/{name}"} for name in names}
        entries["failing"] = {"name": "failing", "url": failing_url}
        made = Desk(service, receiver, entries, silenced(service, SILENCED))
        made.write_entries()
        service.write("units", {"units": [*UNITS, {**DESK, "parent": "U-B"}]})
        service.write("routing", by_rule(ROUTES))
        service.start()
        eventually(lambda: service.health().status_code == 200)
        yield made
    assert (receiver.out_of_order, receiver.duplicates, receiver.not_verified) == ([], [], 0)


# --- drills ---


def test_a_drill_reaches_its_subscriber_signed_and_marked_and_touches_no_case(desk: Desk) -> None:
    service, receiver = desk.service, desk.receiver
    versions = [
        make_alert("before-drill", "case-drill"),
        make_alert("after-drill", "case-drill", sequence=2, status="escalated", level="red"),
    ]
    service.publish(versions[0])
    eventually(lambda: lane(receiver, "first", "case-drill"), 60)
    result = call(subscribers_app, "test", "first", "--file", str(service.path("subscribers")), *service.where)
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r"first: accepted \(204\) after \d+ ms\n", result.output)
    [drill] = lane(receiver, "first", "drill:first")  # the receiver takes nothing whose signature it cannot verify
    assert receiver.calls[drill.webhook_id] == 1
    assert (drill.alert["drill"], drill.alert["kind"], drill.alert["flags"]) == (True, "drill", ["drill"])
    assert drill.alert["headline"].startswith("【演练】")
    assert drill.alert["units"] == []
    service.publish(versions[1])
    eventually(lambda: len(lane(receiver, "first", "case-drill")) == 2, 30)
    came = lane(receiver, "first", "case-drill")
    assert (ids(came), numbers(came)) == (["before-drill", "after-drill"], [1, 2])
    assert not [one for one in receiver.accepted if one.alert["case_id"] == "drill:first" and one.lane != "first"]


def test_a_drill_that_is_not_accepted_says_what_came_of_it(desk: Desk) -> None:
    path = str(desk.service.path("subscribers"))
    result = call(subscribers_app, "test", "failing", "--file", path, *desk.service.where)
    assert result.exit_code == 1
    assert re.match(r"failing: not accepted: http_5xx \(500\) after \d+ ms", result.output)


# --- replays ---


def test_a_replay_goes_once_more_to_whom_it_was_sent_and_to_nobody_else(desk: Desk) -> None:
    service, receiver = desk.service, desk.receiver
    case = "case:T-REPLAY-1"  # a case lies where its id does, which here is not where its root ticket lies
    assert partition_of(case, 2) != partition_of("T-REPLAY-1", 2)
    alert = make_alert("replayed", case)
    service.publish(alert)
    eventually(lambda: lane(receiver, "first", case) and lane(receiver, "second", case), 60)
    delivered = delivery_id("first", "replayed")
    eventually(lambda: "delivered" in [line["code"] for line in why(service, "replayed").values()], 30)

    asked = call(deliveries_app, "replay", "--alert", "replayed", "--subscriber", "first", "--json", *service.where)
    told = json.loads(asked.stdout)
    assert (asked.exit_code, told["requests"]) == (0, 1)
    eventually(lambda: len(lane(receiver, "first", case)) == 2, 30)

    def request(name: str, request_id: str) -> RedeliveryRequest:
        return RedeliveryRequest(
            request_id=request_id,
            kind=RedeliveryKind.REPLAY,
            subscriber=name,
            alert=alert,
            requested_at=TIME,
        )

    send_request(service.servers, service.topics, request("first", told["request_id"]))  # the same once more
    send_request(service.servers, service.topics, request("third", "for-third"))  # was never sent it
    group, topic = service.topics.dispatch_app_id, service.topics.redeliveries
    eventually(lambda: lag(service.servers, group, topic) == 0, 30, "every request was taken")
    service.publish(make_alert("after-replay", case, sequence=2, status="escalated", level="red"))
    eventually(lambda: len(lane(receiver, "first", case)) == 3, 30)
    eventually(lambda: len(lane(receiver, "second", case)) == 2, 30)

    came = lane(receiver, "first", case)
    assert (ids(came), numbers(came)) == (["replayed", "replayed", "after-replay"], [1, 2, 3])
    assert came[0].webhook_id == delivered != came[1].webhook_id
    assert (came[1].alert["kind"], came[1].alert["replay_id"]) == ("replay", told["request_id"])
    assert "kind" not in came[0].alert
    assert ids(lane(receiver, "second", case)) == ["replayed", "after-replay"]
    assert lane(receiver, "third", case) == []


# --- corrections ---


def test_corrections_and_retractions_reach_those_who_were_told_though_routing_has_changed(desk: Desk) -> None:
    service, receiver, case = desk.service, desk.receiver, "case-corrected"
    service.publish(make_alert("told", case, level="red", **of_rule("P03")))
    eventually(lambda: lane(receiver, "fourth", case) and lane(receiver, "fifth", case), 60)

    service.write("routing", by_rule(ROUTES | {"P03": "NEXT"}))
    desk.entries["fifth"]["families"] = ["T"]
    desk.write_entries()
    probes = itertools.count()

    def third_is_told_what_is_new() -> bool:
        number = next(probes)
        service.publish(make_alert(f"probe-{number}", f"case-probe-{number}", **of_rule("P03")))
        return bool(lane(receiver, "third"))

    eventually(third_is_told_what_is_new, 30)
    service.publish(
        make_alert("corrected", case, sequence=2, status="corrected", level="blue", **of_rule("P03")),
        make_alert("retracted", case, sequence=3, status="retracted", level="blue", **of_rule("P03")),
    )
    for name in ("fourth", "fifth"):
        eventually(lambda name=name: len(lane(receiver, name, case)) == 3, 30)  # type: ignore[misc]
        came = lane(receiver, name, case)
        assert (ids(came), numbers(came)) == (["told", "corrected", "retracted"], [1, 2, 3])
    told = {record.subscriber for _, record in service.deliveries() if record.case_id == case}
    assert told == {"fourth", "fifth"}


# --- files that change ---


def test_a_broken_unit_registry_holds_everything_until_it_is_mended(desk: Desk) -> None:
    service, receiver = desk.service, desk.receiver
    sound = service.path("units").read_bytes()
    cases = [f"case-held-{number}" for number in range(3)]
    alerts = [
        make_alert(f"{case}.{number}", case, sequence=number, status=status, level=level)
        for number, status, level in ((1, "raised", "yellow"), (2, "escalated", "red"))
        for case in cases
    ]
    service.path("units").write_bytes(b"units:\n  - {id: U-A}\n")
    try:
        eventually(lambda: f"{service.path('units')}:2" in complaint(service), 30)
        service.publish(*alerts)
        # They have come, and wait.
        eventually(lambda: service.health().json()["lag"][service.topics.alerts] >= len(alerts), 30)
        assert not [one for one in receiver.accepted if one.alert["case_id"] in cases]
    finally:
        service.path("units").write_bytes(sound)
    for name, case in itertools.product(("first", "second"), cases):
        eventually(lambda name=name, case=case: len(lane(receiver, name, case)) == 2, 30)  # type: ignore[misc]
        came = lane(receiver, name, case)
        assert (ids(came), numbers(came)) == ([f"{case}.1", f"{case}.2"], [1, 2])
        assert [receiver.calls[one.webhook_id] for one in came] == [1, 1]
    eventually(lambda: service.health().status_code == 200, 30)


def test_without_a_unit_registry_everything_is_held_until_there_is_one(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    receiver = Receiver([SECRET])
    with installation(kafka, tmp_path, new_topics()) as service, serve(receiver) as url:
        service.write_subscribers({"name": "first", "url": f"{url}/first"})
        service.write("routing", by_rule({"P01": "OFFICE"}))
        cases = [f"case-{number}" for number in range(3)]
        service.publish(*(make_alert(f"{case}.1", case) for case in cases))
        first = service.start()
        eventually(lambda: str(service.path("units")) in complaint(service), 30)
        eventually(lambda: service.health().json()["lag"].get(service.topics.alerts) == len(cases), 30)
        service.start(data="another")  # nobody who joins has to wait for what is held
        eventually(lambda: str(service.path("units")) in complaint(service), 60)
        assert first.stop() == 0
        service.publish(*(make_alert(f"{case}.2", case, sequence=2, status="escalated", level="red") for case in cases))
        assert receiver.calls == {}
        service.write("units", {"units": [office("OFFICE", "测试监督室", "first"), ACCUSED]})
        eventually(lambda: len(receiver.accepted) == 2 * len(cases), 30)
        for case in cases:
            came = lane(receiver, "first", case)
            assert (ids(came), numbers(came)) == ([f"{case}.1", f"{case}.2"], [1, 2])
        assert set(receiver.calls.values()) == {1}


# --- asking again ---


def test_what_went_to_nobody_is_sent_when_it_is_asked_again_after_the_registry_was_mended(desk: Desk) -> None:
    service, receiver, case = desk.service, desk.receiver, "case-conflict"
    accused = {"id": "U-B", "name": "乙街道办事处", "role": "accused"}
    service.publish(make_alert("conflicting", case, units=[accused], **of_rule("P02")))
    [decided] = eventually(lambda: decisions(service, "conflicting"), 60)
    assert decided.decisions == ()
    assert any("回避" in sentence for sentence in decided.why)
    assert {line["code"] for line in why(service, "conflicting").values()} == {"not_routed"}

    service.write("units", {"units": [*UNITS, DESK]})  # it was entered beneath the accused by mistake

    def is_sent_when_asked() -> bool:
        assert call(deliveries_app, "reroute", "--alert", "conflicting", *service.where).exit_code == 0
        return bool(lane(receiver, "later", case))

    eventually(is_sent_when_asked, 60)
    again = call(deliveries_app, "reroute", "--alert", "conflicting", *service.where)
    assert again.exit_code == 0
    group, topic = service.topics.dispatch_app_id, service.topics.redeliveries
    eventually(lambda: lag(service.servers, group, topic) == 0, 30, "every request was taken")
    assert numbers(lane(receiver, "later", case)) == [1]
    told = {record.subscriber for _, record in service.deliveries() if record.case_id == case}
    assert told == {"later"}

    later = {"units": [accused], "sequence": 2, "status": "retracted"}
    service.publish(make_alert("withdrawn", case, **later, **of_rule("P02")))
    eventually(lambda: numbers(lane(receiver, "later", case)) == [1, 2], 60)
    outdated = call(deliveries_app, "reroute", "--alert", "conflicting", *service.where)
    assert outdated.exit_code == 2
    assert "withdrawn (retracted) came after it" in outdated.output


# --- silences that end ---


def test_a_silence_that_is_ended_releases_what_it_held_and_why_tells_both(desk: Desk) -> None:
    service, receiver = desk.service, desk.receiver
    service.publish(make_alert("silenced", SILENCED))
    held = eventually(lambda: why(service, "silenced"), 60)
    assert {held[name]["code"] for name in ("first", "second")} == {"held"}
    assert held["first"]["reason"] == "silenced"
    assert f"{desk.silence} 张某:施工期间集中处理" in held["first"]["sentence"]
    assert lane(receiver, "first", SILENCED) == []

    ended = call(silences_app, "expire", desk.silence, "--by", "张某", "--file", str(service.path("silences")))
    assert ended.exit_code == 0, ended.output
    eventually(lambda: lane(receiver, "first", SILENCED) and lane(receiver, "second", SILENCED), 30)

    def told() -> dict[str, Any] | None:
        line = why(service, "silenced")["first"]
        return line if line["code"] == "delivered" else None

    line = eventually(told, 30)
    assert re.search(r"送达\(第 1 次尝试,对方已接收,应答 204\)", line["sentence"])
    assert numbers(lane(receiver, "first", SILENCED)) == [1]
    assert [record.occasion for record in decisions(service, "silenced")] == ["alert", "release", "release"]


def test_what_a_silence_held_that_ended_while_no_worker_ran_is_released_at_the_start(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    receiver = Receiver([SECRET])
    with installation(kafka, tmp_path, new_topics()) as service, serve(receiver) as url:
        service.write_subscribers({"name": "first", "url": f"{url}/first"})
        service.write("units", {"units": [office("OFFICE", "测试监督室", "first"), ACCUSED]})
        service.write("routing", by_rule({"P01": "OFFICE"}))
        silenced(service, SILENCED)
        service.publish(make_alert("silenced", SILENCED))
        worker = service.start()
        eventually(lambda: decisions(service, "silenced"), 60)
        assert worker.stop() == 0
        service.write("silences", {"silences": []})
        service.start()
        eventually(lambda: ids(receiver.accepted) == ["silenced"], 60)
