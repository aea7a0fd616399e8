"""What lies in the data directory of the embedded Apache Kafka: who the brokers are, their ports and their properties.

cluster.json                cluster id and the ports of each broker, kept over restarts
lock                        held by the running instance
broker-N/server.properties  written anew at each start
broker-N/data/              the records
broker-N/pid                of the running Java process
logs/broker-N.log           bounded
"""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from streams.broker_errors import DataDirUnusableError, PortTakenError

HOST = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections: a client that keeps dialling a dead broker
# could otherwise be given the broker's own port, connect to itself and hold it.
_FREE_PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class BrokerAddress:
    """One broker: its id, and the ports it listens on."""

    node_id: int
    port: int
    controller_port: int


@dataclass(frozen=True)
class Layout:
    """The brokers of one data directory."""

    data_dir: Path
    cluster_id: str
    brokers: tuple[BrokerAddress, ...]

    def folder(self, broker: BrokerAddress) -> Path:
        return self.data_dir / f"broker-{broker.node_id}"

    def properties_path(self, broker: BrokerAddress) -> Path:
        return self.folder(broker) / "server.properties"

    def pid_path(self, broker: BrokerAddress) -> Path:
        return self.folder(broker) / "pid"

    def log_path(self, broker: BrokerAddress) -> Path:
        return self.data_dir / "logs" / f"broker-{broker.node_id}.log"

    def formatted(self, broker: BrokerAddress) -> bool:
        return (self.folder(broker) / "data" / "meta.properties").exists()

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"{HOST}:{broker.port}" for broker in self.brokers)


def plan(data_dir: Path, brokers: int, port: int, *, patience_seconds: float = 0.0) -> Layout:
    """Return the layout to start with: the recorded one with its ports as far as they are free, else a new one.

    Broker *i* listens on `port + i`; with `port=0` on any free port. Raises `PortTakenError` if an asked one is taken.
    `patience_seconds`: how long an asked or recorded port may still be taken.
    """
    recorded = _read(data_dir)
    if recorded is not None and len(recorded.brokers) != brokers:
        raise DataDirUnusableError(
            f"{data_dir} holds a cluster of {len(recorded.brokers)} brokers, not {brokers}: "
            f"start it with {len(recorded.brokers)}, or use another directory"
        )
    old = recorded.brokers if recorded is not None else ()
    used: set[int] = set(range(port, port + brokers)) if port else set()
    deadline = time.monotonic() + patience_seconds
    addresses = []
    for index in range(brokers):
        if port:
            listen = port + index
            if not _await_free(listen, deadline):
                raise PortTakenError(listen)
        else:
            listen = _choose(old[index].port if old else 0, used, deadline)
        controller = _choose(old[index].controller_port if old else 0, used, deadline)
        addresses.append(BrokerAddress(index + 1, listen, controller))
    return Layout(data_dir, recorded.cluster_id if recorded is not None else _new_cluster_id(), tuple(addresses))


def further_ports(layout: Layout, count: int) -> list[int]:
    """Return so many free ports that the layout does not use."""
    used = {port for broker in layout.brokers for port in (broker.port, broker.controller_port)}
    return [_choose(0, used, 0.0) for _ in range(count)]


def port_free(port: int) -> bool:
    """Return whether a program can listen on the port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as Java does: connections in TIME_WAIT don't count
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _await_free(port: int, deadline: float) -> bool:
    while not port_free(port):
        if time.monotonic() >= deadline:
            return False
        threading.Event().wait(0.05)
    return True


def _choose(wanted: int, used: set[int], deadline: float) -> int:
    """Return `wanted` if it is free by the deadline, else any free port outside `used`, and add it there."""
    if wanted and wanted not in used and _await_free(wanted, deadline):
        used.add(wanted)
        return wanted
    pick = random.Random()  # noqa: S311 - two programs that start at once should not try the same ports
    for port in (pick.choice(_FREE_PORTS) for _ in range(1_000)):
        if port not in used and port_free(port):
            used.add(port)
            return port
    raise PortTakenError(wanted)


def _new_cluster_id() -> str:
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):  # the format tool would take it for an option
            return cluster_id


def _read(data_dir: Path) -> Layout | None:
    path = data_dir / "cluster.json"
    try:
        recorded = json.loads(path.read_text())
        return Layout(
            data_dir, str(recorded["cluster_id"]), tuple(BrokerAddress(**entry) for entry in recorded["brokers"])
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataDirUnusableError(f"{path} cannot be read ({error.strerror}): correct its permissions") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataDirUnusableError(f"{path} is damaged: restore it, or use another directory") from error


def write(layout: Layout, extra: Mapping[str, str]) -> None:
    """Write the record of the layout and each broker's properties; `extra` properties win over the defaults."""
    for broker in layout.brokers:
        layout.folder(broker).mkdir(parents=True, exist_ok=True)
        lines = (f"{name}={_escaped(value)}\n" for name, value in {**properties(layout, broker), **extra}.items())
        with os.fdopen(os.open(layout.properties_path(broker), os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            os.fchmod(file.fileno(), 0o600)  # the keys and passwords of secured listeners stand in it
            file.truncate()
            file.writelines(lines)
    (layout.data_dir / "logs").mkdir(exist_ok=True)
    record = {"cluster_id": layout.cluster_id, "brokers": [asdict(broker) for broker in layout.brokers]}
    fresh = layout.data_dir / "cluster.json.new"
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(layout.data_dir / "cluster.json")


def _escaped(value: str) -> str:
    """Return the value as Java reads it: a properties file is ISO-8859-1, other characters are UTF-16 units."""
    units = value.encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < 0x80 else f"\\u{code:04x}" for code in codes)


def properties(layout: Layout, broker: BrokerAddress) -> dict[str, str]:
    """Return a broker's own properties."""
    count = len(layout.brokers)
    replication, in_sync = str(min(3, count)), str(min(2, count))
    return {
        "process.roles": "broker,controller",
        "node.id": str(broker.node_id),
        "controller.quorum.voters": ",".join(f"{b.node_id}@{HOST}:{b.controller_port}" for b in layout.brokers),
        "listeners": f"PLAINTEXT://{HOST}:{broker.port},CONTROLLER://{HOST}:{broker.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{broker.port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(layout.folder(broker) / "data").replace("\\", "\\\\"),
        "auto.create.topics.enable": "false",
        "default.replication.factor": replication,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replication,
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": replication,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": replication,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A dead broker loses its partitions' leadership, and may come back, after this time (the default is 9 s).
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
        "controller.quorum.election.backoff.max.ms": "300",
        "num.network.threads": "2",
        "num.io.threads": "4",
        # Several brokers are stopped together: the last ones have no controller left to hand their partitions over to.
        "controlled.shutdown.enable": "true" if count == 1 else "false",
        "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),  # the default takes 128 MB of heap
        "log.index.size.max.bytes": str(2 * 1024 * 1024),
    }
