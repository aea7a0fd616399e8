"""Reference data: the contract, the join at intake, what facts and warnings make of it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.reference import key_of, parts_of, read_record, record_key, row_version
from models.strict_yaml import ConfigFileError
from models.times import parse_instant
from rules.driver import Driver
from rules.event import Event
from rules.facts import as_mapping, compute
from rules.fold import fold
from rules.intake import Reader, to_event
from rules.messages import EventMessage, decode, encode
from rules.pack import default_folder, load_pack
from rules.reference import Reference
from rules.sealing import SEALED, Posts
from rules.views import View
from streams.intake import Intake
from streams.reference_log import Row, change_of
from streams.topics import TopicSet
from tests.builders import KEYS, Run, Story, body, engine, event_of, reader
from tests.reference_support import LOADED, frequent, joined, project, row, unit

PLACE = {"district": "试区", "street": "试街道", "community": "试社区"}


def line(record: Any) -> bytes:
    return record.model_dump_json(exclude_none=True).encode()


# --- the contract


@pytest.mark.parametrize(
    "record",
    [
        unit(since="2024-01-01", until="2025-06-01"),
        frequent("k1:0123456789abcdef0123456789abcdef", calls=48),
        project(community="试社区", category=["城乡建设"]),
        row("posts", "云溪县委书记", route="head_of_office"),
    ],
    ids=lambda one: one.table,
)
def test_a_row_is_read_as_it_was_written(record: Any) -> None:
    assert read_record(line(record)) == record
    assert parts_of(key_of(record).encode()) == (record.table, record.key, record.valid_from)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"table": "people"}, ""),
        ({"fields": {"name": "甲局", "phone": "x"}}, "phone"),
        ({"fields": {"name": "甲局", "kind": "palace"}}, "kind"),
        ({"fields": {"name": ""}}, "name"),
        ({"fields": {"name": "乙局"}}, "version"),
        ({"version": "0" * 16}, "version"),
        ({"valid_from": "2025-13-01"}, "valid_from"),
        ({"valid_from": "2025-02-01", "valid_to": "2025-02-01"}, "valid_to"),
        ({"key": ""}, "key"),
        ({"extra": 1}, "extra"),
    ],
)
def test_what_no_row_may_say_is_refused_and_no_value_is_shown(changed: dict[str, Any], field: str) -> None:
    said = orjson.loads(line(row("units", "U-1", name="甲局"))) | changed
    with pytest.raises(ValidationError) as caught:
        read_record(orjson.dumps(said))
    assert field in str(caught.value)
    assert "甲局" not in str(caught.value)


def test_a_category_without_a_place_would_meet_everything_and_is_refused() -> None:
    with pytest.raises(ValidationError, match="without a place"):
        project(category=["城乡建设"])


def test_posts_have_no_validity_for_a_former_holder_is_sealed_too() -> None:
    with pytest.raises(ValidationError, match="valid_to"):
        row("posts", "云溪县长", None, "2025-01-01", route="head_of_office")


@pytest.mark.parametrize(
    "key", [b"", b"[]", b'["units"]', b'["people","x"]', b'["units",1]', b"\xff", b"[" * 10_000, None]
)
def test_a_key_that_is_none_of_ours_is_left_out(key: bytes | None) -> None:
    assert change_of(Row(key, line(unit()))) is None


@pytest.mark.parametrize(
    "value", [b"{", b"null", line(unit("U-2")), line(unit()).replace(b"subdistrict", b"department")]
)
def test_a_row_that_cannot_be_read_is_not_there(value: bytes) -> None:
    change = change_of(Row(record_key("units", "U-1", None).encode(), value))
    assert change is not None
    assert (change.refused, change.record) == (True, None)


ROWS = [
    unit("U-1"),
    unit("U-2", "乙局"),
    unit("U-3", "丙局", "2020-01-01", "2024-01-01"),
    unit("U-3", "丙中心", "2024-01-01"),
    frequent("citizen-1"),
    frequent("citizen-2", calls=3),
    project("PRJ-1", **PLACE),
    project("PRJ-2", **PLACE),
    row("posts", "云溪县委书记", route="head_of_office"),
]


@settings(deadline=None)
@given(st.permutations(ROWS), st.lists(st.sampled_from(ROWS)), st.sets(st.sampled_from(range(len(ROWS)))))
def test_the_same_rows_have_the_same_version_however_they_came(
    order: list[Any], again: list[Any], gone: set[int]
) -> None:
    left = [one for index, one in enumerate(ROWS) if index not in gone]
    came = Reference([*order, *again])
    for index in gone:
        came.remove(came.tables[ROWS[index].table].name, ROWS[index].key, ROWS[index].valid_from)
    straight = Reference(left)
    assert came.versions == straight.versions
    assert came.rows == len(left)
    story = Story().complaint(0, citizen={"key": "citizen-2"}, unit="U-3", place=PLACE)
    assert joined(came, story.records[0]) == joined(straight, story.records[0])


def test_a_row_and_its_table_have_another_version_when_anything_it_says_changes() -> None:
    versions = {
        Reference([one]).versions["units"] for one in (unit(), unit(name="乙"), unit("U-2"), unit(since="2025-01-01"))
    }
    assert len(versions) == 4
    assert row_version("units", "a", (None, None), ("b",)) != row_version("units", "ab", (None, None), ("",))


# --- the join


def test_a_unit_that_comes_as_an_id_alone_gets_its_name_and_kind() -> None:
    reference = Reference([unit()])
    event = joined(reference, body("T-1", "dispatched", 0, unit="U-1"))
    assert event.unit_name == "甲街道办事处"
    assert event.data["reference"] == {"units": [reference.versions["units"], "subdistrict", "township", True]}
    named = joined(reference, body("T-1", "dispatched", 0, unit="U-1", unit_name="甲街办"))
    assert named.unit_name == "甲街办"
    assert named.data["reference"]["units"][3] is False


def test_an_event_that_no_row_meets_stays_as_it_was() -> None:
    for record in (body("T-1", "dispatched", 0, unit="U-9"), body("T-1", "archived", 0)):
        assert joined(Reference(ROWS), record) == event_of(record)


def test_what_was_joined_does_not_make_another_body_of_the_same_event() -> None:
    record = body("T-1", "dispatched", 0, unit="U-1")
    assert joined(Reference([unit()]), record).digest == event_of(record).digest


def test_an_enriched_event_is_the_same_after_the_wire() -> None:
    event = joined(
        Reference(ROWS), Story().complaint(0, citizen={"key": "citizen-1"}, unit="U-3", place=PLACE).records[0]
    )
    assert len(event.data["reference"]) == 3
    assert decode(encode(EventMessage(event))) == EventMessage(event)


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("2023-12-31T23:59:59+08:00", "丙局"),
        ("2024-01-01T00:00:00+08:00", "丙中心"),
        ("2019-12-31T00:00:00+08:00", None),
    ],
)
def test_the_row_is_that_of_the_day_on_which_the_event_occurred(at: str, name: str | None) -> None:
    assert joined(Reference(ROWS), body("T-1", "dispatched", at, unit="U-3")).unit_name == name


def test_a_citizen_is_met_by_the_pseudonym_made_of_the_phone_by_any_secret_in_use() -> None:
    record = Story().complaint(0, citizen={"phone": "199-0000-0001"}).records[0]
    [key] = event_of(record).data["citizens"]
    assert joined(Reference([frequent(key, calls=48)]), record).data["reference"]["citizens"][1:] == [True, 48]
    assert "reference" not in joined(Reference([frequent("k1:" + "0" * 32)]), record).data


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([project("PRJ-1", district="试区"), project("PRJ-2", street="试街道", district="试区")], "PRJ-2"),
        ([project("PRJ-1", **PLACE), project("PRJ-2", community="试社区", category=["城乡建设"])], "PRJ-1"),
        ([project("PRJ-1", **PLACE), project("PRJ-2", **PLACE, category=["城乡建设", "供水"])], "PRJ-2"),
        ([project("PRJ-2", **PLACE), project("PRJ-1", **PLACE)], "PRJ-1"),
        ([project("PRJ-1", **PLACE, category=["交通"])], None),
        ([project("PRJ-1", community="试社区三号楼")], "PRJ-1"),
        ([project("PRJ-1", district="邻区", community="试社区")], None),
        ([project("PRJ-1")], None),
    ],
)
def test_a_project_is_met_by_the_finest_place_and_then_the_longest_category(
    rows: list[Any], wanted: str | None
) -> None:
    data = joined(Reference(rows), Story().complaint(0).records[0]).data
    assert data.get("reference", {}).get("projects", [None, None])[1] == wanted


def test_a_project_named_by_the_event_goes_before_its_place() -> None:
    rows = [project("PRJ-1", **PLACE), project("PRJ-2", name="另一项目")]
    data = joined(Reference(rows), Story().complaint(0, project_id="PRJ-2").records[0]).data
    assert data["reference"]["projects"][1:] == ["PRJ-2", "另一项目", None]


def test_a_project_that_has_a_row_for_each_of_its_places_is_met_where_it_was_on_that_day() -> None:
    rows = [
        row("projects", "PRJ-1", None, "2025-03-10", name="试", community="试社区"),
        row("projects", "PRJ-1", "2025-03-10", name="试", community="新社区"),
    ]
    for day, community, is_met in (
        (0, "试社区", True),
        (0, "新社区", False),
        (9, "试社区", False),
        (9, "新社区", True),
    ):
        data = joined(Reference(rows), Story().complaint(day, place={"community": community}).records[0]).data
        assert ("reference" in data) is is_met


def test_a_project_that_moves_is_met_at_its_new_place_alone() -> None:
    reference = Reference([project("PRJ-1", **PLACE)])
    reference.put(project("PRJ-1", community="新社区"))
    assert "reference" not in joined(reference, Story().complaint(0).records[0]).data
    moved = Story().complaint(0, place={"community": "新社区"}).records[0]
    assert joined(reference, moved).data["reference"]["projects"][1] == "PRJ-1"


# --- sealing


def _posts(title: str = "云溪县委书记", route: str = "head_of_office", **fields: Any) -> Reference:
    return Reference([row("posts", title, route=route, **fields)])


def _sealed(reference: Reference, own: Posts, content: str) -> str | None:
    read_by = Reader(reader().screener, reference.posts(own))
    event = to_event_of(content, read_by)
    return event.data.get("route") if event.type == SEALED else None


def to_event_of(content: str, read_by: Reader) -> Event:
    return event_of(Story().complaint(0, title="反映", content=content).records[0], read_by)


def test_the_table_of_posts_adds_to_the_installations_own_and_takes_nothing_away() -> None:
    own = Posts({"云溪县长": "head_of_office"})
    assert _sealed(_posts(), own, "云溪县长收了红包") == "head_of_office"
    assert _sealed(_posts(), own, "云溪县委书记收了红包") == "head_of_office"
    assert _sealed(_posts("云溪县长", "superior_petition_office"), own, "云溪县长收了红包") == "head_of_office"
    assert _sealed(Reference(), own, "云溪县委书记收了红包") is None
    assert _sealed(_posts(holder="张某某"), Posts(), "张某某收了红包") == "head_of_office"
    assert Reference().posts(own) is own


def test_nothing_is_looked_up_for_a_sealed_event() -> None:
    reference = Reference([*ROWS])
    read_by = dataclasses.replace(reader(), posts=reference.posts(Posts()))
    record = Story().complaint(0, unit="U-1", title="反映", content="云溪县委书记收了红包").records[0]
    shell = to_event(event_from(record), KEYS, read_by)
    assert shell.type == SEALED
    assert reference.enrich(shell) == shell


def event_from(record: dict[str, Any]) -> Any:
    from models.decode import decode_event

    return decode_event(orjson.dumps(record))


class _Watch:
    def accepted(self, event_type: str, unknown_fields: int) -> None: ...

    def rejected(self, reason: str) -> None: ...

    def sealed(self, route: str) -> None: ...

    def screened(self, event: Event) -> None: ...


@dataclasses.dataclass
class _Record:
    value: bytes
    offset: int = 0
    timestamp: int = parse_instant("2025-04-01T00:00:00+08:00") // 1000
    headers: tuple[()] = ()


def _taken(intake: Intake, *records: dict[str, Any]) -> list[Event]:
    outs = intake.handle(0, [_Record(orjson.dumps(one)) for one in records])
    return [decode(out.value).event for out in outs if out.topic == TopicSet().tickets]  # type: ignore[union-attr]


def test_intake_joins_and_an_event_after_a_change_sees_the_new_version_and_one_before_keeps_the_old() -> None:
    reference = Reference([unit()])
    intake = Intake(TopicSet(), KEYS, _Watch(), reader(), reference)
    [before] = _taken(intake, body("T-1", "dispatched", 0, unit="U-1"))
    old = reference.versions["units"]
    reference.put(unit(name="甲街道"))
    [after] = _taken(intake, body("T-1", "accepted", 1, "e-2", unit="U-1"))
    assert (before.unit_name, before.data["reference"]["units"][0]) == ("甲街道办事处", old)
    assert (after.unit_name, after.data["reference"]["units"][0]) == ("甲街道", reference.versions["units"])
    assert old != reference.versions["units"]


def test_a_post_that_is_loaded_while_intake_runs_seals_from_the_next_batch_on() -> None:
    reference = Reference()
    intake = Intake(TopicSet(), KEYS, _Watch(), reader(), reference)
    record = Story().complaint(0, title="反映", content="云溪县委书记收了红包").records[0]
    assert [event.type for event in _taken(intake, record)] == ["registered"]
    reference.put(row("posts", "云溪县委书记", route="head_of_office"))
    assert [event.type for event in _taken(intake, record)] == [SEALED]


# --- facts and warnings


def _run(reference: Reference, story: Story) -> Run:
    return _run_events([joined(reference, record) for record in story.records])


def _run_events(events: list[Event]) -> Run:
    driver = Driver(engine())
    alerts = [alert for event in events for alert in driver.feed(event)]
    return Run(driver, alerts + driver.advance(driver.clock))


def _facts(reference: Reference, story: Story) -> dict[str, Any]:
    events = [joined(reference, record) for record in story.records]
    return as_mapping(compute(View(fold(story.ticket, events), {}, events[-1].at)))


def test_facts_say_what_was_joined_and_by_which_versions() -> None:
    reference = Reference([unit(), frequent(calls=48), project(**PLACE, kind="供水改造")])
    story = Story().complaint(0)(1, "dispatched", unit="U-1")
    facts = _facts(reference, story)
    assert facts["caller.frequent"] is True
    assert facts["caller.calls"] == 48
    assert [facts[f"project.{name}"] for name in ("id", "name", "kind")] == ["PRJ-1", "试社区供水改造", "供水改造"]
    assert (facts["lead.kind"], facts["lead.level"]) == ("subdistrict", "township")
    assert facts["reference.versions"] == ",".join(
        reference.versions[name] for name in ("citizens", "projects", "units")
    )
    nothing = _facts(Reference(), story)
    assert {path: value for path, value in nothing.items() if path.partition(".")[0] in ("caller", "project", "lead", "reference")} == {
        "caller.frequent": False, "caller.calls": 0, "project.id": "", "project.name": "", "project.kind": "",
        "lead.kind": "", "lead.level": "", "reference.versions": "",
    }  # fmt: skip


def test_a_frequent_caller_beside_another_citizen_is_no_frequent_callers_case() -> None:
    reference = Reference([frequent("citizen-1")])
    story = (
        Story()
        .complaint(0)
        .complaint(1, ticket="T-2", citizen={"key": "citizen-2"})(2, "merged", ticket="T-2", into="T-1")
    )
    assert _facts(reference, story)["caller.frequent"] is False
    assert _facts(Reference([frequent("citizen-1"), frequent("citizen-2")]), story)["caller.frequent"] is True


def test_an_amendment_of_the_citizen_or_the_place_changes_what_was_joined() -> None:
    reference = Reference([frequent("citizen-1"), project(**PLACE)])
    story = Story().complaint(0)(
        1, "amended", fields={"citizen": {"key": "citizen-2"}, "place": {"community": "别的社区"}}
    )
    facts = _facts(reference, story)
    assert (facts["caller.frequent"], facts["project.id"]) == (False, "")


def _repeated(times: int) -> Story:
    story = Story()
    for number in range(times):
        story.complaint(number, ticket=f"T-{number + 1}")
    return story(times, "visited", ticket="T-1", result="dissatisfied")


def test_a_frequent_callers_repeats_alone_raise_no_red_and_the_warning_says_why() -> None:
    reference = Reference([frequent(calls=48)])
    told = _run(reference, _repeated(6)).versions("P08", "T-1")[-1]
    assert told.level == "yellow"
    assert "frequent_caller" in told.flags
    assert told.facts["caller.frequent"] is True
    assert [one.what for one in told.evidence if reference.versions["citizens"] in one.what and "48次" in one.what]
    plain = _run(Reference([frequent("citizen-9")]), _repeated(6)).versions("P08", "T-1")[-1]
    assert (plain.level, "frequent_caller" in plain.flags) == ("red", False)


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("P08", 'repeat.count >= 2"', 'repeat.count >= 2 && !caller.frequent"', "blue: the lowest level may not read"),
        ("P08", 'repeat.count >= 2"', 'repeat.count >= 2 && caller.calls < 9"', "blue: the lowest level may not read"),
        ("C06", 'red: "', 'red: "!caller.frequent && ', "red: a rule about texts may not read caller.frequent"),
    ],
)
def test_a_pack_in_which_a_flag_on_a_citizen_would_hide_a_warning_is_refused(
    tmp_path: Path, file: str, old: str, new: str, told: str
) -> None:
    with default_folder() as default:
        shutil.copytree(default, tmp_path / "pack")
    [rule] = (tmp_path / "pack").glob(f"{file}-*.yaml")
    text = rule.read_text()
    assert old in text
    rule.write_text(text.replace(old, new))
    with pytest.raises(ConfigFileError, match=told):
        load_pack(tmp_path / "pack")


MISCONDUCT = "工作人员收了我两千元红包才给办证,不给钱就拖着不办。"


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 7), st.integers(0, 1_000_000), st.booleans())
def test_a_flag_lowers_at_most_what_counts_complaints_and_hides_nothing(times: int, calls: int, accusing: bool) -> None:
    story = Story()
    for number in range(times):
        content = MISCONDUCT if accusing and not number else "来电人反映路灯不亮。"
        story.complaint(number, ticket=f"T-{number + 1}", content=content)
    story(times, "visited", ticket="T-1", result="dissatisfied")
    plain, flagged = (
        _run(reference, story).in_force for reference in (Reference(), Reference([frequent(calls=calls)]))
    )
    assert plain.keys() == flagged.keys()
    other = {key: level for key, level in plain.items() if key[1] != "P08"}
    assert other == {key: level for key, level in flagged.items() if key[1] != "P08"}
    assert not accusing or other


def _returned() -> Story:
    story = Story().complaint(0)
    for number, one in enumerate(("U-1", "U-2")):
        story(number + 1, "dispatched", unit=one)(number + 1.5, "return_requested", unit=one)
    return story


def test_a_process_warning_names_units_by_the_table_and_the_project_but_not_the_callers_flag() -> None:
    reference = Reference([unit(), unit("U-2", "乙局"), frequent(), project(**PLACE, kind="供水改造")])
    told = _run(reference, _returned()).versions("P01")[-1]
    assert {one.id: one.name for one in told.units} == {"U-1": "甲街道办事处", "U-2": "乙局"}
    said = [one.what for one in told.evidence if "参考数据" in one.what]
    assert len(said) == 2
    assert any(reference.versions["units"] in one and "乙局" in one for one in said)
    assert any(reference.versions["projects"] in one and "试社区供水改造" in one for one in said)
    assert "frequent_caller" not in told.flags
    assert all("citizens@" not in one.what for one in told.evidence)


def test_a_unit_complained_of_by_its_id_gets_its_name() -> None:
    story = Story().complaint(0, target={"unit_id": "U-2"})
    events = [joined(Reference([unit("U-2", "乙局")]), one) for one in story.records]
    assert fold("T-1", events).unit_names == {"U-2": "乙局"}


@settings(deadline=None, max_examples=25)
@given(st.randoms(use_true_random=False))
def test_with_one_version_of_the_tables_the_end_is_the_same_in_any_order_and_with_events_twice(chance: Random) -> None:
    reference = Reference([unit(), unit("U-2", "乙局"), frequent(calls=48), project(**PLACE)])
    records = _returned().records + renamed_repeats()
    events = [joined(reference, one) for one in records]
    again = [*events, *chance.sample(events, 3)]
    chance.shuffle(again)
    in_order, shuffled = _run_events(events), _run_events(again)
    assert shuffled.in_force == in_order.in_force
    assert "yellow" in in_order.in_force.values()
    told = [one.what for run in (in_order, shuffled) for alert in run.alerts for one in alert.evidence]
    said = [one for one in told if "参考数据" in one]
    assert said
    assert all(any(version in one for version in reference.versions.values()) for one in said)


def renamed_repeats() -> list[dict[str, Any]]:
    return [
        one | {"ticket_id": f"R-{one['ticket_id']}", "event_id": f"r-{one['event_id']}"} for one in _repeated(6).records
    ]


def test_of_an_event_that_comes_twice_the_first_copy_counts_whatever_the_tables_say_by_then() -> None:
    reference, record = Reference([unit()]), body("T-1", "dispatched", 0, unit="U-1")
    driver = Driver(engine())
    driver.feed(joined(reference, record))
    reference.put(unit(name="甲街道"))
    driver.feed(joined(reference, record))
    assert driver.tickets["T-1"].events == (joined(Reference([unit()]), record),)


def test_the_ids_of_warnings_do_not_depend_on_what_was_joined() -> None:
    with_rows = _run(Reference([unit(), unit("U-2", "乙局"), project(**PLACE)]), _returned())
    assert [one.alert_id for one in with_rows.alerts] == [one.alert_id for one in _run(Reference(), _returned()).alerts]


def test_loaded_at_and_source_are_no_part_of_a_version() -> None:
    said = orjson.loads(line(unit())) | {"source": "另一名录", "loaded_at": "2026-01-01T00:00:00+08:00"}
    assert read_record(orjson.dumps(said)).version == unit().version
    assert said["loaded_at"] != LOADED
