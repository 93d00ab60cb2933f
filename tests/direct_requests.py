"""Requests of every kind as the bytes of a connection, for a server that has two ways to answer. No test is here."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass

MAX_BODY_BYTES = 2_000
ORIGIN = "https://shop.example"
REQUEST_ID = re.compile(rb"x-request-id: (\S+)\r\n")
DATE = re.compile(rb"date: [^\r]+\r\n")

BODY = b'{"viewer":"v"}'
HEAD = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@dataclass(frozen=True)
class Case:
    """What a connection brings. pieces: as they arrive. direct: how many of its requests are answered at once.

    whole: whether another request may follow; else the connection ends by itself.
    """

    pieces: tuple[bytes, ...]
    direct: int
    whole: bool = True


def ask(body: bytes = BODY, *headers: str, head: bytes = HEAD) -> bytes:
    """A request with a length."""
    return post(body, f"content-length: {len(body)}", *headers, head=head)


def post(body: bytes, *headers: str, head: bytes = HEAD) -> bytes:
    """A request with these headers alone."""
    return head + b"".join(header.encode("latin-1") + b"\r\n" for header in headers) + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    """A body in chunks of seven bytes."""
    parts = [body[at : at + 7] for at in range(0, len(body), 7)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    """A request without a body."""
    return post(b"", *headers, head=f"{method} {path} HTTP/1.1\r\nhost: x\r\n".encode())


def once(request: bytes, direct: int = 1) -> Case:
    """A connection with what comes in one piece."""
    return Case((request,), direct)


def on(line: bytes, body: bytes = BODY, direct: int = 0) -> Case:
    """A request with another first line."""
    return once(ask(body, head=line + b"\r\nhost: x\r\n"), direct)


def asks(viewer: str) -> bytes:
    return ask(b'{"viewer":"%b"}' % viewer.encode())


LARGE = b'{"viewer":"v","exclude":["' + b"x" * MAX_BODY_BYTES + b'"]}'
PLAIN = b"POST /v1/recommend HTTP/1.1\r\n"

CASES: dict[str, Case] = {
    # taken
    "as usual": once(ask()),
    "with filters": once(ask(b'{"viewer":"v","limit":3,"filters":{"language":"pt"},"explain":true}')),
    "a whole number with a point": once(ask(b'{"viewer":"v","limit":3.0}')),
    "no content type": once(ask(head=PLAIN + b"host: x\r\n")),
    "the content type of curl": once(ask(BODY, "content-type: application/x-www-form-urlencoded", head=PLAIN)),
    "a content type with a charset": once(ask(BODY, "content-type: application/json; charset=UTF-8", head=PLAIN)),
    "no host": once(ask(head=PLAIN)),
    "an encoding that is none": once(ask(BODY, "content-encoding: identity")),
    "headers in capitals": once(ask(BODY, "X-Request-Id: Mine-1", "USER-AGENT: me")),
    "what a proxy adds": once(ask(BODY, "x-forwarded-for: 10.0.0.1", "x-forwarded-proto: https", "traceparent: 00-1")),
    # the id
    "an id": once(ask(BODY, "x-request-id: own-1")),
    "an id that is none": once(ask(BODY, "x-request-id: two words")),
    "two ids": once(ask(BODY, "x-request-id: first", "x-request-id: second")),
    "an id beyond ASCII": once(ask(BODY, "x-request-id: Ã©"), 0),
    # wrong bodies
    "no viewer": once(ask(b"{}")),
    "no JSON": once(ask(b"not json")),
    "no object": once(ask(b"[]")),
    "an unknown field": once(ask(b'{"viewer":"v","foo":1}')),
    "a wrong limit": once(ask(b'{"viewer":"v","limit":101}')),
    "a wrong type": once(ask(b'{"viewer":7}')),
    "half a body of JSON": once(ask(b'{"viewer":"v"')),
    "nested deeply": once(ask(b'{"viewer":"v","exclude":' + b"[" * 900)),
    "not UTF-8": once(ask(b'{"viewer":"\xff"}')),
    "an empty body": once(ask(b"")),
    "no length and no body": once(post(b"")),
    "a wrong steer": once(ask(b'{"viewer":"v","steer":{"text":" "}}')),
    # refused
    "another content type": once(ask(BODY, "content-type: text/xml", head=PLAIN)),
    "another charset": once(ask(BODY, "content-type: application/json; charset=utf-16", head=PLAIN)),
    "gzip": once(ask(gzip.compress(BODY, mtime=0), "content-encoding: gzip")),
    "too large": once(ask(LARGE)),
    "too large, announced alone": Case((post(b"", "content-length: 9999999"),), 0, whole=False),
    "a length beyond 31 bits": Case((post(b"", "content-length: 2147483700"),), 0, whole=False),
    "a body that does not come": Case((post(b'{"vie', "content-length: 100"),), 0, whole=False),
    # the handler
    "a bug": once(asks("breaks")),
    "a viewer who is looked up": once(asks("gone-1"), 0),
    "a text that nobody knows": once(ask(b'{"viewer":"v","steer":{"text":"chess"}}'), 0),
    # ways to send
    "in chunks": once(post(chunked(BODY), "transfer-encoding: chunked"), 0),
    "too large, in chunks": once(post(chunked(LARGE), "transfer-encoding: chunked"), 0),
    "a body that comes later": Case((post(b"", f"content-length: {len(BODY)}"), BODY), 0),
    "a body in halves": Case((post(BODY[:6], f"content-length: {len(BODY)}"), BODY[6:]), 0),
    "byte by byte": Case(tuple(bytes((one,)) for one in ask()), 0),
    "a head in halves": Case((HEAD[:20], ask()[20:]), 1),
    "told to go on": Case((post(b"", f"content-length: {len(BODY)}", "expect: 100-continue"), BODY), 0),
    "HTTP/1.0": on(b"POST /v1/recommend HTTP/1.0"),
    "close": once(ask(BODY, "connection: close")),
    "close after an error": once(ask(b"{}", "connection: Close")),
    "keep alive": once(ask(BODY, "connection: keep-alive")),
    "a time limit of Serve's": once(ask(BODY, "x-request-timeout-seconds: 30"), 0),
    # another method or path
    "GET": once(get("/v1/recommend"), 0),
    "HEAD": once(get("/v1/recommend", method="HEAD"), 0),
    "OPTIONS": once(get("/v1/recommend", method="OPTIONS"), 0),
    "PUT": on(b"PUT /v1/recommend HTTP/1.1"),
    "DELETE": once(get("/v1/recommend", method="DELETE"), 0),
    "a parameter": on(b"POST /v1/recommend?limit=3 HTTP/1.1"),
    "no parameter after a question mark": on(b"POST /v1/recommend? HTTP/1.1"),
    "an escaped letter": on(b"POST /v1/recommen%64 HTTP/1.1"),
    "a slash more": on(b"POST /v1/recommend/ HTTP/1.1"),
    "a whole URL": on(b"POST http://x/v1/recommend HTTP/1.1"),
    "another path": once(get("/v1/rooms"), 0),
    "an unknown path": once(get("/nowhere"), 0),
    # pages of elsewhere
    "a page that may": once(ask(BODY, f"origin: {ORIGIN}")),
    "a page that may, and an error": once(ask(b"{}", f"origin: {ORIGIN}")),
    "a page that may not": once(ask(BODY, "origin: https://elsewhere.example")),
    "a page that asks first": once(
        get("/v1/recommend", f"origin: {ORIGIN}", "access-control-request-method: POST", method="OPTIONS"), 0
    ),
    # one behind the other
    "three at once": once(asks("v1") + asks("v2") + asks("v3"), 1),
    "an ordinary one between": once(asks("v1") + get("/v1/rooms") + asks("v2"), 1),
    "one who is looked up first": once(asks("gone-1") + asks("v1"), 0),
    "one who is looked up between": once(asks("v1") + asks("gone-1") + asks("v2") + get("/nowhere"), 1),
    "one after the other": Case((asks("v1"), ask(b"{}"), asks("v3")), 3),
    "one after an ordinary one": Case((get("/v1/rooms"), asks("v1")), 1),
    "an error between": once(asks("v1") + ask(b"{}") + asks("v2"), 1),
    "half of the second": Case((asks("v1") + asks("v2")[:90], asks("v2")[90:]), 2),
    "half of the second's body": Case((asks("v1") + asks("v2")[:-4], asks("v2")[-4:]), 1),
}


def without_ids(sent: bytes) -> bytes:
    """What was sent, with the ids that it was given by number, and no time of day."""
    for number, request_id in enumerate(dict.fromkeys(REQUEST_ID.findall(sent))):
        if request_id not in (b"own-1", b"first", b"Mine-1"):
            sent = sent.replace(request_id, b"id-%d" % number)
    return DATE.sub(b"", sent)
