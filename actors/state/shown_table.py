"""Rooms that viewers were shown and have not entered, and what they lose by it. Never reads or writes the log.

Of a viewer there are at most MOST_ROOMS rooms, 16 bytes each: a hash of the room's id, and when it was shown last with
what it has lost by then. The loss halves with time, so nothing has to be done when it has passed.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from streaming.errors import RecordError
from streaming.events import RoomId, ViewerId, ViewerProfile
from training.features.compiling import INTEGERS, INTEGERS_2D, kernel

Hashes = NDArray[np.int64]
Entries = NDArray[np.int64]  # [2, M]: hashes in ascending order, and words of time and cost
Floats = NDArray[np.float32]

MOST_ROOMS = 64  # of a viewer: three pages of 20; those that have lost least go first
COST_BITS = 21  # of a word; the 42 above them are a time in ms, enough until the year 2109
COST_MASK = (1 << COST_BITS) - 1
COST_UNITS = 1_024.0  # costs from 0.001 to 2,047
MAX_COST = 2_000.0
SIEVE = 1_024  # most rooms were not shown: by the last bits of their hashes that takes a quarter of the time
SPENT = 0.02  # of the cost of one showing: what has less left is forgotten
VIEWER_BYTES = 500  # of a viewer beside key and rooms: four objects' headers and the dict's links, measured
NO_HASHES = np.zeros(0, np.int64)


@kernel(exact=True)
def after_showing(  # noqa: PLR0917  compiled functions take no keywords
    entries_2M: Entries, hash_L: Hashes, at_ms: int, cost: float, most: float, half_life_ms: float
) -> Entries:
    """The entries of a viewer who was shown L rooms at a time. The costs that are left grow, to `most` at the most."""
    M, X = entries_2M.shape[1], entries_2M.shape[1] + len(hash_L)
    hash_X, word_X, left_X = np.empty(X, np.int64), np.empty(X, np.int64), np.empty(X)
    num = 0
    for m in range(M):
        hash_X[num], word_X[num] = entries_2M[0, m], entries_2M[1, m]
        num += 1
    for wanted in hash_L:
        place = 0
        while place < num and hash_X[place] != wanted:
            place += 1
        if place == num:
            hash_X[place], word_X[place] = wanted, at_ms << COST_BITS
            num += 1
        was_ms, lost = word_X[place] >> COST_BITS, (word_X[place] & COST_MASK) / COST_UNITS
        later_ms = max(was_ms, at_ms)
        lost *= 0.5 ** ((later_ms - was_ms) / half_life_ms)
        lost = min(most, lost + cost * 0.5 ** ((later_ms - at_ms) / half_life_ms))
        word_X[place] = later_ms << COST_BITS | np.int64(np.rint(lost * COST_UNITS))
    kept = 0
    for x in range(num):
        lost = (word_X[x] & COST_MASK) / COST_UNITS
        left = lost * 0.5 ** (max(0, at_ms - (word_X[x] >> COST_BITS)) / half_life_ms)
        if left > SPENT * cost:
            hash_X[kept], word_X[kept], left_X[kept] = hash_X[x], word_X[x], left
            kept += 1
    while kept > MOST_ROOMS:
        least = np.argmin(left_X[:kept])
        kept -= 1
        hash_X[least], word_X[least], left_X[least] = hash_X[kept], word_X[kept], left_X[kept]
    order_M = np.argsort(hash_X[:kept])
    after_2M = np.empty((2, kept), np.int64)
    for m in range(kept):
        after_2M[0, m], after_2M[1, m] = hash_X[order_M[m]], word_X[order_M[m]]
    return after_2M


@kernel(exact=True)
def after_entering(entries_2M: Entries, hash_V: Hashes, until_ms_V: Hashes) -> tuple[Entries, Hashes]:
    """The entries of a viewer without the rooms shown until the viewer was in them last, and the hashes of these."""
    M = entries_2M.shape[1]
    stays_M = np.ones(M, np.bool_)
    for v in range(len(hash_V)):
        for m in range(M):
            if entries_2M[0, m] == hash_V[v] and entries_2M[1, m] >> COST_BITS <= until_ms_V[v]:
                stays_M[m] = False
    left_2M, gone_M, num, gone = np.empty((2, M), np.int64), np.empty(M, np.int64), 0, 0
    for m in range(M):
        if stays_M[m]:
            left_2M[0, num], left_2M[1, num] = entries_2M[0, m], entries_2M[1, m]
            num += 1
        else:
            gone_M[gone] = entries_2M[0, m]
            gone += 1
    return left_2M[:, :num].copy(), gone_M[:gone].copy()


@kernel(exact=True)
def lost_by_showing(
    entries_2M: Entries, hash_S: Hashes, slots_K: NDArray[np.int64], now_ms: int, half_life_ms: float
) -> Floats:
    """What K rooms have lost and not had back, float32 [K]."""
    M = entries_2M.shape[1]
    left_M, lost_K, may_be = np.empty(M), np.zeros(len(slots_K), np.float32), np.zeros(SIEVE, np.bool_)
    for m in range(M):
        may_be[entries_2M[0, m] & (SIEVE - 1)] = True
        word = entries_2M[1, m]
        ago_ms = max(0, now_ms - (word >> COST_BITS))
        left_M[m] = (word & COST_MASK) / COST_UNITS * 0.5 ** (ago_ms / half_life_ms)
    for k in range(len(slots_K)):
        wanted, low, high = hash_S[slots_K[k]], 0, M
        if not may_be[wanted & (SIEVE - 1)]:
            continue
        while low < high:
            middle = (low + high) // 2
            if entries_2M[0, middle] < wanted:
                low = middle + 1
            else:
                high = middle
        if low < M and entries_2M[0, low] == wanted:
            lost_K[k] = left_M[low]
    return lost_K


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    double, whole = types.float64, types.int64
    return {
        after_showing: (INTEGERS_2D, INTEGERS, whole, double, double, double),
        after_entering: (INTEGERS_2D, INTEGERS, INTEGERS),
        lost_by_showing: (INTEGERS_2D, INTEGERS, INTEGERS, whole, double),
    }


NO_ENTRIES: Entries = np.zeros((2, 0), np.int64)


@dataclass(slots=True)
class _Viewer:
    """A viewer's shown rooms. profile: a checksum of the profile whose visits they were compared with."""

    entries_2M: Entries
    profile: int = 0


