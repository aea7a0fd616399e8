"""`/v1/subscribers`: who gets which warnings. For admins; no answer holds a secret or a URL's path."""

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import PurePath
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Path

from alerting.addresses import (
    AddressPolicy,
    RefusedEndpointError,
    ResolutionFailedError,
    check_endpoint,
    check_url,
)
from alerting.book_draft import BookError, BookProblem
from alerting.drills import drill_request
from alerting.signing import public_key_text
from console.api.models import (
    AddedSubscriber,
    DrillAccepted,
    NewSubscriber,
    RotatedView,
    RotateOrder,
    SubscriberDone,
    SubscriberList,
    SubscriberView,
)
from console.api.problems import Problem, ProblemCode
from console.api.secret_files import secret_file
from console.api.sending import send_or_refuse
from console.api.services import Admin, Parts, Services, unavailable
from models.api_client import ApiClient
from models.base import Family, Level
from models.subscriber import Name, Subscriber
from models.times import format_instant

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/subscribers", tags=["subscribers"])

RESOLVE_SECONDS_MAX = 10.0
SubscriberName = Annotated[Name, Path()]

_STATUS = {
    BookProblem.UNKNOWN: (HTTPStatus.NOT_FOUND, ProblemCode.NOT_FOUND),
    BookProblem.NAME_TAKEN: (HTTPStatus.CONFLICT, ProblemCode.CONFLICT),
    BookProblem.NAME_REMOVED: (HTTPStatus.CONFLICT, ProblemCode.CONFLICT),
    BookProblem.ENTRY: (HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INVALID),
    BookProblem.ENDPOINT: (HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.ENDPOINT_REFUSED),
    BookProblem.CHANGED: (HTTPStatus.CONFLICT, ProblemCode.CONFLICT),
}


@router.get("")
def list_subscribers(_: Admin, parts: Parts) -> SubscriberList:
    """List who gets which warnings."""
    with _refusals():
        return SubscriberList(subscribers=[_view(one) for one in parts.book.subscribers()])


@router.post("", status_code=HTTPStatus.CREATED)
def add_subscriber(order: NewSubscriber, client: Admin, parts: Parts) -> AddedSubscriber:
    """Add a subscriber. Its secret is made on the server, in the file that the answer names."""
    _audit(client, "add", order.name)
    with _refusals(), ExitStack() as files:
        entry = order.entry()
        if order.format.is_chat:  # its URL is its token
            entry["url"] = files.enter_context(_kept(parts, order.name, ".url", order.url))
        if order.robot_secret is not None:
            secret = order.robot_secret.get_secret_value()
            entry["robot_secret"] = files.enter_context(_kept(parts, order.name, ".robot", secret))
        written = parts.book.add(
            entry,
            new_secret=not order.format.is_chat,
            new_signing_key=order.new_signing_key,
            check=lambda subscriber: _endpoint_problem(subscriber, parts),
        )
    added = parts.subscriber(order.name)
    file = written.secret.file if written.secret is not None else None
    return AddedSubscriber(subscriber=_view(added), secret_file=None if file is None else PurePath(file).name)


@router.post("/{name}/rotate")
def rotate(name: SubscriberName, client: Admin, parts: Parts, order: RotateOrder | None = None) -> RotatedView:
    """Replace a key; for some hours calls carry the signatures of both."""
    order = order or RotateOrder()
    _audit(client, f"rotate {order.which}", name)
    with _refusals():
        done = parts.book.rotate(name, now=parts.now(), overlap_hours=order.overlap_hours, which=order.which)
    return RotatedView(
        subscriber=name,
        which=done.which,
        secret_file=done.file.name,
        until=None if done.until is None else format_instant(done.until),
        public_key=done.public_key,
    )


@router.post("/{name}/disable")
def disable(name: SubscriberName, client: Admin, parts: Parts) -> SubscriberDone:
    """Stop calling a subscriber, and answering its pulls; its warnings are kept."""
    return _set_enabled(name, False, client, parts)


@router.post("/{name}/enable")
def enable(name: SubscriberName, client: Admin, parts: Parts) -> SubscriberDone:
    """Call a subscriber again, with all that was kept."""
    return _set_enabled(name, True, client, parts)


