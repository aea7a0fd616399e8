"""Runs real exports through the live service *and* through a backtest, and compares: what stands must be the same.

    python -m benchmarks.real_data INCIDENTS.csv.gz MESSAGES.csv.gz [--wordy USER] [--json FILE]

INCIDENTS is the event log of UCI 498, MESSAGES the messages of the TipDM Cup 2020 (docs/real-data.md names both). Live: import → real
Kafka → two workers → dispatch → a webhook receiver that verifies every call. Prints aggregates only.
"""

import argparse
import csv
import gzip
import io
import json
import os
import secrets
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from alerting.receiver import Receiver, serve
from benchmarks.directory import file_settings, write_office
from benchmarks.endpoints import SECRET_VARIABLE
from cli.recorded import Decoding, recorded_events
from cli.running import RUN_KEYS, InForce, run_core
from models.secrets import WebhookSecret
from models.times import DAY, format_instant
from rules.facts import as_mapping
from rules.pack import default_pack
from rules.tickets import judge
from streams.importing import JsonLines, load_mapping, run_import
from streams.importing.kafka_sink import KafkaTopic
from streams.lag import lag_of, wait_until_idle
from streams.settings import Settings
from streams.single import SingleMachine
from streams.ticking import send_ticks

Standing = dict[tuple[str, str], str]


def ten_line_count(path: Path) -> Counter[str]:
    """Count P01's levels straight from the incident log, with nothing of the service."""
    groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
    with gzip.open(path) as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8")):
            groups[row["number"]].append((int(row["sys_mod_count"]), row["assignment_group"]))
    levels: Counter[str] = Counter()
    for steps in groups.values():
        held = [group for _, group in sorted(steps, key=lambda step: step[0])]
        returning = [before for before, after in pairwise(held) if before != after]
        count, units = len(returning), len(set(returning))
        level = (
            "red"
            if count >= 4 or units >= 3
            else "yellow"
            if count >= 3 or units >= 2
            else "blue"
            if count >= 2
            else "none"
        )
        levels[level] += 1
    return levels


def backtest(events: list[Path], until: int | None) -> tuple[Standing, Any, float]:
    """Run the core with no broker; return what stands, the driver, and the seconds it took."""
    in_force = InForce()
    started = time.perf_counter()
    with recorded_events(events, Decoding(RUN_KEYS), _no_reject) as recorded:
        driver = run_core(default_pack(), recorded, until, in_force.take)
    seconds = time.perf_counter() - started
    return {(alert.case_id, alert.rule.id): alert.level.value for alert in in_force.alerts()}, driver, seconds


def _no_reject(path: Path, number: int, rejected: object) -> None:
    raise AssertionError(f"{path}:{number}: {rejected}")


def live(files: list[tuple[Path, str]], until: int, folder: Path) -> tuple[Standing, dict[str, Any]]:
    """Run everything for real; return what stands at the receiver, and what was counted."""
    with ExitStack() as stack:
        secret = secrets.token_hex(24)
        os.environ[SECRET_VARIABLE] = secret
        receiver = Receiver([WebhookSecret.parse(secret)])
        url = stack.enter_context(serve(receiver))
        # The exports' units stand in no registry: every warning goes to people, who read it here.
        files = write_office(folder, [{"name": "receiver", "url": url, "concurrency": 16}])
        settings = Settings(core_time="recorded", retry_scale=0.01, **file_settings(files))
        machine = SingleMachine(settings, folder / "data", workers=2)
        stack.callback(machine.stop)
        machine.start()
        started = time.perf_counter()
        sent = 0
        for path, mapping in files:
            sink = KafkaTopic(machine.bootstrap_servers, machine.topics.ticket_events)
            sent += run_import(path, load_mapping(mapping), sink).events.total()
        assert wait_until_idle(machine.bootstrap_servers, machine.topics, timeout_seconds=1_800)
        send_ticks(machine.bootstrap_servers, machine.topics, until)
        assert wait_until_idle(machine.bootstrap_servers, machine.topics, timeout_seconds=1_800)
        _wait_for_deliveries(machine, receiver)
        last: dict[tuple[str, str], dict[str, Any]] = {}
        for accepted in receiver.accepted:
            key = (accepted.alert["case_id"], accepted.alert["rule"]["id"])
            if key not in last or last[key]["sequence"] < accepted.alert["sequence"]:
                last[key] = accepted.alert
        counted = {
            "events": sent,
            "webhooks": len(receiver.accepted),
            "not_verified": receiver.not_verified,
            "out_of_order": len(receiver.out_of_order),
            "seconds": round(time.perf_counter() - started, 1),
        }
        return {key: alert["level"] for key, alert in last.items() if alert["status"] != "retracted"}, counted


