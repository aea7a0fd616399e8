"""`doctor`: each thing that is wrong is found, with its remedy; and no secret is shown."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli import doctor_clock, doctor_machine
from cli.doctor_clock import check_clock, newest_change
from cli.doctor_cluster import check_cluster, judged_replicas, judged_skew, measured_skew
from cli.doctor_files import check_calendar
from cli.doctor_findings import Area, Finding, Severity
from cli.doctor_security import check_addresses
from cli.main import app
from models.times import DAY, SECOND, parse_instant
from streams.broker import EmbeddedKafka
from streams.hold import Running, held_still, hold_up, say_running
from streams.new_folder import own_name
from streams.security import Cluster
from streams.settings import Settings
from streams.topics import TopicSet

NOW = parse_instant("2030-06-01T00:00:00+08:00")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("HOTLINE_WATCH_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    folder = tmp_path / "hotline"
    assert CliRunner().invoke(app, ["init", str(folder)]).exit_code == 0
    config = folder / "hotline-watch.toml"
    text = config.read_text()
    for name in ("broker_port = 9092", "http_port = 8101", "api_port = 8080"):
        assert name in text
        text = text.replace(name, name.split("=")[0] + "= 0")  # other tests have ports too
    config.write_text(text)
    (folder / "data").mkdir(mode=0o700)
    return folder


def examined(folder: Path, *more: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status and what was found, of an installation whose `up` is down."""
    arguments = ["doctor", "--config", str(folder / "hotline-watch.toml"), "--data", str(folder / "data"), "--offline"]
    result = CliRunner().invoke(app, [*arguments, "--json", *more])
    assert result.exit_code in (0, 1), result.stdout + result.stderr
    for secret in (folder / "secrets").iterdir():
        assert secret.stat().st_size == 0 or secret.read_text().strip() not in result.stdout
    return result.exit_code, json.loads(result.stdout)["findings"]


def wrong(found: list[dict[str, Any]], severity: str = "problem") -> list[str]:
    return [f"{one['area']}: {one['what']}" for one in found if one["severity"] == severity]


def test_a_fresh_installation_has_no_problem_and_says_what_is_still_to_be_filled_in(installation: Path) -> None:
    status, found = examined(installation)
    assert (status, wrong(found)) == (0, [])
    told = "\n".join(wrong(found, "warning"))
    for piece in ("there is no subscriber", "nobody reads for: 党风政风监督室", "no posts are named"):
        assert piece in told
    assert all(one["remedy"] for one in found if one["severity"] != "ok")


def add_subscriber(folder: Path, where: str = "platform", url: str = "https://10.20.0.5/hooks") -> None:
    add = ["subscribers", "add", "platform", "--url", url, "--allow-network", "10.20.0.0/16", "--offline"]
    assert CliRunner().invoke(app, [*add, "--config", str(folder / "hotline-watch.toml")]).exit_code == 0
    units = folder / "units.yaml"
    text = units.read_text(encoding="utf-8")
    units.write_text(text.replace("duty: platform, subscribers: []", f"duty: platform, subscribers: [{where}]"))


