"""The rooms that an answer is chosen from: the union of four lists, less what must not be shown. Never scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from actors.index.live_index import LiveIndex
from actors.index.nearest import Products
from actors.recommend.global_lists import TIE, GlobalLists, keyed, largest
from actors.recommend.schema import MAX_LIMIT
from actors.requests.filters import NO_FILTERS, Filters
from actors.requests.room_filter import NONE, RoomFilter
from actors.state.room_embeddings import LiveEmbeddings
from actors.state.room_table import RoomTable
from actors.state.viewer_taste import InterestProfile
from streaming.events import StreamerId
from training.features.compiling import INTEGERS, kernel

Slots = NDArray[np.int64]
LOOKED_AT = 4  # rooms compared by their whole vectors, per similar room that can be wanted
ENOUGH = MAX_LIMIT  # candidates; with fewer of them an answer may be shorter than it could be
FEW = 256  # rooms that are all candidates: to score them costs less than to choose among them


@dataclass(frozen=True, slots=True)
class Visited:
    """Live rooms of streamers visited before, as of a version of the roster."""

    version: int = 0
    slots_V: Slots = field(default_factory=lambda: np.zeros(0, np.int64))
    strengths_V: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    strengths: Mapping[int, float] = field(default_factory=dict)  # strengths_V by slot
    streamers: Sequence[StreamerId] = ()


@kernel(exact=True)
def shown(slots_N: Slots, hidden_H: Slots, live_S: NDArray[np.bool_], last_S: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of rooms that are live and not hidden; of a repeated slot the last. last_S: scratch."""
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


@kernel(exact=True)
def joined(  # noqa: PLR0917  compiled functions take no keywords
    common_N: Slots,
    by_category_N: Slots,
    starts_L: Slots,
    category_C: Slots,
    size: int,
    more_N: Slots,
    nearest_N: Slots,
    slots_V: Slots,
) -> Slots:
    """The lists of a viewer's candidates one after the other, int64 [N]. category_C: whose best `size` are among them.

    by_category_N: slots by category; starts_L: where each begins in it.
    """
    most = len(common_N) + size * len(category_C) + len(more_N) + len(nearest_N) + len(slots_V)
    slots_N, num = np.empty(most, np.int64), len(common_N)
    slots_N[:num] = common_N
    for category in category_C:
        if not 0 <= category < len(starts_L) - 1:
            continue
        for n in range(starts_L[category], min(starts_L[category + 1], starts_L[category] + size)):
            slots_N[num] = by_category_N[n]
            num += 1
    for list_N in (more_N, nearest_N, slots_V):
        for slot in list_N:
            slots_N[num] = slot
            num += 1
    return slots_N[:num]


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    return {
        shown: (INTEGERS, INTEGERS, types.boolean[::1], INTEGERS),
        joined: (*(INTEGERS,) * 4, types.int64, *(INTEGERS,) * 3),
    }


