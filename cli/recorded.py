"""Recorded events from files, decoded and read as intake does: in this process, or in several beside it where there is much to read."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import NamedTuple

import orjson

from cli.output import fail, read_lines
from models.decode import Rejected, decode_event
from models.quarantine import RejectionReason
from rules.event import Event
from rules.intake import NO_READER, Reader, read_texts, to_event
from rules.pseudonym import PseudonymKey
from rules.reference import Reference

CHUNK_LINES = 4_096
MUCH_BYTES = 8 * 1024 * 1024
"""files that are smaller together are read before other processes would be at work"""
MOST_JOBS = 8
"""one process that judges is not fed by more"""

Reject = Callable[[Path, int, Rejected], None]
Line = tuple[int, bytes]
Why = tuple[RejectionReason, str, str | None]
Told = tuple[bytes, list[tuple[int, Why]]]
"""what a decoding process says of some lines: the events as on the wire, and of refused lines what their error is made of"""


class Refused(NamedTuple):
    """A line that cannot be taken."""

    number: int
    why: Rejected


@dataclass(frozen=True)
class Decoding:
    """How lines become events."""

    keys: Sequence[PseudonymKey]
    reader: Reader = NO_READER
    reference: Reference | None = None

    def decode(self, lines: Sequence[Line]) -> tuple[list[Event], list[Refused]]:
        """Return the events in some lines, in their order, and the lines that are none."""
        refused: list[Refused] = []
        decoded = []
        for number, line in lines:
            try:
                decoded.append((number, decode_event(line)))
            except Rejected as rejected:
                refused.append(Refused(number, rejected))
        events = []
        read = read_texts([event for _, event in decoded], self.reader)
        for (number, event), texts in zip(decoded, read, strict=True):
            try:
                events.append(to_event(event, self.keys, self.reader, texts))
            except Rejected as rejected:
                refused.append(Refused(number, rejected))
        return (events if self.reference is None else [*map(self.reference.enrich, events)]), refused


def jobs_for(paths: Iterable[Path]) -> int:
    """Return how many processes are worth their start: none beside this one for small files, else one for each core."""
    size = sum(path.stat().st_size for path in paths if path.is_file())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_JOBS) if size >= MUCH_BYTES and "fork" in get_all_start_methods() else 1


@contextmanager
def recorded_events(
    paths: Iterable[Path], decoding: Decoding, reject: Reject, *, jobs: int = 1, chunk_lines: int = CHUNK_LINES
) -> Iterator[Iterator[Event]]:
    """Yield the events in the files, in the files' order; what cannot be taken goes to `reject`.

    `jobs`: with more than one, so many further processes decode and read texts, and this one only judges.
    """
    if jobs <= 1:
        yield _here(paths, decoding, reject, chunk_lines)
        return
    # Forked now, while this process has one thread; the pack and its dictionaries are shared and not read again.
    with ProcessPoolExecutor(jobs, get_context("fork"), _begin, (decoding,)) as pool:
        pool.submit(os.getpid).result()
        try:
            yield _elsewhere(pool, paths, reject, jobs + 2, chunk_lines)
        except BrokenProcessPool:
            fail("a process that decodes events was ended from outside: is there memory enough? --jobs 1 needs less")
        finally:
            pool.shutdown(cancel_futures=True)


def _chunks(paths: Iterable[Path], chunk_lines: int) -> Iterator[tuple[Path, list[Line]]]:
    for path in paths:
        lines = read_lines(path)
        # Some at a time: reading and judging in turn, event by event, would keep throwing each other's code out of the cache.
        while chunk := list(islice(lines, chunk_lines)):
            yield path, chunk


def _here(paths: Iterable[Path], decoding: Decoding, reject: Reject, chunk_lines: int) -> Iterator[Event]:
    for path, chunk in _chunks(paths, chunk_lines):
        events, refused = decoding.decode(chunk)
        for one in refused:
            reject(path, one.number, one.why)
        yield from events


_decoding: Decoding | None = None
"""what a decoding process was begun with"""


def _begin(decoding: Decoding) -> None:
    global _decoding
    _decoding = decoding


def _decoded(lines: list[Line]) -> Told:
    """Return, from a decoding process, what becomes of some lines."""
    assert _decoding is not None
    events, refused = _decoding.decode(lines)
    told = [(one.number, (one.why.reason, one.why.detail, one.why.field)) for one in refused]
    return orjson.dumps(events, default=tuple), told


def _elsewhere(
    pool: ProcessPoolExecutor, paths: Iterable[Path], reject: Reject, ahead: int, chunk_lines: int
) -> Iterator[Event]:
    waiting: deque[tuple[Path, Future[Told]]] = deque()
    chunks = _chunks(paths, chunk_lines)
    while True:
        for path, chunk in islice(chunks, ahead - len(waiting)):
            waiting.append((path, pool.submit(_decoded, chunk)))
        if not waiting:
            return
        path, future = waiting.popleft()
        events, refused = future.result()
        for number, why in refused:
            reject(path, number, Rejected(*why))
        for parts in orjson.loads(events):
            yield Event(*parts)
