"""The matrix of faults: number, what fails, and the function that makes it fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.faults.world import World

Cluster = Literal["one", "three", "own"]
"""one: the shared broker; three: the shared cluster of three; own: the fault brings its broker along"""


@dataclass(frozen=True)
class Fault:
    """One row. `inject` starts the processes, lets the load flow, makes the fault happen, sees that it did, and heals it."""

    number: int
    name: str
    observed: str
    inject: Callable[[World], None]
    cluster: Cluster = "one"
    settings: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """programs, or `root`"""
    load: dict[str, int] = field(default_factory=dict)
    """how large the load is, where it is not the usual one"""


_FAULTS: dict[int, Fault] = {}


def fault(
    number: int, name: str, observed: str, **further: Any
) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Enter a function into the matrix."""

    def enter(inject: Callable[[World], None]) -> Callable[[World], None]:
        assert number not in _FAULTS, f"{number} stands twice"
        _FAULTS[number] = Fault(number, name, observed, inject, **further)
        return inject

    return enter


def faults() -> dict[int, Fault]:
    """Return the matrix by number."""
    from tests.faults.groups import load

    load()
    return dict(sorted(_FAULTS.items()))
