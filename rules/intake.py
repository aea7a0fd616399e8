"""Intake, the pure part: a validated ticket event becomes the event that everything after intake sees.

Here identity ends. The citizen becomes a keyed pseudonym; the citizen's texts are screened, and of them nothing is kept but findings with a
short masked piece each, and a sketch for likeness; units' texts are not even read; place names are masked. What is said of somebody above
this office's authority is sealed: of the whole event an empty shell goes on (`rules/sealing.py`).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.ticket_event import (
    Amended,
    Designated,
    Dispatched,
    Extension,
    Linked,
    Merged,
    Redo,
    Registered,
    RegisteredFields,
    Resolved,
    ReturnRequested,
    TicketEvent,
    Visited,
)
from models.times import DAY, HOUR, MINUTE, parse_instant
from rules.event import Event
from rules.masking import mask, mask_label, without_house
from rules.pseudonym import PseudonymKey, citizen_keys
from rules.sealing import SEALED, Posts, Route, Said, sealed_route, shell
from rules.sketch import packed_sketch_of
from rules.text.screen import Asked, Screener

_UNITS = {"days": DAY, "hours": HOUR, "minutes": MINUTE}
_NOT_THE_BODY = {"citizen", "occurred_at", "source", "backfill", "test"}
_SPEAKING: frozenset[type] = frozenset({Visited, Registered, Amended})
"""the events in which a citizen says something"""
_ENQUIRY_WORDS = ("查询", "进度")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads citizens' texts at intake: the screener of the pack, and the posts whose accusers are sealed."""

    screener: Screener | None = None
    posts: Posts = field(default_factory=Posts)


NO_READER = Reader()


class Read(NamedTuple):
    """What reading an event's texts gave: by field what they tell of, or where it is sealed to."""

    texts: dict[str, Any]
    route: Route | None = None


def read_texts(events: Sequence[TicketEvent], reader: Reader) -> list[Read]:
    """Return what each event's texts tell of; many at once are read faster than one by one."""
    said = [_said(event) for event in events]
    routes: list[Route | None] = [None] * len(events)
    if reader.posts.any:
        routes = [sealed_route(one, reader.posts, reader.screener) if one is not None else None for one in said]
    asked: list[Asked] = []
    places: list[tuple[int, str]] = []
    if reader.screener is not None:
        for index, (one, route) in enumerate(zip(said, routes, strict=True)):
            if one is not None and route is None:
                for name, text, before in (
                    ("title", one.title, ""),
                    ("content", one.content, one.title),
                    ("comment", one.comment, ""),
                ):
                    if text:
                        asked.append(Asked(text, name, one.names, before))
                        places.append((index, name))
    read: list[dict[str, Any]] = [{} for _ in events]
    screened = reader.screener.screen_all(asked) if reader.screener is not None else []
    for (index, name), told in zip(places, screened, strict=True):
        if told.findings or told.private:
            # As they come from the wire: an event is equal to itself wherever it has been.
            read[index][name] = [[list(one) for one in told.findings], list(told.private)]
    return [Read(texts, route) for texts, route in zip(read, routes, strict=True)]


def to_event(
    event: TicketEvent, keys: Sequence[PseudonymKey], reader: Reader = NO_READER, read: Read | None = None
) -> Event:
    """Return the event without identity or free text; a sealed one as an empty shell.

    `read` is what `read_texts` gave for it; without it its texts are read now.
    """
    at = parse_instant(event.occurred_at)
    texts, route = read or read_texts((event,), reader)[0]
    if route is not None:
        return shell(event, at, route)
    made = _DATA.get(type(event))
    data = made(event, at, keys) if made is not None else {}
    if texts:
        data["texts"] = texts
    unit = getattr(event, "unit_id", None)
    unit_name = getattr(event, "unit_name", None)
    unit_name = mask_label(unit_name) if unit_name else None
    # Two bodies under one id are told apart by what was said, not by how the time was written or which secret is in use.
    body = event.__pydantic_serializer__.to_json(event, exclude=_NOT_THE_BODY)
    return Event(
        event.event_id,
        event.ticket_id,
        event.type if event.type != SEALED else f"unknown:{SEALED}",
        at,
        event.seq,
        unit,
        unit_name,
        bool(event.backfill),
        bool(event.test),
        hashlib.blake2b(body, digest_size=8, key=f"{at}{_person(data)}".encode()).hexdigest(),
        data,
    )


