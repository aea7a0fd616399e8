"""The kill campaign: workers are killed while events flow, then every key's state is compared with a plain run."""

from __future__ import annotations

import json
import random
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from kafka.admin import NewTopic

from streams.admin import connect
from tests.campaign.worker import SCHEMA, TABLE, TYPE_ID, State, plain_run
from tests.kafka_support import Record, Worker, eventually, lag, read_all

PARTITIONS = 4
CATCH_UP_SECONDS = 120.0
FREEZE_SECONDS = 9.0


@dataclass(frozen=True)
class Plan:
    """`kills` kills, one every `every_seconds`; every second one deletes the worker's disk too.

    Before every `freeze_every`-th kill (0: none) the worker is frozen for longer than its session and wakes up again.
    """

    kills: int
    every_seconds: float = 5.0
    keys: int = 1000
    events_per_second: int = 2000
    freeze_every: int = 0
    seed: int = 1


@dataclass
class Report:
    """What came out. `wrong` counts, for each place where states were read, the keys that differ from the plain run."""

    plan: Plan
    events: int = 0
    kills: int = 0
    disks_deleted: int = 0
    freezes: int = 0
    seconds: float = 0.0
    processed: int = 0
    missing_outputs: int = 0
    alarms: int = 0
    failures: list[str] = field(default_factory=list)
    wrong: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.failures and not self.missing_outputs and bool(self.wrong) and not any(self.wrong.values())

    def table(self) -> str:
        rows = [
            ("seed", str(self.plan.seed)),
            ("kills / disks deleted", f"{self.kills} / {self.disks_deleted}"),
            ("freezes past the session", str(self.freezes)),
            ("seconds", f"{self.seconds:.0f}"),
            ("events / keys", f"{self.events} / {self.plan.keys}"),
            ("outputs (more than events: done again)", str(self.processed)),
            ("events without output", str(self.missing_outputs)),
            ("alarms (records of a second writer)", str(self.alarms)),
            *((f"wrong keys, read from {place}", str(count)) for place, count in self.wrong.items()),
            *(("failure", failure) for failure in self.failures),
            ("result", "none wrong" if self.ok else "WRONG"),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


class Campaign:
    """One campaign on a running cluster, its files in `workdir`."""

    def __init__(self, bootstrap_servers: str, workdir: Path, prefix: str, plan: Plan) -> None:
        self.bootstrap_servers, self.workdir, self.plan = bootstrap_servers, workdir, plan
        self.app_id = f"{prefix}campaign"
        self.source, self.output = f"{prefix}source", f"{prefix}output"
        self.changelog = f"{self.app_id}-{TABLE}-changelog"
        self.report = Report(plan)
        self._random = random.Random(plan.seed)
        self._starts = 0
        self._logs: list[Path] = []

    def run(self) -> Report:
        started = time.monotonic()
        self._create_topics()
        workers = [self._start(0), self._start(1)]
        try:
            for worker in workers:
                worker.wait_for("READY")
            self._kill_while_events_flow(workers)
            eventually(
                lambda: lag(self.bootstrap_servers, self.app_id, self.source) == 0,
                CATCH_UP_SECONDS,
                "all events are committed",
            )
            for worker in workers:
                if status := worker.stop():
                    self.report.failures.append(f"a worker exited with {status} on SIGTERM")
            self._audit()
        except AssertionError as error:
            self.report.failures.append(str(error)[-2000:])
        finally:
            for worker in workers:
                if worker.alive():
                    worker.kill()
        self.report.alarms = sum(log.read_text(errors="replace").count("ALARM") for log in self._logs)
        self.report.seconds = time.monotonic() - started
        return self.report

    # -- the run

    def _create_topics(self) -> None:
        compacted = {
            "cleanup.policy": "compact",
            "segment.ms": "2000",
            "min.cleanable.dirty.ratio": "0.01",
            "max.compaction.lag.ms": "3000",
        }
        with connect(self.bootstrap_servers) as admin:
            admin.create_topics(
                [
                    NewTopic(self.source, PARTITIONS, 1),
                    NewTopic(self.output, PARTITIONS, 1),
                    NewTopic(self.changelog, PARTITIONS, 1, topic_configs=compacted),
                ]
            )

    def _start(self, number: int, *, dump: Path | None = None, datadir: Path | None = None) -> Worker:
        self._starts += 1
        log = self.workdir / f"{self._starts:03}-worker{number}.log"
        self._logs.append(log)
        arguments = [self.bootstrap_servers, self.app_id, str(datadir or self._disk(number)), self.source, self.output]
        extra = [str(dump)] if dump else []
        return Worker(["-m", "tests.campaign.worker", *arguments, str(PARTITIONS), *extra], log)

    def _disk(self, number: int) -> Path:
        return self.workdir / f"disk{number}"

    def _kill_while_events_flow(self, workers: list[Worker]) -> None:
        done = threading.Event()
        source = threading.Thread(target=self._produce, args=(done,), daemon=True)
        source.start()
        pause = threading.Event()
        for kill in range(self.plan.kills):
            pause.wait(self.plan.every_seconds * self._random.uniform(0.7, 1.3))
            number = kill % 2
            if not workers[number].alive():
                self.report.failures.append(f"worker {number} had ended by itself:\n{workers[number].log()[-1500:]}")
            if self.plan.freeze_every and kill % self.plan.freeze_every == 0:
                self._freeze(workers[number], pause)
            workers[number].kill()
            self.report.kills += 1
            if (kill // 2) % 2:  # each worker in turn, with and without its disk
                shutil.rmtree(self._disk(number), ignore_errors=True)
                self.report.disks_deleted += 1
            workers[number] = self._start(number)
        done.set()
        source.join()

    def _freeze(self, worker: Worker, pause: threading.Event) -> None:
        """It must end when it wakes up; what it still sends to the changelog must do no harm."""
        worker.signal(signal.SIGSTOP)
        pause.wait(FREEZE_SECONDS)
        worker.signal(signal.SIGCONT)
        eventually(lambda: not worker.alive(), 10.0, "the frozen worker ends")
        self.report.freezes += 1

    def _produce(self, done: threading.Event) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap_servers.split(","),
            acks="all",
            linger_ms=10,
            compression_type="gzip",
            allow_auto_create_topics=False,
        )
        choose = random.Random(self.plan.seed + 1)
        started = time.monotonic()
        while not done.wait(0.05):
            due = int((time.monotonic() - started) * self.plan.events_per_second)
            while self.report.events < due:
                key = choose.randrange(self.plan.keys)
                producer.send(
                    self.source, key=b"key%d" % key, value=b"%d" % self.report.events, partition=key % PARTITIONS
                )
                self.report.events += 1
        producer.close(timeout=60)

    # -- the audit

    def _audit(self) -> None:
        events = read_all(self.bootstrap_servers, self.source)
        if len(events) != self.report.events:
            self.report.failures.append(f"{self.report.events} events were sent, {len(events)} are in the topic")
        expected = plain_run((event.key or b"", event.offset, event.value or b"") for event in events)
        outputs = read_all(self.bootstrap_servers, self.output)
        self.report.processed = len(outputs)
        seen = {(output.partition, int(output.value or b"-1")) for output in outputs}
        self.report.missing_outputs = len({(event.partition, event.offset) for event in events} - seen)
        self.report.wrong["the changelog"] = _differences(
            expected, _last_values(read_all(self.bootstrap_servers, self.changelog))
        )
        self.report.wrong["a fresh disk's recovery"] = _differences(expected, self._recovered(self.workdir / "fresh"))
        self.report.wrong["worker 0's own disk"] = _differences(expected, self._recovered(self._disk(0)))
        self.report.wrong["worker 1's own disk"] = _differences(expected, self._recovered(self._disk(1)))

    def _recovered(self, datadir: Path) -> dict[bytes, State]:
        dump = self.workdir / f"dump-{datadir.name}.json"
        with self._start(9, dump=dump, datadir=datadir) as worker:
            status = worker.wait(90.0)
            assert status == 0, f"the dumping worker exited with {status}:\n{worker.log()[-3000:]}"
        return {key.encode(): state for key, state in json.loads(dump.read_text()).items()}


def _last_values(changelog: list[Record]) -> dict[bytes, State]:
    values: dict[bytes, State] = {}
    for record in changelog:
        assert record.key is not None
        if record.value is None:
            values.pop(record.key, None)
        else:
            assert record.value[:2] == bytes((TYPE_ID, SCHEMA))
            values[record.key] = json.loads(record.value[2:])
    return values


def _differences(expected: dict[bytes, State], found: dict[bytes, Any]) -> int:
    return sum(1 for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
