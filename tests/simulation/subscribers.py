"""Who is told of warnings in a simulated run: an office, and units that are accused in some of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from alerting.directory import Directory
from alerting.registry import load_registry
from alerting.routing import load_tree
from alerting.suppression_policy import load_policy
from models.base import Level
from models.subscriber import QuietHours, Subscriber
from tests.alerting_support import make_subscriber
from tests.directory_support import OFFICE, write_registry

ACCUSED = {"U-1": "unit-1", "U-2": "unit-2"}
"""Units that tickets name, and their subscribers: a warning leads to each of them, and none may hear of itself."""
_UNITS = tuple(
    {
        "id": unit,
        "name": f"第{unit[2:]}街道",
        "kind": "subdistrict",
        "level": "township",
        "subscribers": [ACCUSED[unit]] if unit in ACCUSED else [],
    }
    for unit in ("U-1", "U-2", "U-3")
)
_SERIOUS = frozenset({Level.RED, Level.YELLOW})
OFFICES = ("office", "reds", "nights")
_ROUTING = {
    "version": 1,
    "routes": [{"id": "all", "title": "全部", "to": [{"unit": unit} for unit in (OFFICE, *ACCUSED)]}],
    "cases": [{"name": "任何预警", "family": "P", "accused": [{"kind": "subdistrict"}], "branch": "all"}],
}


@cache
def directory_of(*, suppressing: bool) -> Directory:
    """Return who is told what; `suppressing`: red holds back blue, and one sleeps at night and waits for more to come."""
    night = {"quiet_hours": QuietHours(start="22:00", end="07:00"), "group_wait_seconds": 60} if suppressing else {}
    subscribers = (
        _subscriber("office"),
        _subscriber("reds", levels=_SERIOUS, concurrency=1),
        _subscriber("nights", levels=_SERIOUS, **night),
        *(_subscriber(name) for name in ACCUSED.values()),
    )
    with TemporaryDirectory() as folder:
        files = write_registry(Path(folder), OFFICES, _UNITS)
        assert files.units is not None
        assert files.routing is not None
        files.routing.write_bytes(orjson.dumps(_ROUTING))
        registry = load_registry(files.units)
        policy = load_policy(None if suppressing else files.suppression)
        return Directory(registry, load_tree(files.routing, registry), subscribers, policy)


def _subscriber(name: str, **fields: Any) -> Subscriber:
    return make_subscriber(name, f"http://{name}.example/1", allow_http=True, **fields)


class Source:
    """Stands for the files: what they say, or None while there is no sound registry."""

    def __init__(self, directory: Directory) -> None:
        self.current: Directory | None = directory
        self.subscribers = directory.subscribers
        self.rejected = None

    @property
    def problem(self) -> str | None:
        """Return why nothing is sent."""
        return None if self.current else "no registry"


def renewed(subscriber: Subscriber) -> Subscriber:
    """Return a subscriber that is called elsewhere from now on."""
    revision = subscriber.revision + 1
    return replace(subscriber, url=f"http://{subscriber.name}.example/{revision}", revision=revision)
