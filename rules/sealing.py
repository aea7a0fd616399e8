"""The sealed bypass: a complaint about the head of this office, or about an officer above its authority, does not enter the platform.

Rules for handling accusations, art. 15 (检举控告工作规则): the former goes straight to the next higher petition office, the latter straight
to the head of the office; neither may be copied, excerpted or entered into a platform. So intake lets through an empty shell: id, time,
route. The posts are configured (`posts_file`); without them nothing is sealed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from models.base import Contract
from models.strict_yaml import read_yaml
from models.ticket_event import TicketEvent
from rules.event import Event
from rules.text.actors import role_of
from rules.text.context import Context, Word
from rules.text.normalize import MAX_CHARACTERS, Plain, normalize
from rules.text.scan import Hit, find_cues
from rules.text.screen import Screener

SEALED = "hw.sealed"
"""the type of a shell on internal topics"""

Route = Literal["superior_petition_office", "head_of_office"]
_LEAST_CHARACTERS = 2
MAX_PLACES = 100
"""places of one post that are looked at in a text"""
_TITLE = re.compile(r"(.{2,}?)(书记|主任|县长|区长|市长|州长|省长|局长|部长|主席|检察长|院长|监委主任)")
_SPOKEN_OF = re.compile(
    "他(?!们|人)|她(?!们)|其(?!他|它|余|中|实|次)|自己|本人|(?:的|家)?(?:儿子|女儿|老婆|妻子|亲戚|弟弟|哥哥|司机|秘书)"
)
_POSING_REACH = 8
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

    def named_in(self, text: str) -> Iterator[tuple[tuple[int, int], Route]]:
        """Yield where a plain text names a post, with its route."""
        for word, route in self.routes.items():
            for match in islice(_pattern(word).finditer(text), MAX_PLACES):
                yield match.span(), route


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
            if len(plain) < _LEAST_CHARACTERS:
                raise document.error(
                    ("posts", index), f"{word!r} says too little: a title or name has two characters or more"
                )
            if routes.get(plain, post.route) != post.route:
                raise document.error(("posts", index), f"{word!r} stands twice with different routes")
            routes[plain] = post.route
    return Posts(routes)


@cache
def _pattern(word: str) -> re.Pattern[str]:
    """Return how a post is found: in a title a name or two signs may stand before its last word (云溪县委王书记)."""
    parts = _TITLE.fullmatch(word)
    if parts is None:
        return re.compile(re.escape(word))
    return re.compile(f"{re.escape(parts.group(1))}[^副,。!?;的]{{0,2}}{parts.group(2)}")


def sealed_route(said: Said, posts: Posts, screener: Screener | None) -> Route | None:
    """Return where a complaint about a registered post goes; None where none is accused.

    Asked for help, thanked or told of, a post is not accused. In doubt it is: a wrong shell costs a look, a leak cannot be undone.
    """
    for _, accused in posts.named_in(normalize(said.target).text):
        return accused
    said_all = "\n".join(filter(None, (said.title, said.content, said.comment)))
    for start in range(0, max(1, len(said_all)), MAX_CHARACTERS // 2):  # a name beyond what is screened is a name too
        text = normalize(said_all[start : start + MAX_CHARACTERS])
        route = _accused_in(text, said, posts, screener)
        if route is not None:
            return route
    return None


def _accused_in(text: Plain, said: Said, posts: Posts, screener: Screener | None) -> Route | None:
    named = list(posts.named_in(text.text))
    if not named:
        return None
    if screener is None:
        return named[0][1]
    context = Context(screener.lexicon, text)
    hits = [hit for hit in find_cues(context) if hit.kind != "innocent"]
    # An amendment goes on with what was said before, and carries no type: it is read as part of a complaint.
    complains = said.request_type in _ACCUSING_TYPES or (said.request_type is None and not said.comment)
    if not (complains or hits or screener.suspects(text)):
        return None
    for (start, end), route in named:
        if not (_only_asked(context, start, end) or _thanked(context, start, hits)):
            return route
    return None


def _only_asked(context: Context, start: int, end: int) -> bool:
    """Tell whether the post at a place is only asked for help or told of something, or somebody poses as it.

    Where it is spoken of further (他, 其, 自己) it may be what is complained of: 向县委书记反映,他却收了红包.
    """
    posing = context.within("posing", max(0, start - _POSING_REACH), start)
    if any(word.end == start for word in posing):
        return True
    if _SPOKEN_OF.search(context.text, end):
        return False
    nowhere = Hit(len(context.text), len(context.text), "", "", "")
    return role_of(context, Word(start, end, "official"), nowhere) in ("asked", "told")


def _thanked(context: Context, at: int, hits: list[Hit]) -> bool:
    """Tell whether the post at a place is thanked, and nothing more is told of it (感谢…收了红包才办)."""
    thanks = context.within("praise", max(context.clause(at).start, at - _THANKS_REACH), at)
    sentence = context.sentence(at)
    told = any(hit.kind != "weak" and sentence.start <= hit.start < sentence.end for hit in hits)
    return bool(thanks) and not told and not _SPOKEN_OF.search(context.text, at, sentence.end)


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
