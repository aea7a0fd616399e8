"""The benchmarks' parts that need no broker: what they send, how they count, what they write."""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path

import orjson
import pytest

from alerting.directory import load_directory
from benchmarks import __main__ as command
from benchmarks import backtest, delivering, fanout, latency, memory
from benchmarks.directory import write_office, write_teams
from benchmarks.endpoints import SECRET_VARIABLE, Behaviour, Endpoint, Receipt, Receipts, read_plan, write_plan
from benchmarks.generator import generate_lines
from benchmarks.report import MarkerError, with_results
from benchmarks.report import main as report
from benchmarks.result import Result, Row, lines, percentile, read_results, table, write_result
from benchmarks.support import usage_of
from models.alert import Alert
from models.decode import decode_event
from models.delivery import delivery_id
from models.times import parse_instant
from rules.driver import Driver
from rules.engine import Engine
from rules.intake import to_event
from rules.pack import default_pack

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def _result(name: str = "pipeline", value: float = 7_000.0) -> Result:
    rows = (Row("ours ÷ theirs", 4.2, "×"), Row("ours", value, "events/s", at_least=5_000))
    return Result(name, "A title", rows, {"events": 200_000}, machine={"cores": 2})


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("a", 5.0, at_least=5.0), True),
        (Row("a", 4.9, at_least=5.0), False),
        (Row("a", 5.0, at_most=5.0), True),
        (Row("a", 5.1, at_most=5.0), False),
        (Row("a", 5.0), None),
    ],
)
def test_a_target_is_met_or_missed_and_said_so(row: Row, met: bool | None) -> None:
    assert row.met is met
    assert ("missed" in row.cells()[2]) is (met is False)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_percentiles_are_values_that_occurred(share: float, expected: int) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], share) == expected


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_results_survive_the_file_and_replace_only_their_own_name(tmp_path: Path) -> None:
    file = tmp_path / "build" / "results.json"
    assert read_results(file) == {}
    for result in (_result(), _result("memory"), _result(value=1.0)):
        write_result(file, result)
    assert read_results(file) == {"pipeline": _result(value=1.0), "memory": _result("memory")}


def test_a_table_has_the_ratio_first_and_the_target_beside_the_number() -> None:
    told = table(_result().rows).splitlines()
    assert told[2:] == ["| ours ÷ theirs | 4.20× |  |", "| ours | 7,000 events/s | ≥ 5,000 events/s ✓ |"]


def test_a_quick_run_says_that_it_is_no_measurement() -> None:
    assert "no measurement" in lines(Result("a", "A", (Row("b", 1),), {}, quick=True))[-1]


def test_no_result_names_the_machine() -> None:
    told = json.dumps(Result("a", "A", (), {}).to_json())
    assert os.uname().nodename not in told
    assert "Kafka" in told
    assert "cores" in told


def test_the_report_changes_only_what_stands_between_its_markers(tmp_path: Path) -> None:
    document, results = tmp_path / "page.md", tmp_path / "results.json"
    document.write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    write_result(results, _result())
    for _ in range(2):
        report([str(results), "--document", str(document)])
    before, after = DOCUMENT.read_text(encoding="utf-8"), document.read_text(encoding="utf-8")
    assert table(_result().rows) in after
    assert after.count("A title") == 0
    outside = [text.split("<!-- results of pipeline: begin -->")[0] for text in (before, after)]
    assert outside[0] == outside[1]
    outside = [text.split("<!-- results of pipeline: end -->")[1] for text in (before, after)]
    assert outside[0] == outside[1]


@pytest.mark.parametrize(
    "document",
    [
        "no marker",
        "<!-- results of pipeline: begin -->",
        "<!-- results of pipeline: end --> <!-- results of pipeline: begin -->",
    ],
)
def test_a_document_without_a_place_is_refused(document: str) -> None:
    with pytest.raises(MarkerError):
        with_results(document, {"pipeline": _result()})


def test_the_document_has_a_place_for_every_benchmark() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    told = with_results(document, {name: _result(name) for name in command.NAMES})
    assert told.count(table(_result().rows)) == len(command.NAMES)


