"""The job on Quix Streams: its RocksDB state with changelogs, at least once, complaints through a second topic.

    python -m benchmarks.peers.quix NAME BOOTSTRAP SOURCE PARTITIONS DATADIR

States are kept as the job's own bytes (`set_bytes`), which spares Quix a second JSON. All else is its default, but for the commit
interval, which is that of every host.
"""

from typing import Any

from quixstreams import Application
from quixstreams.models import Serializer

from benchmarks.peers import job
from benchmarks.peers.host import COMMIT_SECONDS, FirstRecord, Host

_STATE = "state"
first = FirstRecord()


class _WarnedValue(Serializer):
    def __call__(self, value: Any, ctx: Any) -> bytes:
        return value.value


class _ClaimValue(Serializer):
    def __call__(self, value: Any, ctx: Any) -> bytes:
        return job.encode_claim(value)


def judge(value: bytes, state: Any) -> job.Step | None:
    """Return what a ticket event makes of its ticket, whose key the record has; None where nobody need be told.

    Quix copies what goes into two branches by pickling it, so most events should end before they part.
    """
    first()
    event = job.decode(value)
    if event is None:
        return None
    step = job.on_event(job.decode_ticket(state.get_bytes(_STATE)), event)
    state.set_bytes(_STATE, job.encode_ticket(step.state))
    return step if step.warnings or step.claim is not None else None


def compare(value: bytes, state: Any) -> tuple[job.Warned, ...]:
    """Return the warnings of a complaint."""
    after, warnings = job.on_claim(job.decode_citizen(state.get_bytes(_STATE)), job.decode_claim(value))
    state.set_bytes(_STATE, job.encode_citizen(after))
    return warnings


def application(host: Host) -> Application:
    """Return the application with both of its dataframes."""
    app = Application(
        host.bootstrap_servers,
        consumer_group=host.group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        state_dir=host.datadir,
        loglevel="WARNING",
    )
    as_bytes = {"key_deserializer": "bytes", "value_deserializer": "bytes", "key_serializer": "bytes"}
    source = app.topic(host.source, **as_bytes)
    claims = app.topic(host.citizens, value_serializer=_ClaimValue(), **as_bytes)
    warnings = app.topic(host.warnings, value_serializer=_WarnedValue(), **as_bytes)
    steps = app.dataframe(source).apply(judge, stateful=True).filter(lambda step: step is not None)
    steps.filter(lambda step: step.warnings).apply(lambda step: step.warnings, expand=True).to_topic(
        warnings, key=lambda one: one.key
    )
    steps.filter(lambda step: step.claim is not None).apply(lambda step: step.claim).to_topic(
        claims, key=lambda claim: claim.citizen.encode()
    )
    app.dataframe(claims).apply(compare, stateful=True, expand=True).to_topic(warnings, key=lambda one: one.key)
    return app


def main() -> None:
    """Run the job as the arguments say, until SIGTERM."""
    application(Host.from_arguments()).run()


if __name__ == "__main__":
    main()
