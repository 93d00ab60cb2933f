"""Starts HAProxy for Ray Serve on loopback only, to end with the process that started it. Never proxies itself.

Serve writes `bind :PORT` for HAProxy's metrics and `bind *:PORT` for its statistics, which is all interfaces, and has
no setting for it. It has one for the binary to run, and this program is that binary: it narrows the two lines and
becomes the real HAProxy, under the same pid, which Serve checks. Standard library only: it runs without site-packages.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
UNAVAILABLE = (
    b'{"type":"/docs#problems","title":"Service Unavailable","status":503,'
    b'"detail":"no replica can answer at the moment; ask again in a second"}'
)
ERROR_FILE = re.compile(r"^\s*errorfile 503 (\S+)", re.MULTILINE)
BIND = re.compile(r"^(\s*bind )\*?:(\d+)", re.MULTILINE)


def on_loopback(config: str) -> str:
    """The configuration with everything that listens on all interfaces brought to 127.0.0.1."""
    return BIND.sub(r"\g<1>127.0.0.1:\g<2>", config)


def error_page() -> bytes:
    """HAProxy's own answer, where it has nobody to ask: the form that all our errors have, instead of Serve's text."""
    head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n"
    return f"{head}Retry-After: 1\r\nContent-Length: {len(UNAVAILABLE)}\r\n\r\n".encode() + UNAVAILABLE


def main(argv: list[str]) -> None:
    """argv: the real binary, then its arguments as Serve gives them. Does not return."""
    binary, *arguments = argv
    config = Path(arguments[arguments.index("-f") + 1])
    text = config.read_text()
    config.write_text(on_loopback(text))
    for path in ERROR_FILE.findall(text):
        Path(path).write_bytes(error_page())
    # Otherwise a killed HAProxyManager leaves an HAProxy behind that keeps the port from its successor.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
