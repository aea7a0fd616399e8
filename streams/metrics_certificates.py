"""Until when the certificates count by which a process talks to Kafka. They are read once, at the start, as the clients do."""

from prometheus_client import CollectorRegistry, Gauge

from streams.own_certificate import certificate_dates
from streams.security import security_of


def certificate_gauge(registry: CollectorRegistry) -> Gauge:
    """Return the gauge, made in a registry."""
    return Gauge(
        "hw_kafka_certificate_until_timestamp_seconds",
        "When a certificate expires with which the process started, by the setting that names it",
        ["setting"],
        registry=registry,
    )


def watch_certificates(bootstrap_servers: str, registry: CollectorRegistry) -> None:
    """Show when the cluster's certificates expire; nothing where none is set. Raises SecurityFilesError."""
    security = security_of(bootstrap_servers)
    found = list(certificate_dates(security)) if security.uses_tls else []
    if not found:
        return
    until = certificate_gauge(registry)
    for setting, _, at in found:
        until.labels(setting).set(at.timestamp())
