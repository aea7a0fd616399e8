"""A calendar that arrives and limits that change while two workers run: every ticket is judged again, live as in the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.alert import Alert
from models.base import Status
from models.times import parse_instant
from rules.driver import Driver
from rules.event import by_time
from rules.reckoning import load_reckoning
from streams.broker import EmbeddedKafka
from tests.builders import Run, Story, engine
from tests.kafka_support import eventually
from tests.live_support import Live, as_events, live, own_ids, to_bytes
from tests.reckoning_support import CITY

pytestmark = pytest.mark.kafka

ARRIVES, UNTIL = "2003-12-25T12:00:00+08:00", "2004-03-01T12:00:00+08:00"
MISSING = 'version: "1"\nsource: 试\ndays:\n  - {date: 2026-08-12, work: false, why: 试}\n'
YEAR_2003 = """\
version: "2"
source: 虚构,不是任何通知
years:
  - year: 2003
    holidays: [2003-01-01, 2003-05-01, 2003-10-01, 2003-12-22/2003-12-26]
    work_days: [2003-12-27]
"""
STRICTER = CITY.replace("value: 10", "value: 2").replace('version: "1"', 'version: "2"')
CASES = 36


def _records() -> list[dict[str, Any]]:
    """Return tickets of a year that nobody has announced: 2003, before the library begins, for intake refuses what is to come.

    Five work days from 12-16 end on 12-23 as long as it is missing, and on 12-29 by the made-up year.
    """
    records: list[dict[str, Any]] = []
    for number in range(CASES):
        story = Story(f"T-{number}")
        story("2003-12-15T09:00:00+08:00", "registered", urgency=("normal", "urgent")[number % 8 == 0])
        given = {"limit": {"value": 5, "unit": "work_days"}} if number % 3 else {}
        story("2003-12-16T10:00:00+08:00", "dispatched", unit="U-A", **given)
        if number % 4:
            story("2003-12-16T10:10:00+08:00", "accepted", unit="U-A")
        if number % 6 == 1:  # in the last minute as long as the year is missing, and by the year that arrives not
            story("2003-12-22T23:00:00+08:00", "return_requested", unit="U-A")
            story("2003-12-23T09:00:00+08:00", "return_denied", unit="U-A")
        if number % 6 == 2:  # late, and by the year that arrives in time
            story("2003-12-24T09:00:00+08:00", "resolved", unit="U-A")
        records += story("2003-12-24T10:00:00+08:00", "urged").records
    return sorted(records, key=lambda record: parse_instant(record["occurred_at"]))


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _judged_again(service: Live, version: str) -> None:
    """Return when every partition says that its tickets are judged by a calendar and limits."""
    told = f'every ticket is judged by {version}"'
    eventually(lambda: service.logs().count(told) >= service.topics.partitions, 60, "the review")
    service.idle()


def _same(service: Live, driver: Driver, said: list[Alert]) -> None:
    """Check that what is in force is what the driver says, and that warnings on one ticket's own events have the very same ids."""
    assert service.in_force() == Run(driver, said).in_force
    assert own_ids(service.issued()) == own_ids(said)


def test_what_a_new_calendar_and_new_limits_change_is_corrected_while_the_workers_run(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    calendar, limits = tmp_path / "calendar.yaml", tmp_path / "limits.yaml"
    _replace(calendar, MISSING)
    _replace(limits, CITY)
    records = _records()
    missing = load_reckoning(calendar, limits)
    driver = Driver(engine(missing))
    said = [alert for event in sorted(as_events(records), key=by_time) for alert in driver.feed(event)]
    said += driver.advance(parse_instant(ARRIVES))
    files = {"CALENDAR_FILE": str(calendar), "LIMITS_FILE": str(limits)}
    with live(kafka, tmp_path, "calendar.", **files) as service:
        service.start("worker-1", "worker-2")
        service.wait_until_ready()
        service.send(to_bytes(records))
        service.idle()
        service.tick(ARRIVES)
        service.idle()
        _same(service, driver, said)
        assert {rule for _, rule in service.in_force()} >= {"P04", "P05", "P06"}
        flagged = [one for one in service.issued() if "calendar_incomplete" in one.flags]
        assert flagged
        assert all(one.level != "red" for one in flagged)

        _replace(calendar, YEAR_2003)
        arrived = load_reckoning(calendar, limits)
        said += driver.reckon(engine(arrived))
        _judged_again(service, arrived.version)
        _same(service, driver, said)
        taken_back = [one for one in service.issued() if one.calendar_version == arrived.version]
        assert {one.status for one in taken_back} >= {Status.RETRACTED}
        assert not [one for one in taken_back if "calendar_incomplete" in one.flags]

        _replace(limits, STRICTER)
        service.running["worker-1"].kill()  # its partitions move, and it starts with the new files
        service.start("worker-1")
        service.wait_until_ready()
        service.tick(
            ARRIVES
        )  # time comes from outside here, and a partition that moved is opened with its first message
        stricter = load_reckoning(calendar, limits)
        said += driver.reckon(engine(stricter))
        _judged_again(service, stricter.version)
        said += driver.advance(parse_instant(UNTIL))
        service.tick(UNTIL)
        service.idle()
        _same(service, driver, said)
        assert service.metric("hw_poison_total") == 0
        for path in (tmp_path / "logs").iterdir():
            assert "Traceback" not in path.read_text(encoding="utf-8", errors="replace"), path.name
