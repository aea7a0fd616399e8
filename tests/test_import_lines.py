"""Files of ticket events as JSON Lines: imported without a mapping, each line judged as intake judges a record."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli import importing, importing_job
from models.decode import MAX_EVENT_BYTES, decode_event
from models.quarantine import RejectionReason
from streams.importing import ImportFault, Rejection, Report, Sample, SinkFault, load_mapping, run_import, run_lines
from tests.snapshot_support import Log

AT = "2025-06-01T08:00:00+08:00"


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "ticket_id": "t1", "type": "archived", "occurred_at": AT} | fields


def lines_of(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in events)


def read(tmp_path: Path, content: bytes, **options: Any) -> tuple[list[dict[str, Any]], list[Rejection], Report]:
    """Import a file of this content; return its events, each taken by the decoder too, the rejections and the report."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    sample, rejected = Sample(1_000_000), []
    report = run_lines(path, sample, on_rejection=rejected.append, **options)
    for body in sample.events:
        decode_event(body)
    return [json.loads(body) for body in sample.events], rejected, report


def test_events_go_as_they_are_in_the_order_of_time(tmp_path: Path) -> None:
    late = event(1, title="路灯不亮", citizen={"phone": "199-0000-0001"}, further=[1.5, 2**62])
    early = event(2, occurred_at="2025-05-31T08:00:00")
    events, rejected, report = read(tmp_path, lines_of(late, early), backfill=False)
    assert events == [early, late]
    assert (rejected, report.rows, report.keys, report.read_as) == ([], 2, 1, "json lines")


@pytest.mark.parametrize(
    ("command", "own", "expected"),
    [
        (None, None, True),
        (None, True, True),
        (None, False, False),
        (True, None, True),
        (True, False, True),
        (False, None, None),
        (False, True, False),
        (False, False, False),
    ],
)
def test_events_are_history_unless_they_or_the_command_say_otherwise(
    tmp_path: Path, command: bool | None, own: bool | None, expected: bool | None
) -> None:
    told = {} if own is None else {"backfill": own}
    events, _, report = read(tmp_path, lines_of(event(1, **told)), backfill=command)
    assert events[0].get("backfill") is expected
    assert report.backfill is bool(expected)


def test_a_file_of_history_and_news_is_not_told_to_be_all_history(tmp_path: Path) -> None:
    for events in ([event(1), event(2, backfill=False)], [event(1, backfill=False), event(2)]):
        assert read(tmp_path, lines_of(*events))[2].backfill is False


BAD = [
    (b"{", RejectionReason.NOT_JSON),
    (b"null", RejectionReason.NOT_AN_OBJECT),
    (b"[]", RejectionReason.NOT_AN_OBJECT),
    (b'{"event_id": "x"} x', RejectionReason.NOT_JSON),
    (b'{"event_id": "\xff"}', RejectionReason.NOT_UTF8),
    (b'{"event_id": NaN}', RejectionReason.BAD_NUMBER),
    (b'{"event_id": "a", "event_id": "b"}', RejectionReason.DUPLICATE_KEY),
    (b'{"event_id": "\\ud800"}', RejectionReason.BAD_TEXT),
    (lines_of(event(9, occurred_at="2025-13-01")).strip(), RejectionReason.IMPOSSIBLE_TIME),
    (lines_of(event(9, backfill="yes")).strip(), RejectionReason.INVALID_FIELD),
    (b'{"event_id": "x"}', RejectionReason.MISSING_FIELD),
    (lines_of(event(9, title="x" * MAX_EVENT_BYTES)).strip(), RejectionReason.TOO_LARGE),
    (b'{"x": "' + b"x" * 3 * MAX_EVENT_BYTES, RejectionReason.TOO_LARGE),
    (lines_of(event(9, schema_version=2)).strip(), RejectionReason.UNSUPPORTED_VERSION),
    (lines_of({"specversion": "1.0", "data": 1}).strip(), RejectionReason.INVALID_FIELD),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=[f"{reason}-{len(line)}" for line, reason in BAD])
def test_a_bad_line_is_told_by_its_number_and_the_others_go(tmp_path: Path, line: bytes, reason: str) -> None:
    content = lines_of(event(1)) + b"\n" + line + b"\r\n" + lines_of(event(2))
    events, rejected, report = read(tmp_path, content)
    assert [one["event_id"] for one in events] == ["e1", "e2"]
    assert [(one.line, one.reason) for one in rejected] == [(3, reason)]
    assert (report.rows, report.blank_lines, dict(report.rejected)) == (3, 1, {reason: 1})


