"""Runs the dispatch worker with the service's settings and its health server."""

from collections.abc import Awaitable, Callable
from typing import NoReturn

from prometheus_client import CollectorRegistry, ProcessCollector

from models.times import DAY
from streams.dispatch import Dispatch, run_dispatch
from streams.health import Health, HealthGauges, serve_health
from streams.metrics_certificates import watch_certificates
from streams.settings import Settings

UNREAD_SECONDS_MAX = 30.0
OLDEST_SECONDS = 5.0
"""How often the oldest delivery is looked for: among hundreds of thousands that takes some milliseconds."""


def run(settings: Settings) -> NoReturn:
    """Run a dispatch worker until SIGTERM.

    Raises ConfigFileError, SettingsError, TopicMismatch and ClusterUnreachableError before it starts.
    """
    files = settings.delivery_files()
    settings.arm_failpoint()
    settings.make_data_dir()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    watch_certificates(settings.bootstrap_servers, registry)
    built: list[Health] = []

    def on_built(dispatch: Dispatch) -> None:
        health = Health(dispatch.app, HealthGauges(registry), stall_seconds=settings.stall_seconds)
        dispatch.app.timer(1.0)(_observing(dispatch, health))
        dispatch.app.timer(OLDEST_SECONDS)(_showing_oldest(dispatch))
        built.append(health)

    def on_ready() -> None:
        built[0].recovered = True
        port = serve_health(built[0], registry, settings.http_host, settings.http_port)
        print(f"dispatch ready, http port {port}", flush=True)  # noqa: T201

    run_dispatch(
        bootstrap_servers=settings.bootstrap_servers,
        topics=settings.topics,
        datadir=settings.data_dir,
        files=files,
        retry_scale=settings.retry_scale,
        registry=registry,
        loglevel=settings.log_level.upper(),
        on_built=on_built,
        on_ready=on_ready,
        keep=None if settings.keep_closed_days is None else settings.keep_closed_days * DAY,
        session_timeout_seconds=settings.session_timeout_seconds,
        commit_interval_seconds=settings.commit_interval_seconds,
    )


def _observing(dispatch: Dispatch, health: Health) -> Callable[[], Awaitable[None]]:
    batches = 0

    async def observe() -> None:
        nonlocal batches
        progress = dispatch.progress()
        health.notices = [progress.held_because] if progress.held_because else []
        if progress.unread_seconds > UNREAD_SECONDS_MAX:
            health.notices.append("the files of delivery cannot be read to their end: what they say now is not known")
        done = progress.batches
        if done != batches:
            batches = done
            health.progressed()
        dispatch.flow.observe({})
        await health.observe()

    return observe


def _showing_oldest(dispatch: Dispatch) -> Callable[[], Awaitable[None]]:
    async def show() -> None:
        dispatch.show_oldest()

    return show
