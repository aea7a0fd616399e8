"""A table on disk against its changelog: what is a difference, and what is only not read yet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.state_comparing import Difference, Kind, compare, fold_changelog

NAME = ("tickets", 0, "tickets-0.db")
RECORDS = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.sampled_from([b"1", b"2", None])))


def _numbered(records: list[tuple[bytes, bytes | None]]) -> list[tuple[int, bytes, bytes | None]]:
    return [(offset, key, value) for offset, (key, value) in enumerate(records)]


def _table(records: list[tuple[int, bytes, bytes | None]], offset: int) -> dict[bytes, bytes]:
    latest = {key: value for at, key, value in records if at <= offset}
    return {key: value for key, value in latest.items() if value is not None}


@given(RECORDS, st.data())
def test_a_table_that_stopped_anywhere_equals_its_changelog(
    records: list[tuple[bytes, bytes | None]], data: st.DataObject
) -> None:
    numbered = _numbered(records)
    offset = data.draw(st.integers(-1, len(numbered) - 1))
    found = compare(NAME, _table(numbered, offset), offset, fold_changelog(numbered), len(numbered))
    assert found.equal
    assert found.unread == len({key for at, key, _ in numbered if at > offset})


@given(RECORDS, st.data())
def test_compaction_changes_no_verdict(records: list[tuple[bytes, bytes | None]], data: st.DataObject) -> None:
    numbered = _numbered(records)
    latest = {key: (at, key, value) for at, key, value in numbered}
    offset = data.draw(st.integers(-1, len(numbered) - 1))
    found = compare(NAME, _table(numbered, offset), offset, fold_changelog(sorted(latest.values())), len(numbered))
    assert found.equal


@given(RECORDS, st.sampled_from([b"a", b"b", b"c", b"d"]), st.sampled_from([b"1", b"2", None]))
def test_any_key_that_was_changed_on_disk_is_found(
    records: list[tuple[bytes, bytes | None]], key: bytes, value: bytes | None
) -> None:
    numbered = _numbered(records)
    end = len(numbered)
    right = _table(numbered, end)
    wrong = {one: held for one, held in right.items() if one != key} | ({} if value is None else {key: value})
    found = compare(NAME, wrong, end - 1, fold_changelog(numbered), end)
    assert found.equal == (wrong == right)
    assert [one.key_sha256 for one in found.differences] == ([] if wrong == right else [key.hex()])


def test_each_kind_of_difference_has_its_name() -> None:
    changelog = fold_changelog([(0, b"a", b"1"), (1, b"b", b"1"), (2, b"c", b"1"), (3, b"c", None)])
    found = compare(NAME, {b"b": b"2", b"c": b"1", b"d": b"1"}, 3, changelog, 4)
    assert found.differences == (
        Difference(Kind.MISSING, b"a".hex()),
        Difference(Kind.DIFFERENT, b"b".hex()),
        Difference(Kind.EXTRA, b"c".hex()),
        Difference(Kind.EXTRA, b"d".hex()),
    )


def test_a_disk_that_reaches_beyond_its_changelog_is_not_equal() -> None:
    assert compare(NAME, {}, 4, {}, 4).ahead
    assert not compare(NAME, {}, 4, {}, 4).equal
    assert not compare(NAME, {}, -1, {}, 0).ahead
