"""What dispatch keeps of quiet cases goes after a while, and nothing that is still to be sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerting.outbox_state import CaseOutbox, Held, Item, Lane, decode, encode
from alerting.suppress import SuppressReason
from alerting.told import Told
from models.base import Level
from models.times import DAY, parse_instant
from streams import dispatch_expiring
from streams.dispatch_batch import Batch, body_key, case_key
from streams.dispatch_expiring import CaseExpiry
from tests.alerting_support import make_subscriber
from tests.directory_support import make_directory
from tests.partition_support import DictTable

NOW = parse_instant("2025-06-18T09:00:00+08:00")
DIRECTORY = make_directory(make_subscriber("one"))
KEEP = 100 * DAY
TOLD = Lane(2, told={"P01": Told("a-1", Level.RED, NOW)}, seen=("a-1",))
QUEUED = Lane(2, queue=(Item("a-1", "P01", 1, NOW, NOW),))
HELD = Lane(1, held=(Held("a-1", "P01", NOW, SuppressReason.SILENCED),))


class Worker:
    """Dispatch's table of one partition, and its walks."""

    def __init__(self, *cases: CaseOutbox, keep: int | None = KEEP) -> None:
        self.table = DictTable()
        for case in cases:
            self.table.put(0, case_key(case.case_id), encode(case))
        self.expiry = CaseExpiry(self.table, keep)

    def batch(self, days: float, *touched: str, broker_days: float | None = None) -> int:
        now = NOW + round(days * DAY)
        at = now if broker_days is None else NOW + round(broker_days * DAY)
        batch = Batch(0, self.table, DIRECTORY, now, newest=at)
        for case_id in touched:
            batch._state(case_id)
        gone = self.expiry.apply(batch)
        self.table.flush()
        return gone

    @property
    def cases(self) -> set[bytes]:
        return {key for _, key in self.table.durable}


def case(name: str = "case-1", lane: Lane = TOLD, at: int = NOW) -> CaseOutbox:
    return CaseOutbox(name, {"one": lane}, at=at)


def test_a_quiet_case_goes_with_the_bodies_it_needs() -> None:
    worker = Worker(case())
    worker.table.put(0, body_key("case-1", "a-1"), b"{}")
    assert worker.batch(100) == 0
    assert worker.batch(102) == 1
    assert worker.cases == set()


def test_by_default_every_case_stays() -> None:
    worker = Worker(case(), keep=None)
    assert worker.batch(10_000) == 0


@pytest.mark.parametrize("lane", [QUEUED, HELD], ids=["queued", "held"])
def test_what_is_still_to_be_sent_stays(lane: Lane) -> None:
    worker = Worker(case(lane=lane))
    assert worker.batch(10_000) == 0
    assert worker.cases == {case_key("case-1")}


def test_a_case_that_the_batch_is_about_stays() -> None:
    worker = Worker(case(), case("case-2"))
    assert worker.batch(200, "case-1") == 1
    assert worker.cases == {case_key("case-1")}


@pytest.mark.parametrize(("machine", "broker"), [(10_000, 50), (50, 10_000)])
def test_one_clock_that_is_ahead_lets_go_of_nothing(machine: float, broker: float) -> None:
    assert Worker(case()).batch(machine, broker_days=broker) == 0


def test_a_case_of_an_earlier_release_is_counted_from_when_it_is_first_seen() -> None:
    worker = Worker(case(at=0))
    assert worker.batch(500) == 0
    assert decode(worker.table.durable[0, case_key("case-1")]) == replace(case(), at=NOW + 500 * DAY)
    assert worker.batch(590) == 0
    assert worker.batch(602) == 1


def test_the_walk_goes_in_slices_once_a_day_and_begins_anew_with_a_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_expiring, "SLICE", 2)
    worker = Worker(*(case(f"case-{number}") for number in range(5)))
    assert [worker.batch(200) for _ in range(4)] == [2, 2, 1, 0]
    worker.table.put(0, case_key("case-9"), encode(case("case-9")))
    worker.table.flush()
    assert worker.batch(200.1) == 0
    worker.expiry.drop(0)
    assert worker.batch(200.2) == 1


@pytest.mark.parametrize(("machine", "broker"), [(NOW, 0), (1, NOW), (NOW, NOW - DAY)])
def test_a_change_is_dated_by_the_clock_that_is_ahead(machine: int, broker: int) -> None:
    batch = Batch(0, Worker().table, DIRECTORY, machine, newest=broker)
    batch._state("case-1")
    batch.states["case-1"] = case(at=0)
    assert [decode(value).at for key, value in batch.changes() if key == case_key("case-1") and value] == [NOW]


def test_what_only_wakes_a_case_lets_go_of_nothing() -> None:
    worker = Worker(case())
    assert worker.expiry.apply(Batch(0, worker.table, DIRECTORY, NOW + 1_000 * DAY)) == 0
