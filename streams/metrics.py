"""The workers' metrics. Labels are closed sets only: never a ticket, a citizen, or free text."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from models.alert import TEST_FLAG, Alert
from models.base import Status
from models.quarantine import RejectionReason
from models.ticket_event import MODEL_BY_TYPE
from rules.event import Event
from rules.pack import Pack
from rules.sealing import Route
from rules.text.result import Finding
from rules.tickets import ConflictingBody, RefusedMerge, TooLarge
from streams.metrics_keys import KeyMetrics
from streams.reference_feed import FeedState
from streams.routes import Out
from streams.topics import TopicSet

log = logging.getLogger(__name__)

LAYERS = ("cue", "euphemism", "private")
LATENCY_BUCKETS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class WorkerMetrics:
    """What one detection worker counts."""

    def __init__(self, pack: Pack, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.events = Counter("hw_events_total", "Ticket events accepted, by type", ["type"], registry=registry)
        self.unknown_fields = Counter("hw_unknown_fields_total", "Unknown fields in accepted events", registry=registry)
        self.rejections = Counter("hw_rejections_total", "Inputs quarantined, by reason", ["reason"], registry=registry)
        self.alarms = Counter("hw_security_alarms_total", "Security alarms, by kind", ["kind"], registry=registry)
        self.warnings = Counter(
            "hw_warnings_total", "Versions of warnings issued", ["rule", "level", "status"], registry=registry
        )
        self.warning_latency = Histogram(
            "hw_event_to_warning_seconds",
            "From Kafka's taking the event to the warning's being durable",
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=registry,
        )
        self.ticks = Counter("hw_ticks_total", "Ticks handled", registry=registry)
        self.tick_lag = Gauge(
            "hw_last_tick_timestamp_seconds", "The core time of the last tick handled", registry=registry
        )
        self.states = Gauge("hw_states", "Values in a table", ["table"], registry=registry)
        self.expirations = Counter(
            "hw_expired", "Values of a table that were let go of by age", ["table"], registry=registry
        )
        self.broken = Counter("hw_poison_total", "Messages that a rule or fold raised on", registry=registry)
        self.table_alarms = Counter(
            "hw_table_alarms_total", "Foreign records or second writers in a changelog", ["kind"], registry=registry
        )
        self.sealed_events = Counter(
            "hw_sealed_total", "Events of which only an empty shell was let in, by route", ["route"], registry=registry
        )
        self.findings = Counter(
            "hw_text_findings_total",
            "Findings of text screening, by category and layer (cue, euphemism, private)",
            ["category", "layer"],
            registry=registry,
        )
        self.reloads = Counter(
            "hw_rules_reloads_total",
            "Changed rules: taken, or refused and the old ones kept",
            ["outcome"],
            registry=registry,
        )
        self.calendar_until = Gauge(
            "hw_calendar_until_timestamp_seconds",
            "Until when work days are known; beyond it nothing that counts them is red",
            registry=registry,
        )
        self.reference_rows = Gauge(
            "hw_reference_rows", "Rows of reference data held in memory", ["table"], registry=registry
        )
        self.reference_lag = Gauge(
            "hw_reference_lag_records", "Records of reference data not read yet", registry=registry
        )
        self.reference_changes = Gauge(
            "hw_reference_changes",
            "Records of reference data read since the start, by outcome",
            ["outcome"],
            registry=registry,
        )
        self.keys = KeyMetrics(("tickets", "citizens"), registry)
        self._begin_at_zero()
        # The library finds a series by its labels anew each time, which for every event is a tenth of intake.
        self._accepted = {kind: self.events.labels(kind) for kind in (*MODEL_BY_TYPE, "unknown")}
        self.knows(pack)

    def _begin_at_zero(self) -> None:
        for route in get_args(Route):
            self.sealed_events.labels(route)
        for outcome in ("taken", "refused"):
            self.reloads.labels(outcome)
        for reason in RejectionReason:
            self.rejections.labels(reason.value)
        for kind in ("conflicting_body", "inflated_batch"):
            self.alarms.labels(kind)
        for kind in ("foreign_record", "second_writer"):
            self.table_alarms.labels(kind)
        for table in ("tickets", "citizens"):
            self.expirations.labels(table)

    def knows(self, pack: Pack) -> None:
        """Make the series of a pack that is in force: one that began at its first event would hide that event from `increase`."""
        for rule in pack.rules:
            for level in rule.conditions:
                for status in Status:
                    self.warnings.labels(rule.id, level.value, status.value)
        for category in pack.lexicon.categories:
            for layer in LAYERS:
                self.findings.labels(category, layer)

    def accepted(self, event_type: str, unknown_fields: int) -> None:
        """An event was accepted."""
        self._accepted[event_type].inc()
        if unknown_fields:
            self.unknown_fields.inc(unknown_fields)

    def rejected(self, reason: str) -> None:
        """An input was refused."""
        self.rejections.labels(reason).inc()

    def sealed(self, route: str) -> None:
        """An event was sealed."""
        self.sealed_events.labels(route).inc()

    def screened(self, event: Event) -> None:
        """An event's texts were screened."""
        texts = event.data.get("texts")
        if not texts:
            return
        for findings, private in texts.values():
            for finding in (Finding(*one) for one in findings):
                self.findings.labels(finding.category, finding.layer).inc()
            for category in private:
                self.findings.labels(category, "private").inc()

    def reloaded(self, taken: bool) -> None:
        """Changed rules were read."""
        self.reloads.labels("taken" if taken else "refused").inc()

    def reckons(self, known_until: int) -> None:
        """Work days are known up to an instant, in microseconds."""
        self.calendar_until.set(known_until / 1_000_000)

    def refers(self, state: FeedState) -> None:
        """Reference data are so far."""
        for table, rows in state.rows.items():
            self.reference_rows.labels(table).set(rows)
        self.reference_lag.set(state.lag)
        self.reference_changes.labels("taken").set(state.changes - state.refused)
        self.reference_changes.labels("refused").set(state.refused)

    def warned(self, alert: Alert) -> None:
        """A version of a warning was issued; one about a test ticket is in no count."""
        if TEST_FLAG in alert.flags:
            return
        self.warnings.labels(alert.rule.id, alert.level.value, alert.status.value).inc()

    def alarmed(self, alarm: ConflictingBody | RefusedMerge | TooLarge) -> None:
        """A security alarm, a refused merge, or a message that its ticket has no room for."""
        if isinstance(alarm, ConflictingBody):
            self.alarms.labels("conflicting_body").inc()
            log.error("security alarm: event id came again with another body; the first was kept")
        elif isinstance(alarm, TooLarge):
            self.rejections.labels(RejectionReason.TOO_LARGE.value).inc()
        else:
            self.rejections.labels(RejectionReason.MERGE_CYCLE.value).inc()

    def inflated(self, topic: str, partition: int) -> None:
        """A batch inflates beyond what is read; told in the consumer's thread. The log has said where."""
        self.alarms.labels("inflated_batch").inc()

    def too_late(self) -> None:
        """An event lay further behind its partition's time than is allowed."""
        self.rejections.labels(RejectionReason.TOO_LATE.value).inc()

    def expired(self, table: str, keys: int) -> None:
        """Keys of a table expired."""
        self.expirations.labels(table).inc(keys)

    def ticked(self, at: int) -> None:
        """A tick was handled."""
        self.ticks.inc()
        self.tick_lag.set(at / 1_000_000)

    def broke(self, error: Exception) -> None:
        """A rule or fold raised on a message; its text might quote the input, its type cannot."""
        self.broken.inc()
        self.rejections.labels(RejectionReason.POISON.value).inc()
        log.error("a rule or fold broke on a message: %s", type(error).__name__)

    def unreadable(self) -> None:
        """A record of an internal topic was no message of ours."""
        self.rejections.labels(RejectionReason.UNREADABLE.value).inc()

    def wrote(self, table: str, partition: int, sizes: Mapping[str, int], changes: Mapping[str, int]) -> None:
        """Values of these sizes were written, of so many changes each."""
        self.keys.wrote(table, partition, sizes, changes)

    def sent(self, outs: Iterable[Out], topics: TopicSet) -> None:
        """Outputs are durable: measure how long the warnings among them took."""
        now_ms = time.time() * 1000
        for out in outs:
            if out.topic == topics.alerts and out.source_ts is not None:
                self.warning_latency.observe(max(now_ms - out.source_ts, 0) / 1000)

    def table_alarm(self, kind: str, partition: int, count: int) -> None:
        """A table found foreign records or a second writer in its changelog."""
        self.table_alarms.labels(kind).inc(count)
