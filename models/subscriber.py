"""Subscribers: who gets which warnings, where, how written and signed with what. As written in the subscribers file,
and as resolved from it.

Nothing here shows a secret or a URL's path (chat robots carry a token there) in an error or a repr.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from models.base import Contract, Family, Identifier, Level, Time
from models.secrets import RobotSecret, Rolling, SecretRef, SigningKey, WebhookSecret

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


class Format(StrEnum):
    """How a warning is written for a subscriber."""

    JSON = "json"
    CLOUDEVENTS_STRUCTURED = "cloudevents-structured"
    CLOUDEVENTS_BINARY = "cloudevents-binary"
    ALERTMANAGER = "alertmanager"
    WECOM = "wecom"
    DINGTALK = "dingtalk"
    FEISHU = "feishu"

    @property
    def is_chat(self) -> bool:
        """Return whether people read it in a chat group: what is due together goes in one message."""
        return self in CHAT_FORMATS


CHAT_FORMATS = frozenset({Format.WECOM, Format.DINGTALK, Format.FEISHU})
CHAT_RATE_PER_MINUTE = 20
"""What the makers of chat robots take of one robot."""


class Payload(StrEnum):
    """How much a call carries: the warning, or only that there is one, to be fetched."""

    FULL = "full"
    THIN = "thin"


class Privacy(StrEnum):
    """Which of a warning's fields a subscriber may have; alerting/payload.py lists them."""

    MINIMAL = "minimal"
    STANDARD = "standard"
    FULL = "full"


URL_LENGTH_MAX = 2048
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)


