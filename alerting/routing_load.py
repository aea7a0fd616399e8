"""Reading a routing file: the tree is taken or refused as a whole, and its cases are run.

Refused, with file:line: what the strict reader refuses, ids that stand twice, a branch that an earlier sibling always
takes first, a unit that the registry does not have, a case that fails, a branch that no case reaches.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alerting.registry import Registry
from alerting.routing_tree import RouteNode, RoutingFile, Selector, When, branch_of, path_of
from models.base import Family, Level
from models.strict_yaml import MAX_FILE_BYTES, ConfigFileError, Document, KeyPath, parse_yaml

DEFAULT_FILE = Path(__file__).with_name("defaults") / "routing.yaml"


@dataclass(frozen=True, slots=True)
class _Place:
    """A node, where it stands in the file, and the nodes around it."""

    node: RouteNode
    at: KeyPath
    around: tuple[RouteNode, ...]


def read_tree(path: Path | None, registry: Registry | None) -> tuple[RoutingFile, str]:
    """Return the checked file (None: the default one) and its version, 16 hexadecimal digits of its SHA-256.

    Raises ConfigFileError (file:line: what is wrong). Units that the tree names are looked up if a registry is given.
    """
    path = path or DEFAULT_FILE
    content = _read(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigFileError(str(path), 1, "is not UTF-8") from None
    document = parse_yaml(text, str(path))
    file = document.validate(RoutingFile)
    places = tuple(_places(file.routes, ("routes",), ()))
    _check_ids(document, places)
    _check_reachable(document, file.routes, ("routes",), ())
    if registry is not None:
        _check_units(document, file, places, registry)
    _run_cases(document, file, places)
    return file, hashlib.sha256(content).hexdigest()[:16]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigFileError(str(path), 1, f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigFileError(str(path), 1, f"over {MAX_FILE_BYTES} bytes")
    return content


def _places(nodes: Sequence[RouteNode], at: KeyPath, around: tuple[RouteNode, ...]) -> Iterator[_Place]:
    for index, node in enumerate(nodes):
        yield _Place(node, (*at, index), around)
        yield from _places(node.routes, (*at, index, "routes"), (*around, node))


def _check_ids(document: Document, places: Sequence[_Place]) -> None:
    seen: set[str] = set()
    for place in places:
        if place.node.id in seen:
            raise document.error((*place.at, "id"), f"the id {place.node.id} stands twice")
        seen.add(place.node.id)


def _check_reachable(document: Document, nodes: Sequence[RouteNode], at: KeyPath, around: tuple[When, ...]) -> None:
    for index, node in enumerate(nodes):
        conditions = (*around, node.when)
        for earlier in nodes[:index]:
            if implies(conditions, earlier.when):
                problem = f"{node.id} is never reached: {earlier.id}, before it, takes everything that it would take"
                raise document.error((*at, index), problem)
        _check_reachable(document, node.routes, (*at, index, "routes"), conditions)


def implies(known: Sequence[When], wanted: When) -> bool:
    """Return whether everything in `wanted` holds of each warning of which all of `known` holds.

    True is certain; a false answer may miss an implication that follows only from several conditions together.
    """
    return all(
        (
            _among(known, "families", wanted.families) or set(wanted.families or ()) == set(Family),
            _among(known, "levels", wanted.levels) or set(wanted.levels or ()) == set(Level),
            _among(known, "rules", wanted.rules),
            _among(known, "categories", wanted.categories),
            _among(known, "flags", wanted.flags),
            _among(known, "accused_kinds", wanted.accused_kinds),
            _among(known, "any_accused_kinds", wanted.any_accused_kinds)
            or _among(known, "accused_kinds", wanted.any_accused_kinds),
            _among(known, "accused_levels", wanted.accused_levels),
            wanted.units_min is None or _units_min(known) >= wanted.units_min,
            wanted.units_max is None
            or any(one.units_max is not None and one.units_max <= wanted.units_max for one in known),
        )
    )


def _among(known: Sequence[When], field: str, wanted: Sequence[object] | None) -> bool:
    if wanted is None:
        return True
    said = (getattr(one, field) for one in known)
    return any(values is not None and set(values) <= set(wanted) for values in said)


def _units_min(known: Sequence[When]) -> int:
    somebody = any(one.accused_kinds or one.any_accused_kinds or one.accused_levels for one in known)
    return max([1 if somebody else 0, *(one.units_min for one in known if one.units_min is not None)])


def _check_units(document: Document, file: RoutingFile, places: Sequence[_Place], registry: Registry) -> None:
    def check(selectors: Sequence[Selector] | None, at: KeyPath) -> None:
        for index, selector in enumerate(selectors or ()):
            if selector.unit_id is not None and not registry.knows(selector.unit_id):
                raise document.error((*at, index), f"the unit registry has no unit {selector.unit_id}")

    check(file.copies, ("copy",))
    for place in places:
        check(place.node.to, (*place.at, "to"))
        check(place.node.copies, (*place.at, "copy"))


def _run_cases(document: Document, file: RoutingFile, places: Sequence[_Place]) -> None:
    reached: set[str] = set()
    known = {place.node.id for place in places if place.node.to is not None} | {branch_of(())}
    for index, case in enumerate(file.cases):
        if case.branch not in known:
            raise document.error(("cases", index, "branch"), f"there is no branch {case.branch} with recipients")
        taken = branch_of(path_of(file.routes, case.subject))
        if taken != case.branch:
            raise document.error(("cases", index), f"the case takes the branch {taken}, not {case.branch}")
        reached.add(taken)
    for place in places:
        if place.node.to is not None and place.node.id not in reached:
            problem = f"no case reaches {place.node.id}; write one, so that it is known whom it is for"
            raise document.error(place.at, problem)