def test_no_message_shows_what_a_line_says(tmp_path: Path) -> None:
    secret = "张某199-0000-0001"
    content = lines_of(
        event(1, occurred_at=secret), event(2, type="registered", title=[secret]), event(3, ticket_id=f"\0{secret}")
    )
    _, rejected, _ = read(tmp_path, lines_of(event(4)) + content)
    assert len(rejected) == 3
    assert secret not in str(rejected)


def test_an_event_that_marking_as_history_makes_too_large_is_rejected_and_its_id_stays_free(tmp_path: Path) -> None:
    long = event(1, further="")
    long["further"] = "x" * (MAX_EVENT_BYTES - len(json.dumps(long)))
    events, rejected, _ = read(tmp_path, lines_of(long, event(1)))
    assert [one.reason for one in rejected] == ["too_large"]
    assert events == [event(1, backfill=True)]


def test_a_line_that_repeats_another_is_passed_over_and_one_that_contradicts_it_is_rejected(tmp_path: Path) -> None:
    again = dict(reversed(event(1, backfill=True).items()))
    events, rejected, report = read(tmp_path, lines_of(event(1), again, event(1, ticket_id="t2"), event(2)))
    assert [one["event_id"] for one in events] == ["e1", "e2"]
    assert report.repeated_rows == 1
    assert [(one.line, one.reason) for one in rejected] == [(3, "duplicate_event_id")]


def test_what_is_not_known_is_sent_and_told(tmp_path: Path) -> None:
    strange = event(1, type="张某的类型", unit="甲", **{"x" * 50: 1})
    events, _, report = read(tmp_path, lines_of(strange, event(2, unit="乙")))
    assert len(events) == 2
    assert dict(report.events) == {"(unknown type)": 1, "archived": 1}
    assert report.columns_not_read == ["unit"]


@pytest.mark.parametrize("data", ["data", "data_base64"])
def test_of_a_cloud_event_what_is_in_it_is_sent(tmp_path: Path, data: str) -> None:
    inner: Any = event(1)
    packed = base64.b64encode(json.dumps(inner).encode()).decode() if data == "data_base64" else inner
    envelope = {"specversion": "1.0", "id": "1", "source": "x", "type": "y", data: packed}
    events, rejected, _ = read(tmp_path, lines_of(envelope))
    assert (events, rejected) == ([inner | {"backfill": True}], [])


def test_what_intake_would_refuse_as_ahead_is_rejected_where_the_time_is_known(tmp_path: Path) -> None:
    content = lines_of(event(1, occurred_at="2025-06-01T10:00:00+08:00"), event(2, occurred_at="2025-06-01T10:00:01"))
    assert len(read(tmp_path, content)[0]) == 2
    events, rejected, _ = read(tmp_path, content, now_ms=1_748_736_000_000)
    assert [one["event_id"] for one in events] == ["e1"]
    assert [(one.line, one.reason) for one in rejected] == [(2, "in_the_future")]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["bare", "marked"])
def test_plain_and_gzip_with_and_without_byte_order_mark_are_read(
    tmp_path: Path, pack: Callable[[bytes], bytes], mark: bytes
) -> None:
    content = pack(mark + lines_of(event(1, title="路灯")).rstrip())
    assert [one["title"] for one in read(tmp_path, content)[0]] == ["路灯"]


MANY = b"".join(lines_of(event(number, title=f"路灯{number}")) for number in range(2_000))
REFUSED = [
    ("empty", b" \n\n", "is empty"),
    ("a table", b"id,user\n1,2\n", "for a table .* give --mapping NAME"),
    ("a workbook", b"PK\x03\x04" + b"\0" * 60, "give --mapping NAME"),
    ("an array", b'[{"event_id": 1}]', "one JSON array.*jq -c '.\\[\\]'"),
    ("indented", b'{\n "event_id": "1"}\n', "several lines.*jq -c"),
    ("UTF-16", '{"event_id": 1}'.encode("utf-16"), "UTF-16: save it as UTF-8"),
    ("GB18030", '{"title": "路灯不亮"}\n'.encode("gb18030") * 3, "is GB18030.*iconv"),
    ("gzip cut off", gzip.compress(MANY)[:-20], r"damaged after line \d{2,}: fetch it again"),
    ("gzip cut off at its head", gzip.compress(MANY)[:12], "damaged after line 0"),
    ("gzip with a wrong byte", b"\x1f\x8b\x08\x00" + b"\xff" * 40, "damaged after line 0"),
]


