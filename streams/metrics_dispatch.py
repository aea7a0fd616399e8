"""What the dispatch worker counts. Every label is a closed set: subscriber names are configuration, reasons are
enums.
"""

from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from alerting.routing import Destination
from alerting.stages import COUNTED_REASONS
from models.base import Level, Status
from models.delivery import Outcome
from models.units import UnitKind

UNKNOWN_KIND = "unknown"
LATENCY_SECONDS = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600, 21600, 86400)


class DispatchMetrics:
    """The metrics of one dispatch worker, in a registry of the caller's."""

    def __init__(self, subscribers: Iterable[str], registry: CollectorRegistry = REGISTRY) -> None:
        self._names: set[str] = set()
        self._decisions = Counter(
            "hw_dispatch_decisions",
            "Alerts by what was decided for each subscriber",
            ["subscriber", "reason"],
            registry=registry,
        )
        self._attempts = Counter(
            "hw_dispatch_attempts", "Attempts by outcome", ["subscriber", "outcome"], registry=registry
        )
        self._attempt_seconds = Histogram(
            "hw_dispatch_attempt_seconds",
            "From the start of an attempt to its answer",
            ["subscriber"],
            buckets=LATENCY_SECONDS,
            registry=registry,
        )
        self._latency = Histogram(
            "hw_dispatch_event_to_webhook_seconds",
            "From the ticket event's record in Kafka to the accepted call",
            ["subscriber"],
            buckets=LATENCY_SECONDS,
            registry=registry,
        )
        self._expired = Counter("hw_dispatch_expired_cases", "Quiet cases that were let go of", registry=registry)
        self._pending = Gauge("hw_dispatch_pending", "Deliveries not accepted yet", ["subscriber"], registry=registry)
        self._disabled = Gauge(
            "hw_dispatch_endpoint_disabled", "1: the endpoint said 410 Gone", ["subscriber"], registry=registry
        )
        self._warnings = Counter(
            "hw_dispatch_warnings",
            "Versions of warnings to be pushed, once for each kind of the units that they accuse; unknown: no registered unit",
            ["unit_kind", "level", "status"],
            registry=registry,
        )
        self._routed = Counter(
            "hw_dispatch_routed",
            "Versions of warnings to be pushed, by where routing led: recipients, the human pool, or nobody",
            ["destination"],
            registry=registry,
        )
        self._oldest = Gauge(
            "hw_dispatch_oldest_pending_seconds",
            "For how long the oldest delivery that is not accepted yet has waited; 0: none waits",
            ["subscriber"],
            registry=registry,
        )
        self._unreadable = Counter(
            "hw_dispatch_unreadable_records", "Records that could not be read", ["topic"], registry=registry
        )
        self._held = Gauge("hw_dispatch_suppressed", "Alerts that suppression holds", ["subscriber"], registry=registry)
        self._refused = Counter(
            "hw_dispatch_guard_refusals", "Deliveries the conflict guard stopped", ["subscriber"], registry=registry
        )
        self._breaker = Gauge(
            "hw_dispatch_breaker_open", "1: the endpoint is being spared", ["subscriber"], registry=registry
        )
        self._holding = Gauge(
            "hw_dispatch_holding", "1: nothing is sent, the unit registry is missing or broken", registry=registry
        )
        self._rejected = Gauge(
            "hw_dispatch_file_rejected",
            "1: a changed file of delivery cannot be taken, what was read before stays",
            registry=registry,
        )
        self._begin(subscribers)

    def _begin(self, subscribers: Iterable[str]) -> None:
        """Make the series whose labels are known, so that each is there before its first event."""
        for kind in (*UnitKind, UNKNOWN_KIND):
            for level in Level:
                for status in Status:
                    self._warnings.labels(kind, level.value, status.value)
        for destination in Destination:
            self._routed.labels(destination.value)
        for which in ("alerts", "deliveries", "redeliveries"):
            self._unreadable.labels(which)
        for name in subscribers:
            self.known(name)

    def known(self, name: str) -> None:
        """Make a subscriber's series, so that each is there before its first event."""
        if name in self._names:
            return
        self._names.add(name)
        for gauge in (self._pending, self._oldest, self._disabled, self._held, self._breaker):
            gauge.labels(name).set(0)
        self._refused.labels(name)
        for reason in COUNTED_REASONS:
            self._decisions.labels(name, str(reason))
        for outcome in Outcome:
            self._attempts.labels(name, outcome.value)

    def held(self, subscriber: str, change: int) -> None:
        """Change the number of alerts that suppression holds."""
        if subscriber in self._names:
            self._held.labels(subscriber).inc(change)

    def refused(self, subscriber: str) -> None:
        """Count what the conflict guard stopped at the last step."""
        self._refused.labels(subscriber).inc()

    def breaker(self, subscriber: str, is_open: bool) -> None:
        """Say whether an endpoint is being spared."""
        self._breaker.labels(subscriber).set(1 if is_open else 0)

    def held_because(self, problem: str | None) -> None:
        """Say whether anything is sent at all."""
        self._holding.set(0 if problem is None else 1)

    def file_rejected(self, problem: str | None) -> None:
        """Say whether a file that was changed is not in force."""
        self._rejected.set(0 if problem is None else 1)

    def decided(self, subscriber: str, reason: str) -> None:
        """Count what was decided for one alert and one subscriber."""
        self._decisions.labels(subscriber, reason).inc()

    def warned(self, unit_kind: str, level: Level, status: Status) -> None:
        """Count a version of a warning under the kind of a unit that it accuses."""
        self._warnings.labels(unit_kind, level.value, status.value).inc()

    def routed(self, destination: Destination) -> None:
        """Count where a version of a warning went."""
        self._routed.labels(destination.value).inc()

    def attempted(self, subscriber: str, outcome: Outcome, seconds: float) -> None:
        """Count one attempt and how long it took."""
        self._attempts.labels(subscriber, outcome.value).inc()
        self._attempt_seconds.labels(subscriber).observe(max(seconds, 0.0))

    def accepted(self, subscriber: str, seconds_since_event: float) -> None:
        """Observe how old the ticket event was when the subscriber accepted the call."""
        self._latency.labels(subscriber).observe(max(seconds_since_event, 0.0))

    def expired(self, cases: int) -> None:
        """Cases were let go of by age."""
        self._expired.inc(cases)

    def pending(self, subscriber: str, change: int) -> None:
        """Change the number of deliveries that are not accepted; names no longer configured are left out."""
        if subscriber in self._names:
            self._pending.labels(subscriber).inc(change)

    def oldest(self, subscriber: str, seconds: float) -> None:
        """Say for how long the oldest delivery that is not accepted has waited."""
        if subscriber in self._names:
            self._oldest.labels(subscriber).set(max(seconds, 0.0))

    def disabled(self, subscriber: str, is_disabled: bool) -> None:
        """Say whether an endpoint is known to be gone."""
        self._disabled.labels(subscriber).set(1 if is_disabled else 0)

    def unreadable(self, which: str) -> None:
        """Count a record that could not be read; `which` is `alerts`, `deliveries` or `redeliveries`."""
        self._unreadable.labels(which).inc()
