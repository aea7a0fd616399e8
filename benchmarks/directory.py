"""Who is told what in a benchmark: a registry, a routing tree and subscribers, all made up. Written as JSON, which is YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from alerting.directory import DeliveryFiles
from benchmarks.endpoints import SECRET_VARIABLE

OFFICE = "OFFICE"
_DEPARTMENT = {"kind": "department", "level": "county"}


def write_office(
    folder: Path, subscribers: Iterable[Mapping[str, Any]], units: Sequence[str] = (), secret: str = SECRET_VARIABLE
) -> DeliveryFiles:
    """Let one office read everything: the human pool, so that it is told of units that the registry does not have, too."""
    entries = list(subscribers)
    office = {"id": OFFICE, "name": "测试研判室", "kind": "discipline_office", "level": "county"}
    known = [{"id": unit, "name": f"测试单位{unit}", **_DEPARTMENT} for unit in units]
    pool = {**office, "duty": "human_pool", "subscribers": [entry["name"] for entry in entries]}
    return _write(folder, entries, [pool, *known], [{"unit": OFFICE}], secret)


def write_teams(
    folder: Path, subscribers: Iterable[Mapping[str, Any]], secret: str = SECRET_VARIABLE
) -> tuple[DeliveryFiles, dict[str, str]]:
    """Give each subscriber a posted team and each team a department; return also each subscriber's department.

    A warning that accuses so many of the departments goes to so many of the subscribers.
    """
    entries = list(subscribers)
    departments: dict[str, str] = {}
    units: list[dict[str, Any]] = [
        {"id": OFFICE, "name": "测试纪委监委", "kind": "discipline_office", "level": "county"}
    ]
    for number, entry in enumerate(entries):
        team, department = f"TEAM-{number:02d}", f"U-{number:02d}"
        departments[entry["name"]] = department
        told = {"kind": "posted_team", "level": "county", "parent": OFFICE, "subscribers": [entry["name"]]}
        units.append({"id": team, "name": f"测试派驻组{number:02d}", **told})
        units.append({"id": department, "name": f"测试部门{number:02d}", **_DEPARTMENT, "supervised_by": team})
    return _write(folder, entries, units, ["supervisor"], secret), departments


def settings_of(files: DeliveryFiles) -> dict[str, str]:
    """Return the environment that names the files to a dispatch worker."""
    return {f"HOTLINE_WATCH_{name.upper()}": str(path) for name, path in file_settings(files).items()}


def file_settings(files: DeliveryFiles) -> dict[str, Path | None]:
    """Return the settings that name the files."""
    return {
        "subscribers_file": files.subscribers,
        "units_file": files.units,
        "routing_file": files.routing,
        "suppression_file": files.suppression,
    }


def _write(folder: Path, entries: list[Mapping[str, Any]], units: Any, to: Any, secret: str) -> DeliveryFiles:
    common = {"secret": {"env": secret}, "allow_http": True, "allow_networks": ["127.0.0.0/8"]}
    routing = {
        "version": 1,
        "routes": [{"id": "all", "title": "全部", "to": to}],
        "cases": [{"name": "任何预警", "family": "P", "accused": [{"kind": "department"}], "branch": "all"}],
    }
    files = DeliveryFiles(
        folder / "subscribers.yaml", folder / "units.yaml", folder / "routing.yaml", folder / "suppression.yaml"
    )
    contents = {
        files.suppression: {"inhibit": []},  # everything goes out, so that everything can be counted
        files.subscribers: {"subscribers": [{**common, **entry} for entry in entries]},
        files.units: {"units": units},
        files.routing: routing,
    }
    for path, content in contents.items():
        assert path is not None
        path.write_bytes(orjson.dumps(content))
    return files
