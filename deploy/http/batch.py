"""Finds the records in a request's body: an array, lines or one object, on request compressed. Never reads a record.

A body is bounded in bytes, before and after it is decompressed, and in records. One that breaks a bound, or in which no
records can be told apart, is refused as a whole.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from deploy.http.problem import RefusedError

LINES_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
GZIP = ("gzip", "x-gzip")
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MOST_MEMBERS = 100  # of a gzip file: some tools write one for each block
# msgspec cuts the values of an array out before their number is known, for 64 bytes each: of ones between commas that
# would be thirty times the body. A record has seven commas, and texts may have some
COMMAS_PER_RECORD = 64
TOKENS_PER_RECORD = 128  # strings, commas and brackets on average, where these are counted: ten million take a second
ALLOWED = "a JSON array of records, one JSON object, or a JSON object a line (NDJSON), in UTF-8"

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
# A string, also one without an end, or a mark. It is possessive: nothing is looked at twice
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?|[\[\]{},]', re.DOTALL)
_ONE = msgspec.json.Decoder(msgspec.Raw)
_NOT_JSON = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)


class Batches:
    """Reads bodies within bounds. For any thread."""

    def __init__(self, max_records: int, max_unpacked_bytes: int) -> None:
        self._max_records = max_records
        self._max_unpacked_bytes = max_unpacked_bytes

    def values(self, body: bytes, *, packed: bool, lines: bool) -> Sequence[bytes]:
        """The records' bytes, in order. packed: it is gzip. lines: its type says that it has a record a line.

        Raises RefusedError.
        """
        if packed:
            body = self._unpacked(body)
        if body.startswith(GZIP_MAGIC):
            how = " twice" if packed else "; say so by the header Content-Encoding: gzip"
            raise _unreadable(f"the body is compressed{how}", field="content-encoding")
        body = body.removeprefix(BYTE_ORDER_MARK)
        if body[:1] in b" \t\r\n":  # also of an empty body
            body = body.lstrip(b" \t\r\n")
        if not body:
            raise _unreadable("the body is empty")
        if body.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in body[:2]:
            raise _unreadable("the body is not UTF-8, but probably UTF-16")
        if body.startswith(b"["):
            return self._of_array(body)
        return self._of_lines(body) if lines or not _is_one(body) else [body]

    def _of_array(self, body: bytes) -> Sequence[bytes]:
        if body.count(b",") > COMMAS_PER_RECORD * self._max_records:
            return self._cut(body)
        try:
            values = _ARRAY.decode(body)
        except _NOT_JSON:
            return self._cut(body)
        if len(values) > self._max_records:
            raise self._too_many()
        return [bytes(value) for value in values]

    def _cut(self, body: bytes) -> Sequence[bytes]:
        """The elements of an array that is not JSON, or may have too many of them.

        Only quotes and brackets count, so that what is wrong within a record is said of that record alone.
        """
        found: list[bytes] = []
        depth, start, left = 0, 1, TOKENS_PER_RECORD * self._max_records
        for token in _STRUCTURE.finditer(body):
            mark = token[0]
            left -= 1
            if mark in b"[{":
                depth += 1
            elif mark in b"]}":
                depth -= 1
            if depth == 0 or (mark == b"," and depth == 1):
                found.append(body[start : token.start()].strip())
                start = token.end()
            if left == 0 or len(found) > self._max_records:
                raise self._too_many()
            if depth == 0:
                if mark != b"]" or body[start:].strip():
                    raise _unreadable(f"the array ends before byte {start}, and not as an array does")
                return [] if found == [b""] else found
        raise _unreadable("the body ends in the middle of its array")

    def _of_lines(self, body: bytes) -> Sequence[bytes]:
        found: list[bytes] = []
        for line in io.BytesIO(body):
            value = line.strip()
            if not value:
                continue
            if len(found) == self._max_records:
                raise self._too_many()
            found.append(value)
        return found

    def _unpacked(self, body: bytes) -> bytes:
        """Decompresses gzip, a byte beyond the bound at most. Raises RefusedError."""
        parts: list[bytes] = []
        size = 0
        for _ in range(MOST_MEMBERS):
            member = zlib.decompressobj(wbits=31)
            try:
                parts.append(member.decompress(body, self._max_unpacked_bytes - size + 1))
            except zlib.error as err:
                raise _unreadable(f"the body is not gzip, or damaged: {err}", field="content-encoding") from err
            size += len(parts[-1])
            if size > self._max_unpacked_bytes:
                raise RefusedError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    "the body is too large once it is decompressed",
                    field="",
                    allowed=f"at most {self._max_unpacked_bytes} bytes (intake.max_unpacked_bytes)",
                )
            if not member.eof:
                raise _unreadable("the body ends in the middle of its gzip stream", field="content-encoding")
            body = member.unused_data
            if not body:
                return b"".join(parts)
        raise _unreadable(f"the body has more than {MOST_MEMBERS} gzip streams in it", field="content-encoding")

    def _too_many(self) -> RefusedError:
        allowed = f"at most {self._max_records} records (intake.max_records)"
        detail = "the body has too many records, or values, for one request"
        return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, field="", allowed=allowed)


def _is_one(body: bytes) -> bool:
    """Whether the body is one record rather than one a line. Raises RefusedError: it is neither."""
    try:
        _ONE.decode(body)
    except _NOT_JSON as whole:
        first, _, rest = body.partition(b"\n")
        first = first.strip()
        joined = b"}{" in first
        if not rest.strip() and not joined:
            return True  # what is wrong with it is said of the record
        if joined or not (first.startswith(b"{") and first.endswith(b"}")):
            hint = "; curl's -d takes line ends out, --data-binary leaves them" if joined else ""
            raise _unreadable(f"the body is neither one JSON object nor one a line: {_reason(whole)}{hint}") from whole
        return False
    return True


def _unreadable(detail: str, field: str = "") -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, detail, field=field, allowed=ALLOWED)


def _reason(err: Exception) -> str:
    return "it is nested too deeply" if isinstance(err, RecursionError) else str(err)[:200]
