from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from kafka.errors import MessageSizeTooLargeError
from typer.testing import CliRunner

from cli.topics import app
from streams.admin import ClusterUnreachableError, connect
from streams.broker import EmbeddedKafka
from streams.topics import DAY_MS, KIB, MIB, CleanupPolicy, TopicSet
from streams.topics_admin import (
    MismatchKind,
    TopicCreationError,
    TopicMismatch,
    check_topics,
    create_topics,
    require_topics,
)
from tests.kafka_support import eventually, produce, read_all

# --- the declaration


def test_all_topics_of_the_flow_have_the_same_partition_count() -> None:
    assert {spec.partitions for spec in TopicSet(partitions=12).all()} == {12}


def test_names_are_those_of_the_contract() -> None:
    assert {spec.name for spec in TopicSet().all()} == {
        "hotline.ticket-events",
        "hw.tickets",
        "hw.citizens",
        "hw.alerts",
        "hw.deliveries",
        "hw.decisions",
        "hw.redeliveries",
        "hw.quarantine",
        "hw.quarantine-decisions",
        "hw.reference",
        "hw.sealed",
        "hw.verdicts",
        "hw.orders",
        "hw.erasures",
        "hw-worker-tickets-changelog",
        "hw-worker-citizens-changelog",
        "hw-dispatch-dispatch-changelog",
    }


def test_two_prefixes_share_no_topic_and_no_consumer_group() -> None:
    one, two = TopicSet(prefix="a."), TopicSet(prefix="b.")
    assert not {spec.name for spec in one.all()} & {spec.name for spec in two.all()}
    assert {one.worker_app_id, one.dispatch_app_id}.isdisjoint({two.worker_app_id, two.dispatch_app_id})
    assert one.tickets_changelog == f"{one.worker_app_id}-tickets-changelog"


def test_a_new_version_of_an_app_gets_changelogs_of_its_own() -> None:
    assert TopicSet(worker_app="hw-worker-v2").tickets_changelog == "hw-worker-v2-tickets-changelog"


def test_state_is_compacted_and_input_expires() -> None:
    topics = TopicSet()
    by_name = {spec.name: spec for spec in topics.all()}
    compacted = {spec.name for spec in topics.all() if spec.cleanup is CleanupPolicy.COMPACT}
    assert compacted == {
        topics.deliveries,
        topics.reference,
        topics.tickets_changelog,
        topics.citizens_changelog,
        topics.dispatch_changelog,
    }
    assert by_name[topics.ticket_events].retention_ms == 30 * DAY_MS
    assert by_name[topics.alerts].retention_ms > 365 * DAY_MS
    assert by_name[topics.tickets_changelog].max_message_bytes == 8 * MIB


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix": "a b"},
        {"prefix": "工单."},
        {"prefix": "x" * 250},
        {"partitions": 0},
        {"replication": 0},
        {"worker_app": "a/b"},
    ],
)
def test_what_kafka_would_refuse_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"legal topic name|at least 1"):
        TopicSet(**wrong)  # type: ignore[arg-type]


# --- the cluster


