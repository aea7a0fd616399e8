"""Full tables, night after night: what changed becomes events, once, whatever breaks in between."""

from __future__ import annotations

import contextlib
import itertools
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.strict_yaml import ConfigFileError
from streams.importing import ImportFault, ImportState, SinkFault
from streams.importing.pending import Pending
from tests.import_support import mapping_of
from tests.snapshot_support import MAPPING, PHONE, Crash, Nights, folder_in_memory, mapping, ticket


@pytest.fixture
def nights() -> Iterator[Nights]:
    with folder_in_memory() as folder:
        yield Nights(Path(folder))


def test_the_first_snapshot_is_history_and_what_changes_later_is_news(nights: Nights) -> None:
    first = nights.take([ticket("1"), ticket("2")])
    assert first.snapshot is not None
    assert (first.snapshot.first, first.snapshot.new, first.backfill) == (True, 2, True)
    assert [event["backfill"] for event in nights.log.events()] == [True] * 4
    second = nights.take([ticket("1", done="2025-06-03T10:00:00"), ticket("2"), ticket("3")])
    assert second.snapshot is not None
    assert (second.snapshot.new, second.snapshot.changed, second.snapshot.unchanged) == (1, 1, 1)
    assert second.backfill is False
    assert sorted(nights.since(4)) == [("1", "resolved", "甲"), ("3", "dispatched", "甲"), ("3", "registered", None)]
    assert all("backfill" not in event for event in nights.log.events()[4:])


@pytest.mark.parametrize(
    ("wanted", "expected"), [(True, [True] * 4), (False, [None] * 4), (None, [True, True, None, None])]
)
def test_history_or_news_is_as_the_command_says(
    nights: Nights, wanted: bool | None, expected: list[bool | None]
) -> None:
    nights.take([ticket("1")], backfill=wanted)
    nights.take([ticket("1"), ticket("2")], backfill=wanted)
    assert [event.get("backfill") for event in nights.log.events()] == expected


def test_the_mappings_own_word_on_history_holds_unless_the_command_speaks(nights: Nights) -> None:
    nights.mapping = mapping_of(MAPPING.replace("{source: table}", "{source: table, backfill: true}"))
    nights.take([ticket("1")])
    nights.take([ticket("1", done="2025-06-03T10:00:00")])
    nights.take([ticket("1", done="2025-06-04T10:00:00")], backfill=False)
    assert [event["backfill"] for event in nights.log.events()] == [True, True, True, False]


def test_a_table_that_did_not_change_gives_nothing(nights: Nights) -> None:
    rows = [ticket(str(at)) for at in range(50)]
    nights.take(rows)
    report = nights.take(reversed(rows))
    assert report.events.total() == 0
    assert report.snapshot is not None
    assert (report.snapshot.unchanged, report.rows_without_event) == (50, 50)


def test_a_unit_that_changes_to_and_fro_gives_an_event_each_time(nights: Nights) -> None:
    for unit in "甲乙甲乙":
        nights.take([ticket("1", unit=unit)])
    moves = [event for event in nights.log.events() if event["type"] == "progress"]
    assert [(event["unit_name"], event["unit_id"]) for event in moves] == [("甲", "乙"), ("乙", "甲"), ("甲", "乙")]
    assert moves[0]["occurred_at"] == "2025-07-02T02:00:00+08:00"


def test_a_return_is_told_by_the_unit_of_the_night_before(nights: Nights) -> None:
    nights.take([ticket("1")])
    nights.take([ticket("1", back="1", unit="乙", sent="2025-06-02T09:00:00")])
    assert sorted(nights.since(2)) == [("1", "dispatched", "乙"), ("1", "return_approved", "甲")]


def test_ids_depend_on_the_content_and_not_on_the_state(tmp_path: Path) -> None:
    ids = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        nights = Nights(tmp_path / name)
        nights.take([ticket("1"), ticket("2")], backfill=name == "a")
        ids.append({event["event_id"] for event in nights.log.events()})
    assert ids[0] == ids[1]
    assert all(len(one) <= 128 for one in ids[0])