def test_an_unknown_benchmark_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["speed"])
    assert ended.value.code == 2
    assert "no benchmark 'speed'" in capsys.readouterr().err


def test_a_process_has_used_time_and_memory() -> None:
    used = usage_of(os.getpid())
    assert used.cpu_seconds > 0
    assert 0 < used.anonymous_mb <= used.rss_mb <= used.rss_peak_mb


def _at(event: dict[str, object], second: int) -> bytes:
    return orjson.dumps({**event, "occurred_at": f"2025-03-03T10:{second // 60:02d}:{second % 60:02d}+08:00"})


def test_tickets_handed_back_twice_warn_on_the_events_themselves() -> None:
    driver = Driver(Engine(default_pack()))
    triggers: dict[str, set[str]] = {}
    sent = set()
    for second, event in enumerate(islice(latency.handed_back_twice(), 7 * latency.LANES)):
        event = {**event, **({"due_at": "2025-03-17T10:00:00+08:00"} if "due_at" in event else {})}
        sent.add(event["event_id"])
        for alert in driver.feed(to_event(decode_event(_at(event, second)), [])):
            triggers.setdefault(alert.rule.id, set()).add(alert.trigger)
    assert len(triggers["P01"]) == len(triggers["P02"]) == latency.LANES
    assert set().union(*triggers.values()) <= sent


def test_the_events_for_latency_are_valid_and_one_in_ten_is_of_a_ticket_that_warns() -> None:
    events = list(latency.events_to_send(2_000))
    assert len({event["event_id"] for event in events}) == len(events) == 2_000
    for second, event in enumerate(events):
        decode_event(_at(event, second % 3_600))
    assert sum(event["ticket_id"].startswith("W") for event in events) == 200


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.1), (0.25, 0.05), (0.75, 0.55), (0.9, 0.82), (1.0, 1.0)])
def test_quantiles_of_a_histogram_are_linear_within_a_bucket(share: float, expected: float) -> None:
    buckets = {0.1: 50.0, 1.0: 100.0, float("inf"): 100.0}
    assert latency.estimated_quantile(buckets, share) == pytest.approx(expected)


def test_quantiles_beyond_the_last_bound_are_that_bound_and_of_nothing_zero() -> None:
    assert latency.estimated_quantile({0.1: 0.0, float("inf"): 4.0}, 0.5) == 0.1
    assert latency.estimated_quantile({0.1: 0.0, float("inf"): 0.0}, 0.5) == 0.0
    assert latency.estimated_quantile({}, 0.5) == 0.0


def test_open_tickets_come_with_their_first_events_only() -> None:
    events = [decode_event(line) for line in memory.first_events(50)]
    assert len({event.ticket_id for event in events}) == 50
    assert [event.type for event in events[0::3]] == ["registered"] * 50
    assert [event.type for event in events[1::3]] == ["dispatched"] * 50
    assert {event.type for event in events[2::3]} == {"accepted", "return_requested"}


def test_the_core_takes_every_event_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    written = list(generate_lines(40, 1))
    path.write_bytes(b"\n".join(written) + b"\n")
    found = backtest.measure_core(path)
    assert (found["events"], found["refused"]) == (len(written), 0)
    assert found["seconds"] > 0
    assert backtest.measure_parse(path)["seconds"] > 0


SUBSCRIBERS = [{"name": f"s-{number}", "url": "http://127.0.0.1:8099/"} for number in range(5)]
ENVIRONMENT = {SECRET_VARIABLE: "a" * 32}


def test_a_warning_goes_to_the_subscribers_whose_departments_it_accuses(tmp_path: Path) -> None:
    files, departments = write_teams(tmp_path, SUBSCRIBERS)
    directory = load_directory(files, ENVIRONMENT)
    accused = (departments["s-1"], departments["s-4"])
    warned = next(delivering.warnings_of([1], lambda _: accused, "a"))
    alert = Alert.model_validate_json(warned.body)
    routed = directory.tree.route(alert, directory.registry, parse_instant(alert.raised_at))
    names = [
        name
        for one in routed.recipients
        for name in directory.registry.subscribers_of(one.unit_id, parse_instant(alert.raised_at))
    ]
    assert sorted(names) == ["s-1", "s-4"]


