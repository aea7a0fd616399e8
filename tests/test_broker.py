from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from streams import broker_jars, broker_layout, broker_lock, child_log, child_process
from streams.admin import brokers_serving
from streams.broker import (
    BrokerDiedError,
    BrokerNotReadyError,
    BrokerNotRunningError,
    DataDirInUseError,
    DataDirUnusableError,
    EmbeddedKafka,
    JarsUnavailableError,
    PortTakenError,
)
from streams.topics import TopicSet
from streams.topics_admin import create_topics
from tests.kafka_support import ROOT, Worker, eventually, process_exists, produce, read_all

NewKafka = Callable[..., EmbeddedKafka]
# An address where nobody listens, so that what needs the network fails at once.
NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
STARTER = """
import sys, threading
from pathlib import Path
from streams.broker import EmbeddedKafka
kafka = EmbeddedKafka(Path(sys.argv[1]), heap_mb=256).start()
print("running", *kafka.pids, kafka.bootstrap_servers, flush=True)
threading.Event().wait()
"""

# --- one broker


@pytest.mark.kafka
def test_a_running_broker_serves_on_the_loopback_address_only(kafka: EmbeddedKafka) -> None:
    assert kafka.ready()
    assert len(kafka.pids) == 1
    host, port = kafka.bootstrap_servers.split(":")
    assert host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):  # a listener on all addresses would take it
        socket.create_connection(("127.0.0.2", int(port)), timeout=2)


