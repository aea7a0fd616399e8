"""Errors as `application/problem+json` (RFC 9457), with a code of a closed set. None shows what was sent in."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from models.api_client import Role
from models.quarantine import RejectionReason

MEDIA_TYPE = "application/problem+json"


class ProblemCode(StrEnum):
    """What went wrong: a closed set, for programs."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD = "method_not_allowed"
    TOO_MANY_FAILURES = "too_many_failures"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    NOT_JSON = "not_json"
    MEDIA_TYPE = "media_type"
    INVALID = "invalid"
    BAD_CURSOR = "bad_cursor"
    CURSOR_AHEAD = "cursor_ahead"
    CATCHING_UP = "catching_up"
    HELD = "held"
    UNAVAILABLE = "unavailable"
    CONFLICT = "conflict"
    ENDPOINT_REFUSED = "endpoint_refused"
    TOO_MANY = "too_many"
    EVENTS_REFUSED = "events_refused"
    BUSY = "busy"
    INTERNAL = "internal"


class Problem(Exception):
    """An answer that is an error; `detail` says what to do and repeats nothing of the request. `errors`: its single faults."""

    def __init__(
        self,
        status: int,
        code: ProblemCode,
        detail: str,
        *,
        retry_after_seconds: int | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors = status, code, detail, errors
        self.headers = {} if retry_after_seconds is None else {"retry-after": str(retry_after_seconds)}
        if status == HTTPStatus.UNAUTHORIZED:
            self.headers["www-authenticate"] = "Bearer"

    def response(self) -> Response:
        """Return the answer."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code.value,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        return Response(json.dumps(body, ensure_ascii=False), self.status, self.headers, MEDIA_TYPE)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": [code.value for code in ProblemCode]},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "of a refused batch of events: those at fault",
            "items": {
                "type": "object",
                "required": ["index", "reason", "field", "detail"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "reason": {"type": "string", "enum": [reason.value for reason in RejectionReason]},
                    "field": {"type": ["string", "null"]},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
"""What a problem looks like, for the API's description."""


def unauthorized() -> Problem:
    """Return the one answer to everybody who is not known."""
    detail = "Send a known token as `Authorization: Bearer TOKEN`."
    return Problem(HTTPStatus.UNAUTHORIZED, ProblemCode.UNAUTHORIZED, detail)


def forbidden(roles: Collection[Role]) -> Problem:
    """Return the answer to whose role does not allow it; `roles`: those that do."""
    named = " and ".join(sorted(role.value for role in roles))
    return Problem(HTTPStatus.FORBIDDEN, ProblemCode.FORBIDDEN, f"This is for clients of the role {named}.")


def not_found(what: str = "There is nothing here.") -> Problem:
    """Return the answer where there is nothing, or nothing the caller may know of."""
    return Problem(HTTPStatus.NOT_FOUND, ProblemCode.NOT_FOUND, what)


def handle_problems(app: FastAPI) -> None:
    """Let every error of the app be answered as a problem."""
    app.add_exception_handler(Problem, _of_problem)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_fault)


async def _of_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _of_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(dict.fromkeys(_faults(error)))
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INVALID, detail[:1000]).response()


def _faults(error: RequestValidationError) -> Iterator[str]:
    for fault in error.errors():
        yield f"{_place(fault)}: {_reason(fault)}"


def _place(fault: Mapping[str, Any]) -> str:
    # Of the place only what our own models name: an unknown field's name, or a key deeper down, is the caller's text.
    depth = 1 if fault["type"] == "extra_forbidden" else 2
    return ".".join(str(part) for part in fault["loc"][:depth])


def _reason(fault: Mapping[str, Any]) -> str:
    return "there is a field that is not known here" if fault["type"] == "extra_forbidden" else str(fault["msg"])


async def _of_fault(_: Request, __: Exception) -> Response:
    # The server logs what it was; a caller cannot do anything about it.
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, ProblemCode.INTERNAL, "Something failed here: see the log."
    ).response()


_OF_STATUS = {404: ProblemCode.NOT_FOUND, 405: ProblemCode.METHOD}


async def _of_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _OF_STATUS.get(error.status_code, ProblemCode.INVALID)
    found = Problem(
        error.status_code, code, "There is nothing here." if error.status_code == 404 else str(error.detail)
    )
    found.headers |= dict(error.headers or {})
    return found.response()
