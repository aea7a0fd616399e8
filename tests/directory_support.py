"""Who is told what, in tests of delivery: one office that owns every subscriber and is a recipient of everything, and
nothing is held back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import yaml

from alerting.directory import DeliveryFiles, Directory
from alerting.registry import load_registry
from alerting.routing import load_tree
from alerting.suppression_policy import load_policy
from models.silence import Silence
from models.subscriber import Subscriber

OFFICE = "OFFICE"
ACCUSED = ({"id": "U-A", "name": "甲街道", "kind": "subdistrict", "level": "township"},)
ROUTING = {
    "version": 1,
    "routes": [{"id": "all", "title": "全部", "to": [{"unit": OFFICE}]}],
    "cases": [{"name": "任何预警", "family": "P", "accused": [{"kind": "subdistrict"}], "branch": "all"}],
}


def write_registry(folder: Path, names: Iterable[str], units: Sequence[dict[str, Any]] = ACCUSED) -> DeliveryFiles:
    """Write a registry whose office owns the named subscribers, and a tree that leads everything to it; JSON is YAML."""
    office = {
        "id": OFFICE,
        "name": "测试研判室",
        "kind": "discipline_office",
        "level": "county",
        "duty": "human_pool",
        "subscribers": list(names),
    }
    units_file, routing_file = folder / "units.yaml", folder / "routing.yaml"
    suppression_file = folder / "suppression.yaml"
    suppression_file.write_text("urgent_levels: [blue, yellow, red]\n")
    units_file.write_bytes(orjson.dumps({"units": [office, *units]}))
    routing_file.write_bytes(orjson.dumps(ROUTING))
    return DeliveryFiles(folder / "subscribers.yaml", units_file, routing_file, suppression_file)


def delivery_files(subscribers_file: Path, units: Sequence[dict[str, Any]] = ACCUSED) -> DeliveryFiles:
    """Return the files of delivery for a subscribers file that is written already: everybody in it gets everything."""
    try:
        entries = yaml.safe_load(subscribers_file.read_text(encoding="utf-8"))["subscribers"]
        names = [entry["name"] for entry in entries]
    except (TypeError, KeyError, yaml.YAMLError):
        names = []  # a file that is to be refused
    files = write_registry(subscribers_file.parent, names, units)
    return replace(files, subscribers=subscribers_file)


def file_settings(files: DeliveryFiles) -> dict[str, str]:
    """Return the settings that name the files, without their prefix."""
    return {
        "SUBSCRIBERS_FILE": str(files.subscribers),
        "UNITS_FILE": str(files.units),
        "ROUTING_FILE": str(files.routing),
        "SUPPRESSION_FILE": str(files.suppression),
    }


def make_directory(
    *subscribers: Subscriber, units: Sequence[dict[str, Any]] = ACCUSED, silences: tuple[Silence, ...] = ()
) -> Directory:
    """Return a directory in which the subscribers get everything."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_registry(Path(folder), [subscriber.name for subscriber in subscribers], units)
        assert files.units is not None
        registry = load_registry(files.units)
        return Directory(registry, load_tree(files.routing, registry), subscribers, load_policy(None), silences)
