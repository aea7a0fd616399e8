"""What stands in our own certificate (mTLS), for messages and for the principal's name; and until when it and the authorities count."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from streams.cluster_errors import SecurityFilesError

if TYPE_CHECKING:
    from streams.security import Security


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


def certificate_dates(security: Security) -> Iterator[tuple[str, Path, datetime.datetime]]:
    """Yield setting, file and until when it counts for each certificate that the settings name. Raises SecurityFilesError."""
    if security.cert_file is not None:
        yield "kafka_cert_file", security.cert_file, read_own(security.cert_file).until
    if security.ca_file is not None:
        yield "kafka_ca_file", security.ca_file, _last_authority(security.ca_file)


def _last_authority(path: Path) -> datetime.datetime:
    """Return until when the last of the authorities counts: an old one may have been left in on purpose."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise SecurityFilesError(f"kafka_ca_file: {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SecurityFilesError(f"kafka_ca_file: {path} has no certificate in PEM") from None
    return max(one.not_valid_after_utc for one in found)
