"""What can keep us out of a Kafka cluster. Every message says what to do, and none shows a password.

ClusterUnreachableError        no broker answers, or none lets us in
├── SecurityFilesError         a certificate, key or password of the settings cannot be used
├── WrongProtocolError         the port speaks another protocol than kafka_security says
├── CertificateRefusedError    TLS failed: we do not trust the broker's certificate, or it does not take ours
├── LoginRefusedError          the broker refuses the user, the password or the mechanism
└── AccessRefusedError         the broker knows us, but ACLs are missing: `missing`
"""

from __future__ import annotations

from collections.abc import Sequence

from streams.roles import Grant, commands_for


class ClusterUnreachableError(Exception):
    """No broker of the cluster answered, or none let us in."""

    def __init__(self, bootstrap_servers: str, reason: str) -> None:
        super().__init__(
            f"no Kafka broker answers at {bootstrap_servers} ({reason}): check the address (--bootstrap-servers, or the setting "
            "bootstrap_servers; `hotline-watch up` prints that of its own broker), that the brokers run, and the network "
            "and security settings between here and there"
        )


class _SaidInFullError(ClusterUnreachableError):
    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)


class SecurityFilesError(_SaidInFullError):
    """A certificate, key or password of the settings cannot be used."""


class WrongProtocolError(_SaidInFullError):
    """The port speaks another protocol than the settings say."""


class CertificateRefusedError(_SaidInFullError):
    """TLS failed: we do not trust the broker's certificate, or it does not take ours."""


class LoginRefusedError(_SaidInFullError):
    """The broker refuses the user, the password or the mechanism."""


class AccessRefusedError(_SaidInFullError):
    """The broker knows us, but refuses what we need; `missing`: the grants that would allow it."""

    def __init__(self, bootstrap_servers: str, principal: str, missing: Sequence[Grant]) -> None:
        lacks = "; ".join(f"{grant.operation} on {grant.resource} {grant.name}" for grant in missing)
        commands = "".join(f"\n    {command}" for command in commands_for(missing, principal, bootstrap_servers))
        super().__init__(
            f"Kafka at {bootstrap_servers} refuses {principal}, for want of an ACL: {lacks}. "
            f"Grant it as an administrator of the cluster, with{commands}"
        )
        self.missing = tuple(missing)
