"""Reference data in the running service: imported, read before the first event, followed, joined, told with its version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import importing
from cli import reference as tables
from cli.running import reference_of
from models.decode import decode_event
from models.times import parse_instant
from rules.driver import Driver
from rules.intake import to_event
from rules.pseudonym import PseudonymKey
from streams.broker import EmbeddedKafka
from tests.builders import Run, Story, engine, reader
from tests.kafka_support import eventually, read_all
from tests.live_support import Live, live, to_bytes

pytestmark = pytest.mark.kafka

PHONE, SECRET = "19900000001", "a secret of at least 24 bytes, for tests"
KEYS = {"PSEUDONYM_KEYS": '[{"id": "k1", "secret_env": "HOTLINE_WATCH_SECRET_P"}]', "SECRET_P": SECRET}
UNITS = "单位编号,单位名称,单位类型\nU-1,甲街道办事处,街道\nU-2,乙局,部门\n"
CITIZENS = "电话,频繁来电,来电次数\n199-0000-0001,是,48\n"
PROJECTS = "项目编号,项目名称,社区\nPRJ-1,试社区供水改造,试社区\n"
POSTS = "职务,去向\n云溪县委书记,直送本机关主要负责人\n"


def _command(service: Live, app: Any, *arguments: object) -> str:
    environment = {f"HOTLINE_WATCH_{name}": value for name, value in KEYS.items()}
    way = ["--bootstrap-servers", service.servers, "--prefix", service.topics.prefix]
    result = CliRunner().invoke(app, [*map(str, arguments), *way], env=environment)
    assert result.exit_code == 0, result.output
    return result.output


def _import(service: Live, table: str, text: str, *options: str) -> None:
    file = service.folder / f"{table}.csv"
    file.write_text(text, encoding="utf-8")
    _command(service, importing.app, file, "--mapping", table, "--snapshot", *options)


def _versions(service: Live) -> dict[str, str]:
    told = json.loads(_command(service, tables.app, "list", "--json"))["tables"]
    return {one["table"]: one["version"] for one in told if one["rows"]}


def _returned(prefix: str) -> list[dict[str, Any]]:
    story = Story(f"{prefix}-1").complaint(0)
    for number, unit in enumerate(("U-1", "U-2")):
        story(number + 1, "dispatched", unit=unit)(number + 1.5, "return_requested", unit=unit)
    return story.records


def _repeated(prefix: str) -> list[dict[str, Any]]:
    story = Story()
    for number in range(6):
        story.complaint(number, ticket=f"{prefix}-R{number}", citizen={"phone": PHONE})
    return story(6, "visited", ticket=f"{prefix}-R0", result="dissatisfied").records


def _told_by_the_driver(service: Live, records: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Return the warnings in force that a backtest finds with the tables as they are on the topic now."""
    rows = service.folder / "rows.jsonl"
    _command(service, tables.app, "export", "--out", rows)
    reference, keys = reference_of(rows), [PseudonymKey("k1", SECRET.encode())]
    assert reference is not None
    driver = Driver(engine())
    events = [reference.enrich(to_event(decode_event(value), keys, reader())) for value in to_bytes(records)]
    alerts = [alert for event in sorted(events, key=lambda one: one.at) for alert in driver.feed(event)]
    return Run(driver, alerts).in_force


def _in_force(service: Live, prefix: str) -> dict[tuple[str, str], str]:
    return {key: level for key, level in service.in_force().items() if key[0].startswith(prefix)}


def _last(service: Live, ticket: str, rule: str) -> Any:
    return [one for one in service.issued() if one.rule.id == rule and ticket in one.tickets][-1]


def _joined(service: Live, ticket: str, rule: str) -> str:
    return "\n".join(one.what for one in _last(service, ticket, rule).evidence if "参考数据" in one.what)


def test_tables_are_joined_from_the_first_event_on_and_told_with_their_version(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    with live(kafka, tmp_path, "reference.", **KEYS) as service:
        for table, text in (("units", UNITS), ("citizens", CITIZENS), ("projects", PROJECTS)):
            _import(service, table, text)
        first = _versions(service)
        lying = b"\n".join(
            (one.key or b"") + (one.value or b"") for one in read_all(service.servers, service.topics.reference)
        )
        assert len(lying.splitlines()) == 4
        assert PHONE.encode() not in lying
        records = [*_returned("A"), *_repeated("A")]
        service.send(to_bytes(records))  # they wait while nobody runs
        service.start("worker-1")
        service.wait_until_ready()
        service.idle()
        assert service.metric("hw_reference_rows") == 4
        assert "reference data read in" in service.logs()
        assert _in_force(service, "A") == _told_by_the_driver(service, records)
        assert {one.id: one.name for one in _last(service, "A-1", "P01").units} == {
            "U-1": "甲街道办事处",
            "U-2": "乙局",
        }
        assert first["units"] in _joined(service, "A-1", "P01")
        assert first["projects"] in _joined(service, "A-1", "P01")
        calls = _last(service, "A-R0", "P08")
        assert (calls.level, "frequent_caller" in calls.flags) == ("yellow", True)
        assert first["citizens"] in _joined(service, "A-R0", "P08")

        # Other tables, dropped in a folder while the worker is dead: what waited meets them, what was joined stays.
        service.running["worker-1"].kill()
        (tmp_path / "drop").mkdir()
        (tmp_path / "drop/units.csv").write_text(UNITS.replace("U-2,乙局,部门\n", "").replace("甲街道办事处", "甲街道"))
        watch = ["--watch", tmp_path / "drop", "--once", "--settle-seconds", 0, "--mapping", "units", "--snapshot"]
        _command(service, importing.app, *watch)
        _import(service, "citizens", CITIZENS.replace("是", "否"))
        second = _versions(service)
        assert {name for name in first if first[name] != second[name]} == {"units", "citizens"}
        records = [*_returned("B"), *_repeated("B")]
        service.send(to_bytes(records))
        service.start("worker-1")
        service.wait_until_ready()
        service.idle()
        assert _in_force(service, "B") == _told_by_the_driver(service, records)
        assert {one.id: one.name for one in _last(service, "B-1", "P01").units} == {"U-1": "甲街道", "U-2": None}
        assert second["units"] in _joined(service, "B-1", "P01")
        assert _last(service, "B-R0", "P08").level == "red"
        assert {one.id: one.name for one in _last(service, "A-1", "P01").units}["U-2"] == "乙局"

        # A post that is imported while the worker runs seals from then on, and a row nobody can read is no row.
        _import(service, "posts", POSTS)
        eventually(lambda: service.metric('hw_reference_rows{table="posts"}') == 1, 20, "the post")
        accusing = Story("C-1").complaint(0, title="反映", content="云溪县委书记收了红包").records
        service.send(to_bytes(accusing))
        service.idle()
        assert len(read_all(service.servers, service.topics.sealed)) == 1
        assert _in_force(service, "C") == {}
        service.tick(parse_instant("2025-04-01T00:00:00+08:00"))
        service.idle()
        assert service.metric('hw_reference_changes{outcome="refused"}') == 0
        assert service.metric("hw_poison_total") == 0
        for path in (tmp_path / "logs").iterdir():
            assert "Traceback" not in path.read_text(encoding="utf-8", errors="replace"), path.name
