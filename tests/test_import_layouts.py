"""The included mappings for tables of tickets, on made-up tables: what each column becomes, and what it means to the rules."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from models.decode import decode_event
from models.times import parse_instant
from rules.driver import Driver
from rules.engine import Engine
from rules.intake import to_event
from rules.pack import default_pack
from rules.pseudonym import PseudonymKey
from streams.importing import ImportState, SnapshotOptions, load_mapping, run_snapshot
from tests.import_support import run
from tests.snapshot_support import Log

RETURNS = {
    "工单编号": "250601-1",
    "来源渠道": "电话",
    "诉求类型": "投诉",
    "内容分类1级": "城乡建设",
    "内容分类2级": "市政设施",
    "标题": "减速带损坏",
    "诉求内容": "来电人反映某路减速带钉子外露扎胎。",
    "来电号码": "199-0000-0001",
    "村社区": "某社区",
    "紧急程度": "1",
    "登记时间": "2025-06-01 08:00:00",
    "主办单位": "甲街道办事处",
    "主协办": "0",
    "派单时间": "2025/6/1 9:00",
    "处理时限": "2025年6月9日 18时00分",
    "已退单次数": "0",
    "退单部门1": "",
    "退单时间1": "",
    "退单理由1": "",
    "退单部门2": "",
    "退单时间2": "",
    "退单理由2": "",
    "退单部门3": "",
    "退单时间3": "",
    "退单理由3": "",
    "办结时间": "",
    "办理结果": "",
    "是否解决": "",
    "事实认定": "",
}
COUNTER = {
    "orderNo": "250601-2",
    "title": "路灯不亮",
    "content": "来电人反映路灯不亮。",
    "callType": "投诉",
    "callerPhone": "199-0000-0002",
    "createTime": "2025-06-01 08:00:00",
    "deptId": "u-1",
    "deptName": "甲街道办事处",
    "sendTime": "2025-06-01 09:00:00.0",
    "limitTime": "2025-06-09 18:00:00",
    "backNum": "0",
    "backReason": "",
    "updateTime": "2025-06-01 09:00:00",
    "finishTime": "",
    "closeTime": "",
    "isSolved": "",
    "replyContent": "",
}
VISITS = {
    "工单编号": "250601-3",
    "诉求类型": "求助",
    "标题": "垃圾无人清运",
    "诉求内容": "来电人反映垃圾无人清运。",
    "登记时间": "2025-06-01 08:00:00",
    "承办单位": "乙镇人民政府",
    "派单时间": "2025-06-01 09:00:00",
    "办结时间": "",
    "首次回访时间": "",
    "首次结果满意度": "",
    "首次态度满意度": "",
    "首次回访意见": "",
    "重办时间": "",
    "重办单位": "",
    "重办时限": "",
    "二次回访时间": "",
    "二次结果满意度": "",
    "二次态度满意度": "",
}


class Table:
    """One ticket's row in a table that is taken night after night by an included mapping."""

    def __init__(self, folder: Path, mapping: str, row: dict[str, str]) -> None:
        self._folder, self._mapping, self._row = folder, load_mapping(mapping), row
        self._night = 0
        self.log = Log()
        self.report: dict[str, Any] = {}

    def night(self, **changed: str) -> list[dict[str, Any]]:
        """Take the table as it looks after a change; return the new events."""
        self._night += 1
        self._row = self._row | changed
        path = self._folder / f"{self._night}.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, self._row)
            writer.writeheader()
            writer.writerow(self._row)
        before = len(self.log.bodies)
        state = ImportState(self._folder / "state")
        options = SnapshotOptions(at=f"2025-07-{self._night:02d}T02:00:00+08:00", backfill=False)
        rejected: list[Any] = []
        report = run_snapshot(path, self._mapping, state, lambda _: self.log, options, on_rejection=rejected.append)
        state.close()
        assert rejected == []
        self.report = report.as_dict()
        return [json.loads(body) for body in self.log.bodies[before:]]

    def standing(self) -> dict[str, str]:
        """Return the warnings in force after all events: rule → level."""
        driver = Driver(Engine(default_pack()))
        keys = [PseudonymKey("test", b"a key of the tests of the import")]
        events = sorted(self.log.events(), key=lambda event: (parse_instant(event["occurred_at"]), event["event_id"]))
        found = {}
        for body in events:
            for alert in driver.feed(to_event(decode_event(json.dumps(body).encode()), keys)):
                found[alert.rule.id] = alert.level.value
        return found


