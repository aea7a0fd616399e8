"""`/v1/silences`: what is held back for a while. For admins; the author is who calls."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Path, Query
from pydantic import ValidationError

from alerting.silences import (
    DuplicateSilenceError,
    SilenceOverError,
    SilencesFileError,
    UnknownSilenceError,
    add_silence,
    expire_silence,
    load_silences,
)
from console.api.models import NewSilence, SilenceList, SilencesQuery, SilenceView
from console.api.problems import Problem, ProblemCode, not_found
from console.api.services import Admin, Parts, Services, unavailable
from models.silence import Silence, SilenceId, SilenceState
from models.strict_yaml import ConfigFileError
from models.times import format_instant

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/silences", tags=["silences"])


@router.get("")
def list_silences(query: Annotated[SilencesQuery, Query()], _: Admin, parts: Parts) -> SilenceList:
    """List the silences that hold or are still to hold."""
    with _refusals():
        views = [_view(one, parts.now()) for one in load_silences(_path(parts))]
    return SilenceList(silences=[one for one in views if query.over or one.state is not SilenceState.OVER])


@router.post("", status_code=HTTPStatus.CREATED)
def add(order: NewSilence, client: Admin, parts: Parts) -> SilenceView:
    """Add a silence: what it fits is held, never dropped, and judged again when it ends."""
    now = parts.now()
    try:
        silence = Silence(
            id=f"s-{uuid4().hex[:16]}",
            matchers=order.matchers,
            starts_at=order.starts_at or format_instant(now),
            ends_at=order.ends_at,
            author=client.name,
            comment=order.comment,
            created_at=format_instant(now),
        )
    except ValidationError as error:
        detail = f"body: {error.errors(include_url=False, include_input=False)[0]['msg']}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INVALID, detail) from None
    _check_names(silence, parts)
    if silence.state(now) is SilenceState.OVER:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INVALID, "body.ends_at: is over already")
    with _refusals():
        add_silence(_path(parts), silence)
    log.info("api: client %s: add silence %s", client.name, silence.id)
    return _view(silence, now)


@router.delete("/{silence_id}")
def expire(silence_id: Annotated[SilenceId, Path()], client: Admin, parts: Parts) -> SilenceView:
    """End a silence before its time; it stays for the record."""
    now = parts.now()
    with _refusals():
        ended = expire_silence(_path(parts), silence_id, now, client.name)
    log.info("api: client %s: end silence %s", client.name, ended.id)
    return _view(ended, now)


def _check_names(silence: Silence, parts: Services) -> None:
    """Raise Problem where a name is nobody's: such a silence would hold nothing, unnoticed."""
    rules = () if parts.rule_ids is None else parts.rule_ids()
    for rule in silence.matchers.rules or ():
        if rules and rule not in rules:
            raise _unknown("rules: there is no such rule or category")
    known = parts.subscriber_names()
    for name in silence.matchers.subscribers or ():
        if name not in known:
            raise _unknown("subscribers: there is no such subscriber")


def _unknown(what: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INVALID, f"body.matchers.{what}")


def _path(parts: Services) -> FilePath:
    if parts.silences_path is None:
        raise unavailable("The setting silences_file says where silences are kept; it is not set.")
    return parts.silences_path


def _view(silence: Silence, now: int) -> SilenceView:
    return SilenceView(state=silence.state(now), silence=silence)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UnknownSilenceError:
        raise not_found("There is no such silence.") from None
    except (SilenceOverError, DuplicateSilenceError):
        raise Problem(HTTPStatus.CONFLICT, ProblemCode.CONFLICT, "The silence is over already.") from None
    except (ConfigFileError, SilencesFileError) as error:
        log.error("the silences file cannot be read or edited: %s", error)
        raise unavailable("The silences file cannot be read or edited; the server's log says why.") from None