def test_a_ticket_that_vanishes_is_reported_once_and_is_no_event(nights: Nights) -> None:
    nights.take([ticket("1"), ticket("2")])
    second = nights.take([ticket("1")])
    third = nights.take([ticket("1")])
    fourth = nights.take([ticket("1"), ticket("2")])
    assert second.snapshot is not None
    assert third.snapshot is not None
    assert fourth.snapshot is not None
    assert (second.snapshot.vanished, second.snapshot.vanished_keys) == (1, ["2"])
    assert third.snapshot.vanished == 0
    assert (fourth.snapshot.came_back, fourth.snapshot.new) == (1, 0)
    assert len(nights.log.events()) == 4


def test_a_mapping_may_make_an_event_of_a_ticket_that_vanishes(nights: Nights) -> None:
    nights.mapping = mapping(vanished=True)
    nights.take([ticket("1"), ticket("2", unit="乙"), ticket("3", sent="")])
    nights.take([ticket("1")])
    nights.take([ticket("1")])
    gone = nights.log.events()[5:]
    assert [(event["ticket_id"], event["unit_id"], event["reason"]) for event in gone] == [("2", "乙", "2不在表中")]
    assert gone[0]["occurred_at"] == "2025-07-02T02:00:00+08:00"


def test_a_table_that_was_cut_off_does_not_void_its_tickets(nights: Nights) -> None:
    nights.mapping = mapping(vanished=True)
    rows = [ticket(str(at)) for at in range(40)]
    nights.take(rows)
    with pytest.raises(ImportFault, match=r"20 of 40 tickets are missing.*cut off.*--accept-vanished"):
        nights.take(rows[:20])
    assert len(nights.log.events()) == 80
    report = nights.take(rows[:20], accept_vanished=True)
    assert report.events["voided"] == 20


def test_tickets_are_not_missing_while_they_may_stand_in_rows_that_cannot_be_read(nights: Nights) -> None:
    nights.mapping = mapping(vanished=True)
    nights.take([ticket("1"), ticket("2")])
    report = nights.take([ticket("1")], text="2,路灯不亮\n")
    assert report.snapshot is not None
    assert (report.snapshot.vanished, report.snapshot.vanished_judged, report.events.total()) == (1, False, 0)
    assert [one.reason for one in nights.rejected] == ["ragged"]
    assert nights.take([ticket("1")]).events["voided"] == 1


def test_a_table_of_rows_that_cannot_be_read_is_not_taken_for_one_that_was_cut_off(nights: Nights) -> None:
    nights.mapping = mapping(vanished=True)
    nights.take([ticket(str(number)) for number in range(40)])
    report = nights.take([ticket(str(number)) for number in range(20)], text="x\n" * 20)
    assert (report.rejected.total(), report.snapshot and report.snapshot.vanished) == (20, 20)
    assert nights.since(80) == []


def test_a_row_that_is_ahead_of_the_clock_is_rejected_and_found_again(nights: Nights) -> None:
    nights.take([ticket("1")])
    later = [ticket("1", done="2025-07-02T09:00:00")]
    now_ms = 1_751_382_000_000  # 2025-07-01 23:00
    report = nights.take(later, now_ms=now_ms)
    assert dict(report.rejected) == {"in_the_future": 1}
    nights.take(later, now_ms=now_ms + 36_000_000)
    assert nights.since(2) == [("1", "resolved", "甲")]


def test_a_row_that_repeats_another_is_passed_over_and_one_that_contradicts_it_is_rejected(nights: Nights) -> None:
    nights.take([ticket("1"), ticket("1"), ticket("2")])
    report = nights.take(
        [
            ticket("2"),
            ticket("1", unit="乙"),
            ticket("1", unit="丙"),
            ticket("1", unit="乙"),
            ticket("2"),
            ticket("3"),
            ticket("3", unit="丁"),
        ]
    )
    assert [(one.line, one.reason) for one in nights.rejected] == [(4, "duplicate_key"), (8, "duplicate_key")]
    assert report.repeated_rows == 2
    assert ("1", "progress", "乙") in nights.since(4)
    assert ("1", "progress", "丙") not in nights.since(4)


def test_a_change_in_a_row_that_is_rejected_is_found_the_next_time(nights: Nights) -> None:
    nights.take([ticket("1")])
    report = nights.take([ticket("1", back="1", done="soon")])
    assert [one.reason for one in nights.rejected] == ["bad_time"]
    assert report.snapshot is not None
    assert report.snapshot.vanished == 0
    nights.take([ticket("1", back="1", done="2025-06-03T10:00:00")])
    assert [kind for _, kind, _ in nights.since(2)] == ["resolved", "return_approved"]


