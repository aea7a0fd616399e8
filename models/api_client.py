"""Who may use the HTTP API, and as what: as written in the clients file, and as resolved from it.

A token is kept as its digest alone, so that nothing in memory or in a repr can be used to call.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest
from typing import Annotated, Self

from pydantic import Field, model_validator

from models.base import Contract
from models.secrets import SecretRef
from models.subscriber import Name

TOKEN_BYTES_MIN = 24
TOKEN_BYTES_MAX = 512


class Role(StrEnum):
    """What a client may do."""

    ADMIN = "admin"
    """Everything."""
    SUBSCRIBER = "subscriber"
    """Pull one subscriber's alerts."""
    SENDER = "sender"
    """Send ticket events, and see nothing."""


class ApiClientEntry(Contract):
    """One client as its file says it."""

    name: Name
    token: SecretRef
    role: Annotated[Role, Field(strict=False)]
    subscriber: Name | None = Field(None, description="of role subscriber: whose alerts it pulls")

    @model_validator(mode="after")
    def _subscriber_fits_the_role(self) -> Self:
        if (self.role is Role.SUBSCRIBER) != (self.subscriber is not None):
            raise ValueError("subscriber: to be said of role subscriber, and of no other")
        return self


class ApiClientsFile(Contract):
    """The clients file."""

    clients: list[ApiClientEntry] = Field(min_length=1, max_length=1000)


@dataclass(frozen=True, slots=True)
class ApiClient:
    """One client, with what its token is compared with."""

    name: str
    role: Role
    digest: bytes = field(repr=False)
    subscriber: str | None = None


def token_digest(token: str) -> bytes:
    """Return what is kept of a token. Raises ValueError where it is too short, too long, or cannot stand in a header."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("a token is printable ASCII without spaces")
    if not TOKEN_BYTES_MIN <= len(token) <= TOKEN_BYTES_MAX:
        raise ValueError(f"a token has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} bytes, this one {len(token)}")
    return _digest(token.encode())


def client_of(token: bytes, clients: Iterable[ApiClient]) -> ApiClient | None:
    """Return the client whose token it is. It takes as long for a wrong one as for a right one."""
    given = _digest(token)
    found: ApiClient | None = None
    for client in clients:
        if compare_digest(given, client.digest):
            found = client
    return found


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(b"hotline-watch api token\n" + token).digest()
