"""The starter of HAProxy for Ray Serve: closed to others, with limits and our errors. Never proxies itself.

Serve writes HAProxy's configuration and has no setting for most of it. But the binary is a setting, and this program is
that binary: it changes the configuration and becomes the real HAProxy, under the same pid, which Serve checks. It ends
with the process that started it. Standard library only: it runs without site-packages.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import signal
import sys
from pathlib import Path

if not __package__:  # run as a program, without our packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from deploy.config.proxy_limits import ProxyLimits
from deploy.ray.haproxy_words import with_our_words

PR_SET_PDEATHSIG = 1
OVER = 5 / 4  # times its limit that a source may connect: below that it gets a reason for the refusal
PROBLEM = "application/problem+json"
PUBLIC = "frontend http_frontend"
READING = ("/v1/recommend", "/v1/recommend:batch", "/v1/rank")  # paths of POST that write nothing
CLOSED = ("frontend prometheus", "listen stats")  # Serve itself asks through the socket

ERRORS = {
    400: ("Bad Request", "this is not HTTP as RFC 9112 has it, or its head is longer than 16 KB"),
    403: ("Forbidden", "the request is not allowed"),
    404: ("Not Found", "nothing is here"),
    405: ("Method Not Allowed", "the path does not take this method"),
    408: ("Request Timeout", "the request did not arrive in time"),
    413: ("Content Too Large", "the body is too large"),
    422: ("Unprocessable Content", "the transfer encoding is none that is taken here: chunked, or none"),
    425: ("Too Early", "ask again once the connection is established"),
    429: ("Too Many Requests", "too many connections from your address; http.max_connections_per_source is the bound"),
    500: ("Internal Server Error", "something went wrong here; it is in the log of the replica"),
    501: ("Not Implemented", "the request asks for what is not implemented here"),
    502: ("Bad Gateway", "the replica that was asked ended while it answered; ask again. It may have written"),
    503: ("Service Unavailable", "no replica can answer at the moment; ask again in a second"),
    504: ("Gateway Timeout", "the replica that was asked did not answer in time; ask again. It may have written"),
}
AGAIN = (408, 425, 429, 502, 503, 504)

TEXT_ERROR = re.compile(
    r'(http-request return status [45]\d\d) content-type text/plain (?:lf-)?string "[^\n]*?(?<!\\)"'
)
NO_APPLICATION = re.compile(r"(^backend default_backend\n\s*http-request return status )404", re.MULTILINE)
NO_PATH = re.compile(r"(^\s+use_backend (\S+) if is_\2\n\s+default_backend) default_backend$", re.MULTILINE)
SERVER = re.compile(r"^\s+server ", re.MULTILINE)
# A repeated Idempotency-Key goes to the replica that answered it before, for longer than one remembers by default
KEPT = """    stick-table type integer size 100k expire 1h
    stick on req.hdr(idempotency-key),xxh32 if { req.hdr(idempotency-key) -m found }