def told(events: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [(event["type"], *(event.get(name) for name in names)) for event in events]


def test_fixed_three_returns_registers_and_dispatches(tmp_path: Path) -> None:
    table = Table(tmp_path, "fixed-three-returns", RETURNS)
    registered, dispatched = table.night()
    assert registered["request_type"] == "complaint"
    assert registered["category"] == ["城乡建设", "市政设施"]
    assert registered["place"] == {"community": "某社区"}
    assert registered["citizen"] == {"phone": "199-0000-0001"}
    assert (registered["urgency"], registered["channel"]) == ("normal", "电话")
    assert (dispatched["unit_id"], dispatched["role"]) == ("甲街道办事处", "lead")
    assert dispatched["occurred_at"] == "2025-06-01T09:00:00+08:00"
    assert dispatched["due_at"] == "2025-06-09T18:00:00+08:00"
    assert table.report["columns_not_read"] == []
    assert "签收时间" in table.report["columns_absent"]


def test_fixed_three_returns_tells_each_group_once_and_a_fourth_by_the_count(tmp_path: Path) -> None:
    table = Table(tmp_path, "fixed-three-returns", RETURNS)
    table.night()
    first = table.night(
        已退单次数="1",
        退单部门1="甲街道办事处",
        退单时间1="2025-06-02 10:00:00",
        退单理由1="不属本街道",
        主办单位="乙局",
        派单时间="2025-06-02 11:00:00",
    )
    assert told(first, "unit_id", "reason") == [
        ("return_approved", "甲街道办事处", "不属本街道"),
        ("dispatched", "乙局", None),
    ]
    table.night(
        已退单次数="3",
        退单部门2="乙局",
        退单时间2="2025-06-03 10:00:00",
        退单部门3="丙局",
        退单时间3="20250604100000",
        主办单位="丁局",
        派单时间="2025-06-05 11:00:00",
    )
    fourth = table.night(已退单次数="4", 主办单位="甲街道办事处", 派单时间="2025-06-06 11:00:00")
    assert told(fourth, "unit_id", "occurred_at") == [
        ("dispatched", "甲街道办事处", "2025-06-06T11:00:00+08:00"),
        ("return_approved", "丁局", "2025-07-04T02:00:00+08:00"),
    ]
    assert table.night() == []
    assert table.standing()["P01"] == "red"


def test_fixed_three_returns_is_resolved_and_amended(tmp_path: Path) -> None:
    table = Table(tmp_path, "fixed-three-returns", RETURNS)
    table.night()
    (resolved,) = table.night(办结时间="2025-06-05 10:00:00", 办理结果="已修复", 是否解决="部分解决", 事实认定="属实")
    assert (resolved["solved"], resolved["fact_confirmed"], resolved["reply"]) == ("partly", "yes", "已修复")
    (amended,) = table.night(标题="减速带损坏扎胎")
    assert amended["fields"]["title"] == "减速带损坏扎胎"


def test_fixed_three_returns_without_snapshots_becomes_the_history_of_what_the_table_shows(tmp_path: Path) -> None:
    row = RETURNS | {
        "退单部门1": "甲",
        "退单时间1": "2025-06-02 10:00:00",
        "派单时间": "2025-06-03 10:00:00",
        "已退单次数": "1",
    }
    path = tmp_path / "once.csv"
    path.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n", encoding="gb18030")
    events, rejected, report = run(path, "fixed-three-returns")
    assert rejected == []
    assert [event["type"] for event in events] == ["registered", "return_approved", "dispatched"]
    assert report.read_as == "csv gb18030"


def test_a_return_counter_gives_a_return_of_the_unit_that_held_the_ticket(tmp_path: Path) -> None:
    table = Table(tmp_path, "return-counter", COUNTER)
    assert [event["type"] for event in table.night()] == ["registered", "dispatched"]
    second = table.night(
        backNum="1",
        backReason="职能不符",
        deptId="u-2",
        deptName="乙局",
        sendTime="2025-06-02 11:00:00",
        updateTime="2025-06-02 10:30:00",
    )
    assert told(second, "unit_id", "unit_name") == [
        ("return_approved", "u-1", "甲街道办事处"),
        ("dispatched", "u-2", "乙局"),
    ]
    assert (second[0]["reason"], second[0]["occurred_at"]) == ("职能不符", "2025-06-02T10:30:00+08:00")
    table.night(backNum="2", deptId="u-3", sendTime="2025-06-03 11:00:00", updateTime="2025-06-03 10:30:00")
    assert table.standing()["P01"] == "yellow"


@pytest.mark.parametrize(("count", "expected"), [("", 0), ("0", 0), ("1", 1), ("3", 3), ("4", 4), ("9", 4)])
def test_a_return_counter_counts_the_returns_before_the_first_snapshot(
    tmp_path: Path, count: str, expected: int
) -> None:
    table = Table(tmp_path, "return-counter", COUNTER | {"backNum": count})
    events = [event for event in table.night() if event["type"] == "return_approved"]
    assert len({event["event_id"] for event in events}) == len(events) == expected
    assert all("unit_id" not in event for event in events)


def test_a_return_counter_that_falls_is_no_return(tmp_path: Path) -> None:
    table = Table(tmp_path, "return-counter", COUNTER | {"backNum": "2"})
    table.night()
    assert table.night(backNum="1") == []
    assert [event["type"] for event in table.night(backNum="2")] == ["return_approved"]


def test_two_part_visits_tell_result_and_manner_apart(tmp_path: Path) -> None:
    table = Table(tmp_path, "two-part-visits", VISITS)
    table.night(办结时间="2025-06-05 10:00:00")
    (visited,) = table.night(
        首次回访时间="2025-06-06 10:00:00", 首次结果满意度="不满意", 首次态度满意度="满意", 首次回访意见="没解决"
    )
    assert told([visited], "result", "attitude", "comment") == [("visited", "dissatisfied", "satisfied", "没解决")]
    (redo,) = table.night(重办时间="2025-06-06 11:00:00", 重办单位="乙镇人民政府", 重办时限="2025-06-11 18:00:00")
    assert told([redo], "unit_id", "due_at") == [("redo_ordered", "乙镇人民政府", "2025-06-11T18:00:00+08:00")]
    (second,) = table.night(二次回访时间="2025-06-12 10:00:00", 二次结果满意度="非常不满意", 二次态度满意度="未评价")
    assert told([second], "result", "attitude") == [("visited", "very_dissatisfied", "not_rated")]
    assert "P09" in table.standing()


def test_a_rating_that_is_changed_afterwards_is_a_change_and_no_second_visit(tmp_path: Path) -> None:
    table = Table(tmp_path, "two-part-visits", VISITS)
    table.night(首次回访时间="2025-06-06 10:00:00", 首次结果满意度="不满意", 首次态度满意度="满意")
    (changed,) = table.night(首次结果满意度="满意")
    assert told([changed], "result", "occurred_at") == [
        ("satisfaction_changed", "satisfied", "2025-07-02T02:00:00+08:00")
    ]


def test_a_rating_that_the_mapping_does_not_know_is_rejected_and_not_guessed(tmp_path: Path) -> None:
    row = VISITS | {"首次回访时间": "2025-06-06 10:00:00", "首次结果满意度": "五星"}
    path = tmp_path / "once.csv"
    path.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n", encoding="utf-8")
    _, rejected, _ = run(path, "two-part-visits")
    assert [(one.line, one.reason) for one in rejected] == [(2, "unknown_value")]


FOUR_FORMATS = ["2025-06-02 10:05:00", "2025/6/2 10:05", "2025年6月2日 10时5分", "20250602100500"]


@pytest.mark.parametrize(("one", "two"), list(itertools.pairwise([*FOUR_FORMATS, FOUR_FORMATS[0]])))
def test_a_date_that_is_only_written_in_another_way_is_no_other_event(tmp_path: Path, one: str, two: str) -> None:
    table = Table(tmp_path, "fixed-three-returns", RETURNS | {"办结时间": one})
    table.night()
    table.night(办结时间=two)
    assert [event["occurred_at"] for event in table.log.events() if event["type"] == "resolved"] == [
        "2025-06-02T10:05:00+08:00"
    ]