def _wait_for_deliveries(machine: SingleMachine, receiver: Receiver) -> None:
    """Wait until dispatch has read everything and the receiver has had nothing new for some seconds."""
    topics = machine.topics
    seen, quiet_since = -1, time.monotonic()
    while time.monotonic() - quiet_since < 8:
        busy = lag_of(machine.bootstrap_servers, topics.dispatch_app_id, (topics.alerts, topics.deliveries)) > 0
        if busy or len(receiver.accepted) != seen:
            seen, quiet_since = len(receiver.accepted), time.monotonic()
        time.sleep(0.5)


def repeat_facts(driver: Any, users: dict[str, str], wordy: str | None) -> dict[str, Any]:
    """Return how many citizens complained how often about one matter, by the service's repeat fact."""
    most: Counter[str] = Counter()
    for ticket_id, state in driver.tickets.items():
        facts = as_mapping(judge(driver.engine, state, max(driver.clock, state.clock)).values)
        if ticket_id in users:
            most[users[ticket_id]] = max(most[users[ticket_id]], int(facts["repeat.count"]))
    counts = {f"{least}+": sum(count >= least for count in most.values()) for least in (2, 3, 5)}
    return counts | ({"wordy": most[wordy]} if wordy else {})


def _users(path: Path) -> dict[str, str]:
    with gzip.open(path) as raw:
        return {row["id"]: row["user"] for row in csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8"))}


def _histogram(standing: Standing) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for (_, rule), level in standing.items():
        found[rule][level] += 1
    return {rule: dict(levels) for rule, levels in sorted(found.items())}


def main() -> None:
    """Run both, compare, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("incidents", type=Path)
    arguments.add_argument("messages", type=Path)
    arguments.add_argument("--wordy", help="a user known to write on many unrelated matters")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    files = [(given.incidents, "incident-event-log"), (given.messages, "citizen-messages")]
    with tempfile.TemporaryDirectory(prefix="hotline-watch-real-") as name:
        folder = Path(name)
        lines = []
        for path, mapping in files:
            lines.append(folder / f"{mapping}.jsonl")
            run_import(path, load_mapping(mapping), JsonLines(str(lines[-1])))
        _, driver, _ = backtest(lines, None)
        until = driver.clock + 30 * DAY
        standing, driver, seconds = backtest(lines, until)
        at_receiver, counted = live(files, until, folder)
        users = {f"{ticket}": user for ticket, user in _users(given.messages).items()}
        known = {
            ticket: users[ticket.rpartition("-")[2]] for ticket in driver.tickets if ticket.rpartition("-")[2] in users
        }
        result = {
            "until": format_instant(until),
            "tickets": len(driver.tickets),
            "live": counted,
            "backtest_seconds": round(seconds, 1),
            "in_force": _histogram(standing),
            "in_force_live": len(at_receiver),
            "agree": standing == at_receiver,
            "differences": len(set(standing.items()) ^ set(at_receiver.items())),
            "p01_straight_from_the_csv": dict(ten_line_count(given.incidents)),
            "repeats": repeat_facts(driver, known, given.wordy),
        }
    text = json.dumps(result, ensure_ascii=False, indent=2)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")
    raise SystemExit(0 if result["agree"] else 1)


if __name__ == "__main__":
    main()
