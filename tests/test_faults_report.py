"""The table that the fault campaign writes into its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import MarkerError
from tests.faults import report
from tests.faults.matrix import Fault, faults
from tests.faults.world import World


def _cut(_: World) -> None:
    """A link is cut.

    Further words stay in the code.
    """


MATRIX = {
    0: Fault(0, "nothing fails", "all is compared", _cut),
    1: Fault(1, "a cut", "connections end", _cut),
    2: Fault(2, "a full disk", "no space is left", _cut, needs=("root",)),
}


def _run(fault: int, seed: int, **fields: Any) -> dict[str, Any]:
    common = {"passed": True, "recovery_seconds": 1.0, "version": "abc", "verdict": "", "skipped": ""}
    return {"fault": fault, "seed": seed} | common | fields


def _failed(fault: int, seed: int, verdict: str, **fields: Any) -> dict[str, Any]:
    return _run(fault, seed, passed=False, verdict=verdict, recovery_seconds=0.0, **fields)


def test_a_line_counts_runs_by_what_came_of_them_and_times_only_those_that_held() -> None:
    runs = [
        *(_run(1, seed, recovery_seconds=seconds) for seed, seconds in ((1, 2.0), (2, 9.0), (3, 4.0))),
        _failed(1, 4, "lost"),
        _failed(1, 5, "doubled"),
        _failed(1, 6, "failed"),
        _failed(1, 7, "failed"),
    ]
    assert "| 1 | a cut | A link is cut. | connections end | 7 | 1 | 1 | 2 | 4.0 | 9.0 |" in report.results(
        runs, MATRIX
    )


def test_the_control_is_no_fault_and_skipped_runs_are_no_runs() -> None:
    told = report.results([_run(0, 1), _run(1, 2), _run(2, 3, passed=False, skipped="root")], MATRIX)
    assert "2 runs of 1 faults: 2 held, 0 with a loss, 0 with a doubled effect, 0 that failed otherwise." in told
    assert "| 2 | a full disk | A link is cut. | no space is left | 0 | – | – | – | – | – |" in told
    assert "- 2, a full disk: not run where this table was made; it needs root." in told


def test_a_run_that_did_not_hold_is_named_with_its_explanation() -> None:
    told = report.results([_failed(1, 4, "lost"), _failed(1, 5, "failed", explained="The net was torn.")], MATRIX)
    assert "- fault 1, seed 4, version `abc`: lost. Not explained yet." in told
    assert "- fault 1, seed 5, version `abc`: failed. The net was torn." in told


def test_several_versions_of_the_code_are_said_to_be_several() -> None:
    assert "Version: `abc` (2 runs)." in report.results([_run(1, 1), _run(1, 2)], MATRIX)
    told = report.results([_run(1, 1), _run(1, 2, version="def")], MATRIX)
    assert "Several versions of the code are in the table, by the digest of its files: `abc` (1 runs)" in told


def test_a_line_that_a_broken_off_campaign_left_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps(_run(1, 1)) + "\n" + json.dumps(_run(1, 2)) + '\n{"fault": 1, "se')
    assert [row["seed"] for row in report.read([file, file])] == [1, 2, 1, 2]


def test_the_page_has_the_table_between_its_markers(tmp_path: Path) -> None:
    page, file = tmp_path / "page.md", tmp_path / "faults.json"
    page.write_text(f"before\n{report.BEGIN}\nthe former table\n{report.END}\nafter\n")
    file.write_text(json.dumps(_run(1, 1)) + "\n")
    report.main([str(file), "--document", str(page)])
    told = page.read_text()
    assert told.startswith(f"before\n{report.BEGIN}\n| ")
    assert told.endswith(f"{report.END}\nafter\n")
    assert "the former table" not in told
    assert "SIGKILL of a worker mid-batch" in told
    assert report.with_results(report.PAGE.read_text(), "x")


@pytest.mark.parametrize("page", ["", report.BEGIN, f"{report.END}{report.BEGIN}", f"{report.BEGIN}{report.END}" * 2])
def test_a_page_without_one_place_for_it_is_refused(page: str) -> None:
    with pytest.raises(MarkerError):
        report.with_results(page, "x")


def test_the_matrix_has_every_fault_and_each_says_how_it_is_injected() -> None:
    assert sorted(faults()) == list(range(37))
    assert all(fault.inject.__doc__ and fault.observed for fault in faults().values())
