"""Disks that are full, fail or lose what was on them."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.table_digests import table_digests
from streams.broker import BrokerError, EmbeddedKafka
from tests.faults.disk_kit import WORKER_DISK_MB, fill, small_disk
from tests.faults.matrix import fault
from tests.faults.world import WAIT_SECONDS, World
from tests.kafka_support import eventually


@fault(16, "RocksDB deleted or corrupted", "the folder is gone, or its files overwritten; it is rebuilt, identical")
def database_lost(world: World) -> None:
    """In turn: the whole folder deleted, every table and log file overwritten, or cut in half."""
    way = ("deleted", "overwritten", "cut")[world.load.seed % 3]
    world.start_all("worker-1", "dispatch")
    world.flows()
    world.send_part(1)
    world.idle()
    world.kill("worker-1")
    damaged = damage(world.data_dir("worker-1"), way)
    assert damaged > 0
    world.send_part(2)
    world.start("worker-1")
    world.observed = {"way": way, "files": damaged}
    world.at_end.append(lambda: _disk_holds_all(world))
    world.heal()


def damage(folder: Path, way: str) -> int:
    """Damage the databases below a folder; return how many files it was."""
    files = [path for path in folder.rglob("*") if path.suffix in (".sst", ".log") or path.name.startswith("MANIFEST")]
    if way == "deleted":
        shutil.rmtree(folder)
    for path in files if way != "deleted" else ():
        size = path.stat().st_size
        path.write_bytes(b"\xa5" * size if way == "overwritten" else path.read_bytes()[: size // 2])
    return len(files)


def _disk_holds_all(world: World) -> None:
    """Check that the rebuilt databases hold every ticket, and answer."""
    world.down.add("worker-1")
    assert world.running["worker-1"].stop() == 0
    digests = table_digests(world.data_dir("worker-1"))
    tickets = sum(one.keys for path, one in digests.items() if "tickets" in path)
    assert tickets >= len(world.load.unfaulted.driver.tickets), digests


@fault(17, "worker disk full", "no space left on the disk of the tables; the worker ends", needs=("root", "mount"))
def worker_disk_full(world: World) -> None:
    """It ends rather than going on without its table, and goes on where it was once there is room."""
    world.until_closed(small_disk(world.data_dir("worker-1"), WORKER_DISK_MB))
    world.start_all("worker-1", "dispatch")
    world.flows()
    ballast = fill(world.data_dir("worker-1"))
    world.send_part(1)
    world.send_part(2)
    eventually(lambda: world.has_ended("worker-1"), WAIT_SECONDS, "the worker ends")
    assert "No space left" in world.logs()
    ballast.unlink()
    world.heal()


@fault(
    18,
    "broker disk full",
    "the broker's log says that no space is left, and it ends",
    cluster="own",
    needs=("root", "mount"),
)
def broker_disk_full(world: World) -> None:
    """It halts, as Kafka does when a log directory fails; with room again it goes on over the same disk."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    ballast = fill(world.kafka.data_dir)
    kafka = world.kafka
    world.send_until_refused(1)
    eventually(lambda: not kafka.pids, WAIT_SECONDS, "the broker ends")
    assert any("No space left" in path.read_text(errors="replace") for path in kafka.log_paths())
    ballast.unlink()
    restart(kafka)
    world.heal()
    world.send_part(1)
    world.send_part(2)


def restart(kafka: EmbeddedKafka) -> None:
    """Start a broker that ended, at its old port."""
    servers = kafka.bootstrap_servers
    kafka.stop(timeout_seconds=0)
    try:
        kafka.start()
    except BrokerError:
        kafka.start()
    assert kafka.bootstrap_servers == servers


@fault(
    19,
    "fsync fails",
    "strace makes every sync fail with EIO; the worker ends, and its log says why",
    needs=("root", "strace"),
)
def fsync_fails(world: World) -> None:
    """Until the injection ends, whatever syncs the worker's tables is told of a broken disk."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    trace = world.folder / "strace.log"
    world.under["worker-1"] = [
        "strace", "--follow-forks", "--output", str(trace), "--trace", "fsync,fdatasync,sync_file_range",
        "--inject", "fsync,fdatasync,sync_file_range:error=EIO", "--daemonize",
    ]  # fmt: skip
    world.kill("worker-1")
    world.send_part(1)
    world.start("worker-1")
    told = "Input/output error"
    eventually(lambda: world.has_ended("worker-1") and told in world.logs(), WAIT_SECONDS, "it ends by the broken disk")
    world.send_part(2)
    eventually(lambda: "INJECTED" in trace.read_text(), WAIT_SECONDS, "strace has written what it did")
    world.observed = {"ended": len(world.ended)}
    del world.under["worker-1"]
    world.kill("worker-1")
    world.start("worker-1")
    world.heal()
