"""The pages of an answer: which rooms earlier pages showed, as a cursor that the caller carries. Keeps nothing itself.

A cursor has a hash of each room shown, because the list moves: a place in it, or a score, would mean other rooms by the
time of the next page. Any replica reads it. It is not secret: whoever makes one up leaves rooms out of his own pages.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.requests.filters import Filters
from actors.requests.room_filter import Slots
from actors.state.room_table import RoomTable
from streaming.errors import RequestError

MOST_SHOWN = 1_000  # rooms on all pages together, some 10 KB of cursor: 10 pages of 100 rooms, 50 of 20
MAX_CURSOR_LENGTH = 12_000  # characters; the longest cursor has 10,679
VERSION = b"\x01"  # of the bytes below: version, digest of the question, hashes of rooms, checksum
SUM_BYTES = 8
Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A page that is asked for. question: a digest of who asks for what. slots_H: live rooms of earlier pages."""

    question: bytes
    shown_X: Hashes
    slots_H: Slots


class Pages:
    """Reads and writes cursors. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable) -> None:
        self._rooms = rooms

    def open(self, cursor: str, viewer: str, filters: Filters) -> Page:
        """The page after a cursor; "" for the first. Raises RequestError: it is damaged, or of another question."""
        question = _digest(msgspec.msgpack.encode((viewer, filters)))
        if not cursor:
            return Page(question, np.zeros(0, np.uint64), np.zeros(0, np.int64))
        shown_X = _read(cursor, question)
        live = self._rooms.slots()
        return Page(question, shown_X, live[np.isin(self._rooms.id_hash_N[live], shown_X)])

    def after(self, page: Page, slots_L: Slots, left: int) -> str | None:
        """The cursor for the next page. slots_L: the rooms of this one. left: allowed rooms that no page has shown.

        None where nothing is left, or MOST_SHOWN rooms were shown.
        """
        shown_X = np.concatenate([page.shown_X, self._rooms.id_hash_N[slots_L]])
        if left <= 0 or len(shown_X) >= MOST_SHOWN:
            return None
        content = VERSION + page.question + shown_X.astype("<u8").tobytes()
        return base64.urlsafe_b64encode(content + _digest(content)).rstrip(b"=").decode()


def _read(cursor: str, question: bytes) -> Hashes:
    try:
        content = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as err:
        raise _wrong("cannot be read") from err
    content, checksum = content[:-SUM_BYTES], content[-SUM_BYTES:]
    hashes = content[len(VERSION) + SUM_BYTES :]
    if _digest(content) != checksum or len(hashes) % 8:
        raise _wrong("is damaged, or cut off")
    if not content.startswith(VERSION):
        raise _wrong("is of another release")
    if content[len(VERSION) : len(VERSION) + SUM_BYTES] != question:
        raise _wrong("belongs to another viewer, or to other filters")
    return np.frombuffer(hashes, "<u8").astype(np.uint64)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=SUM_BYTES, person=b"tidecast cursor").digest()


def _wrong(what: str) -> RequestError:
    allowed = '"" for the first page, or the cursor that came with the page before'
    return RequestError(f"the cursor {what}; ask for the first page", field="cursor", allowed=allowed)
