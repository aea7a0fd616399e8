"""Brokers for the campaign: one with a further listener behind a proxy, and a cluster of three."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streams import broker_layout
from streams.broker import EmbeddedKafka
from streams.broker_layout import HOST, Layout
from tests.faults.proxy import Proxy

HEAP_MB = 384
_PROXIED = "PROXIED"


class ProxiedKafka(EmbeddedKafka):
    """A broker whose clients may also come through `proxy`, at `proxied`."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        self.proxy = Proxy((HOST, 0)).start()
        super().__init__(data_dir, **({"heap_mb": HEAP_MB} | settings))

    @property
    def proxied(self) -> str:
        """The address that leads through the proxy."""
        return f"{HOST}:{self.proxy.port}"

    def _properties(self, layout: Layout) -> dict[str, str]:
        own = broker_layout.properties(layout, layout.brokers[0])
        behind = self.proxy.target[1] or broker_layout.further_ports(layout, 1)[0]
        self.proxy.target = (HOST, behind)
        return {
            **super()._properties(layout),
            "listeners": f"{own['listeners']},{_PROXIED}://{HOST}:{behind}",
            "advertised.listeners": f"{own['advertised.listeners']},{_PROXIED}://{self.proxied}",
            "listener.security.protocol.map": f"{own['listener.security.protocol.map']},{_PROXIED}:PLAINTEXT",
        }


def proxied_kafka(data_dir: Path) -> ProxiedKafka:
    """Return one broker, not started."""
    return ProxiedKafka(data_dir)


def three_brokers(data_dir: Path) -> EmbeddedKafka:
    """Return a cluster of three, not started."""
    return EmbeddedKafka(data_dir, brokers=3, heap_mb=HEAP_MB)


def own_broker(data_dir: Path, logs: Path) -> EmbeddedKafka:
    """Return a broker for one run, not started, that is content with a small disk and writes its log elsewhere."""
    data_dir.mkdir(parents=True)
    logs.mkdir()
    (data_dir / "logs").symlink_to(logs)
    small = {"log.segment.bytes": str(4 * 1024 * 1024), "log.index.size.max.bytes": str(64 * 1024)}
    return EmbeddedKafka(data_dir, heap_mb=HEAP_MB, free_mb_min=16, extra=small)
