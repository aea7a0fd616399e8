"""The feed of reference data: whole before anything is judged, followed, read again where it broke off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import pytest
from kafka.errors import KafkaTimeoutError

from models.reference import ReferenceRecord, key_of
from rules.sealing import Posts
from streams import reference_feed
from streams.cluster_errors import ClusterUnreachableError
from streams.reference_feed import ReferenceFeed
from streams.reference_log import ReferenceUnreadableError, Row
from tests.builders import body, event_of
from tests.kafka_support import eventually
from tests.reference_support import row, unit


def as_row(record: ReferenceRecord) -> Row:
    return Row(key_of(record).encode(), record.model_dump_json(exclude_none=True).encode())


def gone(record: ReferenceRecord) -> Row:
    return Row(key_of(record).encode(), None)


@dataclass
class Log:
    """What the topic holds, and what comes on it; each opening reads it from its beginning."""

    there: list[Row] = field(default_factory=list)
    coming: SimpleQueue[Row | Exception] = field(default_factory=SimpleQueue)
    problem: Exception | None = None
    opened: int = 0
    stuck: threading.Event | None = None

    def open(self, *_: object) -> Log:
        self.opened += 1
        if self.problem is not None:
            raise self.problem
        return self

    def to_end(self) -> Iterator[list[Row]]:
        if self.stuck is not None:
            self.stuck.wait(0.3)
        yield list(self.there)

    def more(self, _: int) -> list[Row]:
        try:
            came = self.coming.get(timeout=0.01)
        except Empty:
            return []
        if isinstance(came, Exception):
            raise came
        self.there.append(came)
        return [came]

    def lag(self) -> int:
        return self.coming.qsize()

    def close(self) -> None: ...


Start = Callable[..., ReferenceFeed]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    found = Log()
    monkeypatch.setattr(reference_feed, "ReferenceLog", found.open)
    monkeypatch.setattr(reference_feed, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(reference_feed, "LOOK_SECONDS", 0.0)
    return found


@contextmanager
def feeding(
    rows_max: int = 100, die: Callable[[BaseException], object] = lambda _: None, seconds: float = 10
) -> Iterator[ReferenceFeed]:
    feed = ReferenceFeed("127.0.0.1:9", "hw.reference", die, rows_max=rows_max)
    with closing(_Stopped(feed)):
        feed.start(seconds)
        yield feed


@dataclass
class _Stopped:
    feed: ReferenceFeed

    def close(self) -> None:
        self.feed.stop()


def name_of(feed: ReferenceFeed, unit_id: str = "U-1") -> str | None:
    return feed.enrich(event_of(body("T-1", "dispatched", 0, unit=unit_id))).unit_name


def test_all_that_lies_on_the_topic_is_there_when_it_has_started(log: Log) -> None:
    log.there = [as_row(unit()), as_row(unit("U-2", "乙局")), as_row(unit(name="甲街道")), gone(unit("U-2"))]
    with feeding() as feed:
        assert (name_of(feed), name_of(feed, "U-2")) == ("甲街道", None)
        assert feed.state().rows == {"units": 1, "posts": 0, "citizens": 0, "projects": 0}


def test_an_empty_topic_joins_nothing(log: Log) -> None:
    own = Posts({"云溪县长": "head_of_office"})
    event = event_of(body("T-1", "dispatched", 0, unit="U-1"))
    with feeding() as feed:
        assert feed.enrich(event) is event
        assert feed.posts(own) is own


def test_what_comes_later_is_taken_and_what_is_no_row_is_counted(log: Log) -> None:
    with feeding() as feed:
        for one in (
            as_row(unit()),
            Row(b"?", b"{}"),
            Row(b'["units","U-2"]', b"{"),
            as_row(row("posts", "云溪县长", route="head_of_office")),
        ):
            log.coming.put(one)
        eventually(lambda: feed.state().changes == 4, what="four records")
        assert name_of(feed) == "甲街道办事处"
        assert feed.state().refused == 2
        assert feed.posts(Posts()).routes == {"云溪县长": "head_of_office"}
        eventually(lambda: feed.state().lag == 0, what="no lag")


def test_where_it_breaks_off_what_was_read_stays_and_it_is_read_again_from_the_beginning(log: Log) -> None:
    log.there = [as_row(unit()), as_row(unit("U-2", "乙局"))]
    with feeding() as feed:
        log.problem = KafkaTimeoutError()
        log.coming.put(KafkaTimeoutError())
        eventually(lambda: feed.state().problem, what="a problem")
        assert "is not followed (KafkaTimeoutError)" in str(feed.state().problem)
        assert name_of(feed, "U-2") == "乙局"
        log.there = [as_row(unit(name="甲街道"))]  # as another topic of this name would have it
        log.problem = None
        eventually(lambda: feed.state().problem is None, what="no problem")
        assert (name_of(feed), name_of(feed, "U-2")) == ("甲街道", None)


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (ClusterUnreachableError("127.0.0.1:9", "refused"), "127.0.0.1:9"),
        (ReferenceUnreadableError("there is no topic hw.reference: create it"), "create it"),
        (KafkaTimeoutError(), "hw.reference cannot be read: KafkaTimeoutError: check the brokers"),
    ],
)
def test_a_worker_does_not_start_without_it(log: Log, problem: Exception, told: str) -> None:
    log.problem = problem
    with pytest.raises(ClusterUnreachableError, match=told), feeding():
        pass


def test_a_worker_does_not_wait_for_ever(log: Log) -> None:
    log.stuck = threading.Event()
    with pytest.raises(ReferenceUnreadableError, match=r"not read to its end in 0\.05 s"), feeding(seconds=0.05):
        pass


def test_more_rows_than_fit_end_a_worker_at_its_start_and_while_it_runs(log: Log) -> None:
    log.there = [as_row(unit(f"U-{number}")) for number in range(3)]
    with pytest.raises(ReferenceUnreadableError, match="more than 2 rows"), feeding(rows_max=2):
        pass
    died: list[BaseException] = []
    with feeding(rows_max=3, die=died.append):
        log.coming.put(as_row(unit("U-9")))
        eventually(lambda: died, what="the end")
    assert "more than 3 rows" in str(died[0])
