"""The sealed bypass: a complaint about the head of this office, or about an officer above its authority, does not enter the platform.

Rules for handling accusations, art. 15 (检举控告工作规则): the former goes straight to the next higher petition office, the latter straight
to the head of the office; neither may be copied, excerpted or entered into a platform. So intake lets through an empty shell: id, time,
route. The posts are configured (`posts_file`); without them nothing is sealed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from models.base import Contract
from models.strict_yaml import read_yaml
from models.ticket_event import TicketEvent
from rules.event import Event
from rules.text.actors import role_of
from rules.text.context import Context, Word
from rules.text.normalize import normalize
from rules.text.scan import Hit, find_cues
from rules.text.screen import Screener

SEALED = "hw.sealed"
"""the type of a shell on internal topics"""

Route = Literal["superior_petition_office", "head_of_office"]
_ACCUSING_TYPES = frozenset({"complaint", "report"})
_THANKS_REACH = 8
"""characters before a post within which 感谢 is meant for it"""

Words = list[Annotated[str, Field(min_length=2, max_length=40)]]


class Post(Contract):
    """A post whose holder is above this office, or heads it."""

    titles: Words = Field(min_length=1)
    holders: Words = Field(default_factory=list, description="their names")
    route: Annotated[
        Route,
        Field(description="head of this office: superior_petition_office; managed by a higher office: head_of_office"),
    ]


class PostsFile(Contract):
    """What `posts_file` says."""

    posts: list[Post]


@dataclass(frozen=True, slots=True)
class Posts:
    """The registered posts: each title and name in plain form, with its route."""

    routes: dict[str, Route] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Return whether there is any."""
        return bool(self.routes)


@dataclass(frozen=True, slots=True)
class Said:
    """What a citizen says in one event."""

    title: str = ""
    content: str = ""
    comment: str = ""
    target: str = ""
    request_type: str | None = None
    names: tuple[str, ...] = ()


def load_posts(path: Path) -> Posts:
    """Return the posts in a YAML file. Raises ConfigFileError with file:line."""
    document = read_yaml(path)
    routes: dict[str, Route] = {}
    for index, post in enumerate(document.validate(PostsFile).posts):
        for word in (*post.titles, *post.holders):
            plain = normalize(word).text
            if routes.get(plain, post.route) != post.route:
                raise document.error(("posts", index), f"{word!r} stands twice with different routes")
            routes[plain] = post.route
    return Posts(routes)


def sealed_route(said: Said, posts: Posts, screener: Screener | None) -> Route | None:
    """Return where a complaint about a registered post goes; None where none is accused.

    Asked for help, thanked or told of, a post is not accused. In doubt it is: a wrong shell costs a look, a leak cannot be undone.
    """
    target = normalize(said.target).text
    for word, route in posts.routes.items():
        if word in target:
            return route
    text = normalize("\n".join(filter(None, (said.title, said.content, said.comment))))
    named = [word for word in posts.routes if word in text.text]
    if not named:
        return None
    if screener is None:
        return posts.routes[named[0]]
    context = Context(screener.lexicon, text)
    hits = [hit for hit in find_cues(context) if hit.kind != "innocent"]
    accusing = said.request_type in _ACCUSING_TYPES or bool(hits) or screener.suspects(text)
    for word in named:
        if accusing and any(
            not _only_asked(context, at, word) and not _thanked(context, at, hits) for at in _places(text.text, word)
        ):
            return posts.routes[word]
    return None


def _places(text: str, word: str) -> list[int]:
    places: list[int] = []
    at = text.find(word)
    while at >= 0 and len(places) < 100:
        places.append(at)
        at = text.find(word, at + 1)
    return places


def _only_asked(context: Context, at: int, word: str) -> bool:
    end = at + len(word)
    nowhere = Hit(len(context.text), len(context.text), "", "", "")
    return role_of(context, Word(at, end, "official"), nowhere) in ("asked", "told", "posed")


def _thanked(context: Context, at: int, hits: list[Hit]) -> bool:
    """Tell whether the post at a place is thanked, and its sentence tells of nothing (感谢…收了红包才办)."""
    thanks = context.within("praise", max(context.clause(at).start, at - _THANKS_REACH), at)
    sentence = context.sentence(at)
    return bool(thanks) and not any(hit.kind != "weak" and sentence.start <= hit.start < sentence.end for hit in hits)


def shell(event: TicketEvent, at: int, route: Route) -> Event:
    """Return the empty shell of a sealed event: nothing of its body, not even a digest of it."""
    digest = hashlib.blake2b(f"{event.event_id}\n{at}".encode(), digest_size=8).hexdigest()
    return Event(
        event.event_id,
        event.ticket_id,
        SEALED,
        at,
        event.seq,
        None,
        None,
        bool(event.backfill),
        bool(event.test),
        digest,
        {"route": route},
    )