def _checked_clock(text: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise ValueError('not a time of day such as "22:00"')
    return text


ClockTime = Annotated[str, AfterValidator(_checked_clock)]


class QuietHours(Contract):
    """When a subscriber is not to be disturbed (Asia/Shanghai), and by which levels. `end` may be on the next day."""

    start: ClockTime
    end: ClockTime
    levels: Annotated[list[LevelChoice], AfterValidator(_no_duplicates)] = Field(
        [Level.BLUE, Level.YELLOW], min_length=1
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start == self.end:
            raise ValueError("start and end are the same")
        return self


class PreviousSecret(Contract):
    """A key that was replaced; calls carry its signature too until the given time."""

    secret: SecretRef
    until: Time


class ClientCertificate(Contract):
    """What we show an endpoint that asks who calls (mTLS): PEM files, relative to the subscribers file."""

    cert_file: str
    key_file: str


class SubscriberEntry(Contract):
    """One subscriber as its file says it."""

    name: Name
    url: Annotated[str, Field(min_length=1, max_length=URL_LENGTH_MAX)] | SecretRef
    format: Annotated[Format, Field(strict=False)] = Format.JSON
    payload: Annotated[Payload, Field(strict=False)] = Payload.FULL
    privacy: Annotated[Privacy | None, Field(strict=False)] = Field(
        None, description="which fields; default: full, standard in a chat group"
    )
    secret: SecretRef | None = Field(None, description="signs (HMAC); may be left out for chat robots alone")
    previous_secrets: list[PreviousSecret] = Field([], max_length=4)
    signing_key: SecretRef | None = Field(None, description="signs too (ed25519)")
    previous_signing_keys: list[PreviousSecret] = Field([], max_length=4)
    robot_secret: SecretRef | None = Field(None, description="of a DingTalk or Feishu robot that checks signatures")
    client_certificate: ClientCertificate | None = None
    enabled: bool = Field(True, description="false: its warnings are kept, and sent when it is enabled again")
    levels: Annotated[list[LevelChoice], AfterValidator(_no_duplicates)] = Field(list(Level), min_length=1)
    families: Annotated[list[FamilyChoice], AfterValidator(_no_duplicates)] = Field(list(Family), min_length=1)
    units: UnitIds = Field([], description="only warnings about these units; empty: about any")
    owner_units: UnitIds = Field(
        [], description="further units that run the receiver, and those above it: never told about them"
    )
    allow_http: bool = False
    allow_networks: list[Annotated[str, AfterValidator(_checked_network)]] = Field([])
    timeout_seconds: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 15
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    rate_per_minute: Annotated[int | None, Field(ge=1, le=60_000)] = None
    group_wait_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 0
    repeat_hours: Annotated[float | None, Field(ge=1, le=24 * 366, allow_inf_nan=False)] = None
    quiet_hours: QuietHours | None = None
    headers: Annotated[dict[str, str], AfterValidator(_checked_headers)] = Field({})
    ca_file: str | None = None
    revision: Annotated[int, Field(ge=1, description="raise it to try an endpoint again that answered 410 Gone")] = 1

    @model_validator(mode="after")
    def _keys_fit_the_format(self) -> Self:
        if self.secret is None and not self.format.is_chat:
            raise ValueError("secret: every subscriber but a chat robot needs one")
        if self.robot_secret is not None and self.format not in (Format.DINGTALK, Format.FEISHU):
            raise ValueError("robot_secret: only DingTalk and Feishu robots have one")
        if self.payload is Payload.THIN and self.format.is_chat:
            raise ValueError("payload: nobody can fetch the rest of a thin message in a chat group")
        return self

    @property
    def privacy_in_force(self) -> Privacy:
        """Return which fields the subscriber may have."""
        return self.privacy or (Privacy.STANDARD if self.format.is_chat else Privacy.FULL)


class SubscribersFile(Contract):
    """The subscribers file. An empty list is taken: nobody is told, and that is said at the start."""

    subscribers: list[SubscriberEntry]
    removed: list[Name] = Field([], description="names that were in use once: never given to somebody else")


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One subscriber, checked and with its keys at hand."""

    name: str
    url: str = field(repr=False)
    secrets: tuple[Rolling[WebhookSecret], ...] = ()
    """The current one first; empty for a chat robot without one."""
    signing_keys: tuple[Rolling[SigningKey], ...] = ()
    robot_secret: RobotSecret | None = None
    format: Format = Format.JSON
    payload: Payload = Payload.FULL
    privacy: Privacy = Privacy.FULL
    enabled: bool = True
    levels: frozenset[Level] = frozenset(Level)
    families: frozenset[Family] = frozenset(Family)
    units: frozenset[str] = frozenset()
    owner_units: frozenset[str] = frozenset()
    allow_http: bool = False
    allow_networks: tuple[Network, ...] = ()
    timeout_seconds: float = 15
    concurrency: int = 4
    rate_per_minute: int | None = None
    group_wait_seconds: float = 0
    repeat_hours: float | None = None
    quiet_hours: QuietHours | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    client_certificate: tuple[str, str] | None = None
    """Paths of certificate and key."""
    tls_digest: str = ""
    """Of what stands in the files of `ca_file` and `client_certificate`: a renewed one makes new connections."""
    revision: int = 1

    @property
    def tls_files(self) -> tuple[str, ...]:
        """Return the paths of the files that connections are made with."""
        return (*((self.ca_file,) if self.ca_file else ()), *(self.client_certificate or ()))

    @property
    def endpoint_id(self) -> str:
        """Return what tells this endpoint from an earlier one of the same name; it says nothing about the URL."""
        return hashlib.sha256(f"{self.url}\n{self.revision}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Keys:
    """What an entry names, read."""

    url: str = field(repr=False)
    secrets: tuple[Rolling[WebhookSecret], ...] = ()
    signing_keys: tuple[Rolling[SigningKey], ...] = ()
    robot_secret: RobotSecret | None = None
    ca_file: str | None = None
    client_certificate: tuple[str, str] | None = None
    tls_digest: str = ""


def resolved(entry: SubscriberEntry, keys: Keys) -> Subscriber:
    """Return the subscriber that an entry describes."""
    rate = entry.rate_per_minute
    return Subscriber(
        name=entry.name,
        url=keys.url,
        secrets=keys.secrets,
        signing_keys=keys.signing_keys,
        robot_secret=keys.robot_secret,
        format=entry.format,
        payload=entry.payload,
        privacy=entry.privacy_in_force,
        enabled=entry.enabled,
        levels=frozenset(entry.levels),
        families=frozenset(entry.families),
        units=frozenset(entry.units),
        owner_units=frozenset(entry.owner_units),
        allow_http=entry.allow_http,
        allow_networks=tuple(parse_network(text) for text in entry.allow_networks),
        timeout_seconds=entry.timeout_seconds,
        concurrency=entry.concurrency,
        rate_per_minute=rate if rate is not None or not entry.format.is_chat else CHAT_RATE_PER_MINUTE,
        group_wait_seconds=entry.group_wait_seconds,
        repeat_hours=entry.repeat_hours,
        quiet_hours=entry.quiet_hours,
        headers=dict(entry.headers),
        ca_file=keys.ca_file,
        client_certificate=keys.client_certificate,
        tls_digest=keys.tls_digest,
        revision=entry.revision,
    )
