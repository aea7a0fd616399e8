"""Every Kafka topic of the service, declared once: names, partitions, retention, compaction, sizes.

`hotline-watch topics create` makes them from here, and the workers refuse to start where the cluster differs.

All keyed topics and the changelogs have the same partition count: the partition of a table's key is that of the event
being processed, so an event and the state it touches must fall into the same partition number everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

DAY_MS = 24 * 3600 * 1000
KIB = 1024
MIB = 1024 * KIB

_LEGAL_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class CleanupPolicy(StrEnum):
    DELETE = "delete"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it must be. `retention_ms` is -1 for records that stay for ever or until compacted away."""

    name: str
    partitions: int
    replication: int
    cleanup: CleanupPolicy
    retention_ms: int
    max_message_bytes: int
    #: Keeping records longer than declared is a breach too: they hold what identifies citizens.
    personal: bool = False
    extra: dict[str, str] = field(default_factory=dict, hash=False)

    def configs(self) -> dict[str, str]:
        """Return the topic's configuration in Kafka's own words."""
        return {
            "cleanup.policy": self.cleanup.value,
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "max.message.bytes": str(self.max_message_bytes),
            "min.insync.replicas": "2" if self.replication >= 3 else "1",
            "unclean.leader.election.enable": "false",
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class TopicSet:
    """The topics of one installation. `prefix` keeps several apart on one cluster.

    `worker_app` and `dispatch_app` are the ids of the two Faust apps without the prefix; a new version of an app's
    state gets a new id (`hw-worker-v2`) and with it new changelogs.
    """

    prefix: str = ""
    partitions: int = 8
    replication: int = 1
    worker_app: str = "hw-worker"
    dispatch_app: str = "hw-dispatch"

    def __post_init__(self) -> None:
        if self.partitions < 1 or self.replication < 1:
            raise ValueError("partitions and replication must be at least 1")
        for spec in self.all():
            if not _LEGAL_NAME.fullmatch(spec.name):
                raise ValueError(f"{spec.name!r} is no legal topic name: use A-Z a-z 0-9 . _ - and at most 249 of them")

    @property
    def worker_app_id(self) -> str:
        """The Faust app id, and so the consumer group, of the detecting workers."""
        return self.prefix + self.worker_app

    @property
    def dispatch_app_id(self) -> str:
        """The Faust app id, and so the consumer group, of the dispatch workers."""
        return self.prefix + self.dispatch_app

    @property
    def ticket_events(self) -> str:
        return self.prefix + "hotline.ticket-events"

    @property
    def tickets(self) -> str:
        return self.prefix + "hw.tickets"

    @property
    def citizens(self) -> str:
        return self.prefix + "hw.citizens"

    @property
    def alerts(self) -> str:
        return self.prefix + "hw.alerts"

    @property
    def deliveries(self) -> str:
        return self.prefix + "hw.deliveries"

    @property
    def decisions(self) -> str:
        return self.prefix + "hw.decisions"

    @property
    def redeliveries(self) -> str:
        return self.prefix + "hw.redeliveries"

    @property
    def quarantine(self) -> str:
        return self.prefix + "hw.quarantine"

    @property
    def quarantine_decisions(self) -> str:
        return self.prefix + "hw.quarantine-decisions"

    @property
    def sealed(self) -> str:
        return self.prefix + "hw.sealed"

    @property
    def reference(self) -> str:
        return self.prefix + "hw.reference"

    @property
    def verdicts(self) -> str:
        return self.prefix + "hw.verdicts"

    @property
    def orders(self) -> str:
        return self.prefix + "hw.orders"

    @property
    def erasures(self) -> str:
        return self.prefix + "hw.erasures"

    @property
    def tickets_changelog(self) -> str:
        return f"{self.worker_app_id}-tickets-changelog"  # the name is Faust's: {app id}-{table}-changelog

    @property
    def citizens_changelog(self) -> str:
        return f"{self.worker_app_id}-citizens-changelog"

    @property
    def dispatch_changelog(self) -> str:
        return f"{self.dispatch_app_id}-dispatch-changelog"

    def all(self) -> tuple[TopicSpec, ...]:
        """Return every topic as it must be."""
        return (
            # 3 MiB although an event has at most 256 KiB: what is too large is to be seen and quarantined by us,
            # not refused by the broker where the hotline platform may not notice.
            self._log(self.ticket_events, days=30, max_bytes=3 * MIB, personal=True),
            self._log(self.tickets, days=30, max_bytes=2 * MIB),
            self._log(self.citizens, days=30, max_bytes=2 * MIB),
            self._log(self.alerts, days=3 * 366, max_bytes=2 * MIB),
            self._compacted(self.deliveries, max_bytes=1 * MIB),
            self._log(self.decisions, days=3 * 366, max_bytes=1 * MIB),
            self._log(self.redeliveries, days=30, max_bytes=2 * MIB),
            self._log(self.quarantine, days=90, max_bytes=1 * MIB),
            self._log(self.quarantine_decisions, days=3 * 366, max_bytes=1 * MIB),
            self._log(self.sealed, days=3 * 366, max_bytes=1 * MIB),
            self._compacted(self.reference, max_bytes=1 * MIB),
            self._log(self.verdicts, days=3 * 366, max_bytes=1 * MIB),
            self._log(self.orders, days=3 * 366, max_bytes=1 * MIB),
            self._log(self.erasures, days=3 * 366, max_bytes=1 * MIB),
            self._compacted(self.tickets_changelog, max_bytes=8 * MIB),
            self._compacted(self.citizens_changelog, max_bytes=8 * MIB),
            self._compacted(self.dispatch_changelog, max_bytes=8 * MIB),
        )

    def _log(self, name: str, *, days: int, max_bytes: int, personal: bool = False) -> TopicSpec:
        # Retention counts from arrival: a producer that stamps backfilled events with their own time, months ago, would
        # else have them deleted before they are read; one whose clock is ahead would be refused.
        extra = {"message.timestamp.type": "LogAppendTime"}
        return TopicSpec(
            name, self.partitions, self.replication, CleanupPolicy.DELETE, days * DAY_MS, max_bytes, personal, extra
        )

    def _compacted(self, name: str, *, max_bytes: int) -> TopicSpec:
        extra = {
            # Compaction leaves the newest segment alone: small ones keep a worker's recovery short.
            "segment.bytes": str(64 * MIB),
            # A worker that was away shorter than this and kept its disk still sees what was deleted meanwhile.
            "delete.retention.ms": str(7 * DAY_MS),
        }
        return TopicSpec(name, self.partitions, self.replication, CleanupPolicy.COMPACT, -1, max_bytes, extra=extra)
