"""The settings of HTTP: where answers are served, and the limits for callers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from deploy.config.proxy_limits import ProxyLimits
from streaming.errors import ConfigError
from streaming.masked_uri import masked_uri
from streaming.section import Count, CountOrZero, Port, PortOrZero, Positive, Section

HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?|")  # a name, IPv4, IPv6, or "" for all of them


@dataclass(frozen=True, slots=True)
class HttpConfig(Section):
    """Where answers are served and by how many replicas, and the limits for callers."""

    section: ClassVar[str] = "http"

    host: str = "127.0.0.1"  # elsewhere, such as 0.0.0.0, callers need keys: http.keys_file
    port: Port = 8000
    admin_host: str = "127.0.0.1"  # serves metrics and the state of every process, for monitoring
    admin_port: PortOrZero = 0  # 0: the one after http.port
    # whether DELETE /v1/viewers/{viewer} is there; auto: where callers are of this machine, or need keys
    erasure: Literal["auto", "on", "off"] = "auto"
    replicas: Count = 2  # one answers while the other is replaced
    # the longest legal request is about 1,560,000: 1,000 ids of 128 characters, each
    # of which JSON may write with 12 bytes (\\ud83d\\ude02)
    max_body_bytes: Annotated[int, Meta(ge=1_024)] = 2_097_152
    request_timeout_s: Positive = 10.0  # for a request to arrive whole, head and body; then it is answered 408
    # recommendations are answered in the HTTP server's own callback; false: by ASGI and Serve's wrapper, as all else is
    direct_answers: bool = True
    slow_request_ms: CountOrZero = 1_000  # from so long on, a request is logged with its id; 0: none is
    max_connections: Annotated[int, Meta(ge=100)] = 16_384  # at once; fewer where the system allows fewer open files
    max_connections_per_source: Count = 8_192  # per address; behind a proxy of yours all come from one
    ready_contact_s: Positive = 10.0  # after so long without word from Kafka, /readyz reports it; answers go on
    unready_contact_s: float = 900.0  # after so long /readyz is 503: rooms that were live then may have ended
    # the file of API keys that `tidecast keys` writes, on each host; "": none are needed, which is for loopback alone
    keys_file: str = ""
    # answers everybody who reaches http.host, without keys; nobody may write then, unless intake.enabled is "on". For a
    # network that lets only callers of yours in
    open: bool = False
    token: str = ""  # the key that this project's own commands send, where callers need one
    cors_origins: tuple[
        str, ...
    ] = ()  # web pages whose scripts may read answers, such as https://example.org; "*": any

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

    def require_keys(self) -> None:
        """Raises ConfigError: everybody who reaches http.host could ask and write, and nobody has said so."""
        if not (self.keys_file or self.open or is_loopback(self.host)):
            raise ConfigError(
                f"http.host is {self.host!r}, which others reach, and callers need no key. Make keys "
                "(`tidecast keys create NAME --file FILE`) and name the file in http.keys_file; or set http.open = "
                "true where only callers of yours reach it: then everybody may ask, and nobody may write"
            )

    @property
    def admin(self) -> int:
        """The port for metrics and state."""
        return self.admin_port or self.port + 1

    @property
    def erases(self) -> bool:
        """Whether viewers can be erased over HTTP."""
        return self.erasure == "on" or (self.erasure == "auto" and self.guarded)

    @property
    def url(self) -> str:
        """The URL of the answers, for a caller on this machine."""
        return f"http://{_reached(self.host)}:{self.port}"

    @property
    def admin_url(self) -> str:
        """The URL of metrics and state, for a caller on this machine."""
        return f"http://{_reached(self.admin_host)}:{self.admin}"

    @property
    def guarded(self) -> bool:
        """Whether callers are of this machine, or need keys."""
        return bool(self.keys_file) or is_loopback(self.host)

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
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:  # another name
        return False


def _reached(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
