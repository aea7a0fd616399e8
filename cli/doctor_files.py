"""What `doctor` looks at in the configuration: files, secrets, their modes, who is told, rules, and the calendar."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.doctor_findings import Area, Finding, ok, problem, warning
from models.strict_yaml import ConfigFileError
from models.times import datetime_of
from models.units import DUTY_TITLES, Duty
from streams.backup_config import MissingFileError, config_files, secret_files
from streams.settings import Settings, SettingsError

if TYPE_CHECKING:
    from alerting.registry import Registry
    from models.subscriber import Subscriber

_OTHERS = 0o007
_GROUP_WRITES = 0o020
_NOT_THE_OWNER = 0o077


def check_files(
    settings: Settings, config: Path | None, data: Path | None, now: int, offline: bool
) -> Iterator[Finding]:
    """Yield what is found in the configuration; `now` in microseconds, `offline`: endpoints' names are not resolved."""
    yield from _secrets(settings, data)
    yield from _modes(settings, config, data)
    yield from _delivery(settings, now, offline)
    yield from _api(settings)
    yield from _rules(settings)
    yield from check_calendar(settings, now)
    yield from _limits(settings)


def _secrets(settings: Settings, data: Path | None) -> Iterator[Finding]:
    try:
        keys = settings.load_keys()
    except SettingsError as error:
        yield problem(
            Area.SECRETS, str(error), "make one: (umask 077; openssl rand -hex 32 > FILE); a lost one is in the backup"
        )
        return
    if keys:
        yield ok(Area.SECRETS, f"{len(keys)} pseudonym key(s), {keys[0].id} in use")
    elif data is None:
        yield warning(
            Area.SECRETS,
            "no pseudonym key is set: citizens without a key of the platform's own are not recognised again",
            "set pseudonym_keys; `hotline-watch init` shows how",
        )
    else:
        yield ok(Area.SECRETS, f"the pseudonym key is `up`'s own: {data / 'secrets' / 'pseudonym-k1'}")


def _modes(settings: Settings, config: Path | None, data: Path | None) -> Iterator[Finding]:
    found = []
    try:
        secret = set(secret_files(settings))
        named = {source.path for source in config_files(settings, config, data or Path("/nowhere")).sources}
    except MissingFileError as error:
        yield problem(Area.MODES, str(error), "restore it, or take its name out of the configuration")
        return
    except ConfigFileError:
        return  # told with what is wrong in it
    own = sorted((data / "secrets").glob("*")) if data is not None else []
    for path in sorted({*secret, *own}):
        found += list(_opened(path, _OTHERS | _GROUP_WRITES, "a secret", "600"))
    for path in sorted(one for one in named - secret if one.is_file()):
        found += list(_opened(path, 0o022, "configuration that others can change", "600"))
    if data is not None and data.exists():
        found += list(_opened(data, _NOT_THE_OWNER, "what identifies citizens", "700"))
    yield from found
    if not found:
        yield ok(Area.MODES, f"{len(secret) + len(own)} secret files, none open to others")


def _opened(path: Path, forbidden: int, what: str, mode: str) -> Iterator[Finding]:
    try:
        open_to = path.stat().st_mode & forbidden
    except OSError as error:
        yield problem(Area.MODES, f"{path} cannot be looked at: {error.strerror}", "run this as the service's own user")
        return
    if open_to:
        yield problem(Area.MODES, f"{path} is open to others: {what}", f"chmod {mode} {path}")


def _delivery(settings: Settings, now: int, offline: bool) -> Iterator[Finding]:
    from alerting.registration import load_subscribers
    from alerting.registry import load_registry
    from alerting.routing import load_tree
    from alerting.silences import load_silences
    from alerting.suppression_policy import load_policy

    if settings.subscribers_file is None:
        yield warning(
            Area.SUBSCRIBERS,
            f"no subscribers_file is set: warnings stay in topic {settings.topics.alerts}",
            "set subscribers_file and units_file; docs/subscribers.md",
        )
        yield from _drilled(settings.drill_subscriber, ())
        return
    mend = "correct the file; dispatch sends nothing while it cannot be taken"
    found: dict[str, Any] = {}
    loads: dict[str, Callable[[], Any]] = {
        "subscribers": lambda: load_subscribers(settings.subscribers_file),  # type: ignore[arg-type]
        "registry": lambda: load_registry(settings.units_file) if settings.units_file else None,
        "tree": lambda: load_tree(settings.routing_file, found.get("registry")),
        "policy": lambda: load_policy(settings.suppression_file),
        "silences": lambda: load_silences(settings.silences_file) if settings.silences_file else (),
    }
    for name, load in loads.items():
        try:
            found[name] = load()
        except ConfigFileError as error:
            yield problem(Area.SUBSCRIBERS, str(error), mend)
    if "subscribers" in found:
        yield from _subscribers(found["subscribers"], offline)
        yield from _drilled(settings.drill_subscriber, found["subscribers"])
    if found.get("registry") is not None and "subscribers" in found:
        yield from _registry(found["registry"], found["subscribers"], now)
    elif "registry" in found:
        yield problem(
            Area.SUBSCRIBERS, "no units_file is set: every warning is held, never sent", "set it; docs/routing.md"
        )


