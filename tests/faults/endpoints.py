"""Endpoints that hang, drip, refuse, reset, show the wrong certificate, or cannot be found; and two that send to one."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import signal
import ssl
import time
from collections import Counter
from pathlib import Path

import orjson

from streams.broker_certificates import Authority
from tests.faults.matrix import fault
from tests.faults.proxy import Proxy
from tests.faults.world import WAIT_SECONDS, World, write_subscribers
from tests.kafka_support import eventually, read_all

DAY_SECONDS = 86_400
SCALE = 0.0001
"""of the retry schedule where a day is to pass"""


def outcomes(world: World, subscriber: str = "office") -> Counter[str]:
    """Return how many records of deliveries tell of each outcome of an attempt."""
    found = [orjson.loads(one.value or b"{}") for one in read_all(world.servers, world.topics.deliveries)]
    return Counter(str(one.get("outcome")) for one in found if one.get("subscriber") == subscriber)


def fails_with(world: World, outcome: str, times: int = 2) -> None:
    """Return when attempts at the office have come to this outcome so many times."""
    eventually(lambda: world.mend() or outcomes(world)[outcome] >= times, WAIT_SECONDS, f"attempts come to {outcome}")
    world.observed = {outcome: outcomes(world)[outcome]}


def behind_proxy(world: World, **office: object) -> Proxy:
    """Let the office be called through a proxy."""
    host, port = world.url.split("/")[2].split(":")
    proxy = Proxy((host, int(port))).start()
    world.closing.append(proxy.close)
    write_subscribers(world.folder, world.url, url=f"http://127.0.0.1:{proxy.port}/alerts/office", **office)
    return proxy


def started(world: World) -> None:
    """Start, and send half of the load."""
    world.start_all("worker-1", "dispatch")
    world.send_part(0)
    world.send_part(1)


@fault(23, "a subscriber hangs", "attempts end by timeout; another subscriber has everything meanwhile")
def hangs(world: World) -> None:
    """The office takes calls and never answers; a second subscriber waits for nobody."""
    second = {"name": "second", "url": f"{world.url}/second"}
    proxy = behind_proxy(world, timeout_seconds=0.5)
    host_url = f"http://127.0.0.1:{proxy.port}/alerts/office"
    write_subscribers(world.folder, world.url, (second,), url=host_url, timeout_seconds=0.5)
    world.own_by_office("office", "second")
    proxy.silent = True
    started(world)
    fails_with(world, "timeout")
    world.idle()
    pushed = {one.alert_id for one in world.issued() if one.push}
    eventually(lambda: {one.alert["alert_id"] for one in world.accepted("second")} == pushed, WAIT_SECONDS, "second")
    assert world.accepted() == []
    world.expects_repeated_calls = True
    proxy.heal()
    world.heal()


@fault(24, "an answer that drips", "attempts end by timeout though bytes go on coming")
def drips(world: World) -> None:
    """The receiver has taken the call; its answer comes at ten bytes a second."""
    proxy = behind_proxy(world, timeout_seconds=0.5)
    proxy.bytes_per_second = 10
    world.expects_repeated_calls = True
    started(world)
    fails_with(world, "timeout")
    proxy.heal()
    world.heal()


@fault(25, "5xx for 24 h, then healed", "a day of the schedule passes, scaled", settings={"RETRY_SCALE": str(SCALE)})
def server_errors(world: World) -> None:
    """Everything is answered with 503 for a day of the retry schedule."""
    world.answer = lambda _, __: 503
    world.start_all("worker-1", "dispatch")
    since = time.monotonic()
    world.send_part(0)
    world.send_part(1)
    fails_with(world, "http_5xx")
    eventually(lambda: time.monotonic() - since > DAY_SECONDS * SCALE, WAIT_SECONDS, "a day passes")
    assert world.receiver.accepted == []
    world.observed = {"http_5xx": outcomes(world)["http_5xx"]}
    world.answer = lambda _, __: 204
    world.heal()


@fault(26, "429 with Retry-After", "no call of that delivery within the time asked for")
def too_many(world: World) -> None:
    """The first call of each delivery is answered with 429 and a second to wait, in every second run two seconds."""
    wait = 1 + world.load.seed % 2
    world.receiver.retry_after_seconds = wait
    world.answer = lambda _, count: 429 if count == 1 else 204
    started(world)
    fails_with(world, "too_many_requests")
    called = world.receiver.called_at
    eventually(lambda: any(len(times) > 1 for times in called.values()), WAIT_SECONDS, "called again")
    world.answer = lambda _, __: 204
    gaps = [times[1] - times[0] for times in called.values() if len(times) > 1]
    assert min(gaps) >= wait * 0.95, gaps
    world.observed |= {"wait_seconds": wait, "least_seconds": round(min(gaps), 2)}
    world.heal()


@fault(27, "410 Gone", "the endpoint is disabled, nothing is called, everything is kept")
def gone(world: World) -> None:
    """It is tried again once the operator raises its revision."""
    world.answer = lambda _, __: 410
    started(world)
    fails_with(world, "gone", 1)
    world.idle()
    eventually(lambda: 'hw_dispatch_endpoint_disabled{subscriber="office"} 1.0' in world.metrics("dispatch"), 30)
    assert world.receiver.accepted == []
    world.answer = lambda _, __: 204
    write_subscribers(world.folder, world.url, revision=2)
    world.heal()


@fault(28, "200, then a reset", "the proxy reset connections in place of the answer; the receiver had taken the call")
def reset(world: World) -> None:
    """The effect is there, the answer is not: the same call comes again under the same id."""
    proxy = behind_proxy(world)
    proxy.swallow_answers = 8
    world.expects_repeated_calls = True
    started(world)
    eventually(lambda: world.mend() or proxy.swallow_answers == 0, WAIT_SECONDS, "answers are swallowed")
    eventually(lambda: world.receiver.duplicates, WAIT_SECONDS, "a call is repeated")
    world.observed = {"resets": proxy.swallowed, "repeated": len(world.receiver.duplicates)}
    world.heal()


@fault(29, "TLS: expired, or of a wrong authority", "attempts end with tls_failed; nothing is sent in the clear")
def bad_tls(world: World) -> None:
    """In turn: a certificate that has expired, and one of an authority that is not trusted."""
    now = datetime.datetime.now(datetime.UTC)
    trusted, other = Authority("trusted", now), Authority("other", now)
    bad = (
        other.issue("office", "127.0.0.1")
        if world.load.seed % 2
        else trusted.issue("office", "127.0.0.1", expired=True)
    )
    (world.folder / "ca.crt").write_text(trusted.certificate)
    proxy = behind_proxy(world)
    proxy.tls = _context(world.folder, bad.write(world.folder, "bad"))
    url = f"https://127.0.0.1:{proxy.port}/alerts/office"
    write_subscribers(world.folder, world.url, url=url, ca_file="ca.crt")
    started(world)
    fails_with(world, "tls_failed")
    assert world.accepted() == []
    proxy.tls = _context(world.folder, trusted.issue("office", "127.0.0.1").write(world.folder, "good"))
    world.observed |= {"certificate": "of another authority" if world.load.seed % 2 else "expired"}
    world.heal()


def _context(folder: Path, files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


HOSTS = "127.0.0.1 localhost\n"
OTHER_LOOPBACK = "127.8.8.8"


@fault(
    30,
    "DNS failure, and rebinding",
    "attempts end with dns_failed, then with refused_address",
    needs=("root", "unshare"),
)
def names(world: World) -> None:
    """The receiver's name is unknown; then it leads to an address that the entry does not allow; then to the receiver.

    Dispatch has a mount namespace of its own, in which /etc/hosts is a file of the run's.
    """
    hosts = world.folder / "hosts"
    hosts.write_text(HOSTS)
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    world.under["dispatch"] = ["unshare", "--mount", "sh", "-c", script, str(hosts)]
    port = world.url.split(":")[2].split("/")[0]
    url = f"http://receiver.test.invalid:{port}/alerts/office"
    write_subscribers(world.folder, world.url, url=url, allow_networks=["127.0.0.0/16"])
    started(world)
    fails_with(world, "dns_failed")
    hosts.write_text(f"{HOSTS}{OTHER_LOOPBACK} receiver.test.invalid\n")
    fails_with(world, "refused_address")
    assert world.accepted() == []
    world.observed = dict(outcomes(world))
    hosts.write_text(f"{HOSTS}127.0.0.1 receiver.test.invalid\n")
    world.heal()


@fault(34, "two senders for one endpoint", "a frozen dispatch wakes after another has its partitions, and ends itself")
def two_senders(world: World) -> None:
    """Calls are slow, so that some are under way when one of the two senders is frozen."""

    async def slow(_: str, __: int) -> int:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.1)
        return 204

    world.answer = slow
    world.expects_repeated_calls = True
    world.start_all("worker-1", "dispatch-1", "dispatch-2")
    world.flows()
    world.send_part(1)
    world.running["dispatch-1"].signal(signal.SIGSTOP)
    world.send_part(2)
    world.idle()
    world.all_delivered()  # by the other one
    world.running["dispatch-1"].signal(signal.SIGCONT)
    eventually(lambda: world.has_ended("dispatch-1"), WAIT_SECONDS, "the frozen sender ends itself")
    world.answer = lambda _, __: 204
    world.heal()


@fault(
    35,
    "a hundred endpoints",
    "each of them has every warning once, over a kill of dispatch",
    load={"tickets": 2, "stories": 3},
)
def hundred(world: World) -> None:
    """A hundred subscribers of one office, a smaller load; dispatch is killed while it calls them."""
    world.patience_seconds = 300.0
    names = [f"s-{number}" for number in range(100)]
    write_subscribers(world.folder, world.url, tuple({"name": one, "url": f"{world.url}/{one}"} for one in names))
    world.own_by_office("office", *names)
    world.expects_repeated_calls = True
    world.start_all("worker-1", "dispatch")
    world.flows()
    world.send_part(1)
    world.kill("dispatch")
    world.start("dispatch")

    def each_has_all() -> bool:
        wanted = sorted(one.alert_id for one in world.issued() if one.push)
        lanes: dict[str, list[str]] = {name: [] for name in names}
        for one in world.receiver.accepted:
            lanes.get(one.lane, []).append(one.alert["alert_id"])
        return all(sorted(found) == wanted for found in lanes.values())

    world.at_end.append(
        lambda: eventually(each_has_all, world.patience_seconds, "each endpoint has every warning once")
    )
    world.heal()