"""
# below it an answer goes on while somebody watches; its replica is silent for 15 s at most (stream.heartbeat_s)
STREAMS = "/v1/stream/"
SILENT_S = 30  # that such a replica may be, and any caller who does not acknowledge what is sent: he has gone unnoticed
SECTION = re.compile(r"^(?=\S)", re.MULTILINE)


def changed(config: str, limits: ProxyLimits, folder: Path) -> str:
    """Serve's configuration with our additions. folder: of the error files.

    Idempotent, because Serve writes the file only when its own part has changed.
    """
    sections = [section for section in SECTION.split(config) if not section.startswith(CLOSED)]
    return "".join(_section(section, limits, folder) for section in sections)


def _section(text: str, limits: ProxyLimits, folder: Path) -> str:
    if text.startswith("global"):
        text = re.sub(r"(stats socket \S+ mode) \d+", r"\1 600", text)
        return re.sub(r"^(\s+maxconn) \d+", rf"\1 {limits.max_connections}", text, flags=re.MULTILINE)
    if text.startswith("defaults"):
        text = re.sub(
            r"^\s+(errorfile|option splice-|timeout http-request|timeout client-fin).*\n", "", text, flags=re.M
        )
        files = "".join(f"    errorfile {status} {folder / f'{status}.http'}\n" for status in ERRORS)
        wait_ms = round(limits.request_timeout_s * 1000)
        # for the head; and for callers who were refused and do not close, with half a body still to come
        return f"{text}    timeout http-request {wait_ms}ms\n    timeout client-fin {wait_ms}ms\n{files}"
    if text.startswith(PUBLIC) and "track-sc0" not in text:
        head, bind, rest = re.split(r"(^\s+bind .*)\n", text, maxsplit=1, flags=re.MULTILINE)
        text = f"{head}{bind} tcp-ut {SILENT_S}s\n{_bounds(limits)}{rest}"
    if text.startswith("backend") and SERVER.search(text) and "stick on" not in text:
        streams = f"    http-request set-timeout server {SILENT_S}s if {{ path_beg {STREAMS} }}\n"
        text = text.rstrip("\n") + "\n" + KEPT + streams
    text = NO_PATH.sub(r"\1 \2", text)  # `OPTIONS *` has no path, and is for the application too
    text = NO_APPLICATION.sub(r"\g<1>503", text)
    return TEXT_ERROR.sub(r"\1 default-errorfiles", text)


def _bounds(limits: ProxyLimits) -> str:
    per_source = limits.max_connections_per_source
    lines = [
        "stick-table type ipv6 size 100k expire 5m store conn_cur",
        "tcp-request connection track-sc0 src",
        f"tcp-request connection reject if {{ sc0_conn_cur gt {int(per_source * OVER)} }}",
        f"http-request deny deny_status 429 if {{ sc0_conn_cur gt {per_source} }}",
        f"http-request deny deny_status 413 if {{ req.body_size gt {limits.max_body_bytes} }}",  # of 64 bits
        "http-request deny deny_status 501 if { method CONNECT }",
        # what a replica had in hand may be written already: only what reads is asked of another one (docs/api.md)
        f"http-request disable-l7-retry unless METH_GET or {{ path {' '.join(READING)} }}",
        # up to a buffer, 16 KB: only a caller who has sent so much of a body takes a place at a replica
        f"http-request wait-for-body time {round(limits.request_timeout_s * 1000)}ms if {{ req.body_size gt 0 }} or"
        " { req.hdr(transfer-encoding) -m found }",
        # texts of Serve, its fallback proxy and the server of the replicas
        *(
            f"http-response return status {status} default-errorfiles if {{ status {status} }}"
            f" !{{ res.hdr(content-type) -m beg {PROBLEM} }}"
            for status in ERRORS
        ),
    ]
    return "".join(f"    {line}\n" for line in lines)


def error_page(status: int) -> bytes:
    """HAProxy's own error response, in the form of all our errors."""
    title, detail = ERRORS[status]
    said = {"type": "/docs#problems", "title": title, "status": status, "detail": detail}
    body = json.dumps(said, separators=(",", ":")).encode()
    again = "Retry-After: 1\r\n" if status in AGAIN else ""
    head = f"HTTP/1.1 {status} {title}\r\nContent-Type: {PROBLEM}\r\nCache-Control: no-store\r\n{again}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def main(argv: list[str]) -> None:
    """Becomes HAProxy. argv: ProxyLimits as JSON, the real binary, then its arguments from Serve. Never returns."""
    limits, binary, *arguments = argv
    config = Path(arguments[arguments.index("-f") + 1])
    most = ProxyLimits(**json.loads(limits)).within(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    config.write_text(changed(config.read_text(), most, config.parent))
    for status in ERRORS:
        (config.parent / f"{status}.http").write_bytes(error_page(status))
    # else a killed HAProxyManager leaves an HAProxy behind that keeps the port from its successor
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    program = str(with_our_words(Path(binary), config.parent))
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
