"""The long form: python -m tests.campaign --kills 80"""

import argparse
import sys
import tempfile
from pathlib import Path

from streams.broker import EmbeddedKafka
from tests.campaign.campaign import Campaign, Plan


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=80)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=2000, help="events per second")
    parser.add_argument(
        "--freeze-every", type=int, default=8, help="freeze a worker before every so many kills; 0: never"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep logs and disks in this directory")
    args = parser.parse_args()
    plan = Plan(args.kills, args.every, args.keys, args.rate, args.freeze_every, args.seed)
    with tempfile.TemporaryDirectory(prefix="campaign-") as scratch:
        workdir = args.keep or Path(scratch)
        workdir.mkdir(parents=True, exist_ok=True)
        with EmbeddedKafka(workdir / "kafka", extra={"log.cleaner.backoff.ms": "1000"}) as kafka:
            report = Campaign(kafka.bootstrap_servers, workdir, f"c{args.seed}.", plan).run()
    print(report.table())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
