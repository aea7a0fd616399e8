"""Digests of the tables on disk of an installation that is down: equal ones hold equal states."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import rocksdict
from faust.stores.rocksdb import Store

from streams.partition import RESERVED

_OFFSET_KEY = Store.offset_key


class Digest(NamedTuple):
    """What one partition of a table holds: how many keys, a digest over keys and values in order of keys, and how far its
    changelog is in it.
    """

    keys: int
    sha256: str
    offset: int


def table_digests(data_dir: Path) -> dict[str, Digest]:
    """Return the digest of each database below a data directory, by its path there. A partition's own clock is left out."""
    found = {}
    for current in sorted(data_dir.rglob("CURRENT")):
        folder = current.parent
        if (folder / "IDENTITY").exists():
            found[str(folder.relative_to(data_dir))] = _digest(folder)
    return found


def newest(digests: dict[str, Digest]) -> dict[str, tuple[int, str]]:
    """Return keys and digest of each partition of a table, by its name, wherever it is furthest: partitions move between workers."""
    best: dict[str, Digest] = {}
    for path, digest in digests.items():
        name = Path(path).name
        if name not in best or digest.offset > best[name].offset:
            best[name] = digest
    return {name: (digest.keys, digest.sha256) for name, digest in sorted(best.items())}


def _digest(folder: Path) -> Digest:
    digest, keys, offset = hashlib.sha256(), 0, -1
    database = rocksdict.Rdict(
        str(folder), options=rocksdict.Options(raw_mode=True), access_type=rocksdict.AccessType.read_only()
    )
    try:
        for key, value in database.items():
            if key == _OFFSET_KEY:
                offset = int(value)
            elif not key.startswith(RESERVED):
                keys += 1
                for part in (key, value):
                    digest.update(len(part).to_bytes(8, "big") + part)
    finally:
        database.close()
    return Digest(keys, digest.hexdigest(), offset)
