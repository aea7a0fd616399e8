"""A dispatch worker as a process of its own: `python -m tests.dispatch_process BOOTSTRAP PREFIX PARTITIONS DATADIR SUBSCRIBERS SCALE`."""

import logging
import sys
from pathlib import Path

from streams.dispatch import run_dispatch
from streams.topics import TopicSet


def main() -> None:
    """Run until SIGTERM; print READY once recovered."""
    bootstrap_servers, prefix, partitions, datadir, subscribers, scale = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run_dispatch(
        bootstrap_servers=bootstrap_servers,
        topics=TopicSet(prefix=prefix, partitions=int(partitions)),
        datadir=Path(datadir),
        subscribers_path=Path(subscribers),
        retry_scale=float(scale),
        loglevel="INFO",
        on_ready=lambda: print("READY", flush=True),
    )


if __name__ == "__main__":
    main()
