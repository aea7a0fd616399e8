"""What `doctor` looks at on the Kafka cluster: who answers, the topics, what we may do there, and whose clock is right."""

from collections.abc import Callable, Iterator
from typing import Any

from kafka.errors import KafkaError

from cli.doctor_findings import Area, Finding, ok, problem, warning
from streams.admin import ClusterUnreachableError
from streams.cluster_errors import AccessRefusedError
from streams.roles import Role
from streams.ticking import plain_producer
from streams.topics import TopicSet
from streams.topics_admin import check_topics

SKEW_WARNING_MS = 2_000
SKEW_PROBLEM_MS = 10_000
"""Ticks that are so far ahead are not believed (streams/worker.py)."""
_PROBE_SECONDS = 20


def check_cluster(
    servers: str, topics: TopicSet, role: Role | None, timeout_seconds: float, clock: Callable[[], int]
) -> Iterator[Finding]:
    """Yield what is found on the cluster; `clock` gives microseconds."""
    try:
        mismatches = check_topics(servers, topics, timeout_seconds=timeout_seconds, role=role)
    except AccessRefusedError as error:
        said, _, commands = str(error).partition("Grant it")
        yield problem(Area.BROKER, said.strip(), f"grant it{commands}")
        return
    except (ClusterUnreachableError, KafkaError) as error:
        yield problem(
            Area.BROKER, str(error), "start the brokers, or correct the kafka_… settings and bootstrap_servers"
        )
        return
    yield ok(Area.BROKER, f"Kafka answers at {servers}" + (f", and {role} may do what it has to" if role else ""))
    for mismatch in mismatches:
        yield problem(Area.TOPICS, mismatch.sentence, mismatch.remedy)
    if not mismatches:
        yield ok(Area.TOPICS, "the topics are as declared")
        yield from _clock(servers, topics, clock)


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
