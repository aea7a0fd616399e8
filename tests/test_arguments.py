"""The long forms of tests refuse what they cannot run, before anything starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults import __main__ as campaign
from tests.faults import report
from tests.simulation import __main__ as simulation


@pytest.mark.parametrize(
    "given",
    [("--runs", "0"), ("--runs", "-1"), ("--only", "99"), ("--only", "abc"), ("--only", "1,,x")],
)
def test_the_campaign_refuses(given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["faults", *given])
    with pytest.raises(SystemExit, match="2"):
        campaign.main()


@pytest.mark.parametrize("given", [("--schedules", "0"), ("--jobs", "0"), ("--jobs", "-1"), ("--seed", "x")])
def test_the_simulation_refuses(given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["simulation", *given])
    with pytest.raises(SystemExit, match="2"):
        simulation.main()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"{"])
def test_the_report_names_a_file_that_it_cannot_read(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    if content is not None:
        results.write_bytes(content)
    with pytest.raises(SystemExit, match="2"):
        report.main([str(results), "--document", str(tmp_path / "page.md")])
    assert str(results) in capsys.readouterr().err
