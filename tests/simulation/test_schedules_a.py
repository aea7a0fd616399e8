"""A share of the schedules: see checking.py."""

from __future__ import annotations

import pytest

from tests.simulation.checking import all_is_well, seeds_of


@pytest.mark.parametrize("seeds", seeds_of(0), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_all_is_well_whatever_happens(seeds: range) -> None:
    all_is_well(seeds)
