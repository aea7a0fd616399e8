"""How the soak tells flat memory from memory that grows."""

from __future__ import annotations

import pytest

from tests.faults.soak_memory import JUDGED_SECONDS_MIN, Life, Sample, life_of, slope_of, told

HOUR = 3_600


def _samples(minutes: float, mb_an_hour: float, *, noise_mb: float = 0.0, start_mb: float = 0.0) -> list[Sample]:
    """A process of 200 MB every five seconds, after `start_mb` fewer in its first minute."""
    return [
        (at, 200 - (start_mb if at < 60 else 0) + mb_an_hour * at / HOUR + noise_mb * (-1) ** (at // 5))
        for at in range(0, int(minutes * 60) + 1, 5)
    ]


@pytest.mark.parametrize("slope", [-3.0, 0.0, 12.5])
def test_the_slope_is_that_of_the_line(slope: float) -> None:
    assert slope_of([(float(x), 7 + slope * x) for x in range(10)]) == pytest.approx(slope)


def test_samples_of_one_moment_have_no_slope() -> None:
    assert slope_of([(1.0, 5.0), (1.0, 9.0)]) == 0.0


def test_memory_that_grows_by_more_than_noise_is_found() -> None:
    life = life_of("worker-2", _samples(30, 60.0))
    assert (life.process, life.seconds, life.mb_an_hour, life.grows) == (
        "worker-2",
        1800,
        pytest.approx(60, abs=0.1),
        True,
    )


@pytest.mark.parametrize("noise_mb", [0.0, 8.0])
def test_flat_memory_is_flat_however_it_jitters(noise_mb: float) -> None:
    life = life_of("worker-2", _samples(30, 0.0, noise_mb=noise_mb))
    assert not life.grows
    assert life.mb_an_hour == pytest.approx(0.0, abs=1.0)


def test_what_fills_up_at_first_is_no_growth() -> None:
    life = life_of("worker-2", _samples(30, 0.0, start_mb=120.0))
    assert (life.grows, life.mb_an_hour, life.peak_mb) == (False, 0.0, 200.0)


def test_the_size_is_told_minute_by_minute() -> None:
    life = life_of("worker-2", [(7.0 + 20 * number, 100.0 + number // 3) for number in range(7)])
    assert life.mb_by_minute == (100.0, 101.0, 102.0)


def test_a_short_life_is_not_judged() -> None:
    life = life_of("worker-1", _samples(JUDGED_SECONDS_MIN / 60, 1_000.0))
    assert (life.mb_an_hour, life.grows) == (None, False)


def test_the_result_names_those_that_grow_and_the_peaks_of_every_life() -> None:
    lives = [
        Life("worker-1", 60, 210.0, 205.0, None, False, ()),
        Life("worker-1", 70, 220.0, 205.0, None, False, ()),
        Life("worker-2", 1800, 300.0, 280.0, 99.0, True, ()),
    ]
    result = told(lives)
    assert result["grows"] == ["worker-2"]
    assert result["peaks_mb"] == {"worker-1": [210.0, 220.0], "worker-2": [300.0]}
    assert [one["process"] for one in result["judged"]] == ["worker-2"]
