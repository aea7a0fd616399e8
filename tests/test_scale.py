"""The model of a province and a country: it reckons right, and its page says what the measurement says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale_model
from benchmarks.result import Result, read_results
from benchmarks.scale_burst import Seen, Surge
from benchmarks.scale_model import KEPT, REGIONS, RESULT, Assumed, Measured, Region, model, needs_of, page
from benchmarks.scale_recovery import Recovered
from benchmarks.scale_worker import meter
from benchmarks.support import BenchmarkError
from streams.metrics_flow import Stage

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
COST = Measured(
    worker_us=200.0,
    broker_us=50.0,
    dispatch_ms=4.0,
    warnings_per_event=0.01,
    source_bytes=500.0,
    internal_bytes=700.0,
    changelog_bytes=800.0,
    warning_bytes=1_000.0,
    state_bytes=2_000.0,
    changes_per_second=50_000.0,
)
ASSUMED = Assumed(dispatched_share=0.5, events_of_dispatched=10, events_of_direct=2, peak_factor=10)


def test_what_a_hotline_needs_follows_from_what_an_event_costs() -> None:
    found = needs_of(Region("a place", 144_000), COST, ASSUMED)
    assert found.events_per_day == 864_000
    assert (found.events_per_second, found.peak_per_second) == (10, 100)
    assert found.worker_cores == pytest.approx(0.02)
    assert (found.workers, found.partitions) == (2, 8)
    assert found.broker_cores == pytest.approx(0.015)
    assert found.warnings_per_day == 8_640
    assert found.dispatch_cores == pytest.approx(8_640 / 86_400 * 10 * 2 * 0.004)
    assert found.network_in == pytest.approx(100 * 2_010)
    assert found.network_between == pytest.approx(2 * 100 * 2_010)
    assert found.topics_disk == 864_000 * 30 * 1_200 * 3
    assert found.warnings_disk == pytest.approx(8_640 * 1_098 * 1_000 * 3)
    assert found.state_disk == 144_000 * 366 * 2_000
    assert found.changelog_disk == found.state_disk * 2 * 3
    assert found.recovery_seconds == pytest.approx(144_000 * 366 * 2 * 2 / 50_000 / 2)


def test_more_workers_are_asked_for_than_would_be_busy_at_the_peak_and_recover_side_by_side() -> None:
    found = needs_of(Region("a large place", 144_000 * 300), COST, ASSUMED)
    assert found.worker_cores == pytest.approx(6.0)
    assert (found.workers, found.partitions) == (12, 24)
    few = needs_of(Region("a large place", 144_000 * 300), COST, ASSUMED._replace(busy_at_peak=6.0))
    assert few.workers == 2
    assert few.recovery_seconds == pytest.approx(6 * found.recovery_seconds)


def _result(**changed: Any) -> Result:
    return Result(RESULT, "A title", COST._replace(**changed).rows(), {"events": 1}, machine={"cores": 2})


def test_what_was_measured_is_found_again_in_a_result() -> None:
    assert Measured.of(_result()) == COST
    with pytest.raises(KeyError):
        Measured.of(Result(RESULT, "A title", COST.rows()[1:], {}, machine={}))


def test_the_model_tells_its_arithmetic() -> None:
    text = model(_result())
    assert all(f"{one.tickets_per_day:,} tickets/day" in text for one in REGIONS)
    needs = needs_of(REGIONS[1], COST, Assumed())
    assert f"= {needs.events_per_day:,.0f} a day" in text
    assert text != model(_result(worker_us=400.0))


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.5, "0.5 s"), (119, "119 s"), (180, "3 min"), (7_200, "2 h"), (86_400, "24.0 h")]
)
def test_durations_are_told_as_people_read_them(seconds: float, told: str) -> None:
    assert scale_model._duration(seconds) == told


@pytest.mark.parametrize(("size", "told"), [(512, "512 B"), (1536, "1.5 KiB"), (5 * 2**30, "5 GiB"), (2**41, "2 TiB")])
def test_sizes_are_told_as_people_read_them(size: float, told: str) -> None:
    assert scale_model._bytes(size) == told


def test_the_page_says_what_the_kept_measurement_says() -> None:
    result = read_results(KEPT)[RESULT]
    assert not result.quick
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, result) == text, "run: .venv/bin/python -m benchmarks.scale_model docs/scale.json"


def _surge(*lags: tuple[float, int]) -> Surge:
    return Surge(tuple(Seen(at, lag) for at, lag in lags), began_at=10.0, ended_at=20.0)


def test_a_burst_is_over_when_no_more_is_behind_than_before_it() -> None:
    surge = _surge((1, 150), (5, 300), (12, 900), (19, 250), (20.5, 4_000), (22, 301), (23.5, 300), (24, 0))
    assert (surge.steady_lag, surge.lag_max) == (300, 4_000)
    assert surge.catch_up_seconds == 3.5


def test_an_event_costs_what_was_used_by_the_events_of_its_stretch() -> None:
    seen = (
        Seen(0, 0, 1.0, 1.0),
        Seen(2, 0, 2.0, 1.0),
        Seen(8, 0, 3.2, 1.6),
        Seen(10, 0, 4.0, 2.0),
        Seen(25, 0, 6.1, 4.1),
    )
    surge = Surge(seen, began_at=10.0, ended_at=20.0, steady_per_second=200, burst_per_second=2_000)
    assert surge.steady == pytest.approx((1_000.0, 500.0))  # 1,200 events from second 2 to second 8
    assert surge.in_burst == pytest.approx((100.0, 100.0))  # 20,000 and, until it was over, 1,000


def test_a_burst_that_was_never_caught_up_with_is_a_failure() -> None:
    with pytest.raises(BenchmarkError, match="not gone 5 s after"):
        _ = _surge((1, 150), (12, 900), (25, 800)).catch_up_seconds


def test_recovery_that_the_disk_makes_no_difference_to_is_no_measurement() -> None:
    assert Recovered(300_000, 2.0).per_second == 150_000
    with pytest.raises(BenchmarkError, match="too few"):
        _ = Recovered(300, -0.1).per_second


def test_a_hop_is_metered_and_still_answers() -> None:
    class Hop:
        def handle(self, partition: int, records: list[int]) -> list[int]:
            return [partition, sum(range(20_000)), *records]

    spent: dict[str, float] = {}
    meter(Hop, Stage.INTAKE, spent)
    assert spent == {"intake": 0.0}
    assert Hop().handle(3, [4])[::2] == [3, 4]
    assert spent["intake"] > 0
