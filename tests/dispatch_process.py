"""A dispatch worker as a process of its own:
`python -m tests.dispatch_process BOOTSTRAP PREFIX PARTITIONS DATADIR SUBSCRIBERS SCALE [FAILPOINT]`.

Units and routing are read from files beside the subscribers file (tests/directory_support.py writes them).
"""

import logging
import sys
from pathlib import Path

from alerting.directory import DeliveryFiles
from streams.dispatch import run_dispatch
from streams.failpoints import arm
from streams.topics import TopicSet


def main() -> None:
    """Run until SIGTERM; print READY once recovered."""
    bootstrap_servers, prefix, partitions, datadir, subscribers, scale, *failpoint = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    arm(failpoint[0] if failpoint else "")
    path = Path(subscribers)
    run_dispatch(
        bootstrap_servers=bootstrap_servers,
        topics=TopicSet(prefix=prefix, partitions=int(partitions)),
        datadir=Path(datadir),
        files=DeliveryFiles(
            path, path.parent / "units.yaml", path.parent / "routing.yaml", silences=path.parent / "silences.yaml"
        ),
        retry_scale=float(scale),
        loglevel="INFO",
        on_ready=lambda: print("READY", flush=True),
    )


if __name__ == "__main__":
    main()
