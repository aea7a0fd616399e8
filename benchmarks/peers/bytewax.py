"""The job on Bytewax: its Kafka source and sink, states in memory and, once an epoch, in its recovery store (SQLite); at least once.

    python -m benchmarks.peers.bytewax NAME BOOTSTRAP SOURCE PARTITIONS DATADIR

Complaints reach their citizens by its own exchange between keyed steps, not through a topic. It keeps its positions in the recovery
store too, so there is no consumer group to watch: it reads to the end of the topic, closes its last epoch and says that it is done.
"""

import signal
from datetime import timedelta
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from benchmarks.peers import job
from benchmarks.peers.host import COMMIT_SECONDS, DONE, FirstRecord, Host

first = FirstRecord()


def decode(message: Any) -> tuple[str, Any] | None:
    """Return a ticket event under its ticket; None where the contract does not take it."""
    first()
    event = job.decode(message.value)
    return (event.ticket_id, event) if event is not None else None


def judge(state: job.TicketState | None, event: Any) -> tuple[job.TicketState, list[job.Warned | job.Claim]]:
    """Return a ticket after an event, its warnings and its complaint."""
    step = job.on_event(state or job.TicketState(), event)
    return step.state, [*step.warnings, step.claim] if step.claim is not None else [*step.warnings]


def compare(state: job.CitizenState | None, claim: job.Claim) -> tuple[job.CitizenState, tuple[job.Warned, ...]]:
    """Return a citizen after a complaint, and the warnings."""
    return job.on_claim(state or job.CitizenState(), claim)


def dataflow(host: Host) -> Dataflow:
    """Return the flow from the source to the warnings."""
    brokers = host.bootstrap_servers.split(",")
    flow = Dataflow(host.name)
    events = op.input("source", flow, KafkaSource(brokers, [host.source], tail=False))
    found = op.stateful_flat_map("tickets", op.filter_map("decode", events, decode), judge)
    claims = op.filter_map(
        "claims", found, lambda one: (one[1].citizen, one[1]) if isinstance(one[1], job.Claim) else None
    )
    bounced = op.filter("bounced", found, lambda one: isinstance(one[1], job.Warned))
    repeated = op.stateful_flat_map("citizens", claims, compare)
    every = op.merge("warnings", bounced, repeated)
    messages = op.map("messages", every, lambda one: KafkaSinkMessage(one[1].key, one[1].value))
    op.output("sink", messages, KafkaSink(brokers, host.warnings))
    return flow


def main() -> None:
    """Run the job as the arguments say, to the end of the topic, and stay until SIGTERM."""
    host = Host.from_arguments()
    host.datadir.mkdir(parents=True)
    init_db_dir(host.datadir, 1)
    epoch = timedelta(seconds=COMMIT_SECONDS)
    cli_main(dataflow(host), epoch_interval=epoch, recovery_config=RecoveryConfig(host.datadir))
    print(DONE, flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pause()


if __name__ == "__main__":
    main()