def test_a_rejected_row_is_no_new_ticket_and_no_changed_one(nights: Nights) -> None:
    nights.take([ticket("1"), ticket("2")])
    report = nights.take([ticket("1", sent="never"), ticket("2", unit="乙"), ticket("3", registered="never")])
    found = report.snapshot
    assert found is not None
    assert (found.new, found.changed, found.unchanged, found.vanished) == (0, 1, 0, 0)
    assert report.rejected == {"bad_time": 2}


def test_an_older_table_is_refused_and_one_made_at_the_same_time_is_taken(nights: Nights) -> None:
    nights.take([ticket("1")], at="2025-07-05T02:00:00+08:00")
    nights.take([ticket("1")], at="2025-07-04T18:00:00Z")
    with pytest.raises(ImportFault, match="older than the last snapshot"):
        nights.take([ticket("1", unit="乙")], at="2025-07-05T01:59:59+08:00")


NOON_MS = 1_751_688_000_000  # 2025-07-05T04:00:00Z


def test_a_table_ahead_of_the_clock_is_refused_for_it_would_keep_out_the_next(nights: Nights) -> None:
    nights.take([ticket("1")], at="2025-07-05T03:59:00Z", clock_ms=NOON_MS)
    nights.take([ticket("1")], at="2025-07-05T04:05:00Z", clock_ms=NOON_MS)  # clocks differ a little
    sent = len(nights.log.bodies)
    with pytest.raises(ImportFault, match=r"is of 2099-01-01T00:00:00Z, ahead of this machine's clock: give --at TIME"):
        nights.take([ticket("1", unit="乙")], at="2099-01-01T00:00:00Z", clock_ms=NOON_MS)
    assert len(nights.log.bodies) == sent
    nights.take([ticket("1", unit="乙")], at="2025-07-06T04:00:00Z", clock_ms=NOON_MS + 24 * 3_600_000)
    assert len(nights.log.bodies) == sent + 1


def test_a_state_ahead_of_the_clock_is_told_from_a_table_that_is_old(nights: Nights) -> None:
    nights.take([ticket("1")], at="2099-01-01T00:00:00Z")
    with pytest.raises(ImportFault, match=r"the last snapshot, of 2099-01-01T00:00:00Z, is ahead.*--baseline"):
        nights.take([ticket("1")], at="2025-07-05T04:00:00Z", clock_ms=NOON_MS)


def test_a_baseline_remembers_and_sends_nothing(nights: Nights) -> None:
    report = nights.take([ticket("1"), ticket("2")], baseline=True)
    assert (report.events.total(), nights.log.bodies) == (0, [])
    later = nights.take([ticket("1", back="1"), ticket("2")])
    assert later.backfill is False
    assert nights.since(0) == [("1", "return_approved", "甲")]


def test_a_dry_run_changes_nothing(nights: Nights) -> None:
    report = nights.take([ticket("1")], keep=False)
    assert report.events.total() == 2
    assert [path.name for path in nights.folder.iterdir()] == ["night-1.csv"]
    nights.take([ticket("1")])
    before = nights.state_path.read_bytes()
    assert nights.take([ticket("1", back="1")], keep=False).events.total() == 1
    assert nights.state_path.read_bytes() == before
    assert nights.take([ticket("1", back="1")]).events.total() == 1


SLIPS = [
    ("no key", ("key: nr\n", ""), ("[{changed: unit}, {unchanged: sent}]", "[]"), "needs a `key`"),
    ("an order", ("key: nr", "key: nr\norder_by: {column: sent, as: time}"), ("", ""), "nothing to order"),
    ("numbered events", ("key: nr", "key: nr\nseq: true"), ("", ""), "cannot be numbered"),
    (
        "an id of the line",
        ("    type: resolved", '    event_id: "{nr}-{row.line}"\n    type: resolved'),
        ("", ""),
        "stands elsewhere",
    ),
]


@pytest.mark.parametrize(("one", "two", "words"), [case[1:] for case in SLIPS], ids=[case[0] for case in SLIPS])
def test_a_mapping_that_cannot_be_used_for_snapshots_is_refused_with_its_line(
    nights: Nights, one: tuple[str, str], two: tuple[str, str], words: str
) -> None:
    text = MAPPING.replace(*one).replace(*two)
    if words == "needs a `key`":
        text = (
            text.replace("[{increased: back}]", "[]")
            .replace("{previous.unit}", "{unit}")
            .replace("[{row: first}]", "[]")
        )
    nights.mapping = mapping_of(text)
    with pytest.raises(ConfigFileError, match=rf"m\.yaml:\d+: .*{words}"):
        nights.take([ticket("1")])


