"""Who may do what on the cluster: the ACLs of each role, from the declaration of the topics (topics.py). Pure.

A role is one kind of process with a Kafka user of its own. What a role does with a topic stands in `uses`, one row for
each declared topic; everything else follows: that a role may look at its topics' settings, which it checks at its start,
and that it may use its consumer group. Nothing is granted by prefix or wildcard, and nothing on the whole cluster.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from streams.topics import TopicSet


class Role(StrEnum):
    """A kind of process, each with a user of its own."""

    WORKER = "worker"
    DISPATCH = "dispatch"
    API = "api"
    SENDER = "sender"
    OPERATOR = "operator"


ROLE_TITLES: Mapping[Role, str] = {
    Role.WORKER: "`hotline-watch worker`: detection",
    Role.DISPATCH: "`hotline-watch dispatch`: warnings to subscribers",
    Role.API: "`hotline-watch api`: what pullers and the console ask, events that are posted",
    Role.SENDER: "`hotline-watch import`, and the hotline platform's own producer",
    Role.OPERATOR: "a person at the command line: `topics`, `deliveries`, `subscribers drill`, `sealed`, `forget`, imports, quarantine",
}


class Resource(StrEnum):
    """What a grant is about, in Kafka's own words."""

    TOPIC = "topic"
    GROUP = "group"


class Operation(StrEnum):
    """What a grant allows, in the words of `kafka-acls`."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One operation on one topic or consumer group."""

    resource: Resource
    name: str
    operation: Operation


READ, WRITE = frozenset({Operation.READ}), frozenset({Operation.WRITE})
BOTH = READ | WRITE
Uses = Mapping[Role, frozenset[Operation]]


def uses(topics: TopicSet) -> dict[str, Uses]:
    """Return what each role does with the records of each declared topic."""
    worker, dispatch, api, sender, operator = Role
    return {
        # The operator replays what was quarantined: the input is read at its offset, and sent once more.
        topics.ticket_events: {worker: READ, api: WRITE, sender: WRITE, operator: BOTH},
        # A message that a rule broke on is sent once more too; and a drill is looked for as it passes.
        topics.tickets: {worker: BOTH, operator: BOTH},
        topics.citizens: {worker: BOTH, operator: BOTH},
        topics.alerts: {worker: WRITE, dispatch: READ, api: READ, operator: READ},
        topics.deliveries: {dispatch: BOTH, api: READ, operator: READ},
        topics.decisions: {dispatch: WRITE, api: READ, operator: READ},
        topics.redeliveries: {dispatch: READ, api: BOTH, operator: WRITE},
        topics.quarantine: {worker: WRITE, dispatch: WRITE, operator: READ},
        topics.quarantine_decisions: {operator: BOTH},
        topics.sealed: {worker: WRITE, operator: READ},
        # Loaded by a person, who has the pseudonyms' secrets; the hotline platform's own producer is not to read it.
        topics.reference: {worker: READ, operator: BOTH},
        topics.verdicts: {},
        topics.orders: {},
        topics.erasures: {operator: BOTH},
        # Whoever has a citizen forgotten proves that no table names that citizen any more.
        topics.tickets_changelog: {worker: BOTH, operator: READ},
        topics.citizens_changelog: {worker: BOTH, operator: READ},
        topics.dispatch_changelog: {dispatch: BOTH},
    }


def groups(topics: TopicSet, role: Role) -> dict[str, Operation]:
    """Return the consumer groups that a role uses, and how."""
    if role is Role.WORKER:
        return {topics.worker_app_id: Operation.READ}
    if role is Role.DISPATCH:
        return {topics.dispatch_app_id: Operation.READ}
    if role is Role.OPERATOR:  # how far they are
        return dict.fromkeys((topics.worker_app_id, topics.dispatch_app_id), Operation.DESCRIBE)
    return {}


def topic_names(topics: TopicSet, role: Role) -> tuple[str, ...]:
    """Return the topics that a role has to do with, in the order of the declaration; all of them for the operator."""
    used = uses(topics)
    return tuple(spec.name for spec in topics.all() if role is Role.OPERATOR or used[spec.name].get(role))


def grants_of(topics: TopicSet, role: Role) -> tuple[Grant, ...]:
    """Return what a role needs, and no more."""
    used = uses(topics)
    found = []
    for name in topic_names(topics, role):
        operations = set(used[name].get(role, ()))
        if role is not Role.SENDER:  # which is often another's program: it sends, and asks for nothing
            operations.add(Operation.DESCRIBE_CONFIGS)
        if role is Role.OPERATOR:
            operations.add(Operation.CREATE)
        if not operations & BOTH:  # which include it
            operations.add(Operation.DESCRIBE)
        found += [Grant(Resource.TOPIC, name, operation) for operation in Operation if operation in operations]
    found += [Grant(Resource.GROUP, name, operation) for name, operation in groups(topics, role).items()]
    return tuple(found)


def user_of(role: Role) -> str:
    """Return the name of a role's user that the documentation proposes."""
    return f"hw-{role}"


def commands_for(grants: Iterable[Grant], principal: str, bootstrap_servers: str) -> list[str]:
    """Return the `kafka-acls` commands that grant something to a principal: one for each topic or group."""
    by_resource: dict[tuple[Resource, str], list[Operation]] = {}
    for grant in grants:
        by_resource.setdefault((grant.resource, grant.name), []).append(grant.operation)
    head = f"kafka-acls --bootstrap-server {bootstrap_servers} --command-config admin.properties --add"
    return [
        f"{head} --allow-principal {shlex.quote(principal)} "
        + " ".join(f"--operation {operation}" for operation in operations)
        + f" --{resource} {shlex.quote(name)}"
        for (resource, name), operations in by_resource.items()
    ]
