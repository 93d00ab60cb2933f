"""A cursor: which rooms earlier pages showed, as text that the caller carries. Never looks at a room, keeps nothing.

It has a hash of each room shown, because the list moves: a place in it, or a score, would mean other rooms by the time
of the next page. It is not secret: whoever makes one up leaves rooms out of his own pages.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta

from actors.requests.filters import Filters
from streaming.errors import RequestError

MOST_SHOWN = 1_000  # rooms on all pages together, some 10 KB of cursor: 10 pages of 100 rooms, 50 of 20
MAX_CURSOR_LENGTH = 12_000  # characters; the longest cursor has 10,679
VERSION = b"\x01"  # of the bytes below: version, digest of the question, hashes of rooms, checksum
HASH_BYTES = SUM_BYTES = 8

Cursor = Annotated[
    str,
    Meta(
        max_length=MAX_CURSOR_LENGTH,
        description='"" for the first of several pages, then what the page before gave; left out for a single answer',
        examples=[""],
    ),
]


def question_of(viewer: str, filters: Filters) -> bytes:
    """A digest of who asks for which rooms: what must not change from page to page. viewer: or a text searched for."""
    return _digest(msgspec.msgpack.encode((viewer, filters)))


def write(question: bytes, hashes: bytes) -> str:
    """A cursor. hashes: of the rooms shown, little-endian."""
    content = VERSION + question + hashes
    return base64.urlsafe_b64encode(content + _digest(content)).rstrip(b"=").decode()


def read(cursor: str, question: bytes) -> bytes:
    """The hashes in a cursor. Raises RequestError: it is damaged, or of another question."""
    try:
        content = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as err:
        raise _wrong("cannot be read") from err
    content, checksum = content[:-SUM_BYTES], content[-SUM_BYTES:]
    hashes = content[len(VERSION) + SUM_BYTES :]
    if _digest(content) != checksum or len(hashes) % HASH_BYTES:
        raise _wrong("is damaged, or cut off")
    if not content.startswith(VERSION):
        raise _wrong("is of another release")
    if content[len(VERSION) : len(VERSION) + SUM_BYTES] != question:
        raise _wrong("belongs to another viewer or text, or to other filters")
    return hashes


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=SUM_BYTES, person=b"tidecast cursor").digest()


def _wrong(what: str) -> RequestError:
    allowed = '"" for the first page, or the cursor that came with the page before'
    return RequestError(f"the cursor {what}; ask for the first page", field="cursor", allowed=allowed)
