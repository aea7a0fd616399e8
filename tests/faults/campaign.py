"""Runs the faults of the matrix in turn, each with a seed of its own, and keeps the results."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import traceback
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from streams.broker import EmbeddedKafka
from tests.faults import oracle
from tests.faults.brokers_kit import own_broker, proxied_kafka, three_brokers
from tests.faults.disk_kit import BROKER_DISK_MB, small_disk
from tests.faults.load import Load
from tests.faults.matrix import Cluster, Fault, faults
from tests.faults.world import world
from tests.kafka_support import ROOT

RUNS_A_BROKER = 40
"""Then it is made anew: deleted topics leave their traces."""
CODE = ("alerting", "models", "rules", "streams")


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    runs: int
    seconds: float
    faults: tuple[int, ...]
    seed: int
    json: Path
    keep: Path


@dataclass(frozen=True)
class Result:
    """What came of one run."""

    fault: int
    seed: int
    passed: bool
    recovery_seconds: float
    seconds: float
    version: str
    verdict: str = ""
    """of a run that did not hold: lost, doubled, or failed"""
    observed: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    skipped: str = ""


@cache
def code_version() -> str:
    """Return a digest of the service's code, by which runs of the same code are told."""
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Brokers:
    """The shared brokers of a campaign, started when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack, self._runs, self._made = folder, ExitStack(), 0, 0
        self._running: dict[Cluster, EmbeddedKafka] = {}

    def get(self, cluster: Cluster) -> EmbeddedKafka:
        """Return a running broker, or cluster."""
        self._runs += 1
        if self._runs > RUNS_A_BROKER:
            self.close()
        if cluster not in self._running:
            self._made += 1
            start = three_brokers if cluster == "three" else proxied_kafka
            self._running[cluster] = self._stack.enter_context(start(self._folder / f"kafka-{self._made}"))
        return self._running[cluster]

    def close(self) -> None:
        """Stop them."""
        self._stack.close()
        self._running, self._runs = {}, 0
        for path in self._folder.glob("kafka-*"):
            shutil.rmtree(path, ignore_errors=True)


def missing(fault: Fault) -> str:
    """Return what a fault needs and this machine lacks; empty if nothing."""
    lacking = [need for need in fault.needs if (os.geteuid() != 0 if need == "root" else shutil.which(need) is None)]
    return ", ".join(lacking)


def run_once(fault: Fault, seed: int, kafka: EmbeddedKafka, folder: Path) -> Result:
    """Run one fault; what fails is in the result, and the logs stay in the folder."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    prefix = f"f{fault.number}-{seed}-{os.getpid()}."
    found: dict[str, Any] = {"fault": fault.number, "seed": seed, "version": code_version(), "recovery_seconds": 0.0}
    try:
        replication = 3 if fault.cluster == "three" else 1
        with world(kafka, folder, prefix, Load(seed, **fault.load), replication=replication, **fault.settings) as made:
            try:
                fault.inject(made)
                made.finish()
                figures = oracle.check(made)
            except BaseException:
                (folder / "topics.txt").write_text(prefix)
                raise
            found["observed"] = made.observed | figures | {"ended": made.ended}
            found["recovery_seconds"] = round(made.recovery_seconds, 2)
        return Result(passed=True, seconds=round(time.monotonic() - started, 1), **found)
    except Exception as error:
        verdict = {oracle.LostError: "lost", oracle.DoubledError: "doubled"}.get(type(error), "failed")
        seconds = round(time.monotonic() - started, 1)
        return Result(passed=False, seconds=seconds, verdict=verdict, error=traceback.format_exc(), **found)


class Campaign:
    """See the head of this module."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.results: list[Result] = []

    def run(self) -> bool:
        """Run until the plan is done; return whether all passed."""
        os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")  # brokers live for minutes here
        deadline = time.monotonic() + self.plan.seconds
        matrix = faults()
        with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
            brokers = Brokers(Path(scratch))
            try:
                for number in range(self.plan.runs):
                    if time.monotonic() > deadline:
                        break
                    fault = matrix[self.plan.faults[number % len(self.plan.faults)]]
                    self._one(fault, self.plan.seed + number, brokers, Path(scratch) / f"run-{number}")
            finally:
                brokers.close()
        return all(result.passed or result.skipped for result in self.results)

    def _one(self, fault: Fault, seed: int, brokers: Brokers, folder: Path) -> None:
        if lacking := missing(fault):
            result = Result(fault.number, seed, False, 0, 0, code_version(), skipped=lacking)
        else:
            result = self._run(fault, seed, brokers, folder)
            if not result.passed:
                brokers.close()  # they may not be what the next run takes them for
        self.results.append(result)
        self._keep(result, folder)
        state = "skipped: " + result.skipped if result.skipped else "passed" if result.passed else "FAILED"
        print(
            f"{fault.number:2} {fault.name:45} seed {seed:5} {state} {result.seconds:6.1f} s "
            f"recovery {result.recovery_seconds:5.1f} s",
            flush=True,
        )
        if not result.passed and not result.skipped:
            print(result.error[-1500:])
            print(f"again: python -m tests.faults --only {fault.number} --seed {seed} --runs 1", flush=True)
        shutil.rmtree(folder, ignore_errors=True)

    def _run(self, fault: Fault, seed: int, brokers: Brokers, folder: Path) -> Result:
        if fault.cluster != "own":
            return run_once(fault, seed, brokers.get(fault.cluster), folder)
        with (
            small_disk(folder / "disk", BROKER_DISK_MB),
            own_broker(folder / "disk" / "kafka", folder / "broker") as kafka,
        ):
            return run_once(fault, seed, kafka, folder)

    def _keep(self, result: Result, folder: Path) -> None:
        self.plan.json.parent.mkdir(parents=True, exist_ok=True)
        with self.plan.json.open("a") as file:
            file.write(json.dumps(asdict(result), default=str) + "\n")
        if not result.passed and not result.skipped:
            kept = self.plan.keep / f"fault-{result.fault}-seed-{result.seed}"
            shutil.copytree(folder / "logs", kept, dirs_exist_ok=True)
            (kept / "error.txt").write_text(result.error)
