"""The settings of the console: where its pages are served, and whose API it asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from deploy.config.http_settings import is_loopback
from streaming.errors import ConfigError
from streaming.masked_uri import masked_uri
from streaming.section import PortOrZero, Section


@dataclass(frozen=True, slots=True)
class ConsoleConfig(Section):
    """Where the console's pages are served, and whose API it asks."""

    section: ClassVar[str] = "console"

    host: str = "127.0.0.1"  # any other needs console.expose: whoever reaches it sees rooms and lists, and writes chat
    port: PortOrZero = 8080  # where it is taken, another free one; 0: any free one
    expose: bool = False  # says that everybody who reaches console.host may do all that the console does
    url: str = ""  # of the answers; "": that of http.host and http.port
    admin_url: str = ""  # of metrics and state; "": that of http.admin_port, or the port after console.url's

    def check(self) -> None:
        if not self.expose and not is_loopback(self.host):
            raise ConfigError(
                f"console.host is {self.host!r}: whoever reaches this machine could then look up any viewer's list and "
                "write chat into any room, for the console asks for no password. If that is meant (behind a gateway "
                "that does), say so with console.expose = true, or --expose"
            )
        for name in ("url", "admin_url"):
            if (url := getattr(self, name)) and not _is_http(url):
                raise ConfigError(f"console.{name} is {masked_uri(url)!r}; it must be like http://127.0.0.1:8000")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port is not None and parts.path in ("", "/")
    except ValueError:  # a port that is none
        return False
