"""Comes in to one broker by hand, step by step, to say in plain words what keeps us out: the clients' own libraries only say
that time ran out.

connect → TLS → ApiVersions (first answer; a refused certificate of ours shows here) → login → Metadata (an answer means
that we are in). Synchronous: never on an event loop.
"""

from __future__ import annotations

import datetime
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from kafka.errors import KafkaError
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from streams.cluster_errors import CertificateRefusedError, LoginRefusedError, WrongProtocolError
from streams.own_certificate import read_own
from streams.security import Security

_STEP_SECONDS = 5.0
_TLS_ALERT = b"\x15\x03"
# Error codes of Kafka's protocol.
_UNSUPPORTED_MECHANISM, _NO_LOGIN_HERE = 33, 34
# OpenSSL's reasons why a certificate is not taken (X509_V_ERR_…).
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
_OTHER_HOST = frozenset({62, 64})


class BrokenOffError(OSError):
    """The broker ended the connection; `strerror` says at which step, and what that may mean."""


def come_in(address: str, host: str, port: int, security: Security, timeout_seconds: float) -> None:
    """Return when the broker answers us. Raises OSError where nobody answers, which may be worth another try, and a
    ClusterUnreachableError that says what is to be mended, which is not.
    """
    deadline = time.monotonic() + min(timeout_seconds, _STEP_SECONDS)
    with _Conversation(address, host, port, security, deadline) as broker:
        broker.ask(ApiVersionsRequest(version=0), "it takes the connection and ends it: is it a Kafka listener?")
        if security.uses_login:
            _log_in(broker, security)
        answer = MetadataRequest(version=1, topics=[])
        broker.ask(answer, "it ends the connection because there was no login: kafka_security = sasl_tls may be wanted")


def _log_in(broker: _Conversation, security: Security) -> None:
    mechanism = security.mechanism
    answer = broker.ask(SaslHandshakeRequest(version=1, mechanism=mechanism.value), "it ends the login")
    if answer.error_code == _NO_LOGIN_HERE:
        raise WrongProtocolError(
            f"Kafka at {broker.address} takes no logins on this port: use the port of a SASL listener, or say "
            "kafka_security = tls"
        )
    if answer.error_code == _UNSUPPORTED_MECHANISM:
        raise LoginRefusedError(
            f"Kafka at {broker.address} does not take {mechanism}: set kafka_sasl_mechanism to one of those that it "
            f"takes ({', '.join(answer.mechanisms)})"
        )
    password = security.password()
    exchange = get_sasl_mechanism(mechanism.value)(
        sasl_mechanism=mechanism.value, sasl_plain_username=security.username, sasl_plain_password=password
    )
    while not exchange.is_done():
        told = broker.ask(SaslAuthenticateRequest(version=0, auth_bytes=exchange.auth_bytes()), "it ends the login")
        if told.error_code != 0:
            raise LoginRefusedError(_refusal(broker.address, security))
        try:
            exchange.receive(told.auth_bytes)
        except (ValueError, KeyError):
            raise LoginRefusedError(
                f"what answers at {broker.address} does not know the password of {security.username} itself: is it "
                "the right cluster?"
            ) from None


def _refusal(address: str, security: Security) -> str:
    user, mechanism = security.username, security.mechanism
    if mechanism.value == "PLAIN":
        remedy = "correct it, or have the user added to the listener's login configuration"
    else:
        remedy = (
            f"correct it, or have it set with `kafka-configs --bootstrap-server {address} --command-config "
            f"admin.properties --alter --entity-type users --entity-name {user} --add-config '{mechanism}=[password=…]'`"
        )
    return (
        f"Kafka at {address} refuses the login of {user} with {mechanism}: the user is not known there, or the "
        f"password ({security.password_place}) is another: {remedy}"
    )


class _Conversation:
    """One connection, on which one question after the other is answered."""

    def __init__(self, address: str, host: str, port: int, security: Security, deadline: float) -> None:
        self.address, self._security, self._deadline = address, security, deadline
        self._protocol = KafkaProtocol(client_id="hotline-watch")
        context = security.ssl_context() if security.uses_tls else None
        plain = socket.create_connection((host, port), timeout=self._left())
        self._socket = plain
        if context is not None:
            try:
                with self._explained("it breaks off the TLS handshake: is it a TLS listener?"):
                    self._socket = context.wrap_socket(plain, server_hostname=host)
            except BaseException:
                plain.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, request: Any, when_broken_off: str) -> Any:
        """Return the answer. `when_broken_off`: what it means if there is none."""
        with self._explained(when_broken_off):
            self._protocol.send_request(request)
            self._socket.settimeout(self._left())
            self._socket.sendall(self._protocol.send_bytes())
            while True:
                self._socket.settimeout(self._left())
                received = self._socket.recv(65_536)
                if not received:
                    raise BrokenOffError(0, when_broken_off)
                if received.startswith(_TLS_ALERT):
                    raise WrongProtocolError(
                        f"Kafka at {self.address} speaks TLS: say kafka_security = tls or sasl_tls, or use the port of "
                        "a plaintext listener"
                    )
                for _, answer in self._protocol.receive_bytes(received):
                    return answer

    def _left(self) -> float:
        return max(0.05, self._deadline - time.monotonic())

    @contextmanager
    def _explained(self, when_broken_off: str) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefusedError(self._distrust(error.verify_code, error.verify_message)) from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError):
            raise BrokenOffError(0, when_broken_off) from None
        except KafkaError:
            raise WrongProtocolError(f"what answers at {self.address} is no Kafka broker: check the port") from None
        except ssl.SSLError as error:
            reason = error.reason or ""
            if "ALERT" in reason:
                raise CertificateRefusedError(self._not_taken(reason)) from None
            raise WrongProtocolError(
                f"what answers at {self.address} does not speak TLS ({reason or 'no reason'}): use the port of a TLS "
                "listener, or say kafka_security = plaintext where the network is your own"
            ) from None

    def _distrust(self, code: int, message: str) -> str:
        head = f"the certificate of Kafka at {self.address}"
        if code == _EXPIRED:
            return f"{head} has expired: have it renewed on the broker (and see that this machine's clock is right)"
        if code == _NOT_YET_VALID:
            return f"{head} does not count yet: see that the clocks of the broker and of this machine are right"
        if code in _UNKNOWN_AUTHORITY:
            trusted = self._security.ca_file or "the system's list (kafka_ca_file is not set)"
            return (
                f"{head} is not signed by an authority in {trusted}: have kafka_ca_file name the certificate of the "
                "authority that signed it, or find out who answers there"
            )
        if code in _OTHER_HOST:
            return (
                f"{head} is for another host: write bootstrap_servers with a name that stands in it, or have this one "
                "added to its subjectAltName"
            )
        return f"{head} is not taken ({message}): have it replaced on the broker"

    def _not_taken(self, reason: str) -> str:
        head = f"Kafka at {self.address}"
        if self._security.cert_file is None:
            return (
                f"{head} asks for a certificate of ours, and there is none ({reason}): set kafka_cert_file and "
                "kafka_key_file, or use the port of a listener that asks for none"
            )
        own = read_own(self._security.cert_file)
        if own.expired(datetime.datetime.now(datetime.UTC)):
            return (
                f"{head} does not take our certificate: {self._security.cert_file} expired on {own.until:%Y-%m-%d}: "
                "have it renewed"
            )
        return (
            f"{head} does not take our certificate {self._security.cert_file} ({own.subject}; {reason}): it must be "
            "signed by an authority in the broker's truststore, for client authentication"
        )
