"""Compressed bytes are inflated up to a bound, whatever they say of themselves, and batches that stand for more are told of."""

from __future__ import annotations

import gzip
import resource
from typing import Any

import cramjam
import pytest
from aiokafka import codec
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import MemoryRecords as OtherMemoryRecords

from streams import bounded_batches
from streams.inflating import (
    CODECS,
    INFLATED_BYTES_MAX,
    MIB,
    InflationError,
    Uninflated,
    inflate_gzip,
    inflate_lz4,
    inflate_snappy,
    inflate_zstd,
)
from streams.kafka_client import BatchTooLargeError
from tests.bombs import bomb

ENCODERS = {
    "gzip_decode": codec.gzip_encode,
    "lz4_decode": codec.lz4_encode,
    "snappy_decode": codec.snappy_encode,
    "zstd_decode": codec.zstd_encode,
}
HUGE_MIB = 1024


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=3000), st.sampled_from(sorted(CODECS)))
def test_what_is_within_the_bound_comes_back_whole(data: bytes, name: str) -> None:
    assert CODECS[name](ENCODERS[name](data)) == data


@pytest.mark.parametrize("name", sorted(CODECS))
def test_the_bound_itself_is_taken_and_a_byte_more_is_not(name: str) -> None:
    inflate: Any = CODECS[name]
    data = ENCODERS[name](bytes(range(256)) * 400)
    assert len(inflate(data, 102_400)) == 102_400
    with pytest.raises(InflationError):
        inflate(data, 102_399)


@pytest.mark.parametrize("inflate", [inflate_zstd, inflate_lz4, inflate_gzip])
def test_several_streams_in_a_row_count_together(inflate: Any) -> None:
    encode = {inflate_zstd: codec.zstd_encode, inflate_lz4: codec.lz4_encode, inflate_gzip: gzip.compress}[inflate]
    two = encode(b"a" * 5000) + encode(b"b" * 5000)
    assert inflate(two) == b"a" * 5000 + b"b" * 5000
    with pytest.raises(InflationError):
        inflate(two, 9_999)


def test_snappy_blocks_count_together_and_a_claimed_length_allocates_nothing() -> None:
    framed = codec.snappy_encode(b"a" * 100_000)
    with pytest.raises(InflationError):
        inflate_snappy(framed, 99_999)
    assert inflate_snappy(cramjam.snappy.compress_raw(b"raw")) == b"raw"
    with pytest.raises(InflationError):
        inflate_snappy(b"\xff\xff\xff\xff\x0fa")  # says that it stands for 4 GiB


@pytest.mark.parametrize("name", sorted(CODECS))
def test_what_is_not_compressed_is_an_error_of_another_kind(name: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        CODECS[name](b"not compressed at all")
    assert not isinstance(caught.value, InflationError)


def _records(batches: bytes, offset: int = 0) -> PartitionRecords:
    return PartitionRecords(
        TopicPartition("t", 3), MemoryRecords(batches), [], offset, None, None, check_crcs=True, isolation_level=0
    )


@pytest.mark.parametrize("name", ["zstd", "lz4", "gzip"])
def test_a_bomb_becomes_one_record_and_little_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alarms: list[tuple[str, int]] = []
    monkeypatch.setattr(bounded_batches, "_alarms", [lambda topic, partition: alarms.append((topic, partition))])
    mib = HUGE_MIB if name == "zstd" else INFLATED_BYTES_MAX // MIB + 1
    made = bomb(name, mib)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    records = _records(made)
    (told,) = list(records)
    assert isinstance(told.value, Uninflated)
    assert (told.offset, told.key, told.headers) == (0, None, ())
    assert records.next_fetch_offset == 1
    assert alarms == [("t", 3)]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 2 * INFLATED_BYTES_MAX // 1024, "KiB at the highest"


def test_a_batch_below_the_bound_is_read() -> None:
    (record,) = list(_records(bomb("zstd", 2)))
    assert record.value == bytes(2 * MIB)


def test_commands_read_by_the_same_bound() -> None:
    (record,) = list(OtherMemoryRecords(bomb("zstd", 2)).next_batch())
    assert record.value == bytes(2 * MIB)
    with pytest.raises(BatchTooLargeError):
        list(OtherMemoryRecords(bomb("zstd", INFLATED_BYTES_MAX // MIB + 1)).next_batch())
