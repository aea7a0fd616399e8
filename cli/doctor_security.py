"""What `doctor` looks at between us and the brokers: certificates, keys, the password, and whether each address lets us in."""

import datetime
from collections.abc import Iterator
from pathlib import Path

from cli.doctor_findings import Area, Finding, ok, problem, warning
from models.times import datetime_of
from streams.admin import await_listener
from streams.cluster_errors import ClusterUnreachableError, SecurityFilesError
from streams.own_certificate import certificate_dates
from streams.security import Cluster, is_here

RENEW_DAYS = 30
_SEE = "docs/security-kafka.md tells each setting"


def check_security(cluster: Cluster, now: int) -> Iterator[Finding]:
    """Yield what is found of the settings' certificates and password; `now` in microseconds. No broker is asked.

    After a problem there is no use in asking one.
    """
    security = cluster.security
    if not (security.uses_tls or security.uses_login):
        yield from _in_the_clear(cluster)
        return
    try:
        security.client_arguments()  # reads every file as a client does
        dates = list(certificate_dates(security))
    except SecurityFilesError as error:
        yield problem(Area.SECURITY, str(error), f"correct the file or the setting; {_SEE}")
        return
    found = list(_judged(dates, datetime_of(now)))
    yield from found
    if not found:
        yield ok(Area.SECURITY, f"{security.protocol}; certificate, key and password files can be used")


def check_addresses(cluster: Cluster, timeout_seconds: float) -> Iterator[Finding]:
    """Yield each address of `bootstrap_servers` that does not let us in though another one does."""
    for address in filter(None, map(str.strip, cluster.split(","))):
        try:
            await_listener(Cluster(address, cluster.security), timeout_seconds=timeout_seconds)
        except ClusterUnreachableError as error:
            yield warning(
                Area.BROKER,
                f"one address of bootstrap_servers does not let us in, and others do: {error}",
                "mend that broker, or take its address out of bootstrap_servers",
            )


def _in_the_clear(cluster: Cluster) -> Iterator[Finding]:
    away = [address.strip() for address in cluster.split(",") if not is_here(address)]
    if away:
        yield warning(
            Area.SECURITY,
            f"citizens' identities travel in the clear to {', '.join(away)}",
            "kafka_security = sasl_tls, as docs/security-kafka.md tells; or see that nobody else is on that network",
        )
    else:
        yield ok(Area.SECURITY, "plaintext, on this machine alone")


def _judged(dates: list[tuple[str, Path, datetime.datetime]], now: datetime.datetime) -> Iterator[Finding]:
    for setting, path, until in dates:
        remedy = f"have it renewed, put it at {path}, and start the processes again one after the other"
        if now > until:
            yield problem(Area.SECURITY, f"{setting}: {path} expired on {until:%Y-%m-%d}", remedy)
        elif now > until - datetime.timedelta(days=RENEW_DAYS):
            yield warning(Area.SECURITY, f"{setting}: {path} expires on {until:%Y-%m-%d}", remedy)
