"""The directory: everything that decides who is told what, as of one reading of the files.

A directory is taken or refused as a whole. Dispatch replaces one by the next between two batches; nothing in one ever
changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from alerting.registration import load_subscribers
from alerting.registry import Registry, load_registry
from alerting.routing import RoutingTree, load_tree
from alerting.silences import load_silences
from alerting.suppression_policy import SuppressionPolicy, load_policy
from models.silence import Silence
from models.subscriber import Subscriber
from models.units import SUPERVISING_KINDS, Duty


@dataclass(frozen=True)
class DeliveryFiles:
    """Where it all is written. None: the default that comes with the service; of the registry: there is none."""

    subscribers: Path
    units: Path | None = None
    routing: Path | None = None
    suppression: Path | None = None
    silences: Path | None = None

    def paths(self) -> tuple[Path, ...]:
        """Return the files that are set."""
        found = (self.subscribers, self.units, self.routing, self.suppression, self.silences)
        return tuple(path for path in found if path is not None)


@dataclass(frozen=True)
class Directory:
    """Registry, routing tree, subscribers, suppression and silences."""

    registry: Registry
    tree: RoutingTree
    subscribers: tuple[Subscriber, ...]
    policy: SuppressionPolicy
    silences: tuple[Silence, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Subscriber]:
        """Return the subscribers by name."""
        return {subscriber.name: subscriber for subscriber in self.subscribers}

    @cached_property
    def reached(self) -> Registry:
        """Return the registry as far as it names subscribers that there are: whom nobody can tell is passed over."""
        return self.registry.reaching(self.by_name.keys())

    @cached_property
    def repeating(self) -> frozenset[str]:
        """Return the names of those who are reminded of what is still in force."""
        return frozenset(one.name for one in self.subscribers if one.repeat_hours is not None)

    def loose_ends(self) -> tuple[str, ...]:
        """Return in what registry and subscribers do not meet, a sentence each: nobody is told there."""
        return loose_ends(self.registry, self.subscribers)


def loose_ends(registry: Registry, subscribers: Iterable[Subscriber]) -> tuple[str, ...]:
    """Return who of the subscribers belongs to no unit, and whom the registry names though there is no such subscriber."""
    names, owned = {one.name for one in subscribers}, registry.subscriber_names()
    return (
        *(
            f"{name}: no unit of the registry has this subscriber, nothing is sent to it"
            for name in sorted(names - owned)
        ),
        *(
            f"{name}: a unit of the registry has it, and the subscribers file does not"
            for name in sorted(owned - names)
        ),
    )


def gaps(registry: Registry, now: int) -> tuple[str, ...]:
    """Return what a registry lacks at an instant for warnings to find their way, a sentence each."""
    duties = (
        f"no unit has the duty {duty}"
        for duty in Duty
        if duty is not Duty.HOTLINE and not registry.with_duty(duty, now)
    )
    units = (
        f"{unit.id}: no team or committee supervises it, its warnings go to the human pool"
        for unit in registry.units
        if unit.valid(now) and unit.kind not in SUPERVISING_KINDS and registry.supervisor_of(unit.id, now) is None
    )
    return (*duties, *units)


def load_directory(files: DeliveryFiles, environ: Mapping[str, str] | None = None) -> Directory:
    """Return what the files say. Raises ConfigFileError (file:line), and MissingRegistryError where no registry is set."""
    if files.units is None:
        raise MissingRegistryError("setting units_file: no unit registry is set, and without one nobody may be told")
    registry = load_registry(files.units)
    return Directory(
        registry=registry,
        tree=load_tree(files.routing, registry),
        subscribers=load_subscribers(files.subscribers, environ),
        policy=load_policy(files.suppression),
        silences=() if files.silences is None else load_silences(files.silences),
    )


class MissingRegistryError(ValueError):
    """No unit registry: whatever is to be sent is held."""
