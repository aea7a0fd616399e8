"""Import of reference data: a table becomes its difference with what is there; what cannot be taken is refused and shown to nobody."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from cli.backtest import app as backtest
from cli.importing import app
from cli.importing_show import lines_of
from models.reference import ReferenceRecord, ReferenceTable, key_of, read_record
from models.strict_yaml import ConfigFileError
from rules.pseudonym import PseudonymKey
from rules.reference import Reference
from streams.importing.faults import ImportFault
from streams.importing.header import HeaderMismatch
from streams.importing.reference_mapping import included_text, load_table_mapping, table_of
from streams.importing.reference_run import LoadOptions, load_reference
from streams.importing.report import LoadReport, Rejection
from streams.importing.state import ImportState
from streams.importing.watching import Ending, Watcher
from streams.reference_log import Change, Row, change_of
from tests.builders import KEYS, Story, event_of, jsonl
from tests.reference_support import LOADED, frequent, row, unit
from tests.xlsx_support import book

UNITS = "单位编号,单位名称,单位类型,单位级别\nU-1,甲街道办事处,街道,乡镇级\nU-2,乙局,部门,县级\n"
CITIZENS = "电话,频繁来电,来电次数,到期日期\n199-0000-0001,是,48,2027/1/1\n19900000002,否,,\n"
PHONES = ("19900000001", "199-0000-0001", "19900000002")


@dataclass
class Topic:
    """What lies on the topic, as a load finds it and changes it."""

    rows: dict[str, bytes] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    closed: bool = False
    aborted: bool = False

    def put(self, key: str, body: bytes | None) -> None:
        self.sent.append(key)
        if body is None:
            del self.rows[key]
        else:
            self.rows[key] = body

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def there(self) -> Iterable[Change | None]:
        return [change_of(Row(key.encode(), value)) for key, value in self.rows.items()]

    def holds(self, *records: ReferenceRecord) -> Topic:
        for one in records:
            self.rows[key_of(one)] = one.model_dump_json(exclude_none=True).encode()
        return self

    @property
    def tables(self) -> Reference:
        return Reference([read_record(value) for value in self.rows.values()])


def write(folder: Path, text: str, name: str = "table.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def load(
    file: Path,
    topic: Topic,
    table: str = "units",
    *,
    mapping: Path | str = "",
    keys: tuple[PseudonymKey, ...] = KEYS,
    **options: Any,
) -> tuple[LoadReport, list[Rejection]]:
    rejected: list[Rejection] = []
    found = load_table_mapping(ReferenceTable(table), str(mapping or table))
    chosen = LoadOptions(LOADED, **options)
    report = load_reference(file, found, keys, topic.there(), topic, chosen, rejected.append)
    return report, rejected


# --- the difference


def test_a_first_load_sends_every_row_and_the_same_file_again_sends_none(tmp_path: Path) -> None:
    topic, file = Topic(), write(tmp_path, UNITS)
    report, rejected = load(file, topic)
    assert (report.rows, report.new, report.changed, report.vanished, rejected) == (2, 2, 0, 0, [])
    assert topic.closed
    assert topic.tables.versions == {"units": report.version}
    topic.sent.clear()
    again, _ = load(file, topic)
    assert (again.new, again.changed, again.unchanged, topic.sent) == (0, 0, 2, [])
    assert again.version == again.version_before == report.version


def test_only_changed_rows_are_sent_and_vanished_ones_stay_unless_asked(tmp_path: Path) -> None:
    topic = Topic()
    load(write(tmp_path, UNITS), topic)
    topic.sent.clear()
    file = write(tmp_path, UNITS.replace("U-2,乙局,部门,县级\n", "").replace("甲街道办事处", "甲街道"))
    report, _ = load(file, topic)
    assert (report.changed, report.vanished, report.deleted) == (1, 1, 0)
    assert topic.sent == ['["units","U-1"]']
    assert set(topic.rows) == {'["units","U-1"]', '["units","U-2"]'}
    assert topic.tables.versions["units"] == report.version
    deleted, _ = load(file, topic, snapshot=True)
    assert (deleted.deleted, set(topic.rows)) == (1, {'["units","U-1"]'})
    assert topic.tables.versions["units"] == deleted.version


def test_other_tables_are_left_alone(tmp_path: Path) -> None:
    topic = Topic().holds(frequent(), row("posts", "云溪县长", route="head_of_office"))
    before = dict(topic.rows)
    load(write(tmp_path, UNITS), topic, snapshot=True)
    assert before.items() <= topic.rows.items()


def test_more_than_a_tenth_gone_is_rather_a_file_cut_short(tmp_path: Path) -> None:
    topic = Topic().holds(*(unit(f"U-{number}") for number in range(50)))
    file = write(tmp_path, UNITS)
    with pytest.raises(ImportFault, match=r"48 of 50 rows.*--accept-vanished"):
        load(file, topic, snapshot=True)
    assert (len(topic.rows), topic.sent, topic.aborted) == (50, [], True)
    load(file, topic, snapshot=True, accept_vanished=True)
    assert len(topic.rows) == 2


def test_nothing_is_deleted_where_a_row_of_the_file_could_not_be_read(tmp_path: Path) -> None:
    topic = Topic().holds(unit("U-1"), unit("U-2"), unit("U-3"))
    report, rejected = load(write(tmp_path, UNITS + "U-3,丙局,宫殿,县级\n"), topic, snapshot=True)
    assert [one.reason for one in rejected] == ["unknown_value"]
    assert (report.deleted, '["units","U-3"]' in topic.rows) == (0, True)


def test_a_record_that_nobody_can_read_is_replaced_or_deleted(tmp_path: Path) -> None:
    topic = Topic(rows={'["units","U-1"]': b"{", '["units","U-9"]': b"{"})
    load(write(tmp_path, UNITS), topic, snapshot=True)
    assert topic.tables.rows == 2


def test_a_load_that_would_not_fit_into_a_workers_memory_is_refused(tmp_path: Path) -> None:
    topic = Topic().holds(frequent("citizen-1"), frequent("citizen-2"))
    with pytest.raises(ImportFault, match="4 rows of reference data in all; at most 3"):
        load(write(tmp_path, UNITS), topic, rows_max=3)
    assert topic.sent == []


# --- citizens


def test_of_a_phone_only_the_pseudonym_goes_further_that_events_carry(tmp_path: Path) -> None:
    topic = Topic()
    report, rejected = load(write(tmp_path, CITIZENS), topic, "citizens")
    assert (report.new, rejected) == (2, [])
    lying = "\n".join(topic.rows) + "\n".join(body.decode() for body in topic.rows.values())
    assert [phone for phone in PHONES if phone in lying] == []
    event = event_of(Story().complaint(0, citizen={"phone": "+86 199 0000 0001"}).records[0])
    said = topic.tables.enrich(event).data["reference"]["citizens"]
    assert said == [report.version, True, 48]


def test_while_secrets_are_rotated_a_citizen_has_a_row_for_each(tmp_path: Path) -> None:
    topic = Topic()
    newer = PseudonymKey("k2", b"another secret for tests, nothing else")
    report, _ = load(write(tmp_path, CITIZENS), topic, "citizens", keys=(newer, *KEYS))
    assert (report.rows, report.new) == (2, 4)
    assert {json.loads(key)[1][:3] for key in topic.rows} == {"k1:", "k2:"}


def test_without_secrets_phones_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ImportFault, match="pseudonym_keys"):
        load(write(tmp_path, CITIZENS), Topic(), "citizens", keys=())


MAPPED = """
mapping: ours
title: 标记
table: citizens
source: 热线平台
citizen: {key: "{键}"}
fields: {frequent_caller: "{频繁}"}
columns: {频繁: {values: {是: true, 否: false}}}
"""


@pytest.mark.parametrize(
    "key", ["19900000001", "１９９-0000-0001", "幺九九零零零零零零零一", "11010519491231002X", "010-88880000-1"]
)
def test_a_phone_or_id_number_mapped_as_a_key_is_refused(tmp_path: Path, key: str) -> None:
    topic, mapping = Topic(), write(tmp_path, MAPPED, "m.yaml")
    _, rejected = load(write(tmp_path, f"键,频繁\n{key},是\np-1,是\n"), topic, "citizens", mapping=mapping)
    assert [(one.line, one.reason) for one in rejected] == [(2, "invalid_field")]
    assert key not in rejected[0].detail
    assert list(topic.rows) == ['["citizens","p-1"]']


# --- bad input


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("U-1,甲,街道,乡镇级\nU-1,乙,街道,乡镇级\n", {"duplicate_key": 1}),
        ("U-1,甲,街道,乡镇级\nU-1,甲,街道,乡镇级\n", {}),
        (",甲,街道,乡镇级\n", {"missing_key": 1}),
        ("U-1,,街道,乡镇级\n", {"missing_field": 1}),
        ("U-1,甲,宫殿,乡镇级\n", {"unknown_value": 1}),
        ("U-1,甲,街道\n", {"ragged": 1}),
        (f"U-1,{'长' * 201},街道,乡镇级\n", {"invalid_field": 1}),
        (f"{'U' * 129},甲,街道,乡镇级\n", {"invalid_field": 1}),
    ],
)
def test_a_row_that_cannot_be_taken_is_told_by_line_and_reason(
    tmp_path: Path, text: str, reasons: dict[str, int]
) -> None:
    topic = Topic()
    report, rejected = load(write(tmp_path, UNITS.splitlines()[0] + "\n" + text), topic)
    assert dict(report.rejected) == reasons
    assert all(one.line in (2, 3) for one in rejected)
    if "duplicate_key" in reasons:
        assert "line 2" in rejected[0].detail
        assert topic.rows == {}, "which of the two is right nobody knows"


PERIODS = "单位编号,单位名称,启用日期,停用日期\n"


def test_one_key_may_stand_once_for_each_validity_and_no_two_may_overlap(tmp_path: Path) -> None:
    topic = Topic()
    good = PERIODS + "U-1,甲乡,,2024年1月1日\nU-1,甲镇,2024/1/1,\n"
    assert load(write(tmp_path, good), topic)[0].new == 2
    _, rejected = load(write(tmp_path, good + "U-1,甲街道,2025-01-01,\n"), Topic())
    assert [(one.line, one.reason) for one in rejected] == [(4, "duplicate_key")]
    _, rejected = load(write(tmp_path, PERIODS + "U-1,甲乡,2024-01-01,2024-01-01\nU-2,乙,昨天,\n"), Topic())
    assert [(one.line, one.reason) for one in rejected] == [(2, "invalid_field"), (3, "bad_time")]


def test_a_table_without_a_column_that_is_read_is_refused_and_the_column_named(tmp_path: Path) -> None:
    with pytest.raises(HeaderMismatch, match="has no column '单位名称'"):
        load(write(tmp_path, "单位编号,名称\nU-1,甲\n"), Topic())


def test_columns_that_nothing_reads_are_told(tmp_path: Path) -> None:
    report, _ = load(write(tmp_path, "单位编号,单位名称,联系人\nU-1,甲,张某\n"), Topic())
    assert report.columns_not_read == ["联系人"]


def test_gb18030_is_found_and_another_encoding_is_refused(tmp_path: Path) -> None:
    assert load(write(tmp_path, UNITS, encoding="gb18030"), Topic())[0].new == 2
    with pytest.raises(ImportFault, match="UTF-16"):
        load(write(tmp_path, UNITS, encoding="utf-16"), Topic())


def test_a_workbook_is_read_and_its_dates_whatever_they_look_like(tmp_path: Path) -> None:
    rows = [["单位编号", "单位名称", "启用日期"], ["U-1", "甲街道办事处", datetime.date(2024, 1, 31)]]
    topic = Topic()
    report, rejected = load(book(tmp_path, {"单位": rows}), topic)
    assert (report.read_as, rejected) == ("xlsx", [])
    assert list(topic.rows) == ['["units","U-1","2024-01-31"]']


def test_too_many_posts_and_two_routes_for_one_name_are_refused(tmp_path: Path) -> None:
    header = "职务,去向,现任\n"
    many = header + "".join(f"云溪县第{number}局局长,直送本机关主要负责人,\n" for number in range(501))
    with pytest.raises(ImportFault, match="501 posts; at most 500"):
        load(write(tmp_path, many), Topic(), "posts")
    twice = header + "云溪县长,直送本机关主要负责人,张某某\n云溪县纪委书记,直送上一级信访举报部门,张某某\n"
    with pytest.raises(ImportFault, match="twice among the posts"):
        load(write(tmp_path, twice), Topic(), "posts")
    _, rejected = load(write(tmp_path, header + "长,直送本机关主要负责人,\n"), Topic(), "posts")
    assert [one.reason for one in rejected] == ["invalid_field"]


@pytest.mark.parametrize("table", list(ReferenceTable))
def test_every_plain_layout_is_a_sound_mapping(table: ReferenceTable) -> None:
    assert load_table_mapping(table, table.value).file.table is table
    assert table_of(table.value) is table


def test_the_mapping_in_the_documentation_takes_a_table(tmp_path: Path) -> None:
    page = Path(__file__).parent.parent / "docs" / "reference-data.md"
    [mapping] = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    topic, path = Topic(), write(tmp_path, mapping, "ours.yaml")
    report, rejected = load(write(tmp_path, CITIZENS), topic, "citizens", mapping=path)
    assert (report.new, rejected, report.columns_absent) == (2, [], ["标记日期"])


@pytest.mark.parametrize(
    ("changed", "line", "told"),
    [
        (("table: citizens", "table: people"), 4, "table"),
        (("table: citizens", "table: units"), 4, "not of citizens"),
        (('citizen: {key: "{键}"}', 'key: "{键}"'), 2, "citizens has `citizen`"),
        (('{key: "{键}"}', '{key: "{键}", phone: "{键}"}'), 6, "exactly one"),
        (("frequent_caller:", "blacklisted: true, frequent_caller:"), 7, "no field 'blacklisted'"),
        (("frequent_caller:", "calls:"), 7, "needs the field 'frequent_caller'"),
        (("{频繁}", "{频繁"), 7, "brace"),
        (("{频繁}", "{row.line}"), 7, "only columns"),
        (("columns: {频繁", "columns: {别的"), 8, "no template reads"),
    ],
)
def test_a_mapping_that_can_only_be_a_slip_is_refused_with_its_line(
    tmp_path: Path, changed: tuple[str, str], line: int, told: str
) -> None:
    path = write(tmp_path, MAPPED.replace(*changed), "m.yaml")
    with pytest.raises(ConfigFileError, match=told) as caught:
        load_table_mapping(ReferenceTable.CITIZENS, str(path))
    assert caught.value.line == line


# --- the command


def _call(*arguments: object, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments], env=environment)
    return result.exit_code, result.output


def _written(path: Path) -> tuple[object, ...]:
    """Return the options that write all rows to a file, with no broker."""
    return "--to", "jsonl", "--out", path


def test_the_plain_layouts_are_listed_and_printed_to_be_copied() -> None:
    assert {table.value for table in ReferenceTable} <= json.loads(_call("--mappings", "--json")[1]).keys()
    assert _call("--mapping", "projects", "--print-mapping") == (0, included_text(ReferenceTable.PROJECTS))


@pytest.mark.parametrize(
    "option",
    [["--live"], ["--backfill"], ["--baseline"], ["--at", "2025-01-01"], ["--state", "x"], ["--accept-vanished"]],
)
def test_options_that_only_events_have_are_refused(tmp_path: Path, option: list[str]) -> None:
    assert _call(write(tmp_path, UNITS), "--mapping", "units", *option)[0] == 2


def test_a_missing_broker_and_a_missing_file_end_with_2_and_a_remedy(tmp_path: Path) -> None:
    file = write(tmp_path, UNITS)
    status, output = _call(file, "--mapping", "units", "--bootstrap-servers", "127.0.0.1:9", "--timeout-seconds", "0.1")
    assert (status, "127.0.0.1:9" in output) == (2, True)
    status, output = _call(tmp_path / "none.csv", "--mapping", "units", *_written(tmp_path / "x"))
    assert (status, "cannot be read" in output) == (2, True)


@pytest.mark.parametrize("table", ["people", "[units]", "1"])
def test_a_mapping_of_no_table_there_is_is_refused_with_its_line(tmp_path: Path, table: str) -> None:
    mapping = write(tmp_path, MAPPED.replace("table: citizens", f"table: {table}"), "m.yaml")
    status, output = _call(write(tmp_path, CITIZENS), "--mapping", mapping, *_written(tmp_path / "x"))
    assert (status, "m.yaml:4" in output) == (2, True)


def test_a_dry_run_shows_the_first_rows_and_every_rejected_one_and_writes_nothing(tmp_path: Path) -> None:
    file, out = write(tmp_path, UNITS + ",丙局,部门,县级\n"), tmp_path / "ref.jsonl"
    status, output = _call(file, "--mapping", "units", "--dry-run", "1", "--json", *_written(out))
    told = json.loads(output)
    assert (status, told["new"], len(told["first_rows"]), out.exists()) == (0, 2, 1, False)
    assert [(one["line"], one["reason"]) for one in told["rejections"]] == [(4, "missing_key")]


def test_rejected_rows_are_listed_and_strict_makes_them_a_failure(tmp_path: Path) -> None:
    file, out, rejects = (
        write(tmp_path, UNITS + ",丙局,部门,县级\n"),
        tmp_path / "ref.jsonl",
        tmp_path / "rejects.jsonl",
    )
    assert _call(file, "--mapping", "units", *_written(out), "--rejects", rejects)[0] == 0
    assert [json.loads(one)["reason"] for one in rejects.read_text().splitlines()] == ["missing_key"]
    assert _call(file, "--mapping", "units", *_written(out), "--strict")[0] == 1


def test_the_report_says_what_was_deleted_and_why_something_was_not(tmp_path: Path) -> None:
    topic = Topic().holds(unit("U-3"))
    kept = lines_of(load(write(tmp_path, UNITS), topic)[0])
    assert "1 are not in the file and stay: --snapshot deletes them" in kept
    damaged = lines_of(load(write(tmp_path, UNITS + ",丙局,部门,县级\n"), topic, snapshot=True)[0])
    assert "1 are not in the file and stay: some rows could not be read" in damaged
    gone = load(write(tmp_path, UNITS), topic, snapshot=True)[0]
    assert "1 are gone from the table: their deletion was sent" in lines_of(gone)
    assert lines_of(gone)[-1] == f"version {gone.version}"


def test_a_watched_folder_takes_a_table_that_looks_again_as_it_once_did(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    topic, state = Topic(), ImportState(tmp_path / "state")

    def take(
        path: Path, _: str, unchanged: Callable[[], None], on_rejection: Callable[[Rejection], None]
    ) -> LoadReport:
        mapping = load_table_mapping(ReferenceTable.UNITS, "units")
        options = LoadOptions(LOADED, snapshot=True)
        return load_reference(
            path, mapping, KEYS, topic.there(), topic, options, on_rejection, before_sending=unchanged
        )

    with contextlib.closing(state):
        watcher = Watcher(tmp_path / "in", state, take, clock=lambda: 0.0, settle_seconds=0, snapshots=True)
        for text, names in ((UNITS, 2), (UNITS.replace("U-2,乙局,部门,县级\n", ""), 1), (UNITS, 2)):
            write(tmp_path / "in", text)
            assert [one.ending for one in watcher.look()] == [Ending.IMPORTED]
            assert topic.tables.rows == names
    assert json.loads((tmp_path / "in/done/table.csv.2.report.json").read_text())["deleted"] == 1


def _backtest(*arguments: object, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(backtest, [str(one) for one in arguments], env=environment)
    return result.exit_code, result.output


def test_a_backtest_joins_the_table_that_load_wrote(tmp_path: Path) -> None:
    story = Story().complaint(0)
    for number, one in enumerate(("U-1", "U-2")):
        story(number + 1, "dispatched", unit=one)(number + 1.5, "return_requested", unit=one)
    events = tmp_path / "events.jsonl"
    events.write_bytes(jsonl(story.records))
    file, out, alerts = write(tmp_path, UNITS), tmp_path / "ref.jsonl", tmp_path / "alerts.jsonl"
    assert _call(file, "--mapping", "units", *_written(out))[0] == 0
    version = Reference([read_record(one) for one in out.read_bytes().splitlines()]).versions["units"]
    assert _backtest(events, "--reference", out, "--out", alerts)[0] == 0
    told = orjson.loads(alerts.read_bytes().splitlines()[-1])
    assert {one["name"] for one in told["units"]} == {"甲街道办事处", "乙局"}
    assert any(version in one["what"] for one in told["evidence"])


def test_a_backtest_meets_citizens_by_the_installations_secrets(tmp_path: Path) -> None:
    story = Story()
    for number in range(6):
        story.complaint(number, ticket=f"T-{number + 1}", citizen={"phone": "19900000001"})
    story(6, "visited", ticket="T-1", result="dissatisfied")
    events, config = tmp_path / "events.jsonl", tmp_path / "hw.toml"
    events.write_bytes(jsonl(story.records))
    config.write_text('pseudonym_keys = [{id = "k1", secret_env = "HOTLINE_WATCH_SECRET_P"}]\n')
    secret = {"HOTLINE_WATCH_SECRET_P": "a secret of at least 24 bytes, for tests"}
    out = tmp_path / "ref.jsonl"
    file = write(tmp_path, CITIZENS)
    assert _call(file, "--mapping", "citizens", *_written(out), "--config", config, **secret)[0] == 0
    assert "1990000" not in out.read_text()
    status, output = _backtest(events, "--reference", out, "--config", config, "--json", **secret)
    assert (status, json.loads(output)["in_force"]["P08 重复投诉且不满意"]) == (0, {"yellow": 1})
    status, output = _backtest(events, "--reference", out, "--json")
    assert (status, json.loads(output)["in_force"]["P08 重复投诉且不满意"]) == (0, {"red": 1})


@pytest.mark.parametrize("bad", [b"{", b'{"table":"people"}', b"\xff\xfe"])
def test_a_reference_file_that_cannot_be_taken_ends_a_backtest_with_file_and_line(tmp_path: Path, bad: bytes) -> None:
    events, out = tmp_path / "events.jsonl", tmp_path / "ref.jsonl"
    events.write_bytes(jsonl(Story().complaint(0).records))
    good = unit().model_dump_json(exclude_none=True).encode()
    for lines, told in (([good, bad], "ref.jsonl:2"), ([good, good], "stands at line 1 already")):
        out.write_bytes(b"\n".join(lines))
        status, output = _backtest(events, "--reference", out)
        assert (status, told in output) == (2, True), output
