"""Runs recorded events through the core: what `backtest` and `explain` share."""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from cli.output import fail, read_lines
from models.alert import Alert
from models.base import Status
from models.reference import key_of, read_record
from models.times import ImpossibleTimeError, parse_instant
from rules.driver import Driver
from rules.engine import Engine
from rules.event import Event
from rules.intake import Reader
from rules.pack import Pack, default_pack, load_pack
from rules.pseudonym import PseudonymKey
from rules.reckoning import Reckoning, plain_reckoning
from rules.reference import Reference
from rules.sealing import Posts, load_posts
from rules.text.screen import Screener

# No secret, and none is needed: what counts is that the same person gets the same key, and no key is written anywhere.
RUN_KEYS = [PseudonymKey("run", b"the same person, the same key, each run")]

CalendarOption = Annotated[
    Path | None, typer.Option("--calendar", help="a file of work days, as the setting calendar_file names it")
]
LimitsOption = Annotated[
    Path | None, typer.Option("--limits", help="the city's time limits, as the setting limits_file names them")
]

ReferenceOption = Annotated[
    Path | None,
    typer.Option(
        "--reference", help="reference data to join: rows as `reference export` or `import --to jsonl` writes them"
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        max=64,
        help="processes that decode events and read texts; by default one a core for large files",
    ),
]
KeysOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="settings whose pseudonym keys are used: where --reference flags citizens and events carry phones or ID numbers",
    ),
]


def pack_of(folder: Path | None) -> Pack:
    """Return the pack in a folder, or the default one. Ends with status 2 where it cannot be taken."""
    return load_pack(folder) if folder is not None else default_pack()


def keys_of(config: Path | None) -> list[PseudonymKey]:
    """Return an installation's pseudonym keys, or where none is named, those of a run of its own. Ends with status 2."""
    if config is None:
        return RUN_KEYS
    from cli.configured import settings_of
    from streams.settings import SettingsError

    try:
        return settings_of(config).load_keys()
    except SettingsError as error:
        fail(str(error))


def instant_option(text: str | None, name: str) -> int | None:
    """Return a time option in microseconds. Ends with status 2 where it is none."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ImpossibleTimeError as error:
        fail(f"{name}: {error}; write it like 2025-06-20T12:00:00+08:00")


def reader_of(pack: Pack, posts: Path | None = None, reference: Reference | None = None) -> Reader:
    """Return who reads citizens' texts. Ends with status 2 where the file of posts cannot be taken."""
    screener = Screener(pack.lexicon) if pack.lexicon.categories else None
    own = load_posts(posts) if posts is not None else Posts()
    return Reader(screener, own if reference is None else reference.posts(own))


def reference_of(path: Path | None) -> Reference | None:
    """Return the reference data in a file of rows, one a line. Ends with status 2 where any of them cannot be taken."""
    if path is None:
        return None
    tables = Reference()
    seen: dict[str, int] = {}
    for number, line in read_lines(path):
        try:
            record = read_record(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            fail(
                f"{path}:{number}: {where or 'row'}: {first['msg']}; `hotline-watch reference export` writes such files"
            )
        if seen.setdefault(key_of(record), number) != number:
            fail(f"{path}:{number}: the row stands at line {seen[key_of(record)]} already")
        tables.put(record)
    return tables


def run_core(
    pack: Pack,
    events: Iterable[Event],
    until: int | None,
    on_alert: Callable[[Alert], None],
    reckoning: Reckoning | None = None,
) -> Driver:
    """Run the core over the events; without `until` time ends at the last event. Return the driver with all states at the end."""
    driver = Driver(Engine(pack, reckoning or plain_reckoning()))
    issued: set[str] = set()
    with _no_cycle_collection():
        for event in events:
            if until is not None and event.at > until:
                continue
            for alert in driver.feed(event):
                _once(alert, issued, on_alert)
        for alert in driver.advance(driver.clock if until is None else max(until, driver.clock)):
            _once(alert, issued, on_alert)
    return driver


@contextmanager
def _no_cycle_collection() -> Iterator[None]:
    """Millions of small values that stay, and none that refers to itself: looking for cycles among them would take a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _once(alert: Alert, issued: set[str], on_alert: Callable[[Alert], None]) -> None:
    # History that a live event touches issues its versions again, to be pushed; they are the same versions.
    if alert.alert_id not in issued:
        issued.add(alert.alert_id)
        on_alert(alert)


class InForce:
    """Keeps the last version of each warning."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Alert] = {}

    def take(self, alert: Alert) -> None:
        """Take a version."""
        self._last[alert.case_id, alert.rule.id] = alert

    def alerts(self) -> list[Alert]:
        """Return the versions in force: all that are not retracted."""
        return [alert for alert in self._last.values() if alert.status is not Status.RETRACTED]