def test_an_event_id_of_the_mappings_own_may_stand_for_one_ticket_only(nights: Nights) -> None:
    nights.mapping = mapping_of(
        MAPPING.replace("    type: resolved", '    event_id: "{unit}-done"\n    type: resolved')
    )
    nights.take([ticket("1", done="2025-06-03T10:00:00"), ticket("2", done="2025-06-03T10:00:00")])
    assert [(one.line, one.reason) for one in nights.rejected] == [(3, "duplicate_event_id")]


def test_a_key_of_several_columns_tells_the_rows_of_one_ticket_apart(nights: Nights) -> None:
    nights.mapping = mapping_of(MAPPING.replace("key: nr", "key: [nr, unit]"))
    nights.take([ticket("1"), ticket("1", unit="乙")])
    report = nights.take([ticket("1", done="2025-06-03T10:00:00")])
    assert report.snapshot is not None
    assert report.snapshot.vanished_keys == ["1 / 乙"]
    assert [kind for _, kind, _ in nights.since(3)] == ["resolved"]


def test_a_column_that_is_compared_anew_gives_no_event_for_what_was_there_before(nights: Nights) -> None:
    nights.mapping = mapping_of(MAPPING.replace("{new: done}", "{not_empty: done}, {row: first}"))
    nights.take([ticket("1", done="2025-06-03T10:00:00"), ticket("2")], backfill=False)
    known = len(nights.log.events())
    nights.mapping = mapping()
    nights.take([ticket("1", done="2025-06-03T10:00:00"), ticket("2", done="2025-06-03T11:00:00")])
    assert nights.since(known) == []
    nights.take([ticket("1", done="2025-06-04T10:00:00"), ticket("2", done="2025-06-03T11:00:00")])
    assert nights.since(known) == [("1", "resolved", "甲")]


def test_another_mapping_or_key_does_not_touch_a_state(nights: Nights) -> None:
    nights.take([ticket("1")])
    nights.mapping = mapping_of(MAPPING.replace("mapping: table", "mapping: other"))
    with pytest.raises(ImportFault, match="belongs to the mapping 'table', not 'other'"):
        nights.take([ticket("1")])
    nights.mapping = mapping_of(MAPPING.replace("key: nr", "key: [nr, unit]"))
    with pytest.raises(ImportFault, match="knows its tickets by nr"):
        nights.take([ticket("1")])


def test_the_state_is_private_and_tells_nothing_that_is_not_compared(nights: Nights) -> None:
    nights.take([ticket("1", title="某人电话")])
    assert stat.S_IMODE(nights.state_path.stat().st_mode) == 0o600
    content = nights.state_path.read_bytes()
    assert "甲".encode() in content
    for text in ("某人电话", PHONE, "2025-06-01T09"):
        assert text.encode() not in content
    assert sorted(path.name for path in nights.folder.iterdir()) == [
        "night-1.csv",
        "tickets.state",
        "tickets.state.lock",
    ]


def test_a_state_is_used_by_one_import_at_a_time(nights: Nights) -> None:
    state = ImportState(nights.state_path)
    with pytest.raises(ImportFault, match="in use by another import"):
        nights.take([ticket("1")])
    state.close()
    nights.take([ticket("1")])


def test_what_is_no_state_is_refused_and_left_alone(nights: Nights) -> None:
    nights.state_path.write_bytes(b"id,user\n" * 500)
    with pytest.raises(ImportFault, match="is no state of an import"):
        nights.take([ticket("1")])
    assert nights.state_path.read_bytes() == b"id,user\n" * 500
    nights.state_path.write_bytes(b"")  # SQLite takes it for a new one
    with pytest.raises(
        ImportFault, match=r"is empty, .* put the last copy of it in its place; to begin anew, remove it"
    ):
        nights.take([ticket("1")])
    assert nights.state_path.read_bytes() == b""


def test_a_state_that_lost_its_content_is_no_first_one(nights: Nights) -> None:
    nights.take([ticket("1")])
    nights.state_path.write_bytes(b"")
    with pytest.raises(
        ImportFault, match="is empty, as after a crash of the disk: put the last copy of it in its place"
    ):
        nights.take([ticket("1")])
    assert len(nights.log.bodies) == 2


