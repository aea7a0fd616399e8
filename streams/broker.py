"""The embedded broker: a real Apache Kafka from pip alone, for the demo, the single-machine service and the tests.

    with EmbeddedKafka(Path("data/kafka")) as kafka:
        ... kafka.bootstrap_servers ...

KRaft, one broker or three, each also a controller, listening on 127.0.0.1 only. The data directory is durable: a later
start over it has the same cluster id, the same records, and the same ports if they are free. The brokers do not outlive
this process, however it ends. Failures are the hierarchy of broker_errors.py, re-exported here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from streams import broker_jars, broker_layout
from streams.admin import brokers_serving
from streams.broker_errors import (
    BrokerDiedError,
    BrokerError,
    BrokerNotReadyError,
    BrokerNotRunningError,
    DataDirInUseError,
    DataDirUnusableError,
    JarsUnavailableError,
    PortTakenError,
)
from streams.broker_layout import HOST, BrokerAddress, Layout
from streams.broker_lock import end_left_over, lock
from streams.broker_secured import Secured
from streams.child_process import ChildProcess

__all__ = [
    "BrokerDiedError",
    "BrokerError",
    "BrokerNotReadyError",
    "BrokerNotRunningError",
    "DataDirInUseError",
    "DataDirUnusableError",
    "EmbeddedKafka",
    "JarsUnavailableError",
    "PortTakenError",
]

START_SECONDS = 90.0
STOP_SECONDS = 20.0
_FREE_MB_MIN = 256
_POLL_SECONDS = 0.05
_START_ATTEMPTS = 3
_PATIENCE_SECONDS = 5.0


class EmbeddedKafka:
    """One broker, or three, over one data directory. `start` and `stop` may be called again; also a context manager.

    `port`: the first broker's (the others follow it); 0 takes any free ones. `jars`: a directory that holds Kafka's
    jars, where they cannot be downloaded. `extra`: broker properties that win over the defaults. `secured`: further
    listeners with TLS and logins, for one broker (see broker_secured.py).
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        brokers: int = 1,
        port: int = 0,
        jars: Path | None = None,
        heap_mb: int = 512,
        extra: Mapping[str, str] | None = None,
        free_mb_min: int = _FREE_MB_MIN,
        secured: Secured | None = None,
    ) -> None:
        if secured is not None and brokers != 1:
            raise ValueError("only a single broker can have secured listeners")
        self.data_dir = data_dir.absolute()
        self._brokers, self._port, self._jars = brokers, port, jars
        self._heap_mb, self._extra, self._free_mb_min = heap_mb, dict(extra or {}), free_mb_min
        self._secured, self._secured_ports = secured, dict[str, int]()
        self._layout: Layout | None = None
        self._lock: IO[str] | None = None
        self._processes: dict[int, ChildProcess] = {}
        self._owner = os.getpid()

    def start(self, timeout_seconds: float = START_SECONDS) -> Self:
        """Start the brokers and return when all of them serve; does nothing if they run. Raises a `BrokerError`."""
        if self._lock is not None:
            return self
        deadline = time.monotonic() + timeout_seconds
        class_path = broker_jars.class_path(self._jars)
        java = broker_jars.java()
        self._check_data_dir()
        self._lock = lock(self.data_dir)
        self._owner = os.getpid()
        atexit.register(self.stop)
        try:
            # The ports of brokers that were just killed are free a moment later than they look gone.
            patience_seconds = _PATIENCE_SECONDS if end_left_over(self.data_dir) else 0.0
            self._java = [str(java), *self._options(), "-cp", os.pathsep.join(map(str, class_path))]
            self._launch(deadline, patience_seconds)
        except BaseException:
            self.stop(timeout_seconds=0)
            raise
        return self

    def ready(self) -> bool:
        """Return whether every broker runs and is part of the cluster that the clients see."""
        if self._layout is None or len(self._alive()) != self._brokers:
            return False
        return brokers_serving(self._layout.bootstrap_servers) == self._brokers

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients: `127.0.0.1:PORT`, with several brokers comma-separated."""
        return self._started().bootstrap_servers

    def address_of(self, listener: str) -> str:
        """Return the address of a secured listener."""
        self._started()
        return f"{HOST}:{self._secured_ports[listener]}"

    @property
    def cluster_id(self) -> str:
        return self._started().cluster_id

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of the Java processes that run, in the order of the brokers."""
        return tuple(self._processes[index].pid for index in self._alive())

    def log_paths(self) -> tuple[Path, ...]:
        layout = self._started()
        return tuple(layout.log_path(broker) for broker in layout.brokers)

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Stop the brokers, killing those that take longer; does nothing if none runs. The data stays."""
        if self._lock is None or self._owner != os.getpid():
            return
        deadline = time.monotonic() + timeout_seconds
        for process in self._processes.values():
            process.signal(signal.SIGTERM)
        for process in self._processes.values():
            process.stop(deadline - time.monotonic())
        if self._layout is not None:
            for broker in self._layout.brokers:
                self._layout.pid_path(broker).unlink(missing_ok=True)
        self._processes.clear()
        self._layout = None
        self._lock.close()
        self._lock = None
        atexit.unregister(self.stop)

    def kill(self, broker_index: int) -> None:
        """End one broker at once, as a crash would (SIGKILL)."""
        self._started()
        self._processes[broker_index].kill()

    def restart(self, broker_index: int, timeout_seconds: float = START_SECONDS) -> None:
        """Start a broker again that was killed or died, on its port, and return when the whole cluster serves."""
        layout = self._started()
        if self._processes[broker_index].alive():
            self._processes[broker_index].kill()
        self._spawn(broker_index, layout.brokers[broker_index])
        self._await_ready(time.monotonic() + timeout_seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _started(self) -> Layout:
        if self._layout is None:
            raise BrokerNotRunningError("the embedded Kafka is not running: call start() first")
        return self._layout

    def _alive(self) -> list[int]:
        return [index for index, process in sorted(self._processes.items()) if process.alive()]

    def _check_data_dir(self) -> None:
        with _writable(self.data_dir):
            self.data_dir.mkdir(parents=True, exist_ok=True)
            probe = self.data_dir / f".probe-{os.getpid()}"
            probe.write_bytes(b"\0")
            probe.unlink()
        free_mb = shutil.disk_usage(self.data_dir).free // (1024 * 1024)
        if free_mb < self._free_mb_min:
            raise DataDirUnusableError(
                f"only {free_mb} MB are free on the disk of {self.data_dir}, {self._free_mb_min} MB are needed: "
                "free some space, or use a directory on another disk"
            )

    def _options(self) -> list[str]:
        return [
            f"-Xmx{self._heap_mb}m",
            f"-Xms{min(128, self._heap_mb)}m",
            "-XX:+UseSerialGC",  # less memory and a faster start than the default, at this heap
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
        ]

    def _launch(self, deadline: float, patience_seconds: float) -> None:
        """Start all brokers; where another program took a freely chosen port in between, choose again."""
        for attempt in range(1, _START_ATTEMPTS + 1):
            layout = broker_layout.plan(self.data_dir, self._brokers, self._port, patience_seconds=patience_seconds)
            with _writable(self.data_dir):
                broker_layout.write(layout, self._properties(layout))
            self._layout = layout
            self._format(deadline)
            for index, broker in enumerate(layout.brokers):
                self._spawn(index, broker)
            try:
                self._await_ready(deadline)
                return
            except PortTakenError:
                for process in self._processes.values():
                    process.kill()
                if self._port or attempt == _START_ATTEMPTS:
                    raise

    def _properties(self, layout: Layout) -> dict[str, str]:
        if self._secured is None:
            return self._extra
        names = [listener.name for listener in self._secured.listeners]
        self._secured_ports = dict(zip(names, broker_layout.further_ports(layout, len(names)), strict=True))
        own = broker_layout.properties(layout, layout.brokers[0])
        return {**self._secured.properties(own, HOST, self._secured_ports), **self._extra}

    def _format(self, deadline: float) -> None:
        layout = self._started()
        users = self._secured.format_options() if self._secured is not None else []
        tool = [*self._java[:1], "-XX:TieredStopAtLevel=1", *self._java[1:], "kafka.tools.StorageTool", "format"]
        running = []
        for broker in layout.brokers:
            if not layout.formatted(broker):
                options = ["-t", layout.cluster_id, "-c", str(layout.properties_path(broker))]
                running.append(ChildProcess([*tool, *options, *users], layout.log_path(broker)))
        for process in running:
            if not process.wait(deadline - time.monotonic()):
                process.kill()
                raise BrokerNotReadyError("formatting the data directory took too long", process.log_path, "")
            if process.exit_status() != 0:
                raise self._died(process)

    def _spawn(self, index: int, broker: BrokerAddress) -> None:
        layout = self._started()
        command = [*self._java, "kafka.Kafka", str(layout.properties_path(broker))]
        process = ChildProcess(command, layout.log_path(broker))
        self._processes[index] = process
        layout.pid_path(broker).write_text(str(process.pid))

    def _await_ready(self, deadline: float) -> None:
        while True:
            for process in self._processes.values():
                if process.wait(_POLL_SECONDS):
                    raise self._died(process)
            if self._listening() and self.ready():
                return
            if time.monotonic() > deadline:
                process = self._processes[0]
                raise BrokerNotReadyError(
                    "Kafka did not serve in time: give it more time, or see why", process.log_path, process.log_tail()
                )

    def _listening(self) -> bool:
        for broker in self._started().brokers:
            try:
                socket.create_connection((HOST, broker.port), timeout=1).close()
            except OSError:
                return False
        return True

    def _died(self, process: ChildProcess) -> BrokerError:
        """Return the error that tells why the process ended, from what it wrote last."""
        tail = process.log_tail(60)
        if "Address already in use" in tail or "BindException" in tail:
            return PortTakenError(
                next((b.port for b in self._started().brokers if not broker_layout.port_free(b.port)), 0)
            )
        if "No space left on device" in tail:
            return DataDirUnusableError(
                f"the disk of {self.data_dir} is full: free some space, or use another directory"
            )
        return BrokerDiedError(
            f"Kafka ended with status {process.exit_status()}", process.log_path, "\n".join(tail.splitlines()[-15:])
        )


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataDirUnusableError(
            f"{folder} cannot be written ({error.strerror}): correct its permissions, or use another directory"
        ) from error
