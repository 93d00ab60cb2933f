"""The settings of HTTP: where answers are served, and the limits for callers."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from deploy.config.proxy_limits import ProxyLimits
from streaming.errors import ConfigError
from streaming.masked_uri import masked_uri
from streaming.section import Count, Port, PortOrZero, Positive, Section

HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?|")  # a name, IPv4, IPv6, or "" for all of them


@dataclass(frozen=True, slots=True)
class HttpConfig(Section):
    """Where answers are served and by how many replicas, and the limits for callers."""

    section: ClassVar[str] = "http"

    host: str = "127.0.0.1"  # 0.0.0.0 lets everybody in who can reach the machine; there is no authentication
    port: Port = 8000
    admin_host: str = "127.0.0.1"  # serves metrics and the state of every process, for monitoring
    admin_port: PortOrZero = 0  # 0: the one after http.port
    replicas: Count = 2  # one answers while the other is replaced
    # the longest legal request is about 1,560,000: 1,000 ids of 128 characters, each
    # of which JSON may write with 12 bytes (\\ud83d\\ude02)
    max_body_bytes: Annotated[int, Meta(ge=1_024)] = 2_097_152
    request_timeout_s: Positive = 10.0  # for a request to arrive whole, head and body; then it is answered 408
    max_connections: Annotated[int, Meta(ge=100)] = 16_384  # at once; fewer where the system allows fewer open files
    max_connections_per_source: Count = 8_192  # per address; behind a proxy of yours all come from one
    ready_contact_s: Positive = 10.0  # after so long without word from Kafka, /readyz reports it; answers go on
    unready_contact_s: float = 900.0  # after so long /readyz is 503: rooms that were live then may have ended

    def check(self) -> None:
        for name in ("host", "admin_host"):
            if not HOST.fullmatch(host := getattr(self, name)):
                said = f"http.{name} is {masked_uri(host)!r}"
                raise ConfigError(f"{said}; it must be a name or an address, without scheme and port")
        if self.admin == self.port or self.admin > 65_535:
            raise ConfigError(f"http.admin_port would be {self.admin}; give it a port of its own, from 1 to 65535")
        if self.unready_contact_s < self.ready_contact_s:
            raise ConfigError(
                f"http.unready_contact_s is {self.unready_contact_s}; it must be at least http.ready_contact_s, "
                f"{self.ready_contact_s}"
            )

    @property
    def admin(self) -> int:
        """The port for metrics and state."""
        return self.admin_port or self.port + 1

    @property
    def url(self) -> str:
        """The URL of the answers, for a caller on this machine."""
        return f"http://{_reached(self.host)}:{self.port}"

    @property
    def admin_url(self) -> str:
        """The URL of metrics and state, for a caller on this machine."""
        return f"http://{_reached(self.admin_host)}:{self.admin}"

    @property
    def on_loopback(self) -> bool:
        """Whether only callers on this machine reach the answers."""
        return is_loopback(self.host)

    @property
    def limits(self) -> ProxyLimits:
        """The limits that the proxy in front enforces."""
        return ProxyLimits(
            self.max_connections, self.max_connections_per_source, self.request_timeout_s, self.max_body_bytes
        )


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, which no other machine reaches."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:  # another name
        return False


def _reached(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
