"""What the API takes and answers. What it takes is strict: unknown fields are refused, and nothing may point into the server's
files or environment.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from console.api.cursor import TEXT_MAX
from models.base import Contract, Identifier, Time
from models.delivery import DeliveryKind, DeliveryStatus
from models.silence import Comment, Silence, SilenceMatchers, SilenceState
from models.subscriber import FamilyChoice, Format, LevelChoice, Name, Payload, Privacy, QuietHours, UnitIds
from models.times import parse_instant
from rules.masking import mask

PAGE_DEFAULT = 100
PAGE_MAX = 500
TextUrl = Annotated[str, Field(min_length=1, max_length=2048)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class PullQuery(_Query):
    """Where to go on, and with how many."""

    after: str | None = Field(
        None, max_length=TEXT_MAX, description="`next` of the page before; none: from the beginning"
    )
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    subscriber: Name | None = Field(None, description="whose alerts; an admin has to say it")


class PulledAlert(BaseModel):
    """One delivery: queued for the subscriber, accepted by its endpoint or not."""

    delivery_id: str = Field(description="the webhook-id of the call: one known already is a duplicate")
    delivery_sequence: int = Field(description="per case, from 1, no gaps")
    kind: DeliveryKind
    mark: str = Field(description="of a reminder, a replay, a drill: which; empty for the alert itself")
    status_of_delivery: DeliveryStatus
    alert: dict[str, Any] = Field(description="what a call in the format json carries")


class PulledPage(BaseModel):
    """A page. It may hold no alert though `more` is true: go on from `next`."""

    alerts: list[PulledAlert]
    next: str = Field(description="opaque: the `after` of the next call")
    more: bool = Field(description="whether there is more right now")


class WhyLineView(BaseModel):
    """One subscriber's answer."""

    subscriber: str
    code: str
    reason: str
    sentence: str
    until: str | None
    further: list[str]


class WhyView(BaseModel):
    """Why each subscriber got an alert, or did not."""

    alert_id: str
    case_id: str | None
    headline: str | None
    summary: str
    routing: list[str]
    lines: list[WhyLineView]


class NewSubscriber(Contract):
    """A subscriber to be added. Keys are made on the server; files and variables of the server cannot be named."""

    name: Name
    url: TextUrl = Field(description="a chat robot's is kept in a file of its own")
    format: Annotated[Format, Field(strict=False)] = Format.JSON
    payload: Annotated[Payload, Field(strict=False)] = Payload.FULL
    privacy: Annotated[Privacy | None, Field(strict=False)] = None
    robot_secret: SecretStr | None = Field(
        None, description="of a robot that checks signatures; kept in a file of its own"
    )
    new_signing_key: bool = Field(False, description="make an ed25519 key too")
    enabled: bool = True
    levels: list[LevelChoice] | None = None
    families: list[FamilyChoice] | None = None
    units: UnitIds | None = None
    owner_units: UnitIds | None = None
    allow_http: bool | None = None
    allow_networks: list[str] | None = None
    timeout_seconds: float | None = None
    concurrency: int | None = None
    rate_per_minute: int | None = None
    group_wait_seconds: float | None = None
    repeat_hours: float | None = None
    quiet_hours: QuietHours | None = None
    headers: dict[str, str] | None = None

    def entry(self) -> dict[str, Any]:
        """Return the fields as the subscribers file says them, without those that are kept apart."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"new_signing_key", "robot_secret"})


class SubscriberView(BaseModel):
    """A subscriber as it may be shown: never a secret, never a URL's path."""

    name: str
    endpoint: str = Field(description="scheme, host and port")
    format: Format
    payload: Payload
    privacy: Privacy
    enabled: bool
    levels: list[str]
    families: list[str]
    units: list[str]
    owner_units: list[str]
    revision: int
    public_keys: list[str] = Field(description="of ed25519 signatures (whpk_…), the current one first")


class AddedSubscriber(BaseModel):
    """A subscriber that was added, and the file its new secret is in."""

    subscriber: SubscriberView
    secret_file: str | None = Field(description="a file's name in the secrets directory of the server")


class SubscriberList(BaseModel):
    """All subscribers."""

    subscribers: list[SubscriberView]


class RotateOrder(Contract):
    """Which key to replace, and for how long the old one signs too."""

    which: Literal["secret", "signing_key"] = "secret"
    overlap_hours: Annotated[float, Field(ge=0, le=24 * 366, allow_inf_nan=False)] = 24


class RotatedView(BaseModel):
    """A key that was replaced."""

    subscriber: str
    which: str
    secret_file: str = Field(description="a file's name in the secrets directory of the server")
    until: str | None = Field(description="until then calls carry the old key's signature too")
    public_key: str | None = Field(description="of a new signing key")


class SubscriberDone(BaseModel):
    """What was done to a subscriber."""

    subscriber: str
    enabled: bool | None = None
    revision: int | None = None
    removed: bool | None = None


class Accepted(BaseModel):
    """Something that the dispatch worker will do."""

    replay_id: str
    count: int = Field(description="deliveries asked for")


class DrillAccepted(BaseModel):
    """A drill that the dispatch worker will send."""

    drill_id: str
    subscriber: str
    case_id: str


def _nobodys(text: str) -> str:
    if mask(text) != text:
        raise ValueError("holds what looks like a phone or identity number, an address or account: leave it out")
    return text


def _told_why(text: str) -> str:
    if len(text.strip()) < 4:
        raise ValueError("say why, in at least 4 characters")
    return text


class ReplayOrder(Contract):
    """What to send again: one alert, or what was delivered in a time, to one subscriber or to all."""

    subscriber: Name | None = None
    alert_id: Identifier | None = None
    since: Time | None = Field(None, alias="from", description="delivered then or later")
    until: Time | None = Field(None, alias="to", description="delivered before")
    reason: Annotated[
        str, Field(max_length=200, pattern=r"^[^\p{C}]*$"), AfterValidator(_told_why), AfterValidator(_nobodys)
    ]

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.alert_id is None and self.since is None:
            raise ValueError("say which: alert_id, or from")
        if self.since is not None and self.until is not None and parse_instant(self.since) >= parse_instant(self.until):
            raise ValueError("from has to lie before to")
        return self


class NewSilence(Contract):
    """A silence to be added; the author is who calls."""

    matchers: SilenceMatchers
    starts_at: Time | None = Field(None, description="default: now")
    ends_at: Time
    comment: Annotated[Comment, AfterValidator(_nobodys)]


class SilencesQuery(_Query):
    """Which silences."""

    over: bool = Field(False, description="also those that are over")


class SilenceView(BaseModel):
    """A silence and where it stands."""

    state: SilenceState
    silence: Silence


class SilenceList(BaseModel):
    """Silences, in the order of the file."""

    silences: list[SilenceView]


class EventsTaken(BaseModel):
    """Ticket events that Kafka has."""

    count: int


class Healthy(BaseModel):
    """How far the ledger is."""

    problems: list[str]
    ledger_lag_records: int | None
    seconds_since_kafka: float | None
