"""Certificates for the embedded broker and its clients: a small authority that lives in memory, for trials and tests.

A real cluster has its certificates from the authority of the house.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=1)
_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A certificate and its private key, both PEM (the key PKCS#8, not encrypted)."""

    certificate: str
    key: str

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both below the folder, the key for its owner alone; return where they are."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_text(self.certificate)
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.key)
        return certificate, key


class Authority:
    """A certificate authority. Its key is nowhere but in this object."""

    def __init__(self, name: str, now: datetime.datetime) -> None:
        """`now`: the instant from which its certificates count, aware of its zone."""
        self._key, self._now = ec.generate_private_key(ec.SECP256R1()), now
        self._name = _named(name)
        public = self._key.public_key()
        built = self._builder(self._name, public, now + VALID)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        built = built.add_extension(_usage(signs_certificates=True), critical=True)
        self._certificate = built.sign(self._key, hashes.SHA256())

    @property
    def certificate(self) -> str:
        """Return its own certificate, PEM: what the other side has to trust."""
        return _pem(self._certificate)

    def issue(self, name: str, *hosts: str, expired: bool = False) -> Credentials:
        """Return a certificate for a server at these hosts (names or addresses), or, without any, for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = self._now - _SKEW / 2 if expired else self._now + VALID
        built = self._builder(_named(name), key.public_key(), until)
        built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        built = built.add_extension(_usage(signs_certificates=False), critical=True)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        built = built.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if hosts:
            built = built.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Credentials(_pem(built.sign(self._key, hashes.SHA256())), private.decode())

    def _builder(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey, until: datetime.datetime
    ) -> x509.CertificateBuilder:
        own = x509.SubjectKeyIdentifier.from_public_key(public)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _SKEW)
            .not_valid_after(until)
            .add_extension(own, critical=False)
            .add_extension(issuer, critical=False)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
