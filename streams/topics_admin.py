"""Create the declared topics, and compare what the cluster has with the declaration (see topics.py).

    TopicMismatch            the cluster's topics differ: `.mismatches`
    TopicCreationError       the cluster refused to create some
    ClusterUnreachableError  nobody answers, or nobody lets us in (cluster_errors.py)

Synchronous: a worker calls `require_topics` before its event loop runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kafka.admin import ConfigResource
from kafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from streams.admin import ClusterUnreachableError, connect
from streams.cluster_errors import AccessRefusedError
from streams.roles import Grant, Operation, Resource, Role, grants_of, topic_names
from streams.security import security_of
from streams.topics import CleanupPolicy, TopicSet, TopicSpec

__all__ = [
    "ClusterUnreachableError",
    "CreateReport",
    "Mismatch",
    "MismatchKind",
    "TopicCreationError",
    "TopicMismatch",
    "check_topics",
    "create_topics",
    "require_topics",
]

TIMEOUT_SECONDS = 30.0
_COMPARED = ("cleanup.policy", "retention.ms", "max.message.bytes")


class MismatchKind(StrEnum):
    MISSING = "missing"
    PARTITIONS = "partitions"
    REPLICATION = "replication"
    CLEANUP_POLICY = "cleanup_policy"
    RETENTION = "retention"
    MAX_MESSAGE_BYTES = "max_message_bytes"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One way in which one topic differs; `sentence` says it, `remedy` what to do."""

    kind: MismatchKind
    topic: str
    expected: str
    actual: str
    sentence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.sentence}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class CreateReport:
    """Names of the topics that were created, and of those that were there."""

    created: tuple[str, ...]
    existing: tuple[str, ...]


class TopicMismatch(Exception):
    """The cluster's topics differ from the declaration."""

    def __init__(self, mismatches: Sequence[Mismatch]) -> None:
        listed = "".join(f"\n- {mismatch}" for mismatch in mismatches)
        super().__init__(f"{len(mismatches)} difference(s) between the declared topics and the cluster:{listed}")
        self.mismatches = tuple(mismatches)


class TopicCreationError(Exception):
    """The cluster refused to create some of the topics; the message names each with the reason."""


