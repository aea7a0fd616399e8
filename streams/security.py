"""How the brokers are talked to: plaintext, TLS, TLS with a certificate of ours (mTLS), SASL. One value for all clients.

`Cluster` is the address together with its security; the clients of kafka_client.py and the Faust app (faust_app.py) take both
from it, so that no client can have one without the other. Certificates, keys and passwords are named here, never held:
they are read when a client is made, so that one that was renewed is taken at the next start.

The broker's certificate and its host name are always verified, below TLS 1.2 nothing is spoken.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from streams.cluster_errors import SecurityFilesError


class Protocol(StrEnum):
    """The setting `kafka_security`."""

    PLAINTEXT = "plaintext"
    TLS = "tls"
    SASL_TLS = "sasl_tls"
    SASL_PLAINTEXT = "sasl_plaintext"


_IN_KAFKAS_WORDS = {
    Protocol.PLAINTEXT: "PLAINTEXT",
    Protocol.TLS: "SSL",
    Protocol.SASL_TLS: "SASL_SSL",
    Protocol.SASL_PLAINTEXT: "SASL_PLAINTEXT",
}


class Mechanism(StrEnum):
    """The setting `kafka_sasl_mechanism`, in Kafka's words."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


@dataclass(frozen=True, slots=True)
class Security:
    """What the settings say of it. Inconsistent ones raise ValueError, which never shows more than names of settings."""

    protocol: Protocol = Protocol.PLAINTEXT
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    mechanism: Mechanism = Mechanism.SCRAM_SHA_512
    username: str | None = None
    password_file: Path | None = None
    password_env: str | None = None

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("kafka_cert_file and kafka_key_file go together: give both, or neither")
        if not self.uses_login:
            if self.username is not None and self.protocol is Protocol.TLS:
                raise ValueError("kafka_username is set, but kafka_security = tls has no login: say sasl_tls")
            return
        if self.username is None or (self.password_file is None) == (self.password_env is None):
            raise ValueError(
                f"kafka_security = {self.protocol} needs kafka_username and exactly one of kafka_password_file and "
                "kafka_password_env"
            )

    @property
    def uses_tls(self) -> bool:
        """Return whether the connection is TLS."""
        return self.protocol in (Protocol.TLS, Protocol.SASL_TLS)

    @property
    def uses_login(self) -> bool:
        """Return whether we say who we are by user and password."""
        return self.protocol in (Protocol.SASL_TLS, Protocol.SASL_PLAINTEXT)

    def client_arguments(self) -> dict[str, Any]:
        """Return what kafka-python's and aiokafka's clients take, by the same names. Raises SecurityFilesError."""
        arguments: dict[str, Any] = {"security_protocol": _IN_KAFKAS_WORDS[self.protocol]}
        if self.uses_tls:
            arguments["ssl_context"] = self.ssl_context()
        if self.uses_login:
            arguments |= {
                "sasl_mechanism": self.mechanism.value,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password(),
            }
        return arguments

    def ssl_context(self) -> ssl.SSLContext:
        """Return how TLS is spoken. Raises SecurityFilesError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_file is None:
            context.load_default_certs()
        else:
            _refuse_writable(self.ca_file, "kafka_ca_file", stat.S_IWOTH)
            try:
                context.load_verify_locations(self.ca_file)
            except ssl.SSLError:
                raise SecurityFilesError(
                    f"kafka_ca_file: {self.ca_file} has no certificate in PEM: put the authority's there that signed "
                    "the brokers'"
                ) from None
        if self.cert_file is not None and self.key_file is not None:
            self._load_own(context, self.cert_file, self.key_file)
        return context

    def _load_own(self, context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
        _refuse_writable(cert_file, "kafka_cert_file", stat.S_IWOTH)
        _refuse_writable(key_file, "kafka_key_file", stat.S_IWGRP | stat.S_IWOTH)
        try:
            # A password is never asked for at a terminal that nobody sits at.
            context.load_cert_chain(cert_file, key_file, password="")
        except (ssl.SSLError, ValueError) as error:
            if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
                told = f"{key_file} is not the key of {cert_file}: give the two that belong together"
            else:
                told = f"{cert_file} and {key_file} are not a certificate and its key in PEM, the key not encrypted"
            raise SecurityFilesError(f"kafka_cert_file, kafka_key_file: {told}") from None

    def password(self) -> str:
        """Return the password. Raises SecurityFilesError, which never shows it."""
        if self.password_env is not None:
            password = os.environ.get(self.password_env, "")
            where = f"kafka_password_env: the environment variable {self.password_env}"
        else:
            assert self.password_file is not None
            where = f"kafka_password_file: {self.password_file}"
            _refuse_writable(self.password_file, "kafka_password_file", stat.S_IWGRP | stat.S_IWOTH)
            try:
                password = self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise SecurityFilesError(f"{where} is not UTF-8: write the password there, in one line") from None
        if not password or not password.isprintable():
            raise SecurityFilesError(f"{where} must hold the password, in one line")
        return password

    @property
    def password_place(self) -> str:
        """Return where the password is, for messages."""
        if self.password_env is not None:
            return f"environment variable {self.password_env}"
        return str(self.password_file)

    def principal(self) -> str:
        """Return what the broker calls us where it maps no names. Raises SecurityFilesError."""
        if self.uses_login:
            return f"User:{self.username}"
        if self.uses_tls and self.cert_file is not None:
            from streams.own_certificate import read_own

            return f"User:{read_own(self.cert_file).subject}"
        return "User:ANONYMOUS"


PLAINTEXT = Security()


class Cluster(str):
    """A cluster's addresses, `host:port` and comma-separated, and how its brokers are talked to.

    A text like any other where it is shown or passed on. Raises ValueError where a password would leave this machine
    in the clear.
    """

    security: Security

    def __new__(cls, bootstrap_servers: str, security: Security = PLAINTEXT) -> Self:
        """`bootstrap_servers`: at least one address."""
        if security.protocol is Protocol.SASL_PLAINTEXT and not all(map(is_here, bootstrap_servers.split(","))):
            raise ValueError(
                "kafka_security = sasl_plaintext is for 127.0.0.1 alone: say sasl_tls where the broker is elsewhere"
            )
        made = super().__new__(cls, bootstrap_servers)
        made.security = security
        return made


def security_of(bootstrap_servers: str) -> Security:
    """Return how a cluster is talked to: a plain text's in plaintext."""
    return bootstrap_servers.security if isinstance(bootstrap_servers, Cluster) else PLAINTEXT


def client_arguments(bootstrap_servers: str) -> dict[str, Any]:
    """Return address and security, as kafka-python's and aiokafka's clients take them. Raises SecurityFilesError.

    TypeError for a list: the addresses alone have left their security behind.
    """
    if not isinstance(bootstrap_servers, str):
        raise TypeError("give the cluster as the settings have it, not a list of its addresses: that has no security")
    return {"bootstrap_servers": bootstrap_servers.split(","), **security_of(bootstrap_servers).client_arguments()}


def is_here(address: str) -> bool:
    """Return whether an address is this machine's own."""
    host = address.strip().rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_writable(path: Path, setting: str, by: int) -> None:
    """Raise SecurityFilesError where the file is missing or somebody else may write it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise SecurityFilesError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    if mode & by:
        raise SecurityFilesError(
            f"{setting}: others may write {path}: chmod go-w, and see that it is still the right one"
        )
