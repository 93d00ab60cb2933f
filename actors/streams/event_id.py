"""The id of an event: which list a client has, as text that it sends back when it reconnects. Never compares lists.

The id has a hash of each room in order, so that any replica can say whether its own list is news to the client, and
none has to remember who was shown what. It is not secret and not signed: whoever makes one up is shown less.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from hashlib import blake2b

import msgspec
import numpy as np

from actors.recommend.schema import MAX_LIMIT, Query

MAX_ID_LENGTH = 600  # characters; that of 100 rooms has 550
VERSION = b"\x01"  # of the bytes below: version, digest of the question, hashes of rooms, checksum
DIGEST_BYTES = SUM_BYTES = 6
HASH_BYTES = 4  # two rooms of ten thousand that are taken for each other cost a list that comes late


def question_of(query: Query) -> bytes:
    """A digest of who asks for what. Another question has another list, whatever rooms are in it."""
    return _digest(msgspec.msgpack.encode(query))


def write(question: bytes, rooms: Sequence[int]) -> str:
    """The id of a list. rooms: their hashes, 32 bits each, in order."""
    content = VERSION + question + np.array(rooms, "<u4").tobytes()
    return base64.urlsafe_b64encode(content + _digest(content)).rstrip(b"=").decode()


def read(text: str, question: bytes) -> tuple[int, ...] | None:
    """The hashes in an id; None where it is damaged, or of another question: then nothing is known of the client."""
    if len(text) > MAX_ID_LENGTH:
        return None
    try:
        content = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    content, checksum = content[:-SUM_BYTES], content[-SUM_BYTES:]
    hashes = content[len(VERSION) + DIGEST_BYTES :]
    if not content.startswith(VERSION + question) or _digest(content) != checksum or len(hashes) % HASH_BYTES:
        return None
    return tuple(np.frombuffer(hashes, "<u4").tolist())[:MAX_LIMIT]


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=SUM_BYTES, person=b"tidecast event").digest()
