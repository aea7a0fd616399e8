"""The embedded broker with listeners that ask who is there: TLS, client certificates, SASL, and ACLs in force.

    secured = Secured(
        (Listener("LOGIN", credentials, login=True), Listener("CERTIFICATE", credentials, trusted=(ca,))),
        users={"hw-worker": password},
    )
    with EmbeddedKafka(folder, secured=secured) as kafka:
        kafka.address_of("LOGIN")

For tests, benchmarks and trials of a secured cluster on one machine. The broker's own listener stays beside them, plaintext on
127.0.0.1, for itself and its owner: whoever comes through it is `User:ANONYMOUS`, a super user.

Users are made when the data directory is formatted, with SCRAM-SHA-256 and SCRAM-SHA-512; only what is derived from
the password is on the command line.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from streams.broker_certificates import Credentials

OWNER = "User:ANONYMOUS"
ITERATIONS = 8192
_SCRAM = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_LOGIN_MODULES = {
    "scram-sha-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "scram-sha-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "plain": "org.apache.kafka.common.security.plain.PlainLoginModule",
}


@dataclass(frozen=True, slots=True)
class Listener:
    """One further listener: TLS always; `login` asks for SASL, `trusted` (PEM) for a certificate of one of these authorities."""

    name: str
    credentials: Credentials
    login: bool = False
    trusted: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """Return its protocol in Kafka's words."""
        return "SASL_SSL" if self.login else "SSL"


@dataclass(frozen=True, slots=True)
class Secured:
    """The further listeners of a broker, and who may come in through them."""

    listeners: tuple[Listener, ...]
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names and passwords, for SCRAM and for PLAIN."""
    super_users: tuple[str, ...] = ()
    """Principals, like `User:admin`, for whom ACLs do not count."""

    def format_options(self) -> list[str]:
        """Return what the format tool has to be told, once."""
        made = [f"{scram}=[{told}]" for user, password in self.users.items() for scram, told in _salted(user, password)]
        return [option for one in made for option in ("--add-scram", one)]

    def properties(self, own: Mapping[str, str], host: str, ports: Mapping[str, int]) -> dict[str, str]:
        """Return the broker's properties that differ; `own`: those it has without."""
        addresses = [f"{one.name}://{host}:{ports[one.name]}" for one in self.listeners]
        protocols = [f"{one.name}:{one.protocol}" for one in self.listeners]
        changed = {
            "listeners": _joined(own["listeners"], addresses),
            "advertised.listeners": _joined(own["advertised.listeners"], addresses),
            "listener.security.protocol.map": _joined(own["listener.security.protocol.map"], protocols),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": ";".join((OWNER, *self.super_users)),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "ssl.enabled.protocols": "TLSv1.2,TLSv1.3",
        }
        for listener in self.listeners:
            changed |= self._of(listener)
        return changed

    def _of(self, listener: Listener) -> dict[str, str]:
        head = f"listener.name.{listener.name.lower()}"
        found = {
            f"{head}.ssl.keystore.type": "PEM",
            f"{head}.ssl.keystore.key": _one_line(listener.credentials.key),
            f"{head}.ssl.keystore.certificate.chain": _one_line(listener.credentials.certificate),
            f"{head}.ssl.client.auth": "required" if listener.trusted else "none",
        }
        if listener.trusted:
            found |= {
                f"{head}.ssl.truststore.type": "PEM",
                f"{head}.ssl.truststore.certificates": _one_line("".join(listener.trusted)),
            }
        if listener.login:
            for mechanism, module in _LOGIN_MODULES.items():
                told = self._plain_users() if mechanism == "plain" else ""
                found[f"{head}.{mechanism}.sasl.jaas.config"] = f"{module} required{told};"
        return found

    def _plain_users(self) -> str:
        return "".join(f' user_{user}="{password}"' for user, password in self.users.items())


def _salted(user: str, password: str) -> Iterator[tuple[str, str]]:
    for mechanism, digest in _SCRAM.items():
        salt = os.urandom(18)
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, ITERATIONS)
        shown = (base64.b64encode(one).decode() for one in (salt, salted))
        yield mechanism, 'name={},iterations={},salt="{}",saltedpassword="{}"'.format(user, ITERATIONS, *shown)


def _joined(own: str, further: Iterable[str]) -> str:
    return ",".join((own, *further))


def _one_line(pem: str) -> str:
    return pem.replace("\n", "\\n")  # which a properties file reads as a line's end
