"""`hotline-watch subscribers route`: whom a warning would go to, by which branch, and what would keep it back. No broker."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from cli.configured import ConfigOption, settings_of
from cli.output import fail, out, print_rows
from cli.running import instant_option

if TYPE_CHECKING:
    from alerting.directory import Directory
    from models.alert import Alert

ALERT_BYTES_MAX = 2 * 1024 * 1024


def route(
    alert: Annotated[
        Path, typer.Option("--alert", help="a file with one alert as JSON, as `backtest --out` writes it")
    ],
    at: Annotated[str | None, typer.Option("--at", help="decide as of this time; default: now")] = None,
    units: Annotated[Path | None, typer.Option(help="unit registry, in place of the settings'")] = None,
    routing: Annotated[Path | None, typer.Option(help="routing tree, in place of the settings'")] = None,
    subscribers: Annotated[Path | None, typer.Option("--file", help="subscribers, in place of the settings'")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show which branch an alert takes, who its recipients are and why, and what is decided for each subscriber.

    What dispatch would do with the alert as a first one of its case: the same functions decide. Exit status: 0 somebody
    would be told, now or later; 1 nobody; 2 a file cannot be taken.
    """
    now = instant_option(at, "--at")
    directory = _directory(config, units, routing, subscribers)
    answer = _decided(_alert(alert), directory, time.time_ns() // 1000 if now is None else now)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _show(answer)
    if not any(row["sent"] or row["until"] or row["held"] for row in answer["decisions"]):
        raise typer.Exit(1)


def _directory(config: Path | None, units: Path | None, routing: Path | None, subscribers: Path | None) -> "Directory":
    from alerting.directory import DeliveryFiles, MissingRegistryError, load_directory

    settings = settings_of(config)
    file = subscribers or settings.subscribers_file
    if file is None:
        fail("say which subscribers: --file, or setting subscribers_file")
    files = DeliveryFiles(
        file,
        units or settings.units_file,
        routing or settings.routing_file,
        settings.suppression_file,
        settings.silences_file,
    )
    try:
        return load_directory(files)
    except MissingRegistryError as error:
        fail(f"{error}; or --units FILE")


def _alert(path: Path) -> "Alert":
    from models.alert import Alert

    try:
        with path.open("rb") as file:
            content = file.read(ALERT_BYTES_MAX + 1)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}")
    if len(content) > ALERT_BYTES_MAX:
        fail(f"{path} is too large for one alert")
    try:
        return Alert.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        fail(f"{path} is no alert: {where or 'file'}: {first['msg']}")


def _decided(alert: "Alert", directory: "Directory", now: int) -> dict[str, Any]:
    from alerting.outbox import offer
    from alerting.outbox_state import CaseOutbox
    from alerting.suppress import explain_verdict
    from alerting.why import REASONS
    from models.times import format_instant

    offered = offer(CaseOutbox(alert.case_id), alert, directory, now, lambda _: 1)
    rows = []
    for one in offered.decisions:
        verdict = one.verdict if one.holds else None
        until = None if verdict is None or verdict.until is None else format_instant(verdict.until)
        why = REASONS.get(one.reason, one.reason) if verdict is None else explain_verdict(verdict)
        rows.append(
            {
                "subscriber": one.subscriber,
                "reason": one.reason,
                "sent": one.queues,
                "held": one.holds,
                "until": until,
                "why": why,
                "detail": one.detail,
            }
        )
    routed = offered.routed
    return {
        "alert_id": alert.alert_id,
        "branch": None if routed is None else routed.branch,
        "why": [] if routed is None else list(routed.why),
        "recipients": []
        if routed is None
        else [{"unit": one.unit_id, "name": one.unit_name, "role": one.role} for one in routed.recipients],
        "decisions": rows,
    }


def _show(answer: dict[str, Any]) -> None:
    out.print(f"分送:{answer['branch'] or '不推送'}")
    for sentence in answer["why"]:
        out.print(f"  {sentence}")
    told = [row for row in answer["decisions"] if row["reason"] != "not_routed"]
    if told:
        print_rows([("订阅方", "结论", "理由"), *((row["subscriber"], row["reason"], row["why"]) for row in told)])
    else:
        out.print("没有订阅方")
