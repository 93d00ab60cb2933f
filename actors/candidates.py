"""Owns which rooms an answer is chosen from: the union of four lists, and what must not be in it. Never scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from actors.alignment import Alignment
from actors.answer import Filters
from actors.index import LiveIndex
from actors.pools import Pools, largest, most
from actors.room_table import RoomTable
from actors.taste import Taste
from streaming.events import RoomId, StreamerId
from training.compiling import INTEGERS, kernel

NO_FILTERS = Filters()

Slots = NDArray[np.int64]
NONE = np.zeros(0, np.int64)
LOOKED_AT = 4  # for each similar room wanted, so many are compared as a whole


@dataclass(frozen=True, slots=True)
class Visited:
    """Live rooms of streamers visited before, as of a version of the roster."""

    version: int = 0
    slots_V: Slots = field(default_factory=lambda: np.zeros(0, np.int64))
    strengths_V: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    strengths: Mapping[int, float] = field(default_factory=dict)  # the same by slot
    streamers: Sequence[StreamerId] = ()


@kernel(exact=True)
def shown(slots_N: Slots, hidden_H: Slots, live_S: NDArray[np.bool_], last_S: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of rooms that live and are not hidden, of repetitions the last. last_S: scratch."""
    for n in range(len(slots_N)):
        last_S[slots_N[n]] = n
    for h in range(len(hidden_H)):
        last_S[hidden_H[h]] = -1
    shown_N, num = np.empty(len(slots_N), np.int64), 0
    for n in range(len(slots_N)):
        if last_S[slots_N[n]] == n and live_S[slots_N[n]]:
            shown_N[num] = n
            num += 1
    return shown_N[:num]


def signatures() -> dict[Any, Any]:
    """Which kernels are called, for `compiling.load`, and with what."""
    return {shown: (INTEGERS, INTEGERS, types.boolean[::1], INTEGERS)}


class Candidates:
    """Finds candidates. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable, pools: Pools, nearest: int) -> None:
        self._rooms = rooms
        self._pools = pools
        self._num_nearest = nearest
        self._last_N = np.zeros(len(rooms.live_N), np.int64)  # scratch: where in a list a slot comes last

    def visited(self, taste: Taste) -> Visited:
        """The live rooms of the viewer's habits."""
        roster, strengths, streamers = self._rooms.roster, {}, {}
        for streamer, strength in taste.habits:
            rooms = roster.of(streamer)
            if rooms is not None:
                for slot in rooms.values():
                    strengths[slot] = strength
                    streamers[slot] = streamer
        slots_V = np.array([*strengths], np.int64)
        return Visited(
            roster.version, slots_V, np.array([*strengths.values()], np.float32), strengths, [*streamers.values()]
        )

    def alike(self, query_E: NDArray[np.float32] | None, index: LiveIndex) -> NDArray[np.float32] | None:
        """Product of the viewer's vector and each room's, float32 by slot, −1 for a room without a vector.

        None for a viewer without one.
        """
        if query_E is None:
            return None
        alike_N = index.products(query_E)
        np.fmax(alike_N, -1, out=alike_N)  # fmax and not maximum, because a room without a vector is NaN
        return alike_N

    def similar(self, slot: int, limit: int, alignment: Alignment) -> list[tuple[int, float]]:
        """Slots of the rooms nearest to a room, it apart, and their products; none while it has no vector.

        Looked for in the index, of which each is compared as a whole.
        """
        vector_1E = alignment.vectors(np.array([slot]))
        query_1D = alignment.index.vectors(np.array([slot]))
        if not query_1D.size or np.isnan(query_1D[0, 0]):
            return []
        found_K = alignment.index.search(query_1D, LOOKED_AT * (limit + 1)).slots_QK[0]
        found_K = found_K[(found_K >= 0) & (found_K != slot)]
        product_K = alignment.vectors(found_K) @ vector_1E[0]
        best_K = largest(product_K, limit)
        return list(zip(found_K[best_K].tolist(), product_K[best_K].tolist(), strict=True))

    def union(self, visited: Visited, taste: Taste, nearest: Slots) -> Slots:
        """Slots of trending (anywhere and in the viewer's categories) ∪ newest ∪ nearest ∪ visited, these at the end.

        int64 [N], repetitions and rooms that have ended since among them: `may_be_shown` drops these.
        """
        pools, number = self._pools, self._rooms.categories.number
        lists = [pools.common, *[pools.of_category(number(label)) for label in taste.top_categories]]
        lists += [nearest, visited.slots_V]
        return np.concatenate(lists)

    def nearest(self, alike_N: NDArray[np.float32] | None) -> Slots:
        """The rooms most alike, int64, in no order."""
        return NONE if alike_N is None else most(alike_N, self._num_nearest)

    def union_filtered(self, visited: Visited, alike_N: NDArray[np.float32] | None, filters: Filters) -> Slots:
        """The same of what the filters allow: drawn from that, so that a filter does not empty the answer."""
        rooms, pools = self._rooms, self._pools
        allowed = self.allowed(rooms.slots(), filters)
        trending = allowed[largest(pools.trending_N[allowed], pools.size)]
        newest = allowed[largest(rooms.started_ms_N[allowed].astype(np.float64), pools.size)]
        lists = [trending, newest]
        if alike_N is not None:
            lists.append(allowed[largest(alike_N[allowed], self._num_nearest)])
        lists.append(visited.slots_V)
        return np.concatenate(lists)

    def may_be_shown(self, slots_N: Slots, filters: Filters, hidden: Iterable[str]) -> NDArray[np.int64]:
        """Positions of the candidates that may be shown: live, not hidden, let through, of repetitions the last."""
        cards = [self._rooms.cards.get(RoomId(room)) for room in hidden]
        hidden_H = np.array([card.slot for card in cards if card is not None], np.int64) if cards else NONE
        shown_K: NDArray[np.int64] = shown(slots_N, hidden_H, self._rooms.live_N, self._last_N)
        return shown_K if filters == NO_FILTERS else shown_K[self.lets_through(slots_N[shown_K], filters)]

    def lets_through(self, slots_N: Slots, filters: Filters) -> NDArray[np.bool_]:
        """Which of the slots the filters let through, bool [N]."""
        rooms = self._rooms
        through_N = np.ones(len(slots_N), np.bool_)
        if filters.mature is not None:
            through_N &= rooms.mature_N[slots_N] == filters.mature
        if filters.language is not None:
            wanted = filters.language.lower()
            numbers = [n for label, n in rooms.languages.items() if _speaks(label.lower(), wanted)]
            through_N &= np.isin(rooms.language_N[slots_N], numbers)
        if filters.category is not None:
            wanted = filters.category.casefold()
            numbers = [n for label, n in rooms.categories.items() if label.casefold() == wanted]
            through_N &= np.isin(rooms.category_N[slots_N], numbers)
        return through_N

    def allowed(self, slots_N: Slots, filters: Filters) -> Slots:
        """Those of the slots that the filters let through."""
        return slots_N[self.lets_through(slots_N, filters)]


def _speaks(language: str, wanted: str) -> bool:
    return language == wanted or language.startswith(wanted + "-")