def change(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


FAULTS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "an open secret": (
        lambda folder: (folder / "secrets" / "pseudonym-k1").chmod(0o644),
        "modes: ",
        "chmod 600",
    ),
    "an open token": (lambda folder: (folder / "secrets" / "api-operations").chmod(0o604), "modes: ", "chmod 600"),
    "an open data directory": (lambda folder: (folder / "data").chmod(0o755), "modes: ", "chmod 700"),
    "configuration that everybody may change": (
        lambda folder: (folder / "units.yaml").chmod(0o666),
        "modes: ",
        "chmod 600",
    ),
    "a missing pseudonym secret": (
        lambda folder: (folder / "secrets" / "pseudonym-k1").unlink(),
        "secrets: pseudonym key k1: secret_file cannot be read",
        "openssl rand",
    ),
    "a short pseudonym secret": (
        lambda folder: (folder / "secrets" / "pseudonym-k1").write_text("xq9z"),
        "secrets: pseudonym key k1",
        "openssl rand",
    ),
    "a missing token": (
        lambda folder: (folder / "secrets" / "api-operations").unlink(),
        "api: ",
        "correct the file",
    ),
    "a subscribers file that is no YAML": (
        lambda folder: (folder / "subscribers.yaml").write_text("subscribers: [}"),
        "subscribers: ",
        "correct the file",
    ),
    "drills for a subscriber that is not in the file": (
        lambda folder: change(folder, "hotline-watch.toml", "# drill_subscriber =", "drill_subscriber ="),
        "subscribers: drill_subscriber is platform, who is not in subscribers_file",
        "take drill_subscriber out",
    ),
    "a subscriber that no unit has": (
        lambda folder: add_subscriber(folder, ""),
        "subscribers: platform: no unit of the registry has this subscriber",
        "name it with its unit",
    ),
    "a subscriber that is not in the file": (
        lambda folder: change(
            folder, "units.yaml", "duty: platform, subscribers: []", "duty: platform, subscribers: [x]"
        ),
        "subscribers: x: a unit of the registry has it, and the subscribers file does not",
        "take it out",
    ),
    "an unsound registry": (
        lambda folder: change(folder, "units.yaml", "id: U-GOV,", "id: U-JW,"),
        "subscribers: ",
        "correct the file",
    ),
    "no registry": (
        lambda folder: change(folder, "hotline-watch.toml", "units_file =", "# units_file ="),
        "subscribers: no units_file is set",
        "docs/routing.md",
    ),
    "a subscriber's lost secret": (
        lambda folder: (add_subscriber(folder), next((folder / "secrets").glob("platform*")).unlink()),
        "subscribers: ",
        "correct the file",
    ),
    "rules that are not there": (
        lambda folder: change(folder, "hotline-watch.toml", '# rules_dir = "rules"', 'rules_dir = "rules"'),
        "modes: ",
        "take its name out",
    ),
    "limits that cannot be taken": (
        lambda folder: (
            change(folder, "hotline-watch.toml", "# limits_file =", "limits_file ="),
            (folder / "limits.yaml").write_text("profiles: 3"),
        ),
        "calendar: ",
        "workers refuse",
    ),
    "a calendar that cannot be taken": (
        lambda folder: (
            change(folder, "hotline-watch.toml", "# calendar_file =", "calendar_file ="),
            (folder / "calendar.yaml").write_text("years: []"),
        ),
        "calendar: ",
        "workers refuse",
    ),
    "posts that cannot be taken": (
        lambda folder: (folder / "posts.yaml").write_text("posts: [{titles: [x], route: nowhere}]"),
        "rules: ",
        "workers refuse",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_its_remedy_told(installation: Path, fault: str) -> None:
    make, what, remedy = FAULTS[fault]
    make(installation)
    status, found = examined(installation)
    assert status == 1
    told = [one for one in found if one["severity"] == "problem" and f"{one['area']}: {one['what']}".startswith(what)]
    assert told, wrong(found)
    assert any(remedy in one["remedy"] for one in told), told


def test_a_data_directory_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    (found,) = doctor_machine.check_writable(
        tmp_path / "data", lambda *_: False
    )  # a read-only disk, or another's directory
    assert found.what.startswith(f"{tmp_path} cannot be written by ")
    assert f"install -d -o {own_name()} -m 700 {tmp_path}/data" in (found.remedy or "")
    (found,) = doctor_machine.check_writable(tmp_path, lambda *_: False)
    assert f"chown -R {own_name()} {tmp_path}`" in (found.remedy or "")
    assert list(doctor_machine.check_writable(tmp_path / "data")) == []
    (tmp_path / "data").write_text("a file")
    assert [one.severity for one in doctor_machine.check_writable(tmp_path / "data")] == [Severity.PROBLEM]


def test_an_endpoint_that_may_not_be_called_is_found(installation: Path) -> None:
    add_subscriber(installation, url="https://localhost/hooks")
    result = CliRunner().invoke(
        app, ["doctor", "--config", str(installation / "hotline-watch.toml"), "--timeout-seconds", "0.1", "--json"]
    )
    told = "\n".join(wrong(json.loads(result.stdout)["findings"]))
    assert "subscribers: platform: " in told
    assert "broker: no Kafka broker answers" in told


def test_settings_that_cannot_be_read_end_it_with_2(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("partitions = 0\n")
    assert CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / "bad.toml")]).exit_code == 2


