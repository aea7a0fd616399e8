"""The call: one delivery (in a chat group, several) written as the subscriber's format asks, signed, and ready to leave."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from alerting.formats import write
from alerting.payload import Entry
from alerting.signing import signature_headers
from models.delivery import bundle_id
from models.subscriber import Subscriber

__all__ = ["USER_AGENT", "Call", "Entry", "build_call", "call_id"]

USER_AGENT = "hotline-watch"


@dataclass(frozen=True, slots=True)
class Call:
    """One request. Its URL may carry a chat robot's token and signature, so it is never shown."""

    url: str = field(repr=False)
    headers: dict[str, str]
    body: bytes = field(repr=False)


def call_id(entries: Sequence[Entry]) -> str:
    """Return the id of a call, the same at every attempt: its delivery's, or that of the bundle of several."""
    if len(entries) == 1:
        return entries[0].delivery_id
    return bundle_id(entry.delivery_id for entry in entries)


def build_call(entries: Sequence[Entry], subscriber: Subscriber, now: int) -> Call:
    """Return the call for one attempt at the instant `now`: id and body stay from attempt to attempt (but for the time
    and signature that a Feishu robot wants in the body), time and signatures are new.

    Raises ValueError for no entry, for several where the format holds one, and where nothing would sign a call that
    must be signed.
    """
    if not entries or (len(entries) > 1 and not subscriber.format.is_chat):
        raise ValueError(f"{subscriber.name}: a call in the format {subscriber.format} carries one delivery")
    written = write(entries, subscriber, now)
    signatures = signature_headers(call_id(entries), written.body, subscriber, now)
    if not signatures and not subscriber.format.is_chat:
        raise ValueError(f"{subscriber.name}: no secret signs any longer; give the subscriber a current one")
    headers = {
        "content-type": written.content_type,
        "user-agent": USER_AGENT,
        "accept-encoding": "identity",
        **written.headers,
        **signatures,
    }
    return Call(_with_query(subscriber.url, written.query), headers, written.body)


def _with_query(url: str, query: str) -> str:
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"
