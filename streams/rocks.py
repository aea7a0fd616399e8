"""RocksDB under the tables: one database per partition, memory bounded for the whole process.

Faust's own options allow 2 GiB of block cache and 192 MB of write buffers per database. Here all databases of a process
share one cache and one limit on write buffers. A database that does not open because it is damaged is thrown away:
recovery builds it again from the changelog. Damage found while reading is remembered in a marker file, for the next
start to do the same.
"""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import sleep
from typing import Any

import rocksdict
from faust.stores import rocksdb

log = logging.getLogger(__name__)

MIB = 1024 * 1024
SCAN_CHUNK = 1000
STALLED_SECONDS = 0.01
_STALLED = "Write stall"
"""in RocksDB's words for a write that would have to wait"""


@dataclass(frozen=True)
class RocksLimits:
    """What all databases of one process may take together, but for files and single write buffers, which are per
    database.
    """

    block_cache_bytes: int = 16 * MIB
    write_buffers_bytes: int = 24 * MIB
    write_buffer_bytes: int = 8 * MIB
    max_open_files: int = 32
    background_jobs: int = 2

    @cached_property
    def cache(self) -> Any:
        return rocksdict.Cache(self.block_cache_bytes)

    @cached_property
    def write_buffer_manager(self) -> Any:
        return rocksdict.WriteBufferManager(self.write_buffers_bytes, False)


class RocksOptions(rocksdb.RocksDBOptions):
    """How each database is opened."""

    def __init__(self, limits: RocksLimits) -> None:
        super().__init__(
            max_open_files=limits.max_open_files,
            write_buffer_size=limits.write_buffer_bytes,
            max_write_buffer_number=2,
            target_file_size_base=8 * MIB,
            block_cache_size=limits.block_cache_bytes,
            bloom_filter_size=10,
            use_rocksdict=True,
        )
        self.limits = limits

    def open(self, path: Path, *, read_only: bool = False) -> Any:
        path.parent.mkdir(parents=True, exist_ok=True)
        options = self.as_options()
        # By name as well: of a database that exists, rocksdict otherwise takes the family's options from its files, where neither
        # the shared cache nor the bloom filter is. Each would have a cache of its own.
        return rocksdict.Rdict(str(path), options=options, column_families={"default": options})

    def as_options(self) -> Any:
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_block_cache(self.limits.cache)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_bloom_filter(self.bloom_filter_size, block_based=False)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self.limits.write_buffer_manager)
        options.set_write_buffer_size(self.write_buffer_size)
        options.set_max_write_buffer_number(self.max_write_buffer_number)
        options.set_target_file_size_base(self.target_file_size_base)
        options.set_max_open_files(self.limits.max_open_files)
        options.set_max_background_jobs(self.limits.background_jobs)
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        options.set_max_total_wal_size(32 * MIB)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(MIB)
        return options


class RocksStore(rocksdb.Store):
    """Faust's RocksDB store, addressed by partition, with bounded memory and repair by rebuilding."""

    def __init__(self, *args: Any, limits: RocksLimits, **kwargs: Any) -> None:
        kwargs["options"] = {"driver": "rocksdict"}
        super().__init__(*args, **kwargs)
        self.rocksdb_options = RocksOptions(limits)
        self._at_once = rocksdict.WriteOptions()
        self._at_once.no_slowdown = True

    def read(self, partition: int, key: bytes) -> bytes | None:
        """The stored value of a key."""
        value: bytes | None = self._db_for_partition(partition).get(key)
        return value

    def write(self, partition: int, changes: dict[bytes, bytes | None], offset: int) -> None:
        """Apply changes (None deletes) and the changelog offset that they reach, all or nothing.

        Where RocksDB holds writers up until it has flushed or compacted enough, this waits with them: rocksdict would wait with
        the interpreter's lock in its hands, and no thread would run meanwhile, heartbeats and the freeze guard neither.
        """
        while not self._try_to_write(partition, changes, offset):
            sleep(STALLED_SECONDS)

    def _try_to_write(self, partition: int, changes: dict[bytes, bytes | None], offset: int) -> bool:
        """Write, and return True; or return False, with nothing written, where writers are held up."""
        batch = rocksdict.WriteBatch(raw_mode=True)  # each time: one that was tried is used up
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self.offset_key, str(offset).encode())
        try:
            self._db_for_partition(partition).write(batch, self._at_once)
        except Exception as exc:  # rocksdict raises nothing narrower
            if _STALLED not in str(exc):
                raise
            return False
        return True

    def scan(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All pairs in order of keys. No iterator of RocksDB is held while the caller works, or awaits."""
        after: bytes | None = None
        while True:
            chunk = self._chunk(partition, after)
            yield from ((key, value) for key, value in chunk if key != self.offset_key)
            if len(chunk) < SCAN_CHUNK:
                return
            after = chunk[-1][0]

    def _chunk(self, partition: int, after: bytes | None) -> list[tuple[bytes, bytes]]:
        iterator = self._db_for_partition(partition).iter()
        if after is None:
            iterator.seek_to_first()
        else:
            iterator.seek(after + b"\0")
        chunk: list[tuple[bytes, bytes]] = []
        while iterator.valid() and len(chunk) < SCAN_CHUNK:
            chunk.append((iterator.key(), iterator.value()))
            iterator.next()
        iterator.status()
        return chunk

    def estimate(self, partition: int) -> int:
        """About how many keys a partition has: RocksDB's own estimate, without reading."""
        count = self._db_for_partition(partition).property_int_value("rocksdb.estimate-num-keys") or 0
        return max(0, count - 1)

    def condemn(self, partition: int) -> None:
        """Let the next start throw this database away and build it again from the changelog."""
        self._marker(partition).touch()

    def _marker(self, partition: int) -> Path:
        path: Path = self.partition_path(partition)
        return path.with_name(path.name + ".condemned")

    def _open_for_partition(self, partition: int) -> Any:
        path, marker = self.partition_path(partition), self._marker(partition)
        if marker.exists():
            self._discard(path)
            marker.unlink()
        try:
            return self.rocksdb_options.open(path)
        except Exception as exc:
            if not _is_damage(exc):
                raise  # a lock is waited for by the caller
            log.error("database %s is damaged and is built again from the changelog: %s", path.name, exc)
            self._discard(path)
            return self.rocksdb_options.open(path)

    def _discard(self, path: Path) -> None:
        shutil.rmtree(path, ignore_errors=True)


def _is_damage(exc: Exception) -> bool:
    text = str(exc).lower()
    return "lock" not in text and any(
        word in text for word in ("corrupt", "checksum", "manifest", "no such file", "invalid argument")
    )