@router.post("/{name}/revise")
def revise(name: SubscriberName, client: Admin, parts: Parts) -> SubscriberDone:
    """Try an endpoint again that answered 410 Gone."""
    _audit(client, "revise", name)
    with _refusals():
        return SubscriberDone(subscriber=name, revision=parts.book.revise(name))


@router.post("/{name}/test", status_code=HTTPStatus.ACCEPTED)
def test(name: SubscriberName, client: Admin, parts: Parts) -> DrillAccepted:
    """Send a drill: a made-up alert, marked as one, through the whole way of a real one."""
    _audit(client, "test", name)
    subscriber = parts.subscriber(name)
    if not subscriber.enabled:
        detail = "The subscriber is disabled: a drill would be kept with the rest. Enable it first."
        raise Problem(HTTPStatus.CONFLICT, ProblemCode.CONFLICT, detail)
    request = drill_request(subscriber.name, str(uuid4()), parts.now(), client.name)
    send_or_refuse(parts, [request])
    return DrillAccepted(drill_id=request.request_id, subscriber=name, case_id=request.alert.case_id)


@router.delete("/{name}")
def remove(name: SubscriberName, client: Admin, parts: Parts) -> SubscriberDone:
    """Take a subscriber out. Its name is never given to somebody else."""
    _audit(client, "remove", name)
    with _refusals():
        parts.book.remove(name)
    return SubscriberDone(subscriber=name, removed=True)


def _set_enabled(name: str, enabled: bool, client: ApiClient, parts: Services) -> SubscriberDone:
    _audit(client, "enable" if enabled else "disable", name)
    with _refusals():
        parts.book.set_enabled(name, enabled)
    return SubscriberDone(subscriber=name, enabled=enabled)


def _audit(client: ApiClient, action: str, subscriber: str) -> None:
    log.info("api: client %s: %s subscriber %s", client.name, action, subscriber)


@contextmanager
def _kept(parts: Services, name: str, suffix: str, text: str) -> Iterator[dict[str, str]]:
    try:
        file = secret_file(parts.secrets_dir, name, suffix, text, parts.subscribers_path)
        reference = file.__enter__()
    except OSError as error:
        log.error("a secret's file cannot be written: %s", error.strerror)
        raise unavailable("The secrets directory cannot be written; the server's log says why.") from None
    with ExitStack() as stack:
        stack.push(file.__exit__)
        yield reference


def _endpoint_problem(subscriber: Subscriber, parts: Services) -> str | None:
    """The check at registration: every address that the name leads to now must be one we may call."""
    try:
        asyncio.run(_within(check_endpoint(subscriber.url, AddressPolicy.of(subscriber), parts.resolve)))
    except (RefusedEndpointError, ResolutionFailedError) as error:
        return str(error)
    except TimeoutError:
        return "the name server does not answer"
    return None


async def _within(resolving: Awaitable[object]) -> None:
    async with asyncio.timeout(RESOLVE_SECONDS_MAX):  # the file is locked meanwhile
        await resolving


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what the book refuses into a problem; where its file is at fault only the log says more."""
    try:
        yield
    except BookError as error:
        if error.problem is BookProblem.FILE:
            log.error("the subscribers file cannot be edited: %s", error)
            raise unavailable("The subscribers file cannot be edited as it is; the server's log says why.") from None
        status, code = _STATUS[error.problem]
        detail = "Somebody else changed the file: try again." if error.problem is BookProblem.CHANGED else str(error)
        raise Problem(status, code, detail) from None


def _view(subscriber: Subscriber) -> SubscriberView:
    target = check_url(subscriber.url, AddressPolicy.of(subscriber))
    host = f"[{target.host}]" if ":" in target.host else target.host
    return SubscriberView(
        name=subscriber.name,
        endpoint=f"{target.scheme}://{host}:{target.port}",
        format=subscriber.format,
        payload=subscriber.payload,
        privacy=subscriber.privacy,
        enabled=subscriber.enabled,
        levels=[level.value for level in Level if level in subscriber.levels],
        families=[family.value for family in Family if family in subscriber.families],
        units=sorted(subscriber.units),
        owner_units=sorted(subscriber.owner_units),
        revision=subscriber.revision,
        public_keys=[public_key_text(rolling.key) for rolling in subscriber.signing_keys],
    )
