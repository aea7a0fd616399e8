"""What `doctor` looks at on the Kafka cluster: who answers, the topics, what we may do there, and whose clock is right."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kafka.errors import KafkaError

from cli.doctor_findings import Area, Finding, Severity, ok, problem, warning
from cli.doctor_security import check_addresses, check_security
from streams.admin import ClusterUnreachableError, connect
from streams.cluster_errors import AccessRefusedError, CertificateRefusedError, LoginRefusedError, WrongProtocolError
from streams.roles import Role, topic_names
from streams.security import Cluster
from streams.ticking import plain_producer
from streams.topics import TopicSet
from streams.topics_admin import check_topics

SKEW_WARNING_MS = 2_000
SKEW_PROBLEM_MS = 10_000
"""Ticks that are so far ahead are not believed (streams/worker.py)."""
_PROBE_SECONDS = 20


def check_cluster(
    cluster: Cluster, topics: TopicSet, role: Role | None, timeout_seconds: float, clock: Callable[[], int]
) -> Iterator[Finding]:
    """Yield what is found on the way to the cluster and on it; `clock` gives microseconds."""
    files = list(check_security(cluster, clock()))
    yield from files
    if any(finding.severity is Severity.PROBLEM for finding in files):
        return  # no broker would let us in
    try:
        mismatches = check_topics(cluster, topics, timeout_seconds=timeout_seconds, role=role)
    except (ClusterUnreachableError, KafkaError) as error:
        yield _kept_out(error)
        return
    yield ok(Area.BROKER, f"Kafka answers at {cluster}" + (f", and {role} may do what it has to" if role else ""))
    yield from check_addresses(cluster, timeout_seconds)
    for mismatch in mismatches:
        yield problem(Area.TOPICS, mismatch.sentence, mismatch.remedy)
    if not mismatches:
        yield ok(Area.TOPICS, "the topics are as declared")
        yield from _replicas(cluster, topics, role, timeout_seconds)
        yield from _clock(cluster, topics, clock)


def _kept_out(error: Exception) -> Finding:
    """Return why a cluster does not let us in, and what to do: the messages of cluster_errors.py say both."""
    said = str(error) or type(error).__name__
    if isinstance(error, AccessRefusedError):
        said, _, commands = said.partition("Grant it")
        return problem(Area.PERMISSIONS, said.strip(), f"grant it{commands}")
    if isinstance(error, WrongProtocolError | CertificateRefusedError | LoginRefusedError):
        what, _, remedy = said.rpartition(": ")
        return problem(Area.SECURITY, what, f"{remedy}; docs/security-kafka.md")
    return problem(Area.BROKER, said, "start the brokers, or correct bootstrap_servers and the kafka_… settings")


def _replicas(cluster: str, topics: TopicSet, role: Role | None, timeout_seconds: float) -> Iterator[Finding]:
    """Yield whether partitions are without a leader, or have copies that have fallen behind."""
    names = [spec.name for spec in topics.all()] if role is None else list(topic_names(topics, role))
    try:
        with connect(cluster, timeout_seconds=timeout_seconds) as admin:
            described = admin.describe_topics(names)
    except (ClusterUnreachableError, KafkaError) as error:
        yield _kept_out(error)
        return
    yield from judged_replicas(described)


def judged_replicas(described: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield what is wrong with the copies of topics, as Kafka describes them."""
    partitions = [(topic["name"], part) for topic in described for part in topic["partitions"]]
    headless = sorted({name for name, part in partitions if part["leader_id"] < 0})
    behind = sorted({name for name, part in partitions if len(part["isr_nodes"]) < len(part["replica_nodes"])})
    if headless:
        yield problem(
            Area.BROKER,
            f"partitions of {', '.join(headless)} have no leader: nothing can be read or written there",
            "start the broker that has their only copy in sync; its log says why it ended",
        )
    elif behind:
        yield warning(
            Area.BROKER,
            f"copies of {', '.join(behind)} are not in sync: one more broker lost may stop the service",
            "see that every broker runs, and its disk and network",
        )


def _clock(servers: str, topics: TopicSet, clock: Callable[[], int]) -> Iterator[Finding]:
    try:
        skew_ms, unsure_ms = measured_skew(servers, topics.quarantine_decisions, clock)
    except ClusterUnreachableError as error:
        yield warning(
            Area.CLOCK,
            f"the clocks could not be compared: {str(error).splitlines()[0]}",
            "run doctor as the operator's user",
        )
        return
    except KafkaError as error:
        yield warning(Area.CLOCK, f"the clocks could not be compared: {type(error).__name__}", "try again")
        return
    yield judged_skew(skew_ms, unsure_ms)


def judged_skew(skew_ms: int, unsure_ms: int) -> Finding:
    """Return what a difference of clocks means; positive: the broker's is ahead of ours."""
    apart = max(abs(skew_ms) - unsure_ms, 0)
    which = "behind" if skew_ms > 0 else "ahead of"
    said = f"this machine's clock is {abs(skew_ms) / 1000:.1f} s {which} the broker's"
    remedy = "set both by one time server (chrony, systemd-timesyncd): `timedatectl set-ntp true`"
    if apart > SKEW_PROBLEM_MS:
        return problem(Area.CLOCK, f"{said}: deadlines come wrongly, and receivers refuse signatures", remedy)
    if apart > SKEW_WARNING_MS:
        return warning(Area.CLOCK, said, remedy)
    return ok(Area.CLOCK, f"this machine's clock and the broker's differ by less than {SKEW_WARNING_MS // 1000} s")


def measured_skew(servers: str, topic: str, clock: Callable[[], int]) -> tuple[int, int]:
    """Return by how many milliseconds the broker's clock is ahead of ours, and how unsure that is: half of the way there and back.

    An empty record is written, whose time is the broker's (LogAppendTime). Raises ClusterUnreachableError, KafkaError.
    """
    producer = plain_producer(servers, topic)
    try:
        _probe(producer, topic)  # the first one waits for metadata and a connection
        before = clock()
        taken_ms = _probe(producer, topic)
        after = clock()
    finally:
        producer.close(timeout=_PROBE_SECONDS)
    return taken_ms - (before + after) // 2000, (after - before) // 2000


def _probe(producer: Any, topic: str) -> int:
    sent = producer.send(topic, key=b"doctor", value=None).get(timeout=_PROBE_SECONDS)
    return int(sent.timestamp)
