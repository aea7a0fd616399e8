"""Does a table on disk hold what its changelog says? Pure.

A database is its changelog up to the offset that it reaches. What was written after it is not yet in it, and is no difference: the
next start reads it. A key that the changelog no longer knows at all is one: no recovery would take it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple


class Last(NamedTuple):
    """The last record of a key in a changelog: its offset, and its value's hash; None where it is a tombstone."""

    offset: int
    value: bytes | None


class Kind(StrEnum):
    """How a key differs."""

    MISSING = "missing"
    """the changelog has it, the disk does not"""
    EXTRA = "extra"
    """the disk has it, the changelog deleted it or never knew it"""
    DIFFERENT = "different"
    """both have it, with different values"""


class Difference(NamedTuple):
    """One key that differs, by the hash of the key."""

    kind: Kind
    key_sha256: str


class Comparison(NamedTuple):
    """What came out for one partition of a table."""

    table: str
    partition: int
    folder: str
    keys: int
    """on disk"""
    offset: int
    """of the changelog, that the disk reaches; -1: none"""
    end: int
    """of the changelog: the offset that its next record gets"""
    unread: int
    """keys that were written after `offset`, and so could not be compared"""
    ahead: bool
    """the disk reaches further than the changelog, which was made anew or lost its end"""
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Return whether the disk holds what the changelog says up to its offset."""
        return not self.ahead and not self.differences


def fold_changelog(records: Iterable[tuple[int, bytes, bytes | None]]) -> dict[bytes, Last]:
    """Return the last record of each key; records are offset, hash of the key, hash of the value, in the order of offsets."""
    return {key: Last(offset, value) for offset, key, value in records}


def differences_of(disk: Mapping[bytes, bytes], offset: int, changelog: Mapping[bytes, Last]) -> list[Difference]:
    """Return the keys that differ, in the order of their hashes."""
    found = []
    for key in sorted(disk.keys() | changelog.keys()):
        here, last = disk.get(key), changelog.get(key)
        if last is not None and last.offset > offset:
            continue
        there = last.value if last else None
        if here != there:
            kind = Kind.MISSING if here is None else Kind.EXTRA if there is None else Kind.DIFFERENT
            found.append(Difference(kind, key.hex()))
    return found


def compare(
    name: tuple[str, int, str], disk: Mapping[bytes, bytes], offset: int, changelog: Mapping[bytes, Last], end: int
) -> Comparison:
    """Return what came out for the partition of this name: table, number, folder."""
    unread = sum(1 for last in changelog.values() if last.offset > offset)
    return Comparison(
        *name, len(disk), offset, end, unread, offset >= end, tuple(differences_of(disk, offset, changelog))
    )
