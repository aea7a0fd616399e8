"""One fresh process of the snapshot benchmark: `hotline-watch` with the arguments given, then its time and memory as JSON."""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Run the command, then print seconds, processor seconds and the most memory it had, in MB, as the last line."""
    began = time.perf_counter()
    from cli.main import app

    ended: object = 0
    try:
        app(sys.argv[1:])
    except SystemExit as end:
        ended = end.code
    status = Path("/proc/self/status").read_text(encoding="ascii")
    figures = {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time(),
        "memory": int(status.partition("VmHWM:")[2].split()[0]) / 1024,
    }
    print(json.dumps(figures), flush=True)
    sys.exit(ended)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
