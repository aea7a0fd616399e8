"""What `doctor` looks at on the machine: disk, memory, limits, ports, Java, and the processes of a running `up`."""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from cli.doctor_findings import Area, Finding, ok, problem, warning
from streams.broker_errors import BrokerError
from streams.broker_layout import port_free
from streams.hold import Running
from streams.new_folder import own_name
from streams.settings import Settings

_MB = 2**20
_FREE_MB_LEAST = 256
_FREE_MB_FEW = 2048
_FREE_SHARE_FEW = 0.1
_FILES_MIN = 4096
_MEMORY_MB_MIN = 1500


def check_machine(
    settings: Settings, data: Path | None, running: Running | None, workers: int, offline: bool
) -> Iterator[Finding]:
    """Yield what is found on this machine. `running`: what a running `up` says of itself."""
    yield from check_disk(data if data is not None else settings.data_dir)
    if data is not None:
        yield from check_writable(data)
    yield from _limits(running)
    if data is None:
        return
    if running is not None:
        yield from _services(running)
        return
    yield from _ports(settings, workers)
    yield from _java(settings, offline)


def _there(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())


def check_writable(data: Path, may: Callable[[Path, int], bool] = os.access) -> Iterator[Finding]:
    """Yield where the data directory cannot be written; on a read-only disk not even root may."""
    there = _there(data)
    if not there.is_dir():
        yield problem(
            Area.DISK, f"{there} is a file, and --data a directory", "name another directory, or move the file"
        )
        return
    if may(there, os.W_OK | os.X_OK):
        return
    give = f"chown -R {own_name()} {data}" if there == data.absolute() else f"install -d -o {own_name()} -m 700 {data}"
    yield problem(
        Area.DISK,
        f"{there} cannot be written by {own_name()}",
        f"run this and `up` as the user whom it belongs to, or `{give}` as root; mount a read-only disk writable",
    )


def check_disk(folder: Path) -> Iterator[Finding]:
    """Yield whether there is room on the disk of a folder, which need not be there yet."""
    there = _there(folder)
    usage = shutil.disk_usage(there)
    free_mb = usage.free // _MB
    said = f"{free_mb:,} MB are free on the disk of {there}"
    if free_mb < _FREE_MB_LEAST:
        yield problem(
            Area.DISK, said, f"free some: below {_FREE_MB_LEAST} MB nothing starts, and a full disk stops the broker"
        )
    elif free_mb < _FREE_MB_FEW or (usage.free < _FREE_SHARE_FEW * usage.total and free_mb < 10 * _FREE_MB_FEW):
        yield warning(
            Area.DISK, said, "free some, or move the data directory to a larger disk: `backup`, then `restore`"
        )
    else:
        yield ok(Area.DISK, said)


def _limits(running: Running | None) -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES_MIN:
        yield warning(
            Area.MACHINE,
            f"a process may open {soft} files; broker and tables want {_FILES_MIN}",
            "ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit",
        )
    available = _memory_available_mb()
    if running is None and available is not None and available < _MEMORY_MB_MIN:
        yield warning(
            Area.MACHINE,
            f"{available} MB of memory are available; `up` wants {_MEMORY_MB_MIN}",
            "free some, or add some",
        )


def _memory_available_mb() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _ports(settings: Settings, workers: int) -> Iterator[Finding]:
    wanted = {"broker_port": [settings.broker_port], "api_port": [settings.api_port]}
    wanted["http_port"] = [settings.http_port + number for number in range(workers + 2)] if settings.http_port else []
    taken = [(name, port) for name, ports in wanted.items() for port in ports if port and not port_free(port)]
    for name, port in taken:
        yield problem(
            Area.PORTS, f"port {port} is taken by another program ({name})", f"end that program, or change {name}"
        )
    if not taken:
        yield ok(Area.PORTS, "the ports that are set are free")


def _java(settings: Settings, offline: bool) -> Iterator[Finding]:
    from streams import broker_jars

    try:
        broker_jars.java()
        if settings.broker_jars is not None or not offline:
            broker_jars.class_path(settings.broker_jars)
    except BrokerError as error:
        yield problem(Area.BROKER, str(error), "connect to a Maven repository once, or set broker_jars")
        return
    yield ok(Area.BROKER, "`up` is not running; Java and Kafka's jars are there")


def _services(running: Running) -> Iterator[Finding]:
    """Yield what each process of a running `up` says of its health."""
    for name, address in running.services.items():
        try:
            answer = httpx.get(f"{address}/healthz", timeout=5, trust_env=False)
        except httpx.HTTPError as error:
            yield problem(
                Area.SERVICES,
                f"{name} does not answer ({type(error).__name__})",
                f"see logs/{name}.log in the data directory",
            )
            continue
        if answer.status_code == 200:
            yield ok(Area.SERVICES, f"{name} is well")
        else:
            yield problem(Area.SERVICES, f"{name}: {_told(answer)}", f"see logs/{name}.log in the data directory")


def _told(answer: httpx.Response) -> str:
    try:
        problems = answer.json()["problems"]
        return "; ".join(str(one) for one in problems) or f"status {answer.status_code}"
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