@pytest.mark.parametrize("known", [(), ("U-00",)])
def test_one_office_reads_every_warning_whether_or_not_its_units_are_known(
    tmp_path: Path, known: tuple[str, ...]
) -> None:
    directory = load_directory(write_office(tmp_path, SUBSCRIBERS[:1], known), ENVIRONMENT)
    alert = Alert.model_validate_json(next(delivering.warnings_of([1], lambda _: ("U-00",), "a")).body)
    routed = directory.tree.route(alert, directory.registry, parse_instant(alert.raised_at))
    assert [one.unit_id for one in routed.recipients] == ["OFFICE"]


def test_the_versions_of_a_case_come_in_order_among_those_of_others() -> None:
    warned = list(delivering.warnings_of(range(90), lambda _: ("U-00",), "a"))
    assert len({one.alert_id for one in warned}) == len(warned) == 90 * delivering.VERSIONS
    versions: dict[str, list[int]] = {}
    for one in warned:
        versions.setdefault(one.case_id, []).append(one.version)
    assert set(map(tuple, versions.values())) == {tuple(range(1, delivering.VERSIONS + 1))}
    assert warned[0].case_id != warned[1].case_id


def _receipt(alert: str = "a-1", number: int = 1, **changed: object) -> Receipt:
    told = Receipt(1.0, "s-1", Behaviour.TAKES, 1, delivery_id("s-1", alert), "case-1", alert, number)
    return told._replace(**changed)


@pytest.mark.parametrize(
    ("receipts", "wrong"),
    [
        ([_receipt(), _receipt("a-2", 2)], None),
        ([_receipt(), _receipt(), _receipt("a-2", 2)], None),  # the same webhook-id again has no effect
        ([_receipt("a-2", 2)], "number 2 of case-1 instead of 1"),
        ([_receipt(), _receipt("a-3", 3)], "number 3 of case-1 instead of 2"),
        ([_receipt(), _receipt(number=2, webhook_id="another")], "a second time in effect"),
        ([_receipt(behaviour="unverified")], "does not verify"),
    ],
)
def test_what_is_wrong_with_what_came_is_told(receipts: list[Receipt], wrong: str | None) -> None:
    arrivals = delivering.Arrivals()
    arrivals.take(receipts)
    if wrong is None:
        arrivals.check()
        assert arrivals.first == {("s-1", "a-1"): 1.0, ("s-1", "a-2"): 1.0}
    else:
        assert any(wrong in one for one in arrivals.wrong)
        with pytest.raises(delivering.BenchmarkError, match="wrong"):
            arrivals.check()


def test_calls_that_an_endpoint_did_not_take_are_not_counted_as_arrived() -> None:
    arrivals = delivering.Arrivals()
    arrivals.take([_receipt(behaviour=one) for one in fanout.SICK])
    arrivals.check()
    assert arrivals.first == {}


def test_receipts_are_read_while_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "calls"
    first, second = (orjson.dumps(tuple(_receipt(alert))) for alert in ("a-1", "a-2"))
    path.write_bytes(first + b"\n" + second[:10])
    receipts = Receipts(path)
    assert [one.alert_id for one in receipts.read()] == ["a-1"]
    path.write_bytes(first + b"\n" + second + b"\n")
    assert [one.alert_id for one in receipts.read()] == ["a-2"]
    assert receipts.all == [_receipt("a-1"), _receipt("a-2")]


def test_a_plan_of_endpoints_survives_its_file(tmp_path: Path) -> None:
    plan = [Endpoint("s-1", 8099), Endpoint("s-2", later=Behaviour.HANGS)]
    write_plan(tmp_path / "plan", plan)
    assert read_plan(tmp_path / "plan") == plan
