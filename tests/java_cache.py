"""A cache of Kafka's loaded classes for the tests' brokers, which live for seconds: they start with half the processor time.

python -m tests.java_cache FOLDER    # makes it where it is missing, and prints its path
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

from streams import broker_jars
from streams.broker import EmbeddedKafka
from streams.broker_errors import BrokerError

OPTIONS = "JDK_JAVA_OPTIONS"


def made_in(folder: Path) -> Path:
    """Return the cache for this Java and these jars; make it first where it is missing. Raises `BrokerError` where no broker starts."""
    jars = [broker_jars.java(), *broker_jars.class_path()]
    told = "\n".join(f"{jar} {jar.stat().st_mtime_ns}" for jar in jars)
    cache = folder / f"kafka-{hashlib.sha256(told.encode()).hexdigest()[:16]}.aot"
    if not cache.exists():
        _make(cache)
    return cache


def _make(cache: Path) -> None:
    """Start a broker and stop it: on its way out it writes what it had loaded."""
    unfinished = cache.with_suffix(f".{os.getpid()}")
    options = os.environ.get(OPTIONS, "")
    with tempfile.TemporaryDirectory(prefix="java-cache-") as scratch:
        kafka = EmbeddedKafka(Path(scratch) / "kafka", heap_mb=256)
        kafka.start().stop()  # the disk is formatted by a program of its own, which would write one as well
        os.environ[OPTIONS] = f"{options} -XX:AOTCacheOutput={unfinished}"
        kafka.start().stop(timeout_seconds=60)
    unfinished.replace(cache)


if __name__ == "__main__":
    try:
        print(made_in(Path(sys.argv[1])))
    except (BrokerError, OSError) as error:
        sys.exit(str(error))
