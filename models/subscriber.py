"""Subscribers: who gets which warnings, where, and signed with what. As written in the subscribers file, and as
resolved from it.

A secret is named, not written down: `secret: {file: PATH}` or `{env: NAME}`; `{inline: …}` is taken only from a file
that others cannot read. Nothing here shows a secret or a URL's path (chat robots carry a token there) in an error or
a repr.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from models.base import Contract, Family, Identifier, Level

SECRET_BYTES_MIN = 24
SECRET_BYTES_MAX = 512
_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that Standard Webhooks gives its secrets
_PREFIX_BITS_MIN = {4: 8, 6: 16}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*", re.ASCII)
_RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)

Network = IPv4Network | IPv6Network


def parse_network(text: str) -> Network:
    """Return a CIDR network. Raises ValueError for host bits, and for one so wide that it would allow nearly
    everything.
    """
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError("not a network such as 10.20.0.0/16 (no bits set after the prefix)") from None
    if network.prefixlen < _PREFIX_BITS_MIN[network.version]:
        raise ValueError(f"too wide: at least /{_PREFIX_BITS_MIN[network.version]}")
    return network


def _checked_network(text: str) -> str:
    parse_network(text)
    return text


def _checked_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError("a header's name or value holds a character that is not allowed, such as a line break")
        if name.lower() in _RESERVED_HEADERS or name.lower().startswith("webhook-"):
            raise ValueError("this header is the service's own, or would put a secret into the file")
    if len({name.lower() for name in headers}) != len(headers):
        raise ValueError("a header stands twice")
    return headers


def _no_duplicates(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError("an entry stands twice")
    return values


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="lower-case letters, digits and hyphens")]
UnitIds = Annotated[list[Identifier], AfterValidator(_no_duplicates)]
LevelChoice = Annotated[Level, Field(strict=False)]  # a file can only say it as text
FamilyChoice = Annotated[Family, Field(strict=False)]


class SecretRef(Contract):
    """Where a signing secret is: exactly one of `file` (relative to the subscribers file), `env` or `inline`."""

    file: str | None = None
    env: str | None = None
    inline: SecretStr | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if [self.file, self.env, self.inline].count(None) != 2:
            raise ValueError("say exactly one of file, env and inline")
        return self


class SubscriberEntry(Contract):
    """One subscriber as its file says it."""

    name: Name
    url: Annotated[str, Field(min_length=1, max_length=2048)]
    secret: SecretRef
    levels: Annotated[list[LevelChoice], AfterValidator(_no_duplicates)] = Field(list(Level), min_length=1)
    families: Annotated[list[FamilyChoice], AfterValidator(_no_duplicates)] = Field(list(Family), min_length=1)
    units: UnitIds = Field([], description="only warnings about these units; empty: about any")
    owner_units: UnitIds = Field(
        [], description="the unit that runs the receiver and those above it: never told about them"
    )
    allow_http: bool = False
    allow_networks: list[Annotated[str, AfterValidator(_checked_network)]] = Field([])
    timeout_seconds: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 15
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    headers: Annotated[dict[str, str], AfterValidator(_checked_headers)] = Field({})
    ca_file: str | None = None
    revision: Annotated[int, Field(ge=1, description="raise it to try an endpoint again that answered 410 Gone")] = 1


class SubscribersFile(Contract):
    """The subscribers file. An empty list is taken: nobody is told, and that is said at the start."""

    subscribers: list[SubscriberEntry]


class WebhookSecret:
    """A signing key. It never shows itself."""

    __slots__ = ("key",)

    def __init__(self, key: bytes) -> None:
        if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
            raise ValueError(f"a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, this one {len(key)}")
        self.key = key

    @classmethod
    def parse(cls, text: str) -> "WebhookSecret":
        """Return the secret in a text, `whsec_` and base64 or raw. Raises ValueError, which never shows it."""
        text = text.strip()
        if not text.startswith(_SECRET_PREFIX):
            return cls(text.encode())
        encoded = text.removeprefix(_SECRET_PREFIX)
        try:
            # Keys are often passed round without their padding.
            return cls(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
        except binascii.Error:
            raise ValueError("what follows whsec_ is not base64") from None

    def __repr__(self) -> str:
        return "WebhookSecret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WebhookSecret) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One subscriber, checked and with its secret at hand."""

    name: str
    url: str = field(repr=False)
    secret: WebhookSecret
    levels: frozenset[Level] = frozenset(Level)
    families: frozenset[Family] = frozenset(Family)
    units: frozenset[str] = frozenset()
    owner_units: frozenset[str] = frozenset()
    allow_http: bool = False
    allow_networks: tuple[Network, ...] = ()
    timeout_seconds: float = 15
    concurrency: int = 4
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    revision: int = 1

    @property
    def endpoint_id(self) -> str:
        """Return what tells this endpoint from an earlier one of the same name; it says nothing about the URL."""
        return hashlib.sha256(f"{self.url}\n{self.revision}".encode()).hexdigest()[:16]


def resolved(entry: SubscriberEntry, secret: WebhookSecret, ca_file: str | None) -> Subscriber:
    """Return the subscriber that an entry describes."""
    return Subscriber(
        name=entry.name,
        url=entry.url,
        secret=secret,
        levels=frozenset(entry.levels),
        families=frozenset(entry.families),
        units=frozenset(entry.units),
        owner_units=frozenset(entry.owner_units),
        allow_http=entry.allow_http,
        allow_networks=tuple(parse_network(text) for text in entry.allow_networks),
        timeout_seconds=entry.timeout_seconds,
        concurrency=entry.concurrency,
        headers=dict(entry.headers),
        ca_file=ca_file,
        revision=entry.revision,
    )
