"""The retry schedule: a table, and what holds for all of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.retry import JITTER, RETRY_AFTER_MAX, SCHEDULE, judge, parse_retry_after
from models.delivery import DeliveryStatus, Outcome
from models.times import HOUR, MINUTE, SECOND, parse_instant

NOW = parse_instant("2025-06-18T09:00:00+08:00")
FAILURES = [outcome for outcome in Outcome if outcome not in (Outcome.ACCEPTED, Outcome.GONE)]


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [
        (1, 5 * SECOND),
        (2, 5 * MINUTE),
        (3, 30 * MINUTE),
        (4, 2 * HOUR),
        (5, 5 * HOUR),
        (6, 10 * HOUR),
        (7, 14 * HOUR),
        (8, 20 * HOUR),
        (9, 24 * HOUR),
        (10, 24 * HOUR),
        (1000, 24 * HOUR),
    ],
)
def test_the_schedule(attempts: int, wait: int) -> None:
    verdict = judge("d-1", attempts, Outcome.HTTP_5XX, NOW)
    assert verdict.next_at is not None
    assert wait * (1 - JITTER) - 1 <= verdict.next_at - NOW <= wait * (1 + JITTER)
    assert verdict.status is (DeliveryStatus.EXHAUSTED if attempts > 9 else DeliveryStatus.PENDING)


def test_accepted_and_gone_are_not_tried_again() -> None:
    assert judge("d-1", 1, Outcome.ACCEPTED, NOW) == (done := judge("d-2", 7, Outcome.ACCEPTED, NOW))
    assert (done.status, done.next_at) == (DeliveryStatus.DELIVERED, None)
    gone = judge("d-1", 1, Outcome.GONE, NOW)
    assert (gone.status, gone.next_at) == (DeliveryStatus.DISABLED, None)


@pytest.mark.parametrize(
    ("outcome", "retry_after", "at_least", "at_most"),
    [
        (Outcome.TOO_MANY_REQUESTS, None, 60 * SECOND, 60 * SECOND),
        (Outcome.TIMEOUT, None, 60 * SECOND, 60 * SECOND),
        (Outcome.TOO_MANY_REQUESTS, 10 * SECOND, 60 * SECOND, 60 * SECOND),
        (Outcome.TOO_MANY_REQUESTS, 10 * MINUTE, 10 * MINUTE, 10 * MINUTE),
        (Outcome.HTTP_5XX, 10 * MINUTE, 10 * MINUTE, 10 * MINUTE),
        (Outcome.HTTP_5XX, 1 * SECOND, 4 * SECOND, 6 * SECOND),
        (Outcome.HTTP_5XX, 90 * 24 * HOUR, RETRY_AFTER_MAX, RETRY_AFTER_MAX),
        (Outcome.HTTP_5XX, -5 * SECOND, 4 * SECOND, 6 * SECOND),
    ],
)
def test_first_failure(outcome: Outcome, retry_after: int | None, at_least: int, at_most: int) -> None:
    verdict = judge("d-1", 1, outcome, NOW, retry_after)
    assert verdict.next_at is not None
    assert at_least <= verdict.next_at - NOW <= at_most


def test_scale_shrinks_the_schedule_but_not_the_receivers_wish() -> None:
    scaled = judge("d-1", 2, Outcome.TIMEOUT, NOW, None, scale=0.001)
    assert scaled.next_at is not None
    assert scaled.next_at - NOW < SECOND
    asked = judge("d-1", 2, Outcome.TOO_MANY_REQUESTS, NOW, 7 * SECOND, scale=0.001)
    assert asked.next_at == NOW + 7 * SECOND


@given(st.text(max_size=40), st.integers(1, 10_000), st.sampled_from(FAILURES), st.integers(0, 2 * RETRY_AFTER_MAX))
def test_every_failure_is_tried_again_within_bounds(ident: str, attempts: int, outcome: Outcome, asked: int) -> None:
    verdict = judge(ident, attempts, outcome, NOW, asked)
    assert verdict == judge(ident, attempts, outcome, NOW, asked)
    assert verdict.status in (DeliveryStatus.PENDING, DeliveryStatus.EXHAUSTED)
    assert verdict.next_at is not None
    assert NOW < verdict.next_at <= NOW + int(SCHEDULE[-1] * (1 + JITTER))


def test_jitter_differs_between_deliveries() -> None:
    instants = {judge(f"d-{number}", 4, Outcome.HTTP_5XX, NOW).next_at for number in range(50)}
    assert len(instants) == 50


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),  # a digit, but none of HTTP's
        ("0", 0),
        (" 120 ", 120 * SECOND),
        ("99999999999999999999999", RETRY_AFTER_MAX),
        ("Wed, 18 Jun 2025 01:05:00 GMT", 5 * MINUTE),
        ("Wed, 18 Jun 2025 00:00:00 GMT", 0),
        ("Wed, 18 Jun 2031 00:00:00 GMT", RETRY_AFTER_MAX),
        ("Wed, 99 Jun 2025 00:00:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, wait: int | None) -> None:
    assert parse_retry_after(header, NOW) == wait
