"""Compressed bytes made whole again, up to a bound: a megabyte can stand for 33 gigabytes.

What compressed bytes say of their own size is not believed. Each codec writes into a span of address space as long as the bound, of which
only what is written becomes memory, and stops at its end.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import cramjam

MIB = 1024 * 1024
INFLATED_BYTES_MAX = 64 * MIB
"""of one batch of records, as its sender compressed it: sixteen times what we ever send in one request"""

_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16


class InflationError(Exception):
    """Compressed bytes stand for more than the bound."""


class Uninflated(bytes):
    """The empty value of the record that stands for a batch that was not inflated. No sender can make one."""

    __slots__ = ()


def inflate_zstd(payload: Any, limit: int = INFLATED_BYTES_MAX) -> bytes:
    """Return what a zstd stream stands for. Raises InflationError; cramjam's DecompressionError for what is no such stream."""
    return _into(cramjam.zstd.decompress_into, payload, limit)


def inflate_lz4(payload: Any, limit: int = INFLATED_BYTES_MAX) -> bytes:
    """Return what LZ4 frames stand for. Raises as `inflate_zstd`."""
    return _into(cramjam.lz4.decompress_into, payload, limit)


def inflate_gzip(payload: Any, limit: int = INFLATED_BYTES_MAX) -> bytes:
    """Return what gzip members stand for. Raises InflationError; zlib.error or EOFError for what is none."""
    rest, parts, left = bytes(payload), list[bytes](), limit
    while rest:
        member = zlib.decompressobj(wbits=31)
        part = member.decompress(rest, left + 1)
        if len(part) > left:
            raise InflationError
        if not member.eof:
            raise EOFError("compressed bytes end before the end of their stream")
        left -= len(part)
        parts.append(part)
        rest = member.unused_data.lstrip(b"\x00")  # padding between members is allowed
    return b"".join(parts)


def inflate_snappy(payload: Any, limit: int = INFLATED_BYTES_MAX) -> bytes:
    """Return what snappy blocks stand for, framed as Java's clients do (xerial) or a single raw one. Raises as `inflate_zstd`."""
    data = memoryview(payload)
    if bytes(data[: len(_XERIAL)]) != _XERIAL or len(data) < _XERIAL_HEADER_BYTES:
        return _snappy_block(data, limit)
    parts, left, place = list[bytes](), limit, _XERIAL_HEADER_BYTES
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big", signed=True)
        if size < 0:
            raise cramjam.DecompressionError("a block of less than no bytes")
        place += 4
        parts.append(_snappy_block(data[place : place + size], left))
        left -= len(parts[-1])
        place += size
    return b"".join(parts)


def _snappy_block(block: memoryview, limit: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > limit:  # so much would be allocated, whatever is in it
        raise InflationError
    return bytes(cramjam.snappy.decompress_raw(block))


def _into(decompress_into: Callable[[Any, Any], int], payload: Any, limit: int) -> bytes:
    with mmap.mmap(-1, limit + 1) as span:
        try:
            size = decompress_into(payload, span)
        except cramjam.DecompressionError as error:
            if "whole buffer" in str(error):  # it would have written on
                raise InflationError from None
            raise
        if size > limit:
            raise InflationError
        return span[:size]


CODECS: Mapping[str, Callable[[Any], bytes]] = {
    "gzip_decode": inflate_gzip,
    "lz4_decode": inflate_lz4,
    "snappy_decode": inflate_snappy,
    "zstd_decode": inflate_zstd,
}
"""by the names that Kafka's clients have for them"""