# --- calendar


@pytest.mark.parametrize(
    ("today", "severity"),
    [
        ("2025-03-01", Severity.OK),
        ("2098-03-01", Severity.PROBLEM),
    ],
)
def test_a_year_whose_work_days_nobody_knows_is_a_problem(today: str, severity: Severity) -> None:
    (found,) = check_calendar(Settings(), parse_instant(f"{today}T12:00:00+08:00"))
    assert found.severity is severity


def test_next_years_calendar_is_missed_only_when_it_should_be_there() -> None:
    last_known = 2004
    while next(iter(check_calendar(Settings(), parse_instant(f"{last_known + 1}-03-01T00:00:00Z")))).remedy is None:
        last_known += 1
    severities = {
        month: next(iter(check_calendar(Settings(), parse_instant(f"{last_known}-{month:02}-15T00:00:00Z")))).severity
        for month in (1, 10, 11, 12)
    }
    assert severities == {1: Severity.OK, 10: Severity.OK, 11: Severity.WARNING, 12: Severity.WARNING}


# --- the machine


@pytest.mark.parametrize(("free_mb", "severity"), [(100, "problem"), (1_000, "warning"), (90_000, "ok")])
def test_a_disk_that_gets_full_is_told_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, severity: str
) -> None:
    class Usage:
        total, free = 100_000 * 2**20, free_mb * 2**20

    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda _: Usage)
    (found,) = doctor_machine.check_disk(tmp_path / "not" / "there" / "yet")
    assert found.severity == severity