def create_topics(
    bootstrap_servers: str,
    topics: TopicSet,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> CreateReport:
    """Create what is missing and return when every partition has a leader. Topics that exist are left as they are.

    Raises TopicCreationError, ClusterUnreachableError.
    """
    specs = {spec.name: spec for spec in topics.all()}
    timeout_ms = int(timeout_seconds * 1000)
    with connect(bootstrap_servers, timeout_seconds=timeout_seconds) as admin:
        there = set(admin.list_topics())
        wanted = {
            name: {
                "num_partitions": spec.partitions,
                "replication_factor": spec.replication,
                "configs": spec.configs(),
            }
            for name, spec in specs.items()
            if name not in there
        }
        created, refused, forbidden = [], [], []
        if wanted:
            for answer in admin.create_topics(wanted, timeout_ms=timeout_ms, raise_errors=False)["topics"]:
                error = for_code(answer["error_code"])
                if answer["error_code"] == 0:
                    created.append(answer["name"])
                elif error is TopicAuthorizationFailedError:
                    forbidden.append(Grant(Resource.TOPIC, answer["name"], Operation.CREATE))
                elif error is not TopicAlreadyExistsError:  # another instance was faster: as good
                    refused.append(f"{answer['name']}: {answer.get('error_message') or error.__name__}")
        if forbidden:
            raise AccessRefusedError(bootstrap_servers, security_of(bootstrap_servers).principal(), forbidden)
        if refused:
            raise TopicCreationError("the cluster refused to create " + "; ".join(refused))
        admin.wait_for_topics(list(specs), timeout_ms=timeout_ms)
    return CreateReport(tuple(created), tuple(name for name in specs if name not in created))


def check_topics(
    bootstrap_servers: str,
    topics: TopicSet,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    role: Role | None = None,
) -> list[Mismatch]:
    """Return every difference between the declaration and the cluster, in the order of the declaration.

    With a role: of the topics that it uses alone, and what it is to do with them must be allowed. Raises
    ClusterUnreachableError.
    """
    used = [spec.name for spec in topics.all()] if role is None else topic_names(topics, role)
    specs = [spec for spec in topics.all() if spec.name in used]
    looks = (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS)
    needs = [Grant(Resource.TOPIC, name, look) for name in used for look in looks]
    if role is not None:
        needs = list(grants_of(topics, role))
    with connect(bootstrap_servers, timeout_seconds=timeout_seconds, needs=needs) as admin:
        there = set(admin.list_topics())
        names = [spec.name for spec in specs if spec.name in there]
        described = {topic["name"]: topic for topic in admin.describe_topics(names)} if names else {}
        resources = [ConfigResource("topic", name, list(_COMPARED)) for name in names]
        configs = admin.describe_configs(resources, config_filter="all").get("topic", {}) if names else {}
    found: list[Mismatch] = []
    for spec in specs:
        if spec.name not in there:
            found.append(_missing(spec))
            continue
        values = {name: str(entry["value"]) for name, entry in configs[spec.name].items()}
        found += _shape(spec, described[spec.name]["partitions"])
        found += _settings(spec, values, bootstrap_servers)
    return found


def require_topics(
    bootstrap_servers: str,
    topics: TopicSet,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    role: Role | None = None,
) -> None:
    """Raise `TopicMismatch` naming every difference, if there is any: what each worker does before it starts. See
    `check_topics`.
    """
    found = check_topics(bootstrap_servers, topics, timeout_seconds=timeout_seconds, role=role)
    if found:
        raise TopicMismatch(found)


def _missing(spec: TopicSpec) -> Mismatch:
    return Mismatch(
        MismatchKind.MISSING,
        spec.name,
        "a topic",
        "none",
        f"topic {spec.name} does not exist",
        "create it with `hotline-watch topics create`",
    )


def _shape(spec: TopicSpec, partitions: Sequence[Mapping[str, Any]]) -> Iterator[Mismatch]:
    count = len(partitions)
    if count != spec.partitions:
        yield Mismatch(
            MismatchKind.PARTITIONS,
            spec.name,
            str(spec.partitions),
            str(count),
            f"topic {spec.name} has {count} partitions instead of {spec.partitions}",
            "keys would meet another partition's state: if all topics have that count, start with "
            f"`--partitions {count}`, else create a new set under another prefix and replay into it",
        )
    replicas = min((len(partition["replica_nodes"]) for partition in partitions), default=0)
    if replicas < spec.replication:
        yield Mismatch(
            MismatchKind.REPLICATION,
            spec.name,
            str(spec.replication),
            str(replicas),
            f"topic {spec.name} has {replicas} replica(s) instead of {spec.replication}",
            "raise it with kafka-reassign-partitions, or declare what you have with `--replication`",
        )


def _settings(spec: TopicSpec, values: Mapping[str, str], bootstrap_servers: str) -> Iterator[Mismatch]:
    for name, kind, wrong in (
        ("cleanup.policy", MismatchKind.CLEANUP_POLICY, values["cleanup.policy"] != spec.cleanup.value),
        ("retention.ms", MismatchKind.RETENTION, _retention_wrong(spec, int(values["retention.ms"]))),
        (
            "max.message.bytes",
            MismatchKind.MAX_MESSAGE_BYTES,
            int(values["max.message.bytes"]) < spec.max_message_bytes,
        ),
    ):
        if wrong:
            expected = spec.configs()[name]
            yield Mismatch(
                kind,
                spec.name,
                expected,
                values[name],
                f"topic {spec.name} has {name}={values[name]} instead of {expected}",
                f"set it with `kafka-configs --bootstrap-server {bootstrap_servers} --alter --entity-type topics "
                f"--entity-name {spec.name} --add-config {name}={expected}`",
            )


def _retention_wrong(spec: TopicSpec, actual_ms: int) -> bool:
    """Longer than declared is fine unless the records identify citizens; compaction does not look at the time."""
    if spec.cleanup is CleanupPolicy.COMPACT or actual_ms == spec.retention_ms:
        return False
    shorter = actual_ms != -1 and (spec.retention_ms == -1 or actual_ms < spec.retention_ms)
    return shorter or spec.personal
