"""Batches of one record that stand for far more than they are, as somebody who may write to a topic could send them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c, encode_varint

MIB = 1024 * 1024
_CODECS = {"gzip": 1, "lz4": 3, "zstd": 4}


def _compressor(codec: str) -> tuple[Callable[[bytes], Any], Callable[[], Any], list[bytes]]:
    parts: list[bytes] = []
    if codec == "gzip":
        made = zlib.compressobj(9, wbits=31)
        return lambda data: parts.append(made.compress(data)), lambda: parts.append(made.flush()), parts
    module = cramjam.zstd if codec == "zstd" else cramjam.lz4
    other = module.Compressor()
    return other.compress, lambda: parts.append(bytes(other.finish())), parts


def bomb(codec: str, mib: int, timestamp_ms: int = 1_740_000_000_000) -> bytes:
    """Return a sound record batch whose only record has a value of so many MiB of zeros; it is never whole in memory."""
    body = bytearray(b"\x00")
    for number in (0, 0, -1, mib * MIB):  # time and offset since the batch's, no key, the value's length
        encode_varint(number, body.append)
    end = bytearray()
    encode_varint(0, end.append)  # no headers
    length = bytearray()
    encode_varint(len(body) + mib * MIB + len(end), length.append)
    compress, finish, parts = _compressor(codec)
    compress(bytes(length + body))
    for _ in range(mib):
        compress(bytes(MIB))
    compress(bytes(end))
    finish()
    payload = b"".join(parts)
    rest = struct.pack(">hiqqqhii", _CODECS[codec], 0, timestamp_ms, timestamp_ms, -1, -1, -1, 1) + payload
    return struct.pack(">qiibI", 0, len(rest) + 9, -1, 2, calc_crc32c(rest)) + rest


class _Made(BatchBuilder):  # type: ignore[misc]
    """A batch that is sent as it is."""

    def __init__(self, batch: bytes) -> None:
        super().__init__(2 * MIB, 0)
        self._relative_offset = 1
        self._buffer = bytearray(batch)
        self._closed = True

    def _set_producer_state(self, *_: Any) -> None:
        return None


async def send_batch(bootstrap_servers: str, topic: str, partition: int, batch: bytes) -> int:
    """Send a batch as it is; return its offset."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_request_size=4 * MIB) as producer:
        sent = await producer.send_batch(_Made(batch), topic, partition=partition)
        return int((await sent).offset)
