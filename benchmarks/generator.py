"""The generator of synthetic tickets that all benchmarks use: the same arguments give the same bytes.

    python -m benchmarks.generator --tickets 20000 --seed 1 --out events.jsonl.gz

A ticket has 10 events on average: registered (a text of about 120 characters), dispatched with a deadline, accepted,
contacted, checked on site, one or two notes of progress, resolved, visited, archived; of 100 tickets some 8 are handed
back once, 5 extended, 5 urged, 3 judged dissatisfied and redone, 1 is late, and 10 tell an earlier matter of the same
citizen again.

Lines are composed as text: a JSON encoder would take most of the time, and no word in it needs escaping.
"""

import argparse
import gzip
import heapq
import random
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Literal, cast

import orjson

from benchmarks.arguments import positive
from benchmarks.vocabulary import EFFECTS, MATTERS, OPENINGS, REPLIES, RETURN_REASONS, SINCE, UNITS, WISHES, Matter

START = date(2025, 1, 6)
TICKETS_PER_DAY = 300

RETURNED = 0.08
BLIND_OF_RETURNED = 0.05
EXTENDED = 0.05
URGED = 0.05
DISSATISFIED = 0.03
LATE = 0.01
TOLD_AGAIN = 0.10
SECOND_PROGRESS = 0.55

_DAY = 24 * 60  # all times are in minutes since the start
_RECENT_MATTERS = 1_000
_CLOCK = [f"T{minute // 60:02d}:{minute % 60:02d}:00+08:00" for minute in range(_DAY)]
_UNITS = [(f"U-{number:03d}", name) for number, name in enumerate(UNITS, 1)]
_RATINGS = ("very_satisfied", "satisfied", "satisfied", "satisfied", "basically_satisfied", "not_rated", "unreachable")

Identity = Literal["key", "phone"]
Timed = tuple[int, int, str]  # minute, running number, line


def generate_events(tickets: int, seed: int, **options: Any) -> Iterator[dict[str, Any]]:
    """Yield the events of so many tickets as objects; the options are those of `generate_lines`."""
    for line in generate_lines(tickets, seed, **options):
        yield orjson.loads(line)


def generate_lines(
    tickets: int,
    seed: int,
    *,
    start: date = START,
    tickets_per_day: float = TICKETS_PER_DAY,
    interleaved: bool = True,
    open_share: float = 0.0,
    identity: Identity = "key",
    prefix: str = "T",
) -> Iterator[bytes]:
    """Yield the events of so many tickets as JSON, without line ends.

    `interleaved`: all in the order of `occurred_at`, as a hotline sends them; else ticket by ticket. `open_share` of the
    tickets are never resolved. `identity`: citizens come with a pseudonym, or with a phone number of the made-up range
    1990000xxxx, which intake has to replace. `prefix` begins every ticket id.
    """
    maker = _Maker(seed, start, open_share, identity, prefix)
    gap = _DAY / tickets_per_day
    made = (maker.ticket(number, int(number * gap)) for number in range(tickets))
    if not interleaved:
        for events in made:
            for _, _, line in events:
                yield line.encode()
        return
    for _, _, line in _by_time(made):
        yield line.encode()


def _by_time(tickets: Iterable[list[Timed]]) -> Iterator[Timed]:
    """Merge tickets that come in the order of their first events."""
    heap: list[Timed] = []
    for events in tickets:
        now = events[0][0]
        while heap and heap[0][0] < now:
            yield heapq.heappop(heap)
        for event in events:
            heapq.heappush(heap, event)
    while heap:
        yield heapq.heappop(heap)


