"""Rows → events: the two included mappings and the mapping language, on made-up rows."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.import_support import mapping_of, run, write

LOG_HEADER = (
    "number,ident_state,active,reassignment_count,reopen_count,sys_mod_count,made_sla,caller_id,opened_by,opened_at,"
    "sys_updated_at,contact_type,location,category,category.1,priority,assignment_group,assigned_to,closed_code,"
    "resolved_at,closed_at\n"
)


def log_row(
    number: str, mod: int, group: str, state: str = "Active", reopened: int = 0, at: str = "1/3/2016 09:00"
) -> str:
    start = f"{number},{state},true,0,{reopened},{mod},true,77,8,29/2/2016 08:00,{at}"
    return f"{start},Phone,1,55,170,3,{group},?,5,?,?\n"


def log(tmp_path: Path, *rows: str) -> list[dict[str, Any]]:
    events, rejected, _ = run(write(tmp_path, LOG_HEADER + "".join(rows)), "incident-event-log")
    assert rejected == []
    return sorted(events, key=lambda event: (event["ticket_id"], event["seq"]))


def steps(events: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(event["type"], event.get("unit_id")) for event in events]


def test_the_first_row_registers_and_dispatches(tmp_path: Path) -> None:
    registered, dispatched = log(tmp_path, log_row("7", 0, "56", "New"))
    assert registered == {
        "event_id": "7-0-registered",
        "ticket_id": "7",
        "type": "registered",
        "occurred_at": "2016-02-29T08:00:00+08:00",
        "source": "incident-event-log",
        "citizen": {"key": "caller-77"},
        "request_type": "help",
        "category": ["category-55", "subcategory-170"],
        "channel": "phone",
        "urgency": "normal",
        "seq": 0,
    }
    assert dispatched["unit_id"] == "group-56"
    assert dispatched["occurred_at"] == "2016-03-01T09:00:00+08:00"
    assert dispatched["seq"] == 1


def test_a_change_of_group_is_a_return_and_a_dispatch_and_nothing_else_is(tmp_path: Path) -> None:
    events = log(tmp_path, log_row("7", 0, "56"), log_row("7", 1, "56"), log_row("7", 2, "70"), log_row("7", 5, "56"))
    assert steps(events)[1:] == [
        ("dispatched", "group-56"),
        ("return_requested", "group-56"),
        ("return_approved", "group-56"),
        ("dispatched", "group-70"),
        ("return_requested", "group-70"),
        ("return_approved", "group-70"),
        ("dispatched", "group-56"),
    ]


def test_the_unknown_group_hands_over_like_any_other(tmp_path: Path) -> None:
    events = log(tmp_path, log_row("7", 0, "?"), log_row("7", 1, "70"), log_row("7", 2, "?"))
    returns = [event["unit_id"] for event in events if event["type"] == "return_requested"]
    assert returns == ["group-unknown", "group-70"]


def test_rows_are_ordered_by_the_count_not_by_time_or_place_in_the_file(tmp_path: Path) -> None:
    rows = [
        log_row("7", 10, "3", at="1/3/2016 07:00"),
        log_row("8", 0, "9"),
        log_row("7", 2, "2", at="1/3/2016 12:00"),
        log_row("7", 0, "1", at="1/3/2016 09:00"),
    ]
    events = log(tmp_path, *rows)
    assert [event["unit_id"] for event in events if event["type"] == "dispatched"] == [
        "group-1",
        "group-2",
        "group-3",
        "group-9",
    ]
    assert [event["seq"] for event in events if event["ticket_id"] == "7"] == [0, 1, 200, 201, 202, 1000, 1001, 1002]


def test_resolved_closed_and_reopened_come_from_state_and_count(tmp_path: Path) -> None:
    rows = [
        log_row("7", 0, "1", "New"),
        log_row("7", 1, "1", "Resolved"),
        log_row("7", 2, "1", "Resolved"),
        log_row("7", 3, "1", "Active", reopened=1),
        log_row("7", 4, "1", "Resolved", reopened=1),
        log_row("7", 5, "1", "Closed", reopened=1),
    ]
    kinds = [kind for kind, _ in steps(log(tmp_path, *rows))]
    assert kinds == ["registered", "dispatched", "resolved", "reopened", "resolved", "archived"]


def test_rows_that_tie_keep_their_order_and_get_ids_of_their_own(tmp_path: Path) -> None:
    events = log(tmp_path, log_row("7", 1, "1"), log_row("7", 2, "2"), log_row("7", 2, "3"))
    assert [event["event_id"] for event in events if event["type"] == "return_requested"] == [
        "7-2-return",
        "7-2.2-return",
    ]
    assert len({event["event_id"] for event in events}) == len(events)
    assert [event["seq"] for event in events] == [100, 101, 200, 201, 202, 203, 204, 205]


def test_an_empty_caller_leaves_the_citizen_out(tmp_path: Path) -> None:
    row = log_row("7", 0, "1").replace(",77,8,", ",?,8,")
    assert "citizen" not in log(tmp_path, row)[0]


def test_a_row_that_repeats_the_one_before_is_passed_over(tmp_path: Path) -> None:
    row = log_row("7", 0, "1")
    _, rejected, report = run(write(tmp_path, LOG_HEADER + row + row), "incident-event-log")
    assert (rejected, report.repeated_rows, report.events.total()) == ([], 1, 2)


def test_events_come_in_the_order_of_time(tmp_path: Path) -> None:
    rows = [log_row("7", 1, "2", at="3/3/2016 09:00"), log_row("7", 0, "1"), log_row("8", 0, "1", at="2/3/2016 09:00")]
    events, _, _ = run(write(tmp_path, LOG_HEADER + "".join(rows)), "incident-event-log")
    assert [event["occurred_at"] for event in events] == sorted(event["occurred_at"] for event in events)
    assert {event["ticket_id"] for event in events} == {"7", "8"}


def test_a_rejected_row_gives_none_of_its_events_and_the_change_is_seen_in_the_next(tmp_path: Path) -> None:
    rows = [log_row("7", 0, "1"), log_row("7", 1, "2", at="31/2/2016 09:00"), log_row("7", 2, "2")]
    events, rejected, _ = run(write(tmp_path, LOG_HEADER + "".join(rows)), "incident-event-log")
    assert [(one.line, one.reason) for one in rejected] == [(3, "bad_time")]
    assert [event["event_id"] for event in events if event["type"] == "return_requested"] == ["7-2-return"]


def test_a_message_becomes_one_registration(tmp_path: Path) -> None:
    text = 'id,user,title,time,text,likes,dislikes\n5,A1,路灯不亮,2020-01-02T03:04:05,"北门外,路灯不亮。",0,3\n'
    events, rejected, report = run(write(tmp_path, text), "citizen-messages")
    assert rejected == []
    assert report.columns_not_read == []
    assert events == [
        {
            "event_id": "5-registered",
            "ticket_id": "5",
            "type": "registered",
            "occurred_at": "2020-01-02T03:04:05+08:00",
            "source": "citizen-messages",
            "citizen": {"key": "user-A1"},
            "title": "路灯不亮",
            "content": "北门外,路灯不亮。",
            "channel": "web",
        }
    ]


LANGUAGE = """\
mapping: language
title: 语言
input: {empty: ["", "-"], times: ["%Y/%m/%d %H:%M", iso], zone: "+09:00", delimiter: ";"}
columns:
  at: {as: time}
  met: {values: {是: true, 否: false}}
  turn: {as: number}
  grade: {values: {好: satisfied, 差: dissatisfied}, otherwise: drop}