def test_a_port_that_another_program_has_is_found(installation: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        change(installation, "hotline-watch.toml", "broker_port = 0", f"broker_port = {port}")
        _, found = examined(installation)
    assert f"ports: port {port} is taken by another program (broker_port)" in wrong(found)


@contextmanager
def said_to_run(data: Path, **services: str) -> Iterator[None]:
    """Let it look as if an `up` ran over the data directory."""
    with hold_up(data):
        say_running(data, Running(bootstrap_servers="127.0.0.1:1", services=services))
        yield


def test_what_a_running_process_says_of_its_health_is_told(installation: Path, free_tcp_port: int) -> None:
    from prometheus_client import CollectorRegistry

    from streams.health import serve_health

    class Ill:
        recovered = True

        def problems(self) -> list[str]:
            return ["records wait and none was handled"]

        def snapshot(self) -> dict[str, Any]:
            return {"problems": self.problems()}

    port = serve_health(Ill(), CollectorRegistry(), "127.0.0.1", 0)  # type: ignore[arg-type]
    gone = f"http://127.0.0.1:{free_tcp_port}"
    with said_to_run(installation / "data", dispatch=f"http://127.0.0.1:{port}", api=gone):
        status, found = examined(installation, "--timeout-seconds", "0.1")
    assert status == 1
    told = wrong(found)
    assert "services: dispatch: records wait and none was handled" in told
    assert "services: api does not answer (ConnectError)" in told


def test_an_up_that_holds_still_for_a_backup_is_not_taken_for_a_broken_one(installation: Path) -> None:
    data = installation / "data"
    (data / "kafka").mkdir()
    with said_to_run(data, dispatch="http://127.0.0.1:1"), held_still(data):
        status, found = examined(installation)
    assert (status, wrong(found)) == (0, [])
    assert "services: a backup is being made: `up` holds still" in wrong(found, "warning")
    with hold_up(data):
        say_running(data, None)
        assert "services: `up` is starting" in wrong(examined(installation)[1], "warning")


@pytest.fixture
def free_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# --- the clock


def test_a_clock_that_has_gone_back_behind_what_was_written_is_found(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "0.log").write_text("")
    written = newest_change([data / "0.log"])
    (found,) = check_clock(data, written - DAY)
    assert (found.area, found.severity) == (Area.CLOCK, Severity.PROBLEM)
    assert "it has gone back" in found.what
    assert all(one.severity is not Severity.PROBLEM for one in check_clock(data, written + DAY))
    assert newest_change([tmp_path / "gone"]) == 0


@pytest.mark.parametrize(("kept", "severities"), [(True, ["ok"]), (False, ["warning"]), (None, [])])
def test_a_clock_that_nobody_keeps_is_told_where_the_kernel_says_so(
    monkeypatch: pytest.MonkeyPatch, kept: bool | None, severities: list[str]
) -> None:
    monkeypatch.setattr(doctor_clock, "kept_by_a_time_server", lambda: kept)
    assert [one.severity.value for one in check_clock(None, NOW)] == severities


def test_the_kernel_is_asked_and_nothing_is_set() -> None:
    assert doctor_clock.kept_by_a_time_server() in (True, False, None)


@given(st.integers(-(10**8), 10**8), st.integers(0, 60_000))
def test_a_skew_is_judged_by_what_is_sure_of_it(skew_ms: int, unsure_ms: int) -> None:
    found = judged_skew(skew_ms, unsure_ms)
    sure = abs(skew_ms) - unsure_ms
    expected = Severity.PROBLEM if sure > 10_000 else Severity.WARNING if sure > 2_000 else Severity.OK
    assert found.severity is expected
    assert (found.remedy is None) == (expected is Severity.OK)
    if expected is not Severity.OK:
        assert ("behind" in found.what) == (skew_ms > 0)


def partition(leader: int, in_sync: int) -> dict[str, Any]:
    return {"leader_id": leader, "isr_nodes": list(range(in_sync)), "replica_nodes": [0, 1, 2]}


@pytest.mark.parametrize(
    ("partitions", "severities"),
    [
        ([partition(0, 3), partition(1, 3)], []),
        ([partition(0, 3), partition(1, 2)], ["warning"]),
        ([partition(-1, 0), partition(1, 2)], ["problem"]),
    ],
)
def test_copies_that_fell_behind_are_told(partitions: list[dict[str, Any]], severities: list[str]) -> None:
    found = list(judged_replicas([{"name": "hw.alerts", "partitions": partitions}]))
    assert [one.severity.value for one in found] == severities
    assert all("hw.alerts" in one.what and one.remedy for one in found)


# --- on a real broker


def findings(kafka: EmbeddedKafka, topics: TopicSet, ahead: int = 0) -> list[Finding]:
    import time

    cluster = Cluster(kafka.bootstrap_servers)
    return list(check_cluster(cluster, topics, None, 20, lambda: time.time_ns() // 1000 + ahead))


@pytest.mark.kafka
def test_a_sound_cluster_is_found_sound_and_a_clock_that_is_wrong_is_found_wrong(
    kafka: EmbeddedKafka, topics: TopicSet
) -> None:
    assert [(one.area, one.severity) for one in findings(kafka, topics)] == [
        (area, Severity.OK) for area in (Area.SECURITY, Area.BROKER, Area.TOPICS, Area.CLOCK)
    ]
    clock = findings(kafka, topics, ahead=DAY)[-1]
    assert (clock.area, clock.severity) == (Area.CLOCK, Severity.PROBLEM)
    assert "s ahead of the broker's" in clock.what
    skew_ms, unsure_ms = measured_skew(kafka.bootstrap_servers, topics.quarantine_decisions, lambda: 0)
    assert unsure_ms == 0
    assert skew_ms > parse_instant("2025-01-01T00:00:00Z") // (SECOND // 1000)


@pytest.mark.kafka
def test_an_address_that_is_away_is_named_though_another_answers(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    cluster = Cluster(f"{kafka.bootstrap_servers},127.0.0.1:1")
    (away,) = check_addresses(cluster, 0.1)
    assert (away.area, away.severity) == (Area.BROKER, Severity.WARNING)
    assert "no Kafka broker answers at 127.0.0.1:1" in away.what
    assert "take its address out" in (away.remedy or "")


@pytest.mark.kafka
def test_topics_that_are_missing_are_named_with_the_command_that_makes_them(
    kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    found = findings(kafka, TopicSet(prefix=topic_prefix))
    missing = [one for one in found if one.area is Area.TOPICS]
    assert len(missing) == len(TopicSet().all())
    assert "hotline-watch topics create" in (missing[0].remedy or "")