@pytest.mark.kafka
def test_records_come_out_as_they_went_in(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    sent = [(f"k{n}".encode(), f"值{n}".encode()) for n in range(100)]
    produce(kafka.bootstrap_servers, topics.tickets, sent)
    found = read_all(kafka.bootstrap_servers, topics.tickets)
    assert sorted((record.key, record.value) for record in found) == sorted(sent)


@pytest.mark.kafka
def test_starting_again_while_it_runs_changes_nothing(kafka: EmbeddedKafka) -> None:
    before = kafka.pids
    assert kafka.start() is kafka
    assert kafka.pids == before


@pytest.mark.kafka
def test_data_address_and_identity_survive_a_restart_and_a_crash(new_kafka: NewKafka, tmp_path: Path) -> None:
    topics = TopicSet(partitions=1)
    jars = tmp_path / "jars"  # from a directory of jars, as where none can be downloaded
    jars.mkdir()
    for jar in broker_jars.class_path():
        (jars / jar.name).symlink_to(jar)
    first = new_kafka(jars=jars)
    servers, cluster_id = first.bootstrap_servers, first.cluster_id
    create_topics(servers, topics)
    produce(servers, topics.tickets, [(b"k", b"before the restart")])
    first.stop()
    assert first.pids == ()
    assert not first.ready()

    second = new_kafka(jars=jars)
    assert (second.bootstrap_servers, second.cluster_id) == (servers, cluster_id)
    produce(servers, topics.tickets, [(b"k", b"before the crash")])
    second.kill(0)
    assert not second.ready()
    second.restart(0)
    assert second.ready()
    assert [record.value for record in read_all(servers, topics.tickets)] == [
        b"before the restart",
        b"before the crash",
    ]


@pytest.mark.kafka
def test_it_outlives_the_thread_that_started_it(new_kafka: NewKafka) -> None:
    started: list[EmbeddedKafka] = []
    thread = threading.Thread(target=lambda: started.append(new_kafka()))
    thread.start()
    thread.join()
    (kafka,) = started
    # The kernel ends the children of a thread while it ends, so this is past that moment.
    assert brokers_serving(kafka.bootstrap_servers) == 1
    assert all(process_exists(pid) for pid in kafka.pids)


def test_calls_that_need_a_running_broker_say_so(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path)
    assert not kafka.ready()
    assert kafka.pids == ()
    kafka.stop()
    with pytest.raises(BrokerNotRunningError, match="start"):
        _ = kafka.bootstrap_servers


# --- three brokers


@pytest.mark.kafka
@pytest.mark.slow
def test_three_brokers_serve_on_with_one_killed_and_take_it_back(kafka_cluster: Callable[[], EmbeddedKafka]) -> None:
    cluster, topics = kafka_cluster(), TopicSet(partitions=3, replication=3)
    servers = cluster.bootstrap_servers
    assert len(servers.split(",")) == len(set(cluster.pids)) == 3
    create_topics(servers, topics)
    produce(servers, topics.tickets, [(b"k", b"with three")])
    cluster.kill(0)
    assert len(cluster.pids) == 2
    produce(servers, topics.tickets, [(None, b"with two")] * 6)  # every partition gets some: led by the dead one, too
    assert brokers_serving(servers) == 2
    cluster.restart(0)
    assert cluster.ready()
    values = [record.value for record in read_all(servers, topics.tickets)]
    assert sorted(set(values)) == [b"with three", b"with two"]
    assert len(values) == 7


# --- the life of its processes


@pytest.mark.kafka
def test_no_java_outlives_a_killed_parent_and_the_directory_can_be_used_again(
    new_kafka: NewKafka, tmp_path: Path
) -> None:
    with Worker(["-c", STARTER, str(tmp_path / "kafka")], tmp_path / "parent.log") as parent:
        parent.wait_for("running", 120)
        pid, servers = parent.log().split()[-2:]
        assert process_exists(int(pid))
        assert os.getpgid(int(pid)) != os.getpgid(parent.pid), "Ctrl-C would reach Kafka before the workers"
        parent.kill()
    eventually(lambda: not process_exists(int(pid)), 10, "the end of the orphan")
    again = new_kafka()  # stale lock and pid file
    assert again.bootstrap_servers == servers


@pytest.mark.kafka
def test_java_ends_with_a_parent_that_ends_without_stopping_it(tmp_path: Path) -> None:
    program = STARTER.replace("threading.Event().wait()", "sys.exit(3)")
    with Worker(["-c", program, str(tmp_path / "kafka")], tmp_path / "parent.log") as parent:
        assert parent.wait(120) == 3
        pid = int(parent.log().split()[-2])
    eventually(lambda: not process_exists(pid), 10, "the end of the broker")


def test_a_left_over_broker_is_ended_and_a_stranger_with_its_number_is_not(tmp_path: Path) -> None:
    for node in ("broker-1", "broker-2"):
        (tmp_path / node).mkdir()
    waiting = [sys.executable, "-c", "import signal; signal.pause()"]
    left_over = subprocess.Popen([*waiting, str(tmp_path / "broker-1" / "server.properties")])
    stranger = subprocess.Popen(waiting)
    collector = threading.Thread(target=left_over.wait)  # else it stays as a zombie, with its number
    collector.start()
    try:
        (tmp_path / "broker-1" / "pid").write_text(str(left_over.pid))
        (tmp_path / "broker-2" / "pid").write_text(str(stranger.pid))
        broker_lock.end_left_over(tmp_path)
        collector.join(10)
        assert left_over.returncode == -signal.SIGKILL
        assert stranger.poll() is None
        assert not list(tmp_path.glob("broker-*/pid"))
    finally:
        for process in (left_over, stranger):
            process.kill()
            process.wait()


def test_the_log_stays_bounded_and_keeps_its_end(tmp_path: Path) -> None:
    log = tmp_path / "broker-1.log"
    with log.open("wb") as file:
        file.seek(child_log.LOG_BYTES_MAX)
        file.write(b"the last line\n")
    process = child_process.ChildProcess([sys.executable, "-c", "print('fresh')"], log)
    assert process.wait(30)
    assert process.log_tail(1) == "fresh"
    assert log.read_text() == "fresh\n"
    assert (tmp_path / "broker-1.log.1").read_bytes().endswith(b"the last line\n")


# --- what can go wrong


@pytest.mark.kafka
def test_a_taken_port_is_named(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    port = int(kafka.bootstrap_servers.split(":")[1])
    with pytest.raises(PortTakenError, match=f"port {port} .*choose another port") as caught:
        EmbeddedKafka(tmp_path, port=port).start()
    assert caught.value.port == port
    with pytest.raises(PortTakenError):
        EmbeddedKafka(tmp_path, port=port - 1, brokers=2).start()


def test_a_recorded_port_that_is_taken_by_now_is_replaced_only_if_nobody_asked_for_it(tmp_path: Path) -> None:
    layout = broker_layout.plan(tmp_path, 1, 0)
    broker_layout.write(layout, {})
    assert broker_layout.plan(tmp_path, 1, 0) == layout
    port = layout.brokers[0].port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen(1)
        moved = broker_layout.plan(tmp_path, 1, 0)
        assert moved.brokers[0].port != port
        assert moved.cluster_id == layout.cluster_id
        with pytest.raises(PortTakenError):
            broker_layout.plan(tmp_path, 1, port)


def test_freely_chosen_ports_are_none_that_the_system_gives_to_clients(tmp_path: Path) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [broker.port for _ in range(20) for broker in broker_layout.plan(tmp_path, 3, 0).brokers]
    assert max(ports) < lowest


@pytest.mark.kafka
def test_a_directory_in_use_is_refused_and_its_user_undisturbed(kafka: EmbeddedKafka) -> None:
    with pytest.raises(DataDirInUseError, match=f"in use by another instance.*{os.getpid()}"):
        EmbeddedKafka(kafka.data_dir).start()
    assert kafka.ready()


@pytest.mark.kafka
def test_a_directory_that_cannot_be_written_or_is_full_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirUnusableError, match="cannot be written"):
        EmbeddedKafka(tmp_path / "file" / "below").start()
    with pytest.raises(DataDirUnusableError, match=r"MB are free .*free some space"):
        EmbeddedKafka(tmp_path / "small", free_mb_min=10**9).start()


def test_a_directory_of_another_shape_is_refused(tmp_path: Path) -> None:
    broker_layout.write(broker_layout.plan(tmp_path, 3, 0), {})
    with pytest.raises(DataDirUnusableError, match="3 brokers, not 1"):
        broker_layout.plan(tmp_path, 1, 0)
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(DataDirUnusableError, match="damaged"):
        broker_layout.plan(tmp_path, 3, 0)


@pytest.mark.kafka
def test_a_broker_that_dies_at_start_shows_why(tmp_path: Path) -> None:
    with pytest.raises(BrokerDiedError, match=r"nonsense") as caught:
        EmbeddedKafka(tmp_path, extra={"log.retention.ms": "nonsense"}).start()
    assert str(caught.value.log_path) in str(caught.value)
    assert "nonsense" in caught.value.log_path.read_text()


@pytest.mark.kafka
def test_a_start_that_takes_too_long_ends_and_leaves_nothing(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path)
    with pytest.raises(BrokerNotReadyError, match="log"):
        kafka.start(timeout_seconds=0.2)
    assert kafka.pids == ()
    assert not list(tmp_path.glob("broker-*/pid"))


def test_a_directory_without_kafka_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other-1.0.jar").write_bytes(b"")
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(JarsUnavailableError, match="directory that holds it"):
            broker_jars.class_path(folder)


def test_unreachable_jars_are_said_with_the_ways_out(tmp_path: Path) -> None:
    status, output = _resolve_jars({**NO_NETWORK, "M2_REPO": str(tmp_path)})
    assert status == 1
    last = output.strip().splitlines()[-1]
    assert last.startswith("streams.broker_errors.JarsUnavailableError")
    assert "directory of jars" in last
    assert "existing cluster" in last


@pytest.mark.kafka
def test_jars_that_were_resolved_once_need_no_network_and_make_no_noise(kafka: EmbeddedKafka) -> None:
    assert _resolve_jars(NO_NETWORK) == (0, "")


def _resolve_jars(env: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", "from streams.broker_jars import class_path; class_path()"],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr
