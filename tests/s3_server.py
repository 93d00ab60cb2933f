"""A server that speaks as much of S3 as pyarrow's client asks for, with one bucket in memory. Never checks a signature.

moto, which speaks all of it, needs a python-dateutil below 3, and the lock file has 4.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import socket
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"
SECRET = "wJalrXUtnFEMI"
XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
PAGE = 1_000  # keys of a listing: clients must ask for the next page
WHEN = "2026-01-01T00:00:00.000Z"


class Bucket(ThreadingHTTPServer):
    """The bucket, and parts of uploads that are under way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self._connections: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remembers the connection: clients keep theirs open, and would be answered for ever."""
        self._connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone, or was cut off, is nobody's trouble; all else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def cut_off(self) -> None:
        """Ends all connections."""
        for connection in self._connections:
            with contextlib.suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)


class Requests(BaseHTTPRequestHandler):
    """A connection to the bucket."""

    protocol_version = "HTTP/1.1"
    server: Bucket

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def do_HEAD(self) -> None:
        key, _ = self._asked()
        data = self.server.objects.get(key)
        if not key:
            self._answer(200)
        elif data is None:
            self._answer(404)
        else:
            self._answer(200, length=len(data), headers=_about(data))

    def do_GET(self) -> None:
        key, query = self._asked()
        if not key:
            self._answer(200, self._listing(query))
            return
        data = self.server.objects.get(key)
        if data is None:
            self._answer(404, _error("NoSuchKey"))
            return
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if span is None:
            self._answer(200, data, headers=_about(data))
            return
        first, last = int(span[1]), min(int(span[2]), len(data) - 1)
        where = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        self._answer(206, data[first : last + 1], headers={**_about(data), **where})

    def do_PUT(self) -> None:
        key, query = self._asked()
        data = self._body()
        if "uploadId" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = data
        elif key:
            self.server.objects[key] = data
        self._answer(200, headers=_about(data))

    def do_POST(self) -> None:
        key, query = self._asked()
        body = self._body().decode()
        if "uploads" in query:
            upload = uuid.uuid4().hex
            self.server.uploads[upload] = {}
            said = f"<UploadId>{upload}</UploadId>"
            self._answer(200, _xml("InitiateMultipartUploadResult", said))
        elif "uploadId" in query:
            parts = self.server.uploads.pop(query["uploadId"])
            self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
            self._answer(200, _xml("CompleteMultipartUploadResult", f"<Key>{escape(key)}</Key>"))
        else:
            for found in re.findall(r"<Key>(.*?)</Key>", body):
                self.server.objects.pop(found, None)
            self._answer(200, _xml("DeleteResult", ""))

    def do_DELETE(self) -> None:
        key, query = self._asked()
        if "uploadId" in query:
            self.server.uploads.pop(query["uploadId"], None)
        else:
            self.server.objects.pop(key, None)
        self._answer(204)

    def _asked(self) -> tuple[str, dict[str, str]]:
        """The key, "" for the bucket itself, and the query."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return unquote(parts.path).removeprefix(f"/{BUCKET}").removeprefix("/"), query

    def _listing(self, query: dict[str, str]) -> bytes:
        prefix, delimiter, after = (query.get(name, "") for name in ("prefix", "delimiter", "continuation-token"))
        rows: dict[str, str] = {}
        for key, data in sorted(self.server.objects.items()):
            if key.startswith(prefix):
                below, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
                name = prefix + below + cut if cut else key
                rows[name] = (
                    f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
                    if cut
                    else f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
                    f"<LastModified>{WHEN}</LastModified></Contents>"
                )
        names = [name for name in sorted(rows) if name > after]
        page = names[: min(PAGE, int(query.get("max-keys", PAGE)))]
        more = len(names) > len(page)
        text = f"<KeyCount>{len(page)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
        text += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return _xml("ListBucketResult", text + "".join(rows[name] for name in page))

    def _body(self) -> bytes:
        """The request's content. AWS's clients send most in chunks of HTTP, and those in chunks of their own."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            sent = _joined(self.rfile)
        else:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return _joined(io.BytesIO(sent)) if "x-amz-decoded-content-length" in self.headers else sent

    def _answer(
        self, status: int, data: bytes = b"", *, length: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)


class S3Server:
    """The server in a thread, on a free port of the loopback, as a context manager."""

    def __enter__(self) -> Self:
        self._bucket = Bucket()
        self.address = f"127.0.0.1:{self._bucket.server_address[1]}"
        self._thread = threading.Thread(target=self._bucket.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def uri(self, folder: str) -> str:
        """A place in the bucket, with credentials in the URI."""
        options = f"endpoint_override={quote(self.address, safe='')}&scheme=http&region=us-east-1"
        return f"s3://AKIA:{SECRET}@{BUCKET}/{folder}?{options}"

    def stop(self) -> None:
        """Ends it: from then on nobody answers."""
        if self._thread.is_alive():
            self._bucket.shutdown()
            self._thread.join()
            self._bucket.cut_off()
            self._bucket.server_close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _joined(stream: IO[bytes]) -> bytes:
    """The content of chunks, each after a line with its size, and a last one that is empty; then come trailers."""
    parts = []
    while size := int(stream.readline().partition(b";")[0], 16):
        parts.append(stream.read(size))
        stream.readline()
    while stream.readline().strip():
        """A trailer: a checksum."""
    return b"".join(parts)


def _xml(name: str, inside: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><{name} {XMLNS}>{inside}</{name}>'.encode()


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code></Error>".encode()


def _about(data: bytes) -> dict[str, str]:
    return {"ETag": f'"{hashlib.md5(data).hexdigest()}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
