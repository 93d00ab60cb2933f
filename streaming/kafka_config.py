"""The settings with which a Kafka cluster is reached. Never connects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from streaming.errors import ConfigError
from streaming.section import Count, CountOrZero, Positive, Section

COMPONENT = "{component}"
BULK_WAIT_MS = 500  # of a fetch that waits for a megabyte


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The settings for reading a damaged log."""

    # A stored batch whose bytes are not those that were written stops its partition; `tidecast status` shows where.
    # true: reading goes on at the next good batch; the offsets between go to dead-letter, their records are lost
    skip_damaged: bool = False


@dataclass(frozen=True, slots=True)
class KafkaConfig(Section):
    """The settings of the Kafka clients. Security fields are passed to kafka-python unchanged; "" means not set."""

    section: ClassVar[str] = "kafka"

    bootstrap_servers: str = ""  # host:port,host:port; "" starts and uses the local Kafka
    client_id: str = "tidecast"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: str = ""  # PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI, OAUTHBEARER
    sasl_plain_username: str = ""
    sasl_plain_password: str = field(default="", repr=False)
    # a file with the password instead, read anew for each client. {component} in it, and in the user's name, stands for
    # recommender, room-worker, profile-worker, encoder, archiver or trainer, so that each may have a user of its own
    sasl_credentials_file: str = ""
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_password: str = field(default="", repr=False)
    ssl_check_hostname: bool = True
    connect_timeout_s: Positive = 10.0
    # a member that is silent so long loses its partitions; the broker allows from 6 s
    session_timeout_s: Positive = 6.0
    max_poll_records: Count = 5_000
    # how long a broker holds back an answer that has less than the least; records that
    # come are sent at once all the same, so a shorter wait is hardly fresher (broker/fetch_wait.py): it costs when idle
    fetch_max_wait_ms: CountOrZero = 1_000
    metadata_max_age_s: Positive = 5.0  # topics that grow or are made anew are seen after so long
    fetch_min_bytes: Count = 1  # the least: with 1 only idle topics wait
    batch_size: Count = 131_072
    linger_ms: CountOrZero = 5
    # a transaction that its worker left open, such as one that was killed, hides what was written after it so long; no
    # worker keeps one open for more than a second while it is well
    transaction_timeout_s: Positive = 15.0
    delivery_timeout_s: Positive = 30.0  # longer than a broker's restart; then the records count as not written

    def check(self) -> None:
        if self.security_protocol.startswith("SASL") and not self.sasl_mechanism:
            raise ConfigError(f"kafka.sasl_mechanism is not set, but {self.security_protocol} needs one, such as PLAIN")

    def or_local(self, bootstrap_servers: str) -> KafkaConfig:
        """These settings, with the local Kafka's address where they name no cluster."""
        return self if self.bootstrap_servers else replace(self, bootstrap_servers=bootstrap_servers)

    def in_bulk(self) -> KafkaConfig:
        """These settings, tuned for bulk work: batches and fetches fill up instead of being sent at once."""
        return replace(
            self,
            linger_ms=200,
            batch_size=524_288,
            fetch_max_wait_ms=BULK_WAIT_MS,
            fetch_min_bytes=max(1_048_576, self.fetch_min_bytes),
        )

    def as_component(self, component: str) -> KafkaConfig:
        """These settings for one component of the application, where each has a user of its own."""
        user, file = (
            text.replace(COMPONENT, component) for text in (self.sasl_plain_username, self.sasl_credentials_file)
        )
        return replace(self, sasl_plain_username=user, sasl_credentials_file=file)

    def client(self) -> dict[str, Any]:
        """The arguments common to all kafka-python clients. Raises ConfigError: no file of the password."""
        optional = (
            "sasl_mechanism",
            "sasl_plain_username",
            "sasl_plain_password",
            "ssl_cafile",
            "ssl_certfile",
            "ssl_keyfile",
            "ssl_password",
        )
        return {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
            "ssl_check_hostname": self.ssl_check_hostname,
            "bootstrap_timeout_ms": int(self.connect_timeout_s * 1000),
            "request_timeout_ms": 10_000,  # a broker silent for so long is gone
            "reconnect_backoff_max_ms": 250,  # a broker that comes back is found within .5 s: it, then its metadata
            **{name: getattr(self, name) for name in optional if getattr(self, name)},
            **self._credentials(),
        }

    def _credentials(self) -> dict[str, str]:
        """The password from its file; nothing where none is named."""
        if not self.sasl_credentials_file:
            return {}
        try:
            return {"sasl_plain_password": Path(self.sasl_credentials_file).read_text(encoding="utf-8").strip()}
        except (OSError, UnicodeDecodeError) as err:
            said = f"kafka.sasl_credentials_file {self.sasl_credentials_file} cannot be read"
            raise ConfigError(f"{said}: {err}") from err
