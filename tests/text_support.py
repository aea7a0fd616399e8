"""What tests of the text commands share: the command line over the default pack, which is read once a run."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from models.strict_yaml import ConfigFileError
from rules.pack import Pack, default_pack

BRIBE = "村支书张某去年收了我五千块红包,说给办危房补助,有转账记录"
INACTION = "举报违建半年了,城管不作为,只说在走流程"
QUIET = "小区楼下的路灯坏了三天,请尽快派人修理,联系电话199-0000-0001"


@cache
def pack() -> Pack:
    """Return the default pack."""
    return default_pack()


@pytest.fixture(autouse=True)
def one_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the default pack takes a second: these tests share one."""
    monkeypatch.setattr("cli.running.default_pack", pack)


def call(*arguments: object, stdin: str | bytes = b"") -> Result:
    """Run the command line in this process; configuration errors end with status 2 as in the real one."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    if isinstance(result.exception, ConfigFileError):
        result.exit_code = 2  # `main` tells it and ends so
    else:
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(result: Result) -> Any:
    """Return what a command that ended well printed as JSON."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def lines_of(*records: object) -> str:
    """Return records as JSON lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