def _said(event: TicketEvent) -> Said | None:
    """Return what the citizen says in an event; None where nothing is said."""
    kind = type(event)
    if kind not in _SPEAKING:
        return None
    if isinstance(event, Visited):
        return Said(comment=event.comment) if event.comment else None
    assert isinstance(event, Registered | Amended)
    fields = event if isinstance(event, Registered) else event.fields
    texts = [text for text in (fields.content, fields.raw_content) if text]
    return Said(
        title=fields.title or "",
        content="\n".join(dict.fromkeys(texts)),
        target=(fields.target.name or "") if fields.target else "",
        request_type=fields.request_type,
        names=(fields.citizen.name,) if fields.citizen and fields.citizen.name else (),
    )


def _person(data: dict[str, Any]) -> str:
    """Return a short mark of the citizen, by the oldest secret: a rotation must not look like another person."""
    citizens = data.get("citizens")
    return hashlib.blake2b(citizens[-1].encode(), digest_size=8).hexdigest() if citizens else ""


def _registered(event: Registered, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    return registered_fields(event, keys)


def _amended(event: Amended, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    return registered_fields(event.fields, keys)


def registered_fields(fields: RegisteredFields, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    """Return what of a registration (or of an amendment to one) is kept; a field that was not said is absent."""
    kept: dict[str, Any] = {}
    names = [fields.citizen.name] if fields.citizen and fields.citizen.name else []
    if fields.citizen is not None:
        kept["citizens"] = citizen_keys(fields.citizen, keys)
    for name in ("request_type", "urgency", "repeat_of", "confidential", "channel"):
        if (value := getattr(fields, name)) is not None:
            kept[name] = value
    if fields.category is not None:
        kept["category"] = [_label(level, names) for level in fields.category]
    if fields.place is not None:
        kept["place"] = _place(fields, names)
    if fields.project_id is not None:
        kept["project"] = fields.project_id
    if fields.target is not None and fields.target.unit_id is not None:
        kept["target_unit"] = fields.target.unit_id
    if fields.title is not None:
        title = mask(fields.title, names)
        kept["title"] = packed_sketch_of(title)
        kept["title_asks"] = any(word in title for word in _ENQUIRY_WORDS)
    content = fields.content or fields.raw_content
    if content is not None:
        kept["content"] = packed_sketch_of(mask(content, names))
    return kept


def _label(text: str, names: list[str]) -> str:
    return mask(text, names) if names else mask_label(text)


def _place(fields: RegisteredFields, names: list[str]) -> dict[str, str]:
    assert fields.place is not None
    place = {
        name: mask(value, names)
        for name in ("district", "street", "community")
        if (value := getattr(fields.place, name))
    }
    if "community" in place and not (cut := without_house(place["community"])):
        del place["community"]
    elif "community" in place:
        place["community"] = cut
    if fields.place.text:
        # An address may lead to a person; for "the same place" its hash is enough.
        text = "".join(mask(fields.place.text, names).split())
        place["spot"] = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return place


def _limited(event: Dispatched | Redo, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    kept: dict[str, Any] = {"round": event.round} if event.round is not None else {}
    if isinstance(event, Dispatched) and event.role == "assist":
        kept["assist"] = True
    if event.due_at is not None:
        kept["due"] = parse_instant(event.due_at)
    elif event.limit is not None:
        # Work days are reckoned in the fold: the calendar may change. Until state schema 2 they were reckoned here.
        if event.limit.unit == "work_days":
            kept["work_days"] = event.limit.value
        else:
            kept["due"] = at + event.limit.value * _UNITS[event.limit.unit]
    return kept


def _return_requested(event: ReturnRequested, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    evidence = event.evidence
    kept = {
        "code": event.reason_code,
        "contacted": event.contacted,
        "site_checked": event.site_checked,
        "evidence": evidence if isinstance(evidence, bool) or evidence is None else bool(evidence),
    }
    return {name: value for name, value in kept.items() if value is not None}


def _extension(event: Extension, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    return {"until": parse_instant(event.until)} if event.until is not None else {}


def _resolved(event: Resolved, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    kept = {"solved": event.solved, "fact": event.fact_confirmed, "appeal": event.appeal_confirmed}
    return {name: value for name, value in kept.items() if value is not None}


def _visited(event: Visited, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    kept = {"result": event.result, "attitude": event.attitude, "contacted": event.contacted, "solved": event.solved}
    return {name: value for name, value in kept.items() if value is not None}


def _merged(event: Merged, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    return {"into": event.into}


def _linked(event: Linked, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    return {"to": event.to}


def _designated(event: Designated, at: int, keys: Sequence[PseudonymKey]) -> dict[str, Any]:
    return {}


_DATA: dict[type, Callable[..., dict[str, Any]]] = {
    Registered: _registered,
    Amended: _amended,
    Dispatched: _limited,
    Redo: _limited,
    ReturnRequested: _return_requested,
    Extension: _extension,
    Resolved: _resolved,
    Visited: _visited,
    Merged: _merged,
    Linked: _linked,
    Designated: _designated,
}