class _Maker:
    def __init__(self, seed: int, start: date, open_share: float, identity: Identity, prefix: str) -> None:
        self._random = random.Random(seed)
        self._start, self._open_share, self._identity, self._prefix = start, open_share, identity, prefix
        self._days: list[str] = []
        self._running = 0
        self._recent: deque[tuple[int, str, str]] = deque(maxlen=_RECENT_MATTERS)  # citizen, fields, place and content

    def ticket(self, number: int, minute: int) -> list[Timed]:
        """Return the events of one ticket that is registered at that minute."""
        draw = self._random.random
        ticket = _Ticket(self, f"{self._prefix}{number:07d}", minute)
        ticket.add("registered", 0, self._registration(number))
        unit = self._dispatch(ticket, 20 + int(draw() * 60))
        if draw() < RETURNED:
            self._hand_back(ticket, unit)
            unit = self._dispatch(ticket, 30 + int(draw() * 120))
        ticket.add("accepted", 15 + int(draw() * 90), unit)
        ticket.add("contacted", 30 + int(draw() * 300), unit)
        if draw() < EXTENDED:
            until = self.time(ticket.minute + 14 * _DAY)
            ticket.add("extension_requested", 60, f'{unit},"until":"{until}"')
            ticket.add("extension_approved", 240, f'{unit},"until":"{until}"')
        if draw() < URGED:
            ticket.add("urged", 300, unit)
        ticket.add("site_checked", 200 + int(draw() * 900), unit)
        ticket.add("progress", 120 + int(draw() * 1200), unit)
        if draw() < SECOND_PROGRESS:
            ticket.add("progress", 120 + int(draw() * 1200), unit)
        if draw() >= self._open_share:
            self._finish(ticket, unit)
        return ticket.events

    def time(self, minute: int) -> str:
        """Return the minute as RFC 3339."""
        day, rest = divmod(minute, _DAY)
        while day >= len(self._days):
            self._days.append((self._start + timedelta(days=len(self._days))).isoformat())
        return self._days[day] + _CLOCK[rest]

    def next_number(self) -> int:
        """Return the running number of an event: equal minutes keep the order of making."""
        self._running += 1
        return self._running

    def _pick(self, choices: tuple[Any, ...] | list[Any]) -> Any:
        return choices[int(self._random.random() * len(choices))]

    def _dispatch(self, ticket: "_Ticket", after: int) -> str:
        unit_id, name = self._pick(_UNITS)
        unit = f',"unit_id":"{unit_id}","unit_name":"{name}"'
        ticket.round += 1
        at = ticket.minute + after
        due = self.time((at // _DAY + 9) * _DAY + 18 * 60)
        ticket.add("dispatched", after, f'{unit},"role":"lead","round":{ticket.round},"due_at":"{due}"')
        return unit

    def _hand_back(self, ticket: "_Ticket", unit: str) -> None:
        blind = self._random.random() < BLIND_OF_RETURNED
        code, reason = self._pick(RETURN_REASONS)
        looked = "false" if blind else "true"
        evidence = "[]" if blind else '["附件一"]'
        fields = f'"reason_code":"{code}","reason":"{reason}","contacted":{looked},"site_checked":{looked}'
        ticket.add("return_requested", 90 + int(self._random.random() * 600), f'{unit},{fields},"evidence":{evidence}')
        ticket.add("return_approved", 60 + int(self._random.random() * 600), unit)

    def _finish(self, ticket: "_Ticket", unit: str) -> None:
        draw = self._random.random
        self._resolve(ticket, unit, 12 * _DAY if draw() < LATE else 200 + int(draw() * 3 * _DAY))
        if draw() < DISSATISFIED:
            self._visit(ticket, "dissatisfied", "no")
            due = self.time((ticket.minute // _DAY + 6) * _DAY + 18 * 60)
            ticket.add("redo_ordered", 600, f'{unit},"round":1,"due_at":"{due}"')
            self._resolve(ticket, unit, 1 * _DAY + int(draw() * _DAY))
        self._visit(ticket, self._pick(_RATINGS), "yes")
        ticket.add("archived", 300 + int(draw() * _DAY), "")

    def _resolve(self, ticket: "_Ticket", unit: str, after: int) -> None:
        ticket.add("resolved", after, f'{unit},"solved":"yes","reply":"{self._pick(REPLIES)}"')

    def _visit(self, ticket: "_Ticket", result: str, solved: str) -> None:
        fields = f',"result":"{result}","attitude":"satisfied","contacted":true,"solved":"{solved}"'
        ticket.add("visited", 400 + int(self._random.random() * 2 * _DAY), fields)

    def _registration(self, number: int) -> str:
        if self._recent and self._random.random() < TOLD_AGAIN:
            citizen, fields, content = self._pick(self._recent)  # type: ignore[arg-type]
            content = f"再次来电，{content}"
        else:
            citizen, (fields, content) = number, self._matter(self._pick(MATTERS))
            self._recent.append((citizen, fields, content))
        phone, key = f'"phone":"1990000{citizen % 10_000:04d}"', f'"key":"citizen-{citizen:07d}"'
        who = phone if self._identity == "phone" else key
        return f',"citizen":{{{who}}},{fields},"content":"{content}","channel":"phone","urgency":"normal"'

    def _matter(self, matter: Matter) -> tuple[str, str]:
        draw = self._random.random
        community, house = int(draw() * 200) + 1, int(draw() * 40) + 1
        street = community % 8 + 1
        one, two, three = matter.category
        fields = (
            f'"request_type":"complaint","category":["{one}","{two}","{three}"],"title":"{matter.title}",'
            f'"place":{{"district":"测试区","street":"测试{street}街道","community":"测试{community}社区"}}'
        )
        content = (
            f"{self._pick(OPENINGS)}：测试{street}街道测试{community}社区{house}号楼附近，{self._pick(matter.problems)}，"
            f"{self._pick(matter.details)}，{self._pick(SINCE)}，{self._pick(EFFECTS)}。{self._pick(WISHES)}"
        )
        return fields, content


class _Ticket:
    """The events of one ticket while they are made; `minute` is that of the last."""

    __slots__ = ("_maker", "_name", "events", "minute", "round")

    def __init__(self, maker: _Maker, name: str, minute: int) -> None:
        self._maker, self._name, self.minute = maker, name, minute
        self.round = 0
        self.events: list[Timed] = []

    def add(self, kind: str, after: int, fields: str) -> None:
        """Add an event so many minutes after the last; `fields` is JSON that begins with a comma."""
        self.minute += after
        name = self._name
        line = (
            f'{{"event_id":"{name}-{len(self.events) + 1:02d}","ticket_id":"{name}","type":"{kind}",'
            f'"occurred_at":"{self._maker.time(self.minute)}"{fields}}}'
        )
        self.events.append((self.minute, self._maker.next_number(), line))


def main(arguments: list[str] | None = None) -> None:
    """Write synthetic events to a file, or to the standard output."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generator", description="Write synthetic ticket events as JSON Lines."
    )
    parser.add_argument("--tickets", type=positive, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="-", help="a file (.gz is packed), or - for the standard output")
    parser.add_argument("--tickets-per-day", type=float, default=TICKETS_PER_DAY)
    parser.add_argument("--open-share", type=float, default=0.0, help="share of tickets that are never resolved")
    parser.add_argument("--identity", choices=("key", "phone"), default="key")
    parser.add_argument("--by-ticket", action="store_true", help="ticket by ticket instead of in the order of time")
    options = parser.parse_args(arguments)
    lines = generate_lines(
        options.tickets,
        options.seed,
        tickets_per_day=options.tickets_per_day,
        interleaved=not options.by_ticket,
        open_share=options.open_share,
        identity=options.identity,
    )
    began = datetime.now(tz=UTC)
    count = _write(lines, options.out)
    seconds = (datetime.now(tz=UTC) - began).total_seconds()
    print(f"{count} events of {options.tickets} tickets in {seconds:.1f} s", file=sys.stderr)


def _write(lines: Iterator[bytes], out: str) -> int:
    count = 0
    if out == "-":
        target: IO[bytes] = sys.stdout.buffer
    elif out.endswith(".gz"):
        target = cast(IO[bytes], gzip.GzipFile(out, "wb", compresslevel=3, mtime=0))
    else:
        target = Path(out).open("wb")  # noqa: SIM115 - closed below, but for the standard output
    try:
        for line in lines:
            target.write(line + b"\n")
            count += 1
    finally:
        if out != "-":
            target.close()
    return count


if __name__ == "__main__":
    main()