class ShownTable:
    """What viewers were shown, within a memory budget: those shown something least recently go first. For one thread.

    Times are event times, as those of visits.
    """

    def __init__(
        self, hash_S: NDArray[np.uint64], cost: float, most: float, half_life_ms: float, budget_bytes: int
    ) -> None:
        """hash_S: of live rooms' ids, by slot. cost: at each showing, in the score's unit. most: that a room loses."""
        self._hash_S = hash_S.view(np.int64)
        self._cost, self._most, self._half_life_ms = min(cost, MAX_COST), min(most, MAX_COST), half_life_ms
        self._budget_bytes = budget_bytes
        self._viewers: OrderedDict[ViewerId, _Viewer] = OrderedDict()
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._viewers)

    @property
    def held_bytes(self) -> int:
        """Memory of the table in bytes, estimated."""
        return self._held_bytes

    def lost(self, viewer: ViewerId, slots_K: NDArray[np.int64], now_ms: int) -> Floats | None:
        """What K live rooms lose for the viewer, float32 [K]; None for nothing."""
        held = self._viewers.get(viewer)
        if held is None:
            return None
        lost_K: Floats = lost_by_showing(held.entries_2M, self._hash_S, slots_K, now_ms, self._half_life_ms)
        return lost_K if lost_K.any() else None

    def show(self, viewer: ViewerId, hash_L: Hashes, at_ms: int) -> None:
        """Notes that rooms were shown to the viewer."""
        held = self._viewers.get(viewer) or _Viewer(NO_ENTRIES)
        entries = after_showing(held.entries_2M, hash_L, at_ms, self._cost, self._most, self._half_life_ms)
        self._put(viewer, held, entries)
        while self._held_bytes > self._budget_bytes and len(self._viewers) > 1:
            self.forget(next(iter(self._viewers)))

    def meet(self, viewer: ViewerId, profile: bytes, decode: Callable[[bytes], ViewerProfile]) -> Hashes:
        """Forgets the rooms that the viewer was in since they were shown; returns their hashes.

        profile: as serialised. It is decoded only where it is another than the last time.
        """
        held = self._viewers.get(viewer)
        if held is None or not profile or held.profile == (checksum := zlib.crc32(profile)):
            return NO_HASHES
        held.profile = checksum
        try:
            visits = decode(profile).visits
        except RecordError:  # whoever reads the profile counts it
            return NO_HASHES
        hash_V = np.array([hash_of(visit.room) for visit in visits], np.int64)
        until_ms_V = np.array([visit.last_at_ms for visit in visits], np.int64)
        entries_2M, entered_M = after_entering(held.entries_2M, hash_V, until_ms_V)
        if len(entered_M):
            self._put(viewer, held, entries_2M)
        return entered_M

    def enter(self, viewer: ViewerId, hash_V: Hashes) -> None:
        """Forgets rooms that the viewer has entered, as another replica has found."""
        held = self._viewers.get(viewer)
        if held is not None and len(hash_V):
            entries_2M, _ = after_entering(held.entries_2M, hash_V, np.full(len(hash_V), np.iinfo(np.int64).max))
            self._put(viewer, held, entries_2M)

    def forget(self, viewer: ViewerId) -> None:
        """Forgets a viewer, if known."""
        held = self._viewers.pop(viewer, None)
        if held is not None:
            self._held_bytes -= _size(viewer, held)

    def _put(self, viewer: ViewerId, held: _Viewer, entries_2M: Entries) -> None:
        self.forget(viewer)
        if entries_2M.shape[1]:
            held.entries_2M = entries_2M
            self._viewers[viewer] = held  # the newest
            self._held_bytes += _size(viewer, held)


def hash_of(room: RoomId) -> int:
    """The hash of a room's id, as in the room table's column of hashes, signed."""
    name = room.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little", signed=True)


def _size(viewer: ViewerId, held: _Viewer) -> int:
    return len(viewer) + held.entries_2M.nbytes + VIEWER_BYTES
