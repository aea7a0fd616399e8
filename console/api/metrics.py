"""What the API counts. Every label is of a closed set: routes as they are written in the code, never as they were called."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from console.ledger import Source
from models.quarantine import RejectionReason

METHODS = frozenset({"GET", "POST", "DELETE"})
OTHER = "other"


class ApiMetrics:
    """The metrics of one API process, in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "hw_api_requests", "Requests by route and answer", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram("hw_api_request_seconds", "How long requests took", ["route"], registry=registry)
        self.failures = Counter("hw_api_auth_failures", "Requests without a known token", registry=registry)
        self.limited = Counter(
            "hw_api_limited", "Requests not listened to after too many failed tries", registry=registry
        )
        self.pulled = Counter("hw_api_pulled_alerts", "Alerts given to pullers", registry=registry)
        self.refused = Counter("hw_api_refused", "Alerts that the conflict guard kept from a puller", registry=registry)
        self.missing = Counter(
            "hw_api_missing_alerts", "Deliveries left out since their alert is not kept any longer", registry=registry
        )
        self.lag = Gauge("hw_api_ledger_lag_records", "Records the ledger has not read yet", registry=registry)
        self.events = Counter("hw_api_events", "Ticket events that were posted, and that Kafka has", registry=registry)
        self.refused_events = Counter(
            "hw_api_refused_events", "Events that made a posted batch be refused", ["reason"], registry=registry
        )
        for reason in RejectionReason:
            self.refused_events.labels(reason.value)
        self._unreadable = Gauge(
            "hw_api_ledger_unreadable_records", "Records the ledger could not read", ["topic"], registry=registry
        )
        for source in Source:
            self._unreadable.labels(source.value).set(0)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route`: the template it met, or `other`."""
        self._requests.labels(method if method in METHODS else OTHER, route, f"{status // 100}xx").inc()
        self._seconds.labels(route).observe(max(seconds, 0.0))

    def unreadable(self, source: Source, count: int) -> None:
        """Say how many records of a topic the ledger could not read."""
        self._unreadable.labels(source.value).set(count)
