"""The settings of where Kafka is and how it is talked to (security.py)."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from streams.security import Cluster, Mechanism, Protocol, Security


class KafkaSettings(BaseModel):
    """The part of the settings that every client of Kafka takes. `bootstrap_servers` is a Cluster: it carries the rest."""

    bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        description="Kafka's addresses, host:port, comma-separated; default where broker_port is set: that port here",
    )
    kafka_security: Protocol = Field(
        Protocol.PLAINTEXT, description="plaintext, tls, sasl_tls; sasl_plaintext on 127.0.0.1 alone"
    )
    kafka_ca_file: Path | None = Field(
        None, description="PEM: the authorities that may sign the brokers' certificates; default: the system's"
    )
    kafka_cert_file: Path | None = Field(None, description="PEM: our own certificate, where the brokers ask for one")
    kafka_key_file: Path | None = Field(None, description="PEM: its private key, which nobody else may write")
    kafka_sasl_mechanism: Mechanism = Field(
        Mechanism.SCRAM_SHA_512, description="how we log in: SCRAM-SHA-512, SCRAM-SHA-256, PLAIN"
    )
    kafka_username: Annotated[str, Field(pattern=r"^[^,=\x00-\x1f]{1,128}$")] | None = Field(
        None, description="as whom we log in"
    )
    kafka_password_file: Path | None = Field(None, description="a file with the password, which nobody else may write")
    kafka_password_env: str | None = Field(
        None, description="or the environment variable with it, called HOTLINE_WATCH_SECRET_…"
    )

    @model_validator(mode="after")
    def _bind(self) -> Self:
        given = [name for name in sorted(self.model_fields_set) if name.startswith("kafka_")]
        if given and "kafka_security" not in given:
            raise ValueError(f"{given[0]} is set, but kafka_security is not: say tls or sasl_tls")
        own = None if "bootstrap_servers" in self.model_fields_set else self.own_broker()
        # Whoever passes the address on passes on how it is talked to: no client can be forgotten.
        object.__setattr__(self, "bootstrap_servers", Cluster(own or self.bootstrap_servers, self._security()))
        return self

    def own_broker(self) -> str | None:
        """Return where the broker of `up` on this machine is, None where that is not known before it runs."""
        return None

    def cluster_at(self, bootstrap_servers: str | None) -> Cluster:
        """Return the cluster, at another address where one is given. Raises ValueError as `Cluster` does."""
        return Cluster(bootstrap_servers or self.bootstrap_servers, self._security())

    def _security(self) -> Security:
        if self.kafka_security is Protocol.PLAINTEXT:
            return Security()  # said so: what else is set is for another time
        return Security(
            self.kafka_security,
            self.kafka_ca_file,
            self.kafka_cert_file,
            self.kafka_key_file,
            self.kafka_sasl_mechanism,
            self.kafka_username,
            self.kafka_password_file,
            self.kafka_password_env,
        )