key: nr
order_by: {column: at, as: time}
ticket_id: "W-{nr}"
events:
  - name: registered
    type: registered
    when: [{row: first}]
    event_id: "{nr}-r"
    occurred_at: "{at}"
    fields:
      place.community: "{community}"
      category: ["{c1}", "{c2}"]
      confidential: true
  - name: returned
    type: return_requested
    when: [{not_empty: met}, {column: grade, not_in: [X]}]
    event_id: "{nr}-{row.line}-b"
    occurred_at: "{at}"
    fields: {contacted: "{met}", unit_id: "{previous.unit}", reason: "{unit}不属"}
  - name: dispatched
    type: dispatched
    when: [{empty: met}, {any: [{row: last}, {column: unit, in: [甲, 乙]}]}]
    event_id: "{nr}-{row.line}-d"
    occurred_at: "{at}"
    fields: {unit_id: "{unit}", round: "{turn}"}
  - name: visited
    type: visited
    when: [{column: grade, equals: 差}]
    event_id: "{nr}-{row.line}-v"
    occurred_at: "{at}"
    fields: {result: "{grade}"}
"""
HEADER = "nr;at;community;c1;c2;met;unit;turn;grade\n"


def test_the_language_value_maps_types_lists_conditions_and_previous_rows(tmp_path: Path) -> None:
    rows = "1;2025-02-01T08:00:00;-;城建;-;否;乙;x;?\n1;2025/01/31 08:00;某社区;城建;路灯;-;甲;2;差\n"
    events, rejected, _ = run(write(tmp_path, HEADER + rows), mapping_of(LANGUAGE))
    assert rejected == []
    registered, dispatched, visited, returned = events
    assert registered["occurred_at"] == "2025-01-31T08:00:00+09:00"
    assert registered["place"] == {"community": "某社区"}
    assert registered["category"] == ["城建", "路灯"]
    assert registered["confidential"] is True
    assert (dispatched["event_id"], dispatched["unit_id"], dispatched["round"]) == ("1-3-d", "甲", 2)
    assert visited["result"] == "dissatisfied"
    assert returned["contacted"] is False
    assert (returned["unit_id"], returned["reason"]) == ("甲", "乙不属")


ROWS_REJECTED = [
    ("a value outside the map", "1;2025-01-01T08:00:00;;;;也许;甲;1;", "unknown_value", "'met'"),
    ("no whole number", "1;2025-01-01T08:00:00;;;;-;甲;1.5;", "bad_number", "'turn'"),
    ("no time", "1;soon;;;;-;甲;1;", "bad_order", "'at'"),
    ("no key", "-;2025-01-01T08:00:00;;;;-;甲;1;", "missing_key", "'nr'"),
    ("too few cells", "1;2025-01-01T08:00:00;;;;-;甲;1", "ragged", "8 cells; the header has 9"),
    ("too many cells", "1;2025-01-01T08:00:00;;;;-;甲;1;;", "ragged", "10 cells"),
    ("a NUL", "1;2025-01-01T08:00:00;a\0b;;;-;甲;1;", "nul", "'community'"),
    (
        "text after a quote",
        '1;2025-01-01T08:00:00;"a"b;;;-;甲;1;',
        "bad_quoting",
        "the row is left out: behind a closing quote stands no ';'",
    ),
    ("a time out of reach", "1;1815-01-01T08:00:00;;;;-;甲;1;", "bad_order", "'at'"),
    ("what the contract refuses", f"1;2025-01-01T08:00:00;{'x' * 1001};;;-;甲;1;", "invalid_field", "place.community"),
]


@pytest.mark.parametrize(
    ("row", "reason", "words"), [case[1:] for case in ROWS_REJECTED], ids=[case[0] for case in ROWS_REJECTED]
)
def test_a_bad_row_is_rejected_with_its_line_and_the_next_is_taken(
    tmp_path: Path, row: str, reason: str, words: str
) -> None:
    good = "2;2025-01-01T08:00:00;;;;-;甲;1;\n"
    events, rejected, report = run(write(tmp_path, f"{HEADER}{row}\n{good}"), mapping_of(LANGUAGE))
    assert [(one.line, one.reason) for one in rejected] == [(2, reason)]
    assert words in rejected[0].detail
    assert {event["ticket_id"] for event in events} == {"W-2"}
    assert dict(report.rejected) == {reason: 1}


def test_a_second_row_with_the_same_event_id_is_rejected(tmp_path: Path) -> None:
    text = LANGUAGE.replace('"{nr}-{row.line}-d"', '"{nr}-d"')
    rows = "1;2025-01-01T08:00:00;;;;-;甲;1;\n1;2025-01-02T08:00:00;;;;-;乙;2;\n"
    events, rejected, _ = run(write(tmp_path, HEADER + rows), mapping_of(text))
    assert [(one.line, one.reason) for one in rejected] == [(3, "duplicate_event_id")]
    assert len(events) == 2


def test_no_rejection_shows_a_cell(tmp_path: Path) -> None:
    secret = "19900001234"
    rows = f"1;{secret};;;;-;甲;1;\n2;2025-01-01T08:00:00;;;;{secret};甲;1;\n3;2025-01-01T08:00:00;;;;-;甲;{secret}x;\n"
    _, rejected, _ = run(write(tmp_path, HEADER + rows), mapping_of(LANGUAGE))
    assert len(rejected) == 3
    assert secret not in str(rejected)


def test_constants_of_the_command_are_on_every_event(tmp_path: Path) -> None:
    rows = "1;2025-01-01T08:00:00;;;;-;甲;1;\n"
    events, _, _ = run(write(tmp_path, HEADER + rows), mapping_of(LANGUAGE), constants={"backfill": True})
    assert [event["backfill"] for event in events] == [True, True]


def test_returns_are_those_of_an_independent_count_over_shuffled_rows(tmp_path: Path) -> None:
    draw = random.Random(7)
    rows = [
        (number, mod, draw.choice(["1", "2", "3", "?"])) for number in range(60) for mod in range(draw.randrange(1, 12))
    ]
    counted = {
        str(number): [before for before, after in pairwise(groups) if before != after]
        for number in range(60)
        for groups in [[group for key, _, group in rows if key == number]]
    }
    draw.shuffle(rows)
    told: dict[str, list[str]] = {number: [] for number in counted}
    for event in log(tmp_path, *(log_row(str(number), mod, group) for number, mod, group in rows)):
        if event["type"] == "return_requested":
            told[event["ticket_id"]].append(event["unit_id"].removeprefix("group-").replace("unknown", "?"))
    assert told == counted