def test_events_of_a_run_that_broke_off_are_sent_first_and_are_the_same(nights: Nights) -> None:
    nights.take([ticket("1")])
    nights.log.breaks_after = 1
    with pytest.raises(SinkFault):
        nights.take([ticket("1", back="1", unit="乙", sent="2025-06-02T09:00:00")])
    sent = nights.log.bodies[2:]
    nights.log.heal()
    # The next night's table shows that time as past: without the events at rest it would tell of one change only.
    report = nights.take([ticket("1", back="2", unit="丙", sent="2025-06-03T09:00:00")])
    assert report.snapshot is not None
    assert report.snapshot.resumed_events == 2
    assert nights.log.bodies[3:5][0] == sent[0]
    returns = [event["unit_id"] for event in nights.log.events() if event["type"] == "return_approved"]
    assert returns == ["甲", "乙"]


def test_a_state_that_was_put_back_is_not_mixed_with_the_events_of_a_later_one(nights: Nights) -> None:
    nights.take([ticket("1")])
    old = nights.state_path.read_bytes()
    nights.take([ticket("1", back="1")])
    nights.log.breaks_after = 0
    with pytest.raises(SinkFault):
        nights.take([ticket("1", back="2")])
    nights.state_path.write_bytes(old)
    with pytest.raises(ImportFault, match="does not belong to"):
        nights.take([ticket("1", back="3")])


WITH_VANISHED = mapping(vanished=True)
TABLES = st.lists(
    st.dictionaries(
        st.sampled_from("12345"),
        st.tuples(
            st.sampled_from("甲乙丙"),
            st.integers(0, 3),
            st.sampled_from(["", "2025-06-03T10:00:00", "2025-06-04T10:00:00", "never"]),
        ),
    ),
    min_size=1,
    max_size=6,
)
BREAKS = st.lists(
    st.tuples(st.sampled_from(["send", "close", "seal", "before apply", "after apply"]), st.integers(0, 5)), max_size=6
)


def _rows(table: dict[str, tuple[str, int, str]]) -> list[dict[str, str]]:
    return [ticket(nr, unit=unit, back=str(back), done=done) for nr, (unit, back, done) in table.items()]


@settings(max_examples=30, deadline=None)
@example([{"1": ("甲", 0, "")}, {}], [("send", 1), ("send", 1)])
@given(TABLES, BREAKS)
def test_whatever_breaks_off_the_events_are_those_of_a_run_without_breaks(
    tables: list[dict[str, Any]], breaks: list[tuple[str, int]]
) -> None:
    with folder_in_memory() as one, folder_in_memory() as other:
        whole, broken = Nights(Path(one), WITH_VANISHED), Nights(Path(other), WITH_VANISHED)
        _take_both(whole, broken, tables, breaks)
    assert sorted(map(str, broken.log.events())) == sorted(map(str, whole.log.events()))


def _take_both(whole: Nights, broken: Nights, tables: list[dict[str, Any]], breaks: list[tuple[str, int]]) -> None:
    for table, breaking in itertools.zip_longest(tables, breaks[: len(tables)]):
        whole.take(_rows(table))
        if breaking is not None:
            # What an earlier break left is sent first: then a break may come before this table is looked at.
            left = Path(f"{broken.state_path}.pending").exists()
            with pytest.MonkeyPatch.context() as patch:
                _break(broken, patch, *breaking)
                with contextlib.suppress(Crash):  # where nothing is sent, nothing breaks
                    broken.take(_rows(table))
            broken.log.heal()
            # Once the difference has its place, the next run sends it whatever table it is given.
            if breaking[0] != "seal" and breaking[1] % 2 and not left:
                continue
            broken.night -= 1
        broken.take(_rows(table))
    whole.take([])
    broken.night = whole.night - 1
    broken.take([])


def _break(nights: Nights, patch: pytest.MonkeyPatch, where: str, number: int) -> None:
    nights.log.error = Crash
    if where == "send":
        nights.log.breaks_after = number
    elif where == "close":
        nights.log.breaks_at_close = True
    else:
        name = "seal" if where == "seal" else "apply"
        real = getattr(Pending, name)

        def crash(pending: Pending, *arguments: Any) -> None:
            if where == "after apply":
                real(pending, *arguments)
            raise Crash

        patch.setattr(Pending, name, crash)
