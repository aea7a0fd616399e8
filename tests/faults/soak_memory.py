"""Whether memory is flat: resident sizes of processes over time, by life, and a line fitted to each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.kafka_support import Worker

PAGE_BYTES = 4096
WARM_UP_SHARE = 1 / 3
"""of a life: caches and write buffers fill until they are as large as they may become"""
JUDGED_SECONDS_MIN = 600.0
"""A shorter stretch behind the warm-up says nothing of growth."""
GROWTH_SHARE_MAX = 0.05
"""of the median size: by how much the fitted line may rise over the stretch, which is the noise of allocators"""

Sample = tuple[float, float]
"""seconds, MB"""


@dataclass(frozen=True)
class Life:
    """One life of one process."""

    process: str
    seconds: float
    peak_mb: float
    median_mb: float
    mb_an_hour: float | None
    """the slope behind the warm-up; None where that is too short"""
    grows: bool
    mb_by_minute: tuple[float, ...]
    """the median of each minute"""


def slope_of(samples: list[Sample]) -> float:
    """Return the slope of a line through the samples by least squares."""
    at, size = (sum(values) / len(samples) for values in zip(*samples, strict=True))
    spread = sum((x - at) ** 2 for x, _ in samples)
    return sum((x - at) * (y - size) for x, y in samples) / spread if spread else 0.0


def life_of(process: str, samples: list[Sample]) -> Life:
    """Return what the samples of a life tell."""
    since, until = samples[0][0], samples[-1][0]
    warm = [one for one in samples if one[0] >= since + (until - since) * WARM_UP_SHARE]
    sizes = [size for _, size in samples]
    middle, stretch = median(size for _, size in warm), warm[-1][0] - warm[0][0]
    slope = slope_of(warm) if stretch >= JUDGED_SECONDS_MIN else None
    return Life(
        process,
        round(until - since),
        round(max(sizes), 1),
        round(middle, 1),
        None if slope is None else round(slope * 3600, 1),
        slope is not None and slope * stretch > GROWTH_SHARE_MAX * middle,
        _by_minute(samples),
    )


def _by_minute(samples: list[Sample]) -> tuple[float, ...]:
    minutes: dict[int, list[float]] = defaultdict(list)
    for at, size in samples:
        minutes[int((at - samples[0][0]) // 60)].append(size)
    return tuple(round(median(sizes), 1) for _, sizes in sorted(minutes.items()))


@dataclass
class Memory:
    """Collects samples."""

    since: float = field(default_factory=time.monotonic)
    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def look(self, running: Mapping[str, Worker]) -> None:
        """Take a sample of every process that runs."""
        for name, process in running.items():
            try:
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                continue  # it has just ended
            if pages:
                self.samples[name, process.pid].append((time.monotonic() - self.since, pages * PAGE_BYTES / 1e6))

    def lives(self) -> list[Life]:
        """Return every life."""
        return [life_of(name, samples) for (name, _), samples in self.samples.items()]


def told(lives: list[Life]) -> dict[str, Any]:
    """Return what is written into the result: lives that were judged, those that grew, and the peaks of all by process."""
    peaks: dict[str, list[float]] = defaultdict(list)
    for life in lives:
        peaks[life.process].append(life.peak_mb)
    return {
        "judged": [asdict(life) for life in lives if life.mb_an_hour is not None],
        "grows": [life.process for life in lives if life.grows],
        "peaks_mb": dict(peaks),
    }
