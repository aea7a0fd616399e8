"""What stands in our own certificate (mTLS): for messages, and for the principal's name."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from streams.cluster_errors import SecurityFilesError


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """Whose it is (as Kafka writes distinguished names), and how long it counts."""

    subject: str
    until: datetime.datetime

    def expired(self, now: datetime.datetime) -> bool:
        """Return whether it counts no more at an instant."""
        return now > self.until


def read_own(path: Path) -> OwnCertificate:
    """Return what stands in the first certificate of a PEM file. Raises SecurityFilesError."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise SecurityFilesError(f"kafka_cert_file: {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SecurityFilesError(f"kafka_cert_file: {path} has no certificate in PEM") from None
    return OwnCertificate(certificate.subject.rfc4514_string(), certificate.not_valid_after_utc)
