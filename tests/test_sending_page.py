"""The page for whoever sends ticket events: its examples are taken, and its numbers, fields and answers are the service's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from console.api.auth import load_clients
from console.api.bodies import BODY_SECONDS_MAX
from console.api.events import _refusal
from console.api.problems import ProblemCode
from models.api_client import Role
from models.decode import MAX_AHEAD_MS, MAX_EVENT_BYTES, decode_event
from models.event_batch import BATCH_BYTES_MAX, EVENTS_MAX, Framing, RefusedBatch, read_batch
from models.ticket_event import MODEL_BY_TYPE, EventType
from models.times import parse_instant
from tests.builders import body

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "sending.md").read_text(encoding="utf-8")
NOW_MS = parse_instant("2025-06-20T12:00:00+08:00") // 1000
ANSWERED_BEFORE_OR_BESIDE = {"unauthorized", "forbidden", "internal"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def table_after(heading: str) -> list[list[str]]:
    """Return the rows of the first table after a heading, each by its cells."""
    lines = PAGE.split(heading, 1)[1].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def names_in(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


def test_the_example_of_an_event_is_taken() -> None:
    assert decode_event(blocks("json")[0].encode()).type == "return_requested"


@pytest.mark.parametrize("headers", [None, {"content-type": b"application/cloudevents+json"}])
def test_the_example_of_a_cloud_event_is_taken(headers: dict[str, bytes | None] | None) -> None:
    assert decode_event(blocks("json")[1].encode(), headers).ticket_id == "250601-1"


def test_the_example_of_a_batch_is_taken_as_a_shell_says_it() -> None:
    command = blocks("sh")[0]
    script = f'curl() {{ printf "%s\\n" "$@"; }}\nAPI=x TOKEN=y\n{command}'
    said = subprocess.run(["sh", "-c", script], capture_output=True, check=True, text=True).stdout
    content = said[said.index("\n  {") :].encode()
    assert [event.ticket_id for event in read_batch(content, Framing.OBJECT, NOW_MS)] == ["250601-1", "250601-1"]


def test_the_example_of_a_refusal_is_what_is_answered() -> None:
    events: list[dict[str, Any]] = [body("T-1", "urged", 0, event_id=f"e-{number}") for number in range(20)]
    events[17]["seq"] = "one"
    with pytest.raises(RefusedBatch) as refused:
        read_batch(orjson.dumps({"events": events}), Framing.OBJECT, NOW_MS)
    assert orjson.loads(_refusal(refused.value).response().body) == orjson.loads(blocks("json")[2])


def test_the_example_of_a_client_may_send(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api-our-hotline").write_text("0" * 64)
    (tmp_path / "secrets" / "api-our-hotline").chmod(0o600)
    path = tmp_path / "clients.yaml"
    path.write_text(blocks("yaml")[0], encoding="utf-8")
    assert [(client.name, client.role) for client in load_clients(path)] == [("our-hotline", Role.SENDER)]


def test_every_type_is_told_once_with_fields_that_it_has() -> None:
    told: list[str] = []
    for _, types, fields in table_after("### Which type for which step"):
        told += re.findall(r"`([a-z_]+)`", types)
        known = {name for kind in names_in(types) for name in MODEL_BY_TYPE[kind].model_fields}
        assert names_in(fields) <= known
    assert sorted(told) == sorted(EventType)


def test_every_answer_is_told() -> None:
    rows = table_after("**All of a batch is taken")
    told = {code for _, codes, _ in rows for code in names_in(codes)}
    assert told <= set(ProblemCode)
    sources = ("console/api/events.py", "console/api/bodies.py", "console/api/gate.py")
    text = "".join((DOCS.parent / source).read_text(encoding="utf-8") for source in sources)
    raised = {code.value for code in ProblemCode if f"ProblemCode.{code.name}" in text}
    assert told == raised | ANSWERED_BEFORE_OR_BESIDE | {"unavailable"}


def test_the_numbers_are_the_services() -> None:
    assert f"at most {MAX_EVENT_BYTES // 1024} KiB" in PAGE
    assert f"{MAX_AHEAD_MS / 3_600_000:g}" == "2"
    assert "two hours *ahead*" in PAGE
    assert f"{EVENTS_MAX:,} events and {BATCH_BYTES_MAX // 1024**2} MiB at once" in PAGE
    assert f"longer than {BODY_SECONDS_MAX:g} seconds" in PAGE