class Candidates:
    """Finds candidates. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable, global_lists: GlobalLists, nearest: int, *, show_mature: bool = False) -> None:
        """show_mature: whether mature rooms may be shown to viewers whose filters do not ask for them."""
        self._rooms = rooms
        self.filter = RoomFilter(rooms, show_mature=show_mature)
        self._global_lists = global_lists
        self._num_nearest = nearest
        self._last_N = np.zeros(len(rooms.live_N), np.int64)  # scratch: a slot's last position in a list

    def visited(self, interests: InterestProfile) -> Visited:
        """The live rooms of the streamers in the viewer's habits."""
        roster, strengths, streamers = self._rooms.roster, {}, {}
        for streamer, strength in interests.habits:
            rooms = roster.of(streamer)
            if rooms is not None:
                for slot in rooms.values():
                    strengths[slot] = strength
                    streamers[slot] = streamer
        slots_V = np.array([*strengths], np.int64)
        return Visited(
            roster.version, slots_V, np.array([*strengths.values()], np.float32), strengths, [*streamers.values()]
        )

    def alike(self, query_E: NDArray[np.float32] | None, index: LiveIndex) -> Products | None:
        """Products of the viewer's vector and the rooms'; None for a viewer without one."""
        return None if query_E is None else index.compare(query_E)

    def similar(self, slot: int, limit: int, embeddings: LiveEmbeddings, allowed: Slots) -> list[tuple[int, float]]:
        """Slots of the allowed rooms nearest to a room, and their products; none while it has no vector.

        The index finds them, and they are then compared by their whole vectors. How many are does not depend on the
        limit.
        """
        vector_1E = embeddings.vectors(np.array([slot]))
        query_1D = embeddings.index.vectors(np.array([slot]))
        if not query_1D.size or np.isnan(query_1D[0, 0]):
            return []
        near_N = embeddings.index.products(query_1D[0])
        slots_N = allowed[~np.isnan(near_N[allowed])]
        near_K = slots_N[largest(keyed(near_N, self._rooms, slots_N), LOOKED_AT * MAX_LIMIT)]
        product_K = embeddings.vectors(near_K) @ vector_1E[0]
        best_K = largest(product_K + TIE * self._rooms.tie_N[near_K], limit)
        return list(zip(near_K[best_K].tolist(), product_K[best_K].tolist(), strict=True))

    def union(self, visited: Visited, interests: InterestProfile, top_C: Slots, nearest: Slots) -> Slots:
        """Slots of trending (anywhere and in the viewer's categories) ∪ newest ∪ nearest ∪ visited, these at the end.

        top_C: the viewer's categories by number. Of a viewer who prefers a language, also the best in it. int64 [N]. It
        may hold repetitions and rooms that have ended since: `may_be_shown` drops these.
        """
        lists, more = self._global_lists, NONE
        if interests.preferred:
            more = self._preferred(np.flatnonzero(self.filter.open(NO_FILTERS)), interests)
        slots_N: Slots = joined(
            lists.common, lists.by_category, lists.starts_L, top_C, lists.size, more, nearest, visited.slots_V
        )
        return slots_N

    def _preferred(self, slots_N: Slots, interests: InterestProfile) -> Slots:
        """The best of these rooms in a preferred language, by the viewer-independent part of the score."""
        rooms, global_lists = self._rooms, self._global_lists
        of_language = slots_N[self.in_preferred(slots_N, interests)]
        return of_language[largest(keyed(global_lists.sum_N, rooms, of_language), global_lists.size)]

    def in_preferred(self, slots_N: Slots, interests: InterestProfile) -> NDArray[np.bool_]:
        """Which rooms are in a preferred language, bool [N]."""
        numbers = [self._rooms.languages.number(language) for language in interests.preferred]
        return np.isin(self._rooms.language_N[slots_N], numbers)

    def nearest(self, alike: Products | None, open_S: NDArray[np.bool_]) -> Slots:
        """Slots of the open rooms most alike, int64, the most alike first. open_S: by slot."""
        return NONE if alike is None else alike.nearest(open_S, self._num_nearest, self._rooms.tie_N)

    def pulled(self, gain_S: NDArray[np.float32], allowed: Slots) -> Slots:
        """Slots of the allowed rooms that a steer raises most."""
        return allowed[largest(keyed(gain_S, self._rooms, allowed), self._num_nearest)]

    def union_allowed(
        self,
        visited: Visited,
        interests: InterestProfile,
        alike: Products | None,
        allowed: Slots,
    ) -> Slots:
        """Candidates as of `union`, drawn from only those rooms that are allowed.

        At least ENOUGH rooms, if so many are allowed.
        """
        rooms, global_lists = self._rooms, self._global_lists
        if len(allowed) <= FEW:
            return np.concatenate([allowed, visited.slots_V])
        lists = [
            allowed[largest(keyed(global_lists.sum_N, rooms, allowed), max(global_lists.size, ENOUGH))],
            allowed[largest(rooms.started_ms_N[allowed] + rooms.tie_N[allowed], global_lists.size)],
        ]
        category_N = rooms.category_N[allowed]
        for label in interests.top_categories:
            of_category = allowed[category_N == rooms.categories.number(label)]
            lists.append(of_category[largest(keyed(global_lists.sum_N, rooms, of_category), global_lists.size)])
        if interests.preferred:
            lists.append(self._preferred(allowed, interests))
        if alike is not None:
            open_S = np.zeros(len(alike.product_S), np.bool_)
            open_S[allowed] = True
            lists.append(self.nearest(alike, open_S))
        lists.append(visited.slots_V)
        return np.concatenate(lists)

    def may_be_shown(self, slots_N: Slots, filters: Filters, now_ms: int, hidden_H: Slots) -> NDArray[np.int64]:
        """Positions of the candidates that may be shown: live, not hidden, let through; of a repeated slot the last."""
        shown_K: NDArray[np.int64] = shown(slots_N, hidden_H, self.filter.open(filters), self._last_N)
        if filters is NO_FILTERS or not filters.narrows:
            return shown_K
        return shown_K[self.filter.lets_through(slots_N[shown_K], filters, now_ms)]

    def among(self, slots_N: Slots, allowed: Slots) -> NDArray[np.int64]:
        """Positions of the candidates that are allowed, which are live rooms; of a repeated slot the last."""
        allowed_S = np.zeros(len(self._rooms.live_N), np.bool_)
        allowed_S[allowed] = True
        shown_K: NDArray[np.int64] = shown(slots_N, NONE, allowed_S, self._last_N)
        return shown_K

    @property
    def tie_S(self) -> NDArray[np.float64]:  # noqa: N802  a shape
        """Numbers in 0..1, float64 by slot, that order rooms of equal score."""
        return self._rooms.tie_N

    def ties(self, slots_N: Slots) -> NDArray[np.float64]:
        """Numbers in 0..1, float64 [N], that order rooms of equal score."""
        return self._rooms.tie_N[slots_N]
