"""What a benchmark found: rows with their targets, on which machine; as JSON, as a Markdown table, as lines for a terminal."""

import json
import math
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from streams.broker_jars import KAFKA_VERSION


@dataclass(frozen=True, slots=True)
class Row:
    """One number. `unit` is its unit ("×" for a ratio); at most one of the bounds is its target."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Return whether the target is met; None where there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value <= self.at_most if self.at_most is not None else None

    def cells(self) -> tuple[str, str, str]:
        """Return name, value and target as people read them."""
        bound = self.at_least if self.at_least is not None else self.at_most
        if bound is None:
            return self.name, _quantity(self.value, self.unit), ""
        sign = "≥" if self.at_least is not None else "≤"
        return (
            self.name,
            _quantity(self.value, self.unit),
            f"{sign} {_quantity(bound, self.unit)} {'✓' if self.met else '✗ missed'}",
        )


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark's outcome, ratios first."""

    name: str
    title: str
    rows: tuple[Row, ...]
    parameters: dict[str, str | int | float]
    machine: dict[str, str | int | float] = field(default_factory=lambda: machine())
    quick: bool = False
    """a short run, to see that it works: its numbers are no measurement"""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Result":
        """Return the result that `to_json` gave."""
        return cls(**{**stored, "rows": tuple(Row(**row) for row in stored["rows"])})

    def facts(self) -> str:
        """Return parameters and machine in one line."""
        told = [f"{name} {_number(value)}" for name, value in (*self.parameters.items(), *self.machine.items())]
        return ", ".join([*(["QUICK RUN, no measurement"] if self.quick else []), *told])


def machine() -> dict[str, str | int | float]:
    """Return what of this machine matters to the numbers; nothing that names it."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory GB": round(memory_gb),
        "Python": platform.python_version(),
        "Kafka": KAFKA_VERSION,
        "faust-streaming": version("faust-streaming"),
        "load average at the end": round(os.getloadavg()[0], 1),
    }


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | measured | target |", "|---|---:|---|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join(lines)


def lines(result: Result) -> list[str]:
    """Return the result for a terminal."""
    cells = [row.cells() for row in result.rows]
    name_width, value_width = (max(len(row[column]) for row in cells) for column in (0, 1))
    told = [f"{name:<{name_width}}  {value:>{value_width}}  {target}".rstrip() for name, value, target in cells]
    return [result.title, *told, f"({result.facts()})"]


def read_results(path: Path) -> dict[str, Result]:
    """Return the results in a file, by name; none where there is no file."""
    if not path.exists():
        return {}
    return {name: Result.from_json(stored) for name, stored in json.loads(path.read_text(encoding="utf-8")).items()}


def write_result(path: Path, result: Result) -> None:
    """Put a result into the file, in place of an earlier one of the same name."""
    every = {**read_results(path), result.name: result}
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {name: one.to_json() for name, one in every.items()}
    path.write_text(json.dumps(stored, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def percentile(values: list[float], share: float) -> float:
    """Return the smallest of the values that so large a share of them does not exceed. Raises ValueError where there are none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def _quantity(value: float, unit: str) -> str:
    return f"{_number(value)}{unit if unit in ('×', '') else ' ' + unit}"


def _number(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"
