"""`hotline-watch demo`: the whole service on this machine, a synthetic sample, and the warnings as a receiver got and verified them."""

import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.configured import refusals
from cli.demo_registry import SUBSCRIBERS, write_files
from cli.demo_stories import EXPECTED, UNTIL, demo_events
from cli.output import fail, out

app = typer.Typer()

SECRET_VARIABLE = "HOTLINE_WATCH_SECRET_DEMO"  # noqa: S105 - a variable's name
PARTITIONS = 4
IDLE_SECONDS = 120.0
DELIVERY_SECONDS = 60.0
COLOURS = {"blue": "blue", "yellow": "yellow", "red": "red"}
STATUS_TITLES = {"raised": "新预警", "escalated": "升级", "corrected": "更正", "retracted": "撤回"}
LEVEL_TITLES = {"blue": "蓝", "yellow": "黄", "red": "红"}


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="end after the sample: 0 if every expected warning arrived, else 1")
    ] = False,
    keep: Annotated[Path | None, typer.Option(help="keep the data in this directory")] = None,
) -> None:
    """Run the whole service on this machine and watch signed warnings arrive.

    Starts a real Kafka, two workers, dispatch and a receiver; streams some hundred synthetic tickets among which five stories are told;
    shows each yellow or red warning as the receiver got it, its signature verified.
    """
    from streams.broker_errors import BrokerError
    from streams.single import NotReadyError
    from streams.supervisor import MisconfiguredServiceError

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        data = keep or Path(tempfile.mkdtemp(prefix="hotline-watch-demo-"))
        if keep is None:
            stack.callback(shutil.rmtree, data, ignore_errors=True)
        try:
            with refusals():
                missing = _Demo(data, stop).run(stack, once)
        except (BrokerError, MisconfiguredServiceError, NotReadyError) as error:
            fail(str(error))
    raise typer.Exit(1 if missing else 0)


class _Demo:
    """One run of the demo."""

    def __init__(self, data: Path, stop: threading.Event) -> None:
        self._data = data
        self._stop = stop
        self._last: dict[tuple[str, str], dict[str, Any]] = {}
        self._received = 0

    def run(self, stack: ExitStack, once: bool) -> list[str]:
        """Run everything; return the expected warnings that did not arrive."""
        from alerting.receiver import Receiver, serve
        from models.secrets import WebhookSecret
        from models.times import parse_instant
        from streams.lag import wait_until_idle
        from streams.settings import Settings
        from streams.single import SingleMachine
        from streams.ticking import send_events, send_ticks

        started = time.monotonic()
        secret = secrets.token_hex(24)
        os.environ[SECRET_VARIABLE] = secret
        receiver = Receiver([WebhookSecret.parse(secret)], on_accepted=self._show)
        url = stack.enter_context(serve(receiver))
        self._data.mkdir(parents=True, exist_ok=True)
        subscribers, units = write_files(self._data, url, SECRET_VARIABLE)
        out.print("starting a real Apache Kafka, two workers and dispatch …")
        settings = Settings(
            core_time="recorded",
            partitions=PARTITIONS,
            subscribers_file=subscribers,
            units_file=units,
            retry_scale=0.01,
        )
        machine = SingleMachine(settings, self._data, workers=2)
        stack.callback(machine.stop)
        machine.start()
        out.print(
            f"ready after {time.monotonic() - started:.0f} s: Kafka at {machine.bootstrap_servers}, receiver at {url}\n",
            markup=False,
        )
        events = demo_events()
        send_events(machine.bootstrap_servers, machine.topics, events)
        wait_until_idle(machine.bootstrap_servers, machine.topics, timeout_seconds=IDLE_SECONDS)
        send_ticks(machine.bootstrap_servers, machine.topics, parse_instant(UNTIL))
        wait_until_idle(machine.bootstrap_servers, machine.topics, timeout_seconds=IDLE_SECONDS)
        self._wait(machine.watch, lambda: not self._missing())
        self._summarise(len(events), receiver)
        if not once:
            out.print(
                f"\nstill running: Kafka at {machine.bootstrap_servers}, topic {machine.topics.ticket_events}; stop with Ctrl-C",
                markup=False,
            )
            while not self._stop.wait(0.5):
                machine.watch()
        return self._missing()

    def _wait(self, watch: Callable[[], None], done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DELIVERY_SECONDS
        while not done() and time.monotonic() < deadline and not self._stop.wait(0.2):
            watch()

    def _show(self, accepted: Any) -> None:
        alert = accepted.alert
        self._received += 1
        for ticket in alert["tickets"]:
            self._last[ticket, alert["rule"]["id"]] = alert
        colour = COLOURS[alert["level"]]
        title = f"{STATUS_TITLES[alert['status']]} {LEVEL_TITLES[alert['level']]}"
        out.print("■", style=colour, end="")
        out.print(f" 已验签 {title}  {alert['rule']['id']}  工单{alert['tickets'][0]}  ", end="")
        out.print(alert["headline"], markup=False, end="")
        out.print(f"  → {SUBSCRIBERS.get(accepted.lane, accepted.lane)}", markup=False)
        if alert["status"] != "retracted":
            for evidence in alert["evidence"][-3:]:
                out.print(f"      {evidence['occurred_at'][:16].replace('T', ' ')}  {evidence['what']}", markup=False)

    def _standing(self, ticket: str, rule: str) -> str | None:
        alert = self._last.get((ticket, rule))
        return None if alert is None or alert["status"] == "retracted" else alert["level"]

    def _missing(self) -> list[str]:
        """Return what is expected and has not arrived. A blue warning is not sent: the demo's receiver wants yellow and red."""
        return [
            f"{one.ticket} {one.rule}"
            for one in EXPECTED
            if one.level != "blue" and self._standing(one.ticket, one.rule) != one.level
        ]

    def _summarise(self, events: int, receiver: Any) -> None:
        table = Table(title="\n五个故事:应有的预警与收到的预警", title_justify="left")
        for name in ("故事", "工单", "规则", "应有", "收到", ""):
            table.add_column(name)
        for one in EXPECTED:
            if one.level == "blue":
                continue
            found = self._standing(one.ticket, one.rule)
            told = [LEVEL_TITLES[level] if level else "已撤回" for level in (one.level, found)]
            table.add_row(one.story, one.ticket, one.rule, *told, "✓" if found == one.level else "✗ 缺")
        out.print(table)
        out.print(
            f"{events} events in, {self._received} signed warnings received; "
            f"{receiver.not_verified} not verified, {len(receiver.out_of_order)} out of order, {len(receiver.duplicates)} doubled",
        )