def _subscribers(subscribers: "tuple[Subscriber, ...]", offline: bool) -> Iterator[Finding]:
    from alerting.subscriber_book import endpoint_problem

    if not subscribers:
        yield warning(
            Area.SUBSCRIBERS, "there is no subscriber: nobody is told", "hotline-watch subscribers add NAME --url …"
        )
    for one in subscribers:
        if not one.enabled:
            yield warning(
                Area.SUBSCRIBERS,
                f"{one.name} is disabled: its warnings are kept",
                f"hotline-watch subscribers enable {one.name}",
            )
        elif not offline and (said := endpoint_problem(one)) is not None:
            yield problem(
                Area.SUBSCRIBERS,
                f"{one.name}: {said}",
                "correct its url or allow_networks, or the name server; `subscribers test` sends a drill",
            )
    if subscribers:
        yield ok(Area.SUBSCRIBERS, f"{len(subscribers)} subscribers")


def _drilled(name: str | None, subscribers: "tuple[Subscriber, ...]") -> Iterator[Finding]:
    """Yield where drills are to call somebody who cannot be called."""
    if name is None:
        return
    entry = next((one for one in subscribers if one.name == name), None)
    if entry is None or not entry.enabled:
        lacks = "is not in subscribers_file" if entry is None else "is disabled"
        yield problem(
            Area.SUBSCRIBERS,
            f"drill_subscriber is {name}, who {lacks}: every drill fails",
            "name another one, or take drill_subscriber out",
        )


def _registry(registry: "Registry", subscribers: "Iterable[Subscriber]", now: int) -> Iterator[Finding]:
    from alerting.directory import loose_ends

    for sentence in loose_ends(registry, subscribers):
        yield problem(
            Area.SUBSCRIBERS, sentence, "name it with its unit in units_file (`subscribers: […]`), or take it out"
        )
    unread = [duty for duty in Duty if not ((unit := registry.with_duty(duty, now)) and unit.subscribers)]
    if unread:
        titles = "、".join(f"{DUTY_TITLES[duty]} ({duty.value})" for duty in unread)
        yield warning(
            Area.SUBSCRIBERS,
            f"nobody reads for: {titles}",
            "give each duty a unit with a subscriber in units_file; what routes to none of them goes to human_pool",
        )
    yield ok(Area.SUBSCRIBERS, f"unit registry with {len(registry.units)} units")


def _api(settings: Settings) -> Iterator[Finding]:
    if settings.api_clients_file is None:
        return
    from console.api.auth import load_clients

    try:
        yield ok(Area.API, f"{len(load_clients(settings.api_clients_file))} API clients")
    except ConfigFileError as error:
        yield problem(Area.API, str(error), "correct the file; the API refuses to start with it")


def _rules(settings: Settings) -> Iterator[Finding]:
    from rules.pack import default_pack, load_pack
    from rules.sealing import load_posts

    try:
        pack = load_pack(settings.rules_dir) if settings.rules_dir else default_pack()
        yield ok(Area.RULES, f"{len(pack.rules)} rules")
    except ConfigFileError as error:
        yield problem(Area.RULES, str(error), "hotline-watch rules lint FOLDER names every fault")
    try:
        posts = load_posts(settings.posts_file) if settings.posts_file else None
    except ConfigFileError as error:
        yield problem(Area.RULES, str(error), "correct the file; workers refuse to start with it")
        return
    if posts is None or not posts.any:
        yield warning(
            Area.RULES,
            "no posts are named: accusations of whoever heads this office are not sealed",
            "fill in posts_file before real complaints come",
        )


def check_calendar(settings: Settings, now: int) -> Iterator[Finding]:
    """Yield whether work days are known of this year and the next, which is announced in November."""
    from rules.calendar_file import load_calendar

    try:
        calendar = load_calendar(settings.calendar_file)
    except ConfigFileError as error:
        yield problem(Area.CALENDAR, str(error), "correct the file; workers refuse to start with it")
        return
    today = datetime_of(now)
    upgrade = "upgrade chinesecalendar, or give the year in calendar_file"
    if today.year not in calendar.years:
        yield problem(Area.CALENDAR, f"work days of {today.year} are not known: what counts them is never red", upgrade)
    elif today.year + 1 in calendar.years:
        yield ok(Area.CALENDAR, f"work days of {today.year} and {today.year + 1} are known ({calendar.version})")
    elif today.month >= 11:
        yield warning(
            Area.CALENDAR, f"work days of {today.year + 1} are not known, and they are announced about now", upgrade
        )
    else:
        yield ok(Area.CALENDAR, f"work days of {today.year} are known; those of the next are announced in November")


def _limits(settings: Settings) -> Iterator[Finding]:
    from rules.limits import load_limits

    if settings.limits_file is None:
        return
    try:
        limits = load_limits(settings.limits_file)
    except ConfigFileError as error:
        yield problem(Area.CALENDAR, str(error), "correct the file; workers refuse to start with it")
        return
    yield ok(Area.CALENDAR, f"time limits ({limits.version})")
