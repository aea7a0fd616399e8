"""What the tests of the import share."""

import json
from pathlib import Path
from typing import Any

from models.decode import decode_event
from models.strict_yaml import parse_yaml
from streams.importing import Rejection, Report, Sample, load_mapping, run_import
from streams.importing.loading import check_mapping
from streams.importing.mapping import Mapping

EVERYTHING = 1_000_000


def mapping_of(text: str) -> Mapping:
    return check_mapping(parse_yaml(text, "m.yaml"))


def run(path: Path, mapping: Mapping | str, **options: Any) -> tuple[list[dict[str, Any]], list[Rejection], Report]:
    """Import a file; return its events (each one taken by the decoder, too), the rejections and the report."""
    sample, rejected = Sample(EVERYTHING), []
    loaded = load_mapping(mapping) if isinstance(mapping, str) else mapping
    report = run_import(path, loaded, sample, on_rejection=rejected.append, **options)
    for body in sample.events:
        decode_event(body)
    return [json.loads(body) for body in sample.events], sorted(rejected), report


def write(tmp_path: Path, text: str, name: str = "data.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path