@pytest.mark.kafka
def test_created_topics_are_as_declared_and_creating_again_changes_nothing(
    kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    topics = TopicSet(prefix=topic_prefix, partitions=3)
    names = tuple(spec.name for spec in topics.all())
    assert create_topics(kafka.bootstrap_servers, topics).created == names
    again = create_topics(kafka.bootstrap_servers, topics)
    assert (again.created, again.existing) == ((), names)
    assert check_topics(kafka.bootstrap_servers, topics) == []
    require_topics(kafka.bootstrap_servers, topics)


@pytest.mark.kafka
def test_only_what_is_missing_is_created(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    with connect(kafka.bootstrap_servers) as admin:
        admin.delete_topics([topics.orders])
        eventually(lambda: topics.orders not in admin.list_topics())
    found = check_topics(kafka.bootstrap_servers, topics)
    assert [(mismatch.kind, mismatch.topic) for mismatch in found] == [(MismatchKind.MISSING, topics.orders)]
    assert "topics create" in found[0].remedy
    assert create_topics(kafka.bootstrap_servers, topics).created == (topics.orders,)


@pytest.mark.kafka
def test_another_partition_count_is_named_for_every_topic(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    found = check_topics(kafka.bootstrap_servers, TopicSet(prefix=topics.prefix, partitions=5))
    assert {mismatch.topic for mismatch in found} == {spec.name for spec in topics.all()}
    assert {(mismatch.kind, mismatch.expected, mismatch.actual) for mismatch in found} == {
        (MismatchKind.PARTITIONS, "5", "4")
    }


@pytest.mark.kafka
def test_workers_refuse_partitions_that_were_added(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    with connect(kafka.bootstrap_servers) as admin:
        admin.create_partitions({topics.tickets: 6})
    with pytest.raises(TopicMismatch, match=f"{topics.tickets} has 6 partitions instead of 4") as caught:
        eventually(lambda: require_topics(kafka.bootstrap_servers, topics), deadline_seconds=10)
    assert [mismatch.kind for mismatch in caught.value.mismatches] == [MismatchKind.PARTITIONS]


@pytest.mark.kafka
def test_fewer_replicas_than_declared_are_a_mismatch_and_more_are_not(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    found = check_topics(kafka.bootstrap_servers, TopicSet(prefix=topics.prefix, partitions=4, replication=3))
    assert {mismatch.kind for mismatch in found} == {MismatchKind.REPLICATION}
    assert len(found) == len(topics.all())


Name = Callable[[TopicSet], str]


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("topic", "name", "value", "kind"),
    [
        (lambda t: t.deliveries, "cleanup.policy", "delete", MismatchKind.CLEANUP_POLICY),
        (lambda t: t.tickets_changelog, "cleanup.policy", "compact,delete", MismatchKind.CLEANUP_POLICY),
        (lambda t: t.alerts, "cleanup.policy", "compact", MismatchKind.CLEANUP_POLICY),
        (lambda t: t.alerts, "retention.ms", str(DAY_MS), MismatchKind.RETENTION),
        (lambda t: t.ticket_events, "retention.ms", str(400 * DAY_MS), MismatchKind.RETENTION),
        (lambda t: t.ticket_events, "retention.ms", "-1", MismatchKind.RETENTION),
        (lambda t: t.ticket_events, "max.message.bytes", str(MIB), MismatchKind.MAX_MESSAGE_BYTES),
        (lambda t: t.tickets_changelog, "max.message.bytes", str(MIB), MismatchKind.MAX_MESSAGE_BYTES),
        # harmless: more than what is declared, where nobody's identity is in it
        (lambda t: t.alerts, "retention.ms", "-1", None),
        (lambda t: t.tickets_changelog, "retention.ms", str(DAY_MS), None),
        (lambda t: t.tickets, "max.message.bytes", str(16 * MIB), None),
    ],
)
def test_each_setting_that_matters_is_compared(
    kafka: EmbeddedKafka, topics: TopicSet, topic: Name, name: str, value: str, kind: MismatchKind | None
) -> None:
    changed = topic(topics)
    _alter(kafka, changed, name, value)
    found = check_topics(kafka.bootstrap_servers, topics)
    if kind is None:
        assert found == []
        return
    assert [(mismatch.kind, mismatch.topic) for mismatch in found] == [(kind, changed)]
    assert changed in found[0].sentence
    assert name in found[0].sentence
    assert found[0].expected in found[0].remedy


def _alter(kafka: EmbeddedKafka, topic: str, name: str, value: str) -> None:
    from kafka.admin import ConfigResource

    resource = ConfigResource("topic", topic, {name: value})
    with connect(kafka.bootstrap_servers) as admin:
        admin.alter_configs([resource])
        wanted = ConfigResource("topic", topic, [name])

        def visible() -> bool:
            return admin.describe_configs([wanted], config_filter="all")["topic"][topic][name]["value"] == value

        eventually(visible)


@pytest.mark.kafka
def test_more_replicas_than_brokers_are_refused_with_the_reason(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    with pytest.raises(TopicCreationError, match=r"hw\.alerts: .*[Rr]eplication factor"):
        create_topics(kafka.bootstrap_servers, TopicSet(prefix=topic_prefix, replication=3))


def test_an_unreachable_cluster_is_said_with_its_address() -> None:
    with pytest.raises(ClusterUnreachableError, match=r"127\.0\.0\.1:9 "):
        check_topics("127.0.0.1:9", TopicSet(), timeout_seconds=0.5)


@pytest.mark.kafka
def test_values_up_to_the_limits_pass_and_larger_ones_are_refused(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    servers = kafka.bootstrap_servers
    for size in (256 * KIB, 2_000_000):
        produce(servers, topics.ticket_events, [(b"k", b"x" * size)])
    produce(servers, topics.tickets_changelog, [(b"k", b"x" * (7 * MIB))])
    with pytest.raises(MessageSizeTooLargeError):
        produce(servers, topics.ticket_events, [(b"k", b"x" * (4 * MIB))])
    assert sorted(len(record.value or b"") for record in read_all(servers, topics.ticket_events)) == [
        256 * KIB,
        2_000_000,
    ]


# --- the command


def _run(*arguments: str, servers: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--bootstrap-servers", servers])
    return result.exit_code, result.output


@pytest.mark.kafka
def test_command_creates_and_then_finds_nothing_to_say(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    servers = kafka.bootstrap_servers
    options = ("--prefix", topic_prefix, "--partitions", "2", "--replication", "1", "--json")
    status, output = _run("check", *options, servers=servers)
    assert status == 1
    assert {mismatch["kind"] for mismatch in json.loads(output)["mismatches"]} == {"missing"}
    status, output = _run("create", *options, servers=servers)
    assert status == 0
    assert len(json.loads(output)["created"]) == len(TopicSet().all())
    status, output = _run("check", *options, servers=servers)
    assert (status, json.loads(output)) == (0, {"ok": True, "mismatches": []})


@pytest.mark.kafka
def test_command_names_mismatches_for_people_and_exits_1(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    for command in ("check", "create"):
        status, output = _run(command, "--prefix", topics.prefix, "--partitions", "7", servers=kafka.bootstrap_servers)
        assert status == 1
        assert f"{topics.tickets} has 4 partitions instead of 7" in output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--timeout-seconds", "0.5"), "127.0.0.1:9"),
        (("--partitions", "0"), "greater than or equal to 1"),
        (("--prefix", "a b"), "legal topic name"),
        (("--no-such-option",), "no-such-option"),
    ],
)
def test_command_exits_2_for_wrong_usage_and_without_a_cluster(options: tuple[str, ...], said: str) -> None:
    status, output = _run("check", *options, servers="127.0.0.1:9")
    assert status == 2
    assert said in output
