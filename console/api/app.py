"""The app: its routes, and the two that need no token. What every request passes before is gate.py."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from prometheus_client import generate_latest
from starlette.responses import Response

from console.api import alerts, events, replays, silences, subscribers
from console.api.models import Healthy
from console.api.problems import MEDIA_TYPE, SCHEMA, handle_problems
from console.api.services import Caller, Parts, Services
from console.ledger_feed import FeedState
from models.schemas import TICKET_EVENT, component_schemas

TITLE = "hotline-watch"
API_VERSION = "1"
_SUMMARY = (
    "Ticket events to send, subscribers, alerts to pull since a cursor, replays, why, silences. "
    "Errors are problems (RFC 9457) with a `code`."
)
# It checks nothing: the gate does. It says in the document how to call.
_bearer = HTTPBearer(auto_error=False, description="A token of the clients file.")
_PROBLEM: dict[str, Any] = {
    "description": "A problem",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}

root = APIRouter()


@root.get("/healthz", tags=["operation"], responses={503: {"model": Healthy}})
def healthz(parts: Parts) -> Healthy:
    """Say how far the ledger is; 503 where it is not fed."""
    state = parts.feed_state()
    healthy = Healthy(
        problems=problems_of(state, parts.stall_seconds),
        ledger_lag_records=state.lag,
        seconds_since_kafka=state.seconds_since_contact,
    )
    status = 503 if healthy.problems else 200
    return JSONResponse(healthy.model_dump(), status_code=status)  # type: ignore[return-value]


@root.get("/metrics", tags=["operation"], response_class=Response)
def metrics(parts: Parts) -> Response:
    """Return metrics for Prometheus; labels are closed sets."""
    parts.metrics.lag.set(parts.feed_state().lag or 0)
    for source, count in parts.ledger.unreadable().items():
        parts.metrics.unreadable(source, count)
    text = generate_latest(parts.metrics.registry)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def problems_of(state: FeedState, stall_seconds: float) -> list[str]:
    """Return what is wrong with the feed, each in a sentence; empty where all is well."""
    found = [state.problem] if state.problem is not None else []
    if state.seconds_since_contact is None:
        found.append("Kafka has not answered yet")
    elif state.seconds_since_contact > stall_seconds:
        found.append(f"nothing was heard of Kafka for {stall_seconds:g} s")
    return found


def create_app(services: Services | None = None) -> FastAPI:
    """Return the app without its gate; without services it can only describe itself."""
    app = FastAPI(
        title=TITLE,
        version=API_VERSION,
        summary=_SUMMARY,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    handle_problems(app)
    app.include_router(root)
    for router in _ROUTERS:
        app.include_router(router, dependencies=[Security(_bearer)], responses={"4XX": _PROBLEM, "5XX": _PROBLEM})

    @app.get("/openapi.json", include_in_schema=False)
    def openapi(_: Caller, request: Request) -> dict[str, Any]:
        document: dict[str, Any] = request.app.openapi()
        return document

    describe = app.openapi
    app.openapi = lambda: _with_schemas(describe())  # type: ignore[method-assign]
    return app


def _with_schemas(document: dict[str, Any]) -> dict[str, Any]:
    document["components"]["schemas"] |= {"Problem": SCHEMA, **component_schemas({"TicketEvent": TICKET_EVENT})}
    return document


_ROUTERS: Sequence[APIRouter] = (events.router, alerts.router, subscribers.router, replays.router, silences.router)
