"""What we may do on a cluster, asked before anything is done; and the grants of the roles, made. Synchronous: never on an
event loop.

A broker says of each topic and group which operations it allows to whoever asks. So a missing ACL shows at the start, with
its name, and not in the middle of the work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SecurityDisabledError,
    TopicAuthorizationFailedError,
)

from streams.cluster_errors import AccessRefusedError
from streams.roles import Grant, Operation, Resource
from streams.security import security_of

COORDINATOR_SECONDS = 10.0


class CannotGrantError(Exception):
    """The cluster takes no ACLs from us; the message says why."""


def require(admin: Any, bootstrap_servers: str, needs: Iterable[Grant]) -> None:
    """Raise AccessRefusedError where something that is needed is not allowed, naming all of it.

    What need not exist yet is not missed: whether a topic is there is not asked.
    """
    needs = tuple(needs)
    missing = [*_missing_topics(admin, needs), *_missing_groups(admin, needs)]
    if missing:
        raise AccessRefusedError(bootstrap_servers, security_of(bootstrap_servers).principal(), missing)


def _missing_topics(admin: Any, needs: Iterable[Grant]) -> list[Grant]:
    wanted = [grant for grant in needs if grant.resource is Resource.TOPIC]
    names = list(dict.fromkeys(grant.name for grant in wanted))
    described = {one["name"]: one for one in admin.describe_topics(names)} if names else {}
    return [grant for grant in wanted if not _allows(described.get(grant.name, {}), grant)]


def _missing_groups(admin: Any, needs: Iterable[Grant]) -> list[Grant]:
    missing = []
    for grant in needs:
        if grant.resource is Resource.GROUP:
            try:
                told = _described_group(admin, grant.name)
            except GroupAuthorizationFailedError:
                missing.append(grant)
                continue
            if not _allows(told, grant):
                missing.append(grant)
    return missing


def _described_group(admin: Any, name: str) -> Mapping[str, Any]:
    """Return what the broker says of a group; nothing where its coordinator is away, or on its way in a new cluster."""
    deadline = time.monotonic() + COORDINATOR_SECONDS
    while True:
        try:
            found: Mapping[str, Any] = admin.describe_groups([name])[name]
            return found
        except GroupAuthorizationFailedError:
            raise
        except KafkaError:
            if time.monotonic() > deadline:
                return {}  # a start does not depend on it
            threading.Event().wait(0.2)


def _allows(told: Mapping[str, Any], grant: Grant) -> bool:
    """Return whether the broker allows it; a broker that does not say (before 2.3) is believed to."""
    if told.get("error_code") == TopicAuthorizationFailedError.errno:
        return False
    allowed = told.get("authorized_operations")
    # Whether topics may be created can be granted for the whole cluster too: creating one tells.
    return allowed is None or grant.operation is Operation.CREATE or grant.operation.name in allowed


def allow(admin: Any, principal: str, grants: Iterable[Grant]) -> int:
    """Grant something to a principal, from any host; return how many grants. Those that are there already stay. Raises
    CannotGrantError.
    """
    wanted = [
        ACL(
            principal,
            "*",
            ACLOperation[grant.operation.name],
            ACLPermissionType.ALLOW,
            ResourcePattern(ResourceType[grant.resource.name], grant.name),
        )
        for grant in grants
    ]
    for error in admin.create_acls(wanted)["failed"]:
        if error is SecurityDisabledError:
            raise CannotGrantError("the cluster has no authorizer: set authorizer.class.name on its brokers first")
        if error is ClusterAuthorizationFailedError:
            raise CannotGrantError("only a super user of the cluster may grant: use the settings of one")
        raise CannotGrantError(f"the cluster refuses an ACL for {principal}: {error.__name__}")
    return len(wanted)
