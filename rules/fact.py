"""What a fact is: its name, its value, the events that bear it out, and how time changes it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from rules import views
from rules.event import Event
from rules.views import Cause, View

Value = int | bool | str
Values = tuple[Value, ...]

Events = Callable[[View], Iterable[Event]]


def _no_events(_: View) -> Iterable[Event]:
    return ()


@dataclass(frozen=True)
class Fact:
    """One fact: `path` as rules write it, its value, and where it comes from."""

    path: str
    kind: Literal["int", "bool", "string"]
    doc: str
    value: Callable[[View], Value] | None
    """None where the engine fills it in"""
    support: Events = _no_events
    """the events that bear the value out"""
    altered: Events = _no_events
    """further events that may have taken something off it"""
    of: str | None = None
    """the piece of history without which the value is neutral"""
    clock: bool = False
    """it changes as time passes"""
    work_days: bool = False
    """it depends on the work-day calendar"""
    causes: Callable[[View, int], Iterable[Cause]] | None = None
    """what brought it to a number (a yes/no fact, to yes), where that is more than its supporting events"""
    passing: Callable[[View], str] | None = None
    """what the passing of time brought, in Chinese, for evidence"""


def count(name: str, path: str, doc: str) -> Fact:
    """Return the fact that counts a piece of history."""

    def events(view: View) -> list[Event]:
        return [views.event_of(one) for one in getattr(view.lineage, name)]

    return Fact(path, "int", doc, lambda view: len(getattr(view.lineage, name)), events, of=name)