@pytest.mark.parametrize(("content", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_file_that_is_none_of_events_is_refused_with_what_to_do(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ImportFault, match=words):
        read(tmp_path, content)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFault, match="cannot be read: No such file"):
        run_lines(tmp_path / "none.jsonl", Sample(1))


def test_events_given_with_a_mapping_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines_of(event(1)))
    with pytest.raises(
        ImportFault, match="is JSON Lines and no table: ticket events are imported so without --mapping"
    ):
        run_import(path, load_mapping("citizen-messages"), Sample(1))


def test_after_a_break_the_same_events_come_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(MANY)
    log = Log(breaks_after=700)
    with pytest.raises(SinkFault):
        run_lines(path, log)
    log.heal()
    run_lines(path, log)
    assert (len(log.bodies), len(log.events())) == (2_700, 2_000)


def command(*arguments: object) -> Result:
    return CliRunner().invoke(importing.app, [*map(str, arguments)])


def test_the_command_takes_events_without_a_mapping(tmp_path: Path) -> None:
    path, rejects, out = tmp_path / "events.jsonl", tmp_path / "rejects.jsonl", tmp_path / "out.jsonl"
    path.write_bytes(lines_of(event(1, unitid="甲"), event(2, type="unheard"), event(2)) + b"{\n")
    result = command(path, "--live", "--to", "jsonl", "--out", out, "--rejects", rejects, "--strict")
    assert result.exit_code == 1
    assert "4 lines read, 2 rejected\n" in result.stdout
    assert "fields that the event contract does not know: unitid" in result.stdout
    assert "line 3: duplicate_event_id: an event id that the file has already" in result.stderr
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == [3, 4]
    assert [json.loads(line)["event_id"] for line in out.read_text().splitlines()] == ["e1", "e2"]
    answer = json.loads(command(path, "--dry-run", 1, "--json").stdout)
    assert (answer["mapping"], answer["events"], answer["first_events"][0]["backfill"]) == ("", 2, True)


def test_options_of_tables_are_refused_without_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines_of(event(1)))
    for options in (("--encoding", "utf-8"), ("--sheet", "x"), ("--at", AT), ("--snapshot", "--state", "x")):
        result = command(path, "--dry-run", 1, *options)
        assert result.exit_code == 2, options
        assert "are for tables: give --mapping" in " ".join(result.stderr.replace("│", " ").split())


def test_a_watched_folder_takes_files_of_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Sample(9)
    monkeypatch.setattr(importing_job.Job, "sink", lambda *_, **__: sample)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(lines_of(event(1)) + b"{\n")
    (folder / "b.csv").write_bytes(b"id\n1\n")
    options = ("--watch", folder, "--once", "--settle-seconds", 0, "--every-seconds", 0.1, "--json")
    told = {one["file"]: one for one in map(json.loads, command(*options).stdout.splitlines())}
    assert (told["a.jsonl"]["ending"], told["a.jsonl"]["events"]) == ("imported", 1)
    assert told["b.csv"]["ending"] == "failed"
    assert "give --mapping" in told["b.csv"]["problem"]
    assert json.loads((folder / "done" / "a.jsonl.rejects.jsonl").read_text())["line"] == 2
    (folder / "copy.jsonl").write_bytes(lines_of(event(1)) + b"{\n")
    assert json.loads(command(*options).stdout)["ending"] == "already_done"
    assert len(sample.events) == 1


def test_the_example_in_the_documentation_is_taken(tmp_path: Path) -> None:
    document = (Path(__file__).parent.parent / "docs" / "import.md").read_text(encoding="utf-8")
    example = document.split("```json\n", 1)[1].split("```", 1)[0]
    events, rejected, report = read(tmp_path, example.encode())
    assert ([one["type"] for one in events], rejected, report.columns_not_read) == (
        ["registered", "dispatched"],
        [],
        [],
    )
